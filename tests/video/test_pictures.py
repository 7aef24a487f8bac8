"""One PNG a frame, and that the evaluation of official formats reads what is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plainmask.errors import InputError
from plainmask.pictures.images import read_label
from plainmask.results import SemanticResult
from plainmask.video.pictures import LabelPictures, VipsegPictures, VspwPictures
from video_results import made, vocabulary


def test_label_pictures(tmp_path: Path):
    sink = LabelPictures(tmp_path / "a.labels")
    for frame, result in made("semantic", 3):
        sink.write(frame, result)
    assert sink.close() == [tmp_path / "a.labels"]
    labels = read_label(tmp_path / "a.labels" / "00002.png")
    assert np.array_equal(labels, made("semantic", 3)[2][1].label_map)
    assert LabelPictures(tmp_path / "none").close() == []


def test_label_pictures_of_instances_hold_tracks(tmp_path: Path):
    sink = LabelPictures(tmp_path)
    for frame, result in made("instance", 2):
        sink.write(frame, result)
    colors = np.asarray(Image.open(tmp_path / "00000.png"))
    assert colors[..., 0].max() == 7 + 1
    assert set(np.unique(colors[..., 0])) == {0, 5, 8}


def test_vspw_values_are_numbers_less_one(tmp_path: Path):
    sink = VspwPictures(tmp_path, "clip")
    for frame, result in made("semantic", 2):
        sink.write(frame, result)
    sink.close()
    picture = Image.open(tmp_path / "clip" / "00001.png")
    assert picture.mode == "L"
    assert set(np.unique(np.asarray(picture))) == {11, 12}
    void = SemanticResult(np.full((4, 4), -1, np.int16), vocabulary())
    sink.write(made("semantic", 1)[0][0], void)
    assert np.asarray(Image.open(tmp_path / "clip" / "00000.png")).max() == 255


def test_vipseg_pictures_and_list_agree(tmp_path: Path):
    for video in ("first", "second", "first"):  # the second time in place of the first
        sink = VipsegPictures(tmp_path, video)
        for frame, result in made("panoptic", 3):
            sink.write(frame, result)
        paths = sink.close()
    assert paths == [tmp_path / "pred.json", tmp_path / "pan_pred" / "first"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pan_pred", "pred.json"]
    content = json.loads((tmp_path / "pred.json").read_text())
    assert [entry["video_id"] for entry in content["annotations"]] == ["second", "first"]
    frames = content["annotations"][1]["annotations"]
    assert [frame["file_name"] for frame in frames] == ["00000.jpg", "00001.jpg", "00002.jpg"]
    for frame in frames:
        name = Path(frame["file_name"]).with_suffix(".png").name
        colors = np.asarray(Image.open(tmp_path / "pan_pred" / "first" / name)).astype(int)
        ids = colors @ [1, 256, 65536]
        found = {info["id"]: info for info in frame["segments_info"]}
        assert set(found) == set(np.unique(ids)) - {0}
        for key, info in found.items():
            assert info["area"] == (ids == key).sum()
            assert info["category_id"] == (13 if key == 1 else 11)
            assert info["iscrowd"] == 0
    assert frames[2]["segments_info"][1]["bbox"] == [4, 0, 7, 9]  # one pixel short, as published


def test_vipseg_results_of_others_stay(tmp_path: Path):
    theirs = '{"annotations": [{"video_id": "a", "annotations": []}]}'
    (tmp_path / "pred.json").write_text(theirs)
    with pytest.raises(InputError, match=r"pred\.json is there already and is no result of plainm"):
        VipsegPictures(tmp_path, "b")
    assert (tmp_path / "pred.json").read_text() == theirs


def test_vipseg_does_not_overwrite_what_it_does_not_know(tmp_path: Path):
    (tmp_path / "pred.json").write_text('{"boxes": []}')
    with pytest.raises(InputError, match=r"pred.json is there, and no list of panoptic results"):
        VipsegPictures(tmp_path, "clip")
    assert [path.name for path in tmp_path.iterdir()] == ["pred.json"]


def test_vipseg_without_a_frame(tmp_path: Path):
    assert VipsegPictures(tmp_path / "new", "clip").close() == []
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("make", [LabelPictures, VspwPictures])
def test_pictures_of_a_person_are_never_replaced(tmp_path: Path, make: Any):
    sink = make(tmp_path) if make is LabelPictures else make(tmp_path.parent, tmp_path.name)
    own = tmp_path / "00001.png"
    Image.new("L", (64, 48), 7).save(own)
    before = own.read_bytes()
    (first, second) = made("semantic", 2)
    sink.write(*first)
    with pytest.raises(InputError, match=r"00001.png is there already and is no result of"):
        sink.write(*second)
    assert own.read_bytes() == before
