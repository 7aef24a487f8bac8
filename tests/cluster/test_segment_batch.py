"""Rows of a batch: those that the heads give alone, in order, whatever a picture is like."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import plainmask
from plainmask.cluster.segment_batch import SegmentBatch
from plainmask.errors import HeadError
from plainmask.pictures.images import read_image
from rows import photographs, tiny_heads
from tiny import save_with_encoder, tiny_encoder, tiny_video_head
from videos import pictures, write_video

IMAGE_COLUMNS = ["id", "path", "head", "class", "score", "box", "rle", "error"]


def batch_of(folder: Path, **more: Any) -> dict[str, Any]:
    paths = sorted(map(str, folder.iterdir()))
    return {"id": [str(place) for place in range(len(paths))], "path": paths, **more}


def test_rows_are_what_each_head_says_of_each_picture(tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 5), tiny_heads(tmp_path)
    segment = SegmentBatch(heads, device="cpu")
    rows = segment(batch_of(folder))
    assert list(rows) == IMAGE_COLUMNS
    assert rows["head"] == ["first", "tiny-instance"] * 5
    place = 0
    for number, path in enumerate(sorted(folder.iterdir())):
        for name, result in segment.segmenter(path).items():
            kept = result.keep()
            assert rows["id"][place] == f"{number}-{segment.fingerprints[name]}"
            assert rows["path"][place] == str(path)
            assert rows["class"][place] == [one.label for one in kept.segments]
            assert rows["box"][place] == [list(one.box) for one in kept.segments]
            assert rows["rle"][place] == [kept.rle_of(one).to_coco() for one in kept.segments]
            assert rows["error"][place] is None
            place += 1
    assert place == len(rows["id"])
    assert any(rows["class"])


def test_only_the_heads_that_are_asked_for_are_asked(tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 3), tiny_heads(tmp_path)
    segment = SegmentBatch(heads, device="cpu")
    wanted = [["first"], ["first", "tiny-instance"], ["tiny-instance"]]
    rows, all_rows = segment(batch_of(folder, heads=wanted)), segment(batch_of(folder))
    assert rows["head"] == ["first", "first", "tiny-instance", "tiny-instance"]
    assert rows["id"] == [all_rows["id"][place] for place in (0, 2, 3, 5)]
    assert rows["rle"] == [all_rows["rle"][place] for place in (0, 2, 3, 5)]


def test_each_picture_has_one_pass_whatever_the_number_of_heads(tmp_path: Path):
    folder = photographs(tmp_path / "in", 9)
    segment = SegmentBatch(tiny_heads(tmp_path), device="cpu")
    seen: list[int] = []
    segment.segmenter.encoder.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    segment(batch_of(folder))
    assert sum(seen) == 9
    assert len(seen) <= 4  # 3 of one size, 6 of the other, in chunks of 8


@pytest.mark.parametrize("broken", ["no picture", "vanished", "folder"])
def test_a_bad_picture_is_a_row_with_an_error(broken: str, tmp_path: Path):
    folder = photographs(tmp_path / "in", 4, broken=[2] if broken == "no picture" else [])
    batch = batch_of(folder)
    said = {"no picture": "not a picture", "vanished": "no such file", "folder": "a folder"}[broken]
    if broken != "no picture":
        (folder / "002.png").unlink()
    if broken == "folder":
        (folder / "002.png").mkdir()
    rows = SegmentBatch(tiny_heads(tmp_path), device="cpu")(batch)
    assert [place for place, error in enumerate(rows["error"]) if error] == [4, 5]
    assert said in rows["error"][4]
    assert str(folder / "002.png") in rows["error"][4]
    assert rows["class"][4] == rows["rle"][5] == []
    assert rows["path"][6] == str(folder / "003.png")


def test_a_batch_that_memory_does_not_hold_is_halved(tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 9), tiny_heads(tmp_path)
    expected = SegmentBatch(heads, device="cpu")(batch_of(folder))
    segment = SegmentBatch(heads, device="cpu")

    def too_much(_: Any, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > 2:
            torch.empty(2**50, dtype=torch.uint8)

    segment.segmenter.encoder.register_forward_pre_hook(too_much)
    with pytest.warns(UserWarning, match="at a time"):
        found = segment(batch_of(folder))
    # Sums over batches of other sizes differ in their last bits.
    for one, other in zip(found.pop("score"), expected.pop("score"), strict=True):
        assert one == pytest.approx(other, rel=1e-6)
    assert found == expected


def test_a_picture_that_memory_does_not_hold_alone_is_a_row_with_an_error(tmp_path: Path):
    folder = photographs(tmp_path / "in", 2)
    segment = SegmentBatch(tiny_heads(tmp_path), device="cpu")
    segment.segmenter.encoder.register_forward_pre_hook(
        lambda *_: torch.empty(2**50, dtype=torch.uint8)
    )
    assert ["memory does not hold" in error for error in segment(batch_of(folder))["error"]] == [
        True
    ] * 4


def test_it_travels_without_what_it_has_loaded(tmp_path: Path):
    folder = photographs(tmp_path / "in", 2)
    segment = SegmentBatch(tiny_heads(tmp_path), device="cpu")
    rows = segment(batch_of(folder))
    packed = pickle.dumps(segment)
    assert len(packed) < 2000
    assert pickle.loads(packed)(batch_of(folder)) == rows


def test_tables_of_pandas_are_batches(tmp_path: Path):
    pandas = pytest.importorskip("pandas")
    batch = batch_of(photographs(tmp_path / "in", 2))
    segment = SegmentBatch(tiny_heads(tmp_path), device="cpu")
    assert segment(pandas.DataFrame(batch)) == segment(batch)
    assert segment({name: np.array(values) for name, values in batch.items()}) == segment(batch)


def test_other_heads_than_those_that_were_planned_with_are_refused(tmp_path: Path):
    heads = tiny_heads(tmp_path)
    marks = SegmentBatch(heads, device="cpu").fingerprints
    assert SegmentBatch(heads, device="cpu", fingerprints=marks).fingerprints == marks
    other = SegmentBatch(heads, device="cpu", fingerprints=marks | {"first": "0" * 16})
    with pytest.raises(HeadError, match="the head 'first' is another one here than where the work"):
        other({"id": [], "path": []})


def test_a_fingerprint_is_that_of_weights_and_rules(tmp_path: Path):
    heads = tiny_heads(tmp_path)
    before = SegmentBatch(heads, device="cpu").fingerprints
    config = json.loads((tmp_path / "second/config.json").read_text())
    config["provenance"]["weaknesses"] = "none"
    (tmp_path / "second/config.json").write_text(json.dumps(config))
    assert SegmentBatch(heads, device="cpu").fingerprints == before
    config["thresholds"]["score"] = 0.1
    (tmp_path / "second/config.json").write_text(json.dumps(config))
    after = SegmentBatch(heads, device="cpu").fingerprints
    assert after["first"] == before["first"]
    assert after["tiny-instance"] != before["tiny-instance"]


def test_a_video_is_a_row_with_its_tracks(tmp_path: Path):
    encoder = tiny_encoder()
    head = save_with_encoder(tiny_video_head("instance", encoder), encoder, tmp_path / "head")
    video = write_video(tmp_path / "a.mp4", pictures(6))
    segment = SegmentBatch([head], device="cpu", videos=True)
    rows = segment({"id": ["a"], "path": [video]})
    assert list(rows) == [*IMAGE_COLUMNS, "frame", "track"]
    expected = [
        (frame, track, one.label, result.rle_of(one).to_coco())
        for frame, whole in enumerate(plainmask.load(head, device="cpu").track(video))
        for result in [whole.keep()]
        for one, track in zip(result.segments, result.track_ids, strict=True)
    ]
    found = [rows[name][0] for name in ("frame", "track", "class", "rle")]
    assert list(zip(*found, strict=True)) == expected
    assert {frame for frame, *_ in expected} == set(range(6))
    assert rows["error"] == [None]


def test_videos_do_not_touch_each_other(tmp_path: Path):
    encoder = tiny_encoder()
    head = save_with_encoder(tiny_video_head("instance", encoder), encoder, tmp_path / "head")
    paths = [write_video(tmp_path / f"{n}.mp4", pictures(4, seed=n)) for n in range(2)]
    segment = SegmentBatch([head], device="cpu", videos=True)
    both = segment({"id": ["a", "b"], "path": paths})
    alone = segment({"id": ["b"], "path": paths[1:]})
    assert {name: values[1:] for name, values in both.items()} == alone


def test_a_video_that_cannot_be_used_is_a_row_with_an_error(tmp_path: Path):
    encoder = tiny_encoder()
    head = save_with_encoder(tiny_video_head("instance", encoder), encoder, tmp_path / "head")
    whole = write_video(tmp_path / "a.mp4", pictures(3))
    segment = SegmentBatch([head], device="cpu", videos=True)
    rows = segment({"id": ["a", "b"], "path": ["nowhere.mp4", whole]})
    assert "nowhere.mp4: there is no such file" in rows["error"][0]
    assert rows["error"][1] is None
    assert rows["frame"][0] == []
    assert rows["frame"][1]


def test_a_file_at_an_address_is_read(tmp_path: Path):
    folder = photographs(tmp_path / "in", 1)
    segment = SegmentBatch(tiny_heads(tmp_path), device="cpu")
    near = segment({"id": ["a"], "path": [f"{folder}/000.png"]})
    far = segment({"id": ["a"], "path": [f"file://{folder}/000.png"]})
    assert far["rle"] == near["rle"]
    assert read_image(folder / "000.png").shape == (70, 50, 3)
    gone = segment({"id": ["a"], "path": [f"file://{folder}/9.png"]})
    assert gone["error"][0] == f"file://{folder}/9.png: there is no such file; check the path"
