"""VSPW and DAVIS results, good and bad."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark_files import Benchmark, write_davis, write_png, write_vspw
from plainmask.data.video_folder import holds_one_mask
from plainmask.errors import InputError
from plainmask.result_files.label_maps import (
    LabelFrame,
    find_object_frames,
    find_vspw_frames,
    read_class_maps,
    read_object_maps,
)
from plainmask.vocabulary import Vocabulary

VSPW = Vocabulary.load("vspw")


@pytest.fixture
def vspw(tmp_path: Path) -> Benchmark:
    return write_vspw(tmp_path, "perfect")


def test_vspw_frames_are_in_order(vspw: Benchmark):
    frames = find_vspw_frames(vspw.data, None, vspw.result)
    assert [frame.target_path.stem for frame in frames] == sorted(
        f.target_path.stem for f in frames
    )
    assert {frame.video for frame in frames} == {"vid0"}
    assert frames[0].result_path == vspw.result / "vid0/00000000.png"


def test_class_maps(tmp_path: Path):
    frame = LabelFrame("v", tmp_path / "target.png", tmp_path / "result.png")
    write_png(frame.target_path, np.array([[0, 1, 124, 255, 252]], np.uint8))
    write_png(frame.result_path, np.array([[0, 0, 123, 5, 6]], np.uint8))
    result, target = read_class_maps(frame, VSPW)
    first, last = VSPW.by_file_id[1], VSPW.by_file_id[124]
    assert target.tolist() == [[-1, first, last, -1, -1]]
    assert result[0, :3].tolist() == [first, first, last]


@pytest.mark.parametrize("value", [124, 255])
def test_values_without_a_class(tmp_path: Path, value: int):
    frame = LabelFrame("v", tmp_path / "target.png", tmp_path / "result.png")
    write_png(frame.target_path, np.array([[1, 1]], np.uint8))
    write_png(frame.result_path, np.array([[0, value]], np.uint8))
    with pytest.raises(
        InputError, match=rf"result\.png holds the values 0\.\.{value}; .* 0\.\.123"
    ):
        read_class_maps(frame, VSPW)


def test_vspw_results_that_do_not_fit(vspw: Benchmark):
    (vspw.result / "vid0/00000002.png").unlink()
    with pytest.raises(InputError, match=r"there is no file .*vid0/00000002\.png"):
        find_vspw_frames(vspw.data, "val", vspw.result)
    (vspw.data / "val.txt").write_text("vid0\nvid7\n")
    with pytest.raises(InputError, match=r"video vid7 has no annotation in .*vid7/mask"):
        find_vspw_frames(vspw.data, "val", vspw.result)
    with pytest.raises(InputError, match="video vid0 is missing: there is no folder"):
        find_vspw_frames(vspw.data, "val", vspw.data)
    (vspw.data / "val.txt").write_text("")
    with pytest.raises(InputError, match="there is no video"):
        find_vspw_frames(vspw.data, "val", vspw.result)


def test_results_of_another_size(vspw: Benchmark):
    frame = find_vspw_frames(vspw.data, "val", vspw.result)[0]
    write_png(frame.result_path, np.zeros((12, 16), np.uint8))
    with pytest.raises(InputError, match=r"is \(12, 16\) high and wide, the annotation \(24, 32\)"):
        read_class_maps(frame, VSPW)
    with pytest.raises(InputError, match="size of the annotation"):
        read_object_maps(frame, one_mask=False)
    frame.result_path.write_text("nothing")
    with pytest.raises(InputError, match="not a picture"):
        read_class_maps(frame, VSPW)


OBJECTS = np.array([[[0, 1], [2, 255]]] * 3, np.uint8)
MASK = np.array([[[0, 255], [0, 255]]] * 3, np.uint8)


def test_davis_frames(tmp_path: Path):
    maps = {"bear": OBJECTS, "dog": OBJECTS}
    files = write_davis(tmp_path, maps, maps)
    frames = find_object_frames(files.data, "val", files.result)
    assert [frame.video for frame in frames] == ["bear"] * 3 + ["dog"] * 3
    assert not holds_one_mask(frames[0].target_path)
    result, target = read_object_maps(frames[0], one_mask=False)
    assert result.tolist() == target.tolist() == OBJECTS[0].tolist()
    # Paths of frames as in DAVIS 2016; and without a list all videos.
    listing = files.data / "ImageSets/2017/val.txt"
    listing.write_text("/JPEGImages/480p/dog/00000.jpg /Annotations/480p/dog/00000.png\n" * 2)
    assert {frame.video for frame in find_object_frames(files.data, None, files.result)} == {"dog"}
    with pytest.raises(InputError, match="no list of the split 'test'; the lists there are val"):
        find_object_frames(files.data, "test", files.result)
    listing.unlink()
    assert len(find_object_frames(files.data, None, files.result)) == 6


def test_palettes_are_read_as_numbers(tmp_path: Path):
    files = write_davis(tmp_path, {"bear": OBJECTS}, {"bear": OBJECTS})
    frame = find_object_frames(files.data, "val", files.result)[1]
    picture = Image.fromarray(OBJECTS[1])
    picture.putpalette(list(range(256)) * 3)
    picture.save(frame.target_path)
    _, target = read_object_maps(frame, one_mask=False)
    assert target.tolist() == OBJECTS[1].tolist()


def test_masks_of_one_object(tmp_path: Path):
    files = write_davis(tmp_path, {"bear": MASK}, {"bear": MASK})
    frames = find_object_frames(files.data, "val", files.result)
    assert holds_one_mask(frames[0].target_path)
    result, target = read_object_maps(frames[0], one_mask=True)
    assert result.tolist() == target.tolist() == [[0, 1], [0, 1]]


def test_the_unsupervised_task_has_annotations_of_its_own(tmp_path: Path):
    files = write_davis(tmp_path, {"bear": OBJECTS}, {"bear": OBJECTS})
    write_png(files.data / "Annotations_unsupervised/480p/bear/00000.png", OBJECTS[0])
    assert len(find_object_frames(files.data, "val", files.result, unsupervised=True)) == 1
    assert len(find_object_frames(files.data, "val", files.result)) == 3
    with pytest.raises(InputError, match="holds no annotations, looked for as Annotations/480p"):
        find_object_frames(files.result, "val", files.result)
