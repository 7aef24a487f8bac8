import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.record import group_videos
from plainmask.data.vipseg import read_vipseg
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

VOCABULARY = Vocabulary.load("vipseg")
CATEGORIES = [
    {"id": entry.file_id, "name": entry.name, "isthing": int(entry.thing)}
    for entry in VOCABULARY.classes
]
DOOR, WALL = (
    next(entry.file_id for entry in VOCABULARY.classes if entry.name == name)
    for name in ("door", "wall")
)
IDS = np.array([[70001, 70001, 8], [8, 8, 0]])
INFOS = [{"id": 8, "category_id": WALL, "iscrowd": 0}, {"id": 70001, "category_id": DOOR}]


def write(root: Path, infos: dict[str, list[list[dict]]], masks: bool = True) -> Path:
    """Videos with the segments that are listed for each of their frames."""
    videos, annotations = [], []
    for name, frames in infos.items():
        stems = [f"{5 * place:08}" for place in range(len(frames))]
        images = [{"id": stem, "file_name": f"{stem}.png"} for stem in stems]
        rows = [
            {"image_id": stem, "file_name": f"{stem}.png", "segments_info": listed}
            for stem, listed in zip(stems, frames, strict=True)
        ]
        videos.append({"video_id": name, "images": images})
        annotations.append({"video_id": name, "annotations": rows})
        for kind in ("images", "panomasksRGB"):
            (root / kind / name).mkdir(parents=True, exist_ok=True)
        for stem in stems:
            Image.new("RGB", (3, 2)).save(root / "images" / name / f"{stem}.jpg")
            if masks:
                colors = np.stack([IDS, IDS >> 8, IDS >> 16], -1).astype(np.uint8)
                Image.fromarray(colors).save(root / "panomasksRGB" / name / f"{stem}.png")
    content = {"videos": videos, "annotations": annotations, "categories": CATEGORIES}
    (root / "panoptic_gt_VIPSeg_train.json").write_text(json.dumps(content))
    return root


def test_segments(tmp_path: Path):
    root = write(tmp_path, {"b": [INFOS, INFOS], "a": [INFOS]})
    records = pickle.loads(pickle.dumps(read_vipseg(root, "train")))
    assert [(video.id, len(video)) for video in group_videos(records)] == [("b", 2), ("a", 1)]
    assert records[1].id == "b/00000005"
    segments = records[1].annotation()
    assert segments.track_ids.tolist() == [8, 70001]
    assert [VOCABULARY.names[i] for i in segments.class_ids] == ["wall", "door"]
    assert segments.index_map.tolist() == [[1, 1, 0], [0, 0, -1]]
    assert records[1].image().shape == (2, 3, 3)
    assert records[1].classes == set(segments.class_ids.tolist())


def test_the_test_split_is_unlabelled(tmp_path: Path):
    records = read_vipseg(write(tmp_path, {"a": [[], []]}, masks=False), "train")
    assert [record.labelled for record in records] == [False, False]


def test_a_frame_that_is_all_void_is_labelled(tmp_path: Path):
    (record,) = read_vipseg(write(tmp_path, {"a": [[]]}), "train")
    assert len(record.annotation()) == 0


def test_problems_come_in_one_error(tmp_path: Path):
    changed = [{"id": 8, "category_id": DOOR}, {"id": 3, "category_id": 500}]
    root = write(tmp_path, {"a": [INFOS, changed], "b": [], "c": [[*INFOS, INFOS[0]]]})
    (root / "images/a/00000000.jpg").unlink()
    (root / "panomasksRGB/a/00000005.png").unlink()
    with pytest.raises(InputError) as refusal:
        read_vipseg(root, "train")
    assert [line.strip() for line in str(refusal.value).splitlines()[1:]] == [
        "video a: the id 8 is wall in frame 00000000 and door in frame 00000005; an id stands for "
        "one object",
        "video b has no frames",
        f"there is no file {root / 'images/a/00000000.jpg'}",
        f"there is no file {root / 'panomasksRGB/a/00000005.png'}",
        "c/00000000.png: segment id 8 occurs 2 times",
        "category 500 '' of 1 annotations is no class of the vocabulary 'vipseg'",
    ]


def test_videos_may_be_called_by_numbers(tmp_path: Path):
    root = write(tmp_path, {"7": [INFOS]})
    path = root / "panoptic_gt_VIPSeg_train.json"
    content = json.loads(path.read_text())
    for row in (*content["videos"], *content["annotations"]):
        row["video_id"] = int(row["video_id"])
    path.write_text(json.dumps(content))
    (record,) = read_vipseg(root, "train")
    assert record.id == "7/00000000"
    path.write_text(json.dumps(content | {"videos": []}))
    with pytest.raises(InputError, match="it lists no videos"):
        read_vipseg(root, "train")


def test_a_split_that_is_not_there(tmp_path: Path):
    write(tmp_path, {"a": [INFOS]})
    with pytest.raises(InputError, match=r"there are panoptic_gt_VIPSeg_train\.json"):
        read_vipseg(tmp_path, "val")
    with pytest.raises(InputError, match="name a split"):
        read_vipseg(tmp_path, None)
