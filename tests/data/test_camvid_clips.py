import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.camvid_clips import read_camvid_clips
from plainmask.data.record import group_videos
from plainmask.errors import InputError
from shared_data import SHARED_DATA, needs_data

TABLE = {"ignore_value": 255, "classes": [{"id": 0, "name": "sky"}, {"id": 1, "name": "road"}]}


def write(root: Path, clips: list[dict], names: str) -> Path:
    (root / "camvid.json").write_text(json.dumps({"source_fps": 30, "splits": {"train": clips}}))
    (root / "classes.json").write_text(json.dumps(TABLE))
    for kind, suffix in (("images", "jpg"), ("labels", "png")):
        (root / kind / "train").mkdir(parents=True)
        for number, name in enumerate(names):
            values = np.full((4, 6), 255 if number % 2 else 1, np.uint8)
            Image.fromarray(values).save(root / kind / "train" / f"{name}.{suffix}")
    return root


def test_frames_are_in_the_order_of_the_clips(tmp_path: Path):
    clips = [{"id": "x", "frames": ["d", "a"]}, {"id": "y", "frames": ["c", "b"], "dense": True}]
    records = read_camvid_clips(write(tmp_path, clips, "abcd"), "train")
    assert [(r.id, r.sequence, r.frame) for r in records] == [
        ("d", "x", 0),
        ("a", "x", 1),
        ("c", "y", 0),
        ("b", "y", 1),
    ]
    segments = pickle.loads(pickle.dumps(records[1])).annotation()
    assert segments.class_ids.tolist() == segments.track_ids.tolist() == [1]
    assert len(records[0].annotation()) == 0


def test_problems_come_in_one_error(tmp_path: Path):
    clips = [{"id": "x", "frames": ["a", "e"]}, {"id": "x", "frames": ["a", "b"]}]
    with pytest.raises(InputError) as refusal:
        read_camvid_clips(write(tmp_path, clips, "abcd"), "train")
    assert [line.strip() for line in str(refusal.value).splitlines()[1:]] == [
        "frame a occurs 2 times",
        "frame e has no files",
        "frame c is in no clip",
        "frame d is in no clip",
        "clip x occurs 2 times",
    ]


@pytest.mark.parametrize("split", [None, "val"])
def test_a_split_that_is_not_there(tmp_path: Path, split):
    with pytest.raises(InputError, match="the splits there are train"):
        read_camvid_clips(write(tmp_path, [{"id": "x", "frames": ["a"]}], "a"), split)


@needs_data("camvid")
@pytest.mark.parametrize(
    ("split", "lengths"), [("train", [62, 101, 68, 120, 16]), ("val", [101]), ("test", [62, 171])]
)
def test_camvid(split: str, lengths: list[int]):
    videos = group_videos(read_camvid_clips(SHARED_DATA / "camvid", split))
    assert [len(video) for video in videos] == lengths
    segments = videos[0].frames[0].annotation()
    assert segments.size == (360, 480)
    assert segments.track_ids.tolist() == segments.class_ids.tolist()
    if split == "val":
        assert videos[0].id == "dense"
        assert videos[0].frames[-1].id == "0016E5_08159"
