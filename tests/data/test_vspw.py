import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.record import group_videos
from plainmask.data.vspw import read_vspw
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

VOCABULARY = Vocabulary.load("vspw")


def write(root: Path, name: str, frames: list[str], masks: list[str], values=None) -> None:
    values = np.array([[1, 124, 0], [255, 252, 1]] if values is None else values, np.uint8)
    for kind in ("origin", "mask"):
        (root / "data" / name / kind).mkdir(parents=True)
    for stem in frames:
        Image.new("RGB", values.shape[::-1]).save(root / "data" / name / "origin" / f"{stem}.jpg")
    for stem in masks:
        Image.fromarray(values).save(root / "data" / name / "mask" / f"{stem}.png")


def test_classes_are_objects_and_other_values_void(tmp_path: Path):
    write(tmp_path, "a", ["2", "10"], ["2", "10"])
    write(tmp_path, "b", ["1"], ["1"])
    (tmp_path / "train.txt").write_text("b\na")  # without a final newline
    records = pickle.loads(pickle.dumps(read_vspw(tmp_path, "train")))
    assert [record.id for record in records] == ["b/1", "a/2", "a/10"]
    assert [(video.id, len(video)) for video in group_videos(records)] == [("b", 1), ("a", 2)]
    segments = records[2].annotation()
    assert {VOCABULARY.classes[i].file_id for i in segments.class_ids} == {1, 124}
    assert segments.track_ids.tolist() == segments.class_ids.tolist()
    labels = np.append(segments.class_ids, -1)[segments.index_map]
    of = VOCABULARY.by_file_id
    assert labels.tolist() == [[of[1], of[124], -1], [-1, -1, of[1]]]


def test_without_masks(tmp_path: Path):
    write(tmp_path, "a", ["1"], [])
    (tmp_path / "test.txt").write_text("a\n")
    (record,) = read_vspw(tmp_path, "test")
    assert not record.labelled


def test_problems_come_in_one_error(tmp_path: Path):
    write(tmp_path, "a", ["1", "2"], ["2", "3"])
    (tmp_path / "train.txt").write_text("a\nb\n")
    (tmp_path / "data/a/origin/1.jpg").write_bytes(b"")
    with pytest.raises(InputError) as refusal:
        read_vspw(tmp_path, "train")
    assert [line.strip() for line in str(refusal.value).splitlines()[1:]] == [
        "there is a mask without a frame: a/3",
        f"the file is empty: {tmp_path / 'data/a/origin/1.jpg'}",
        "video b has no frames",
    ]


def test_what_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"no split file, looked for as val\.txt"):
        read_vspw(tmp_path, "val")
    (tmp_path / "val.txt").write_text("\n")
    with pytest.raises(InputError, match="there is no video"):
        read_vspw(tmp_path, "val")
    with pytest.raises(InputError, match="name a split"):
        read_vspw(tmp_path, None)


def test_colour_masks_are_refused_when_read(tmp_path: Path):
    write(tmp_path, "a", ["1"], ["1"])
    (tmp_path / "val.txt").write_text("a")
    Image.new("RGB", (3, 2)).save(tmp_path / "data/a/mask/1.png")
    with pytest.raises(InputError, match=r"1\.png has mode RGB"):
        read_vspw(tmp_path, "val")[0].annotation()
