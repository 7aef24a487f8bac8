import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.coco_panoptic import (
    coco_panoptic_vocabulary,
    read_coco_panoptic,
    read_color_ids,
)
from plainmask.data.record import with_classes
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary
from shared_data import SHARED_DATA, needs_data

CATEGORIES = [
    {"id": 9, "name": "sky", "isthing": 0, "color": [1, 2, 3]},
    {"id": 1, "name": "person", "isthing": 1, "color": [4, 5, 6]},
]
# Ids beyond 8 and 16 bits, void, and one that is not listed.
IDS = np.array([[300, 300, 70000], [0, 7, 123], [7, 7, 123]])
INFOS = [
    {"id": 70000, "category_id": 1, "iscrowd": 1, "area": 1},
    {"id": 300, "category_id": 1, "iscrowd": 0},
    {"id": 7, "category_id": 9},
]


def save_ids(path: Path, ids: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([ids, ids >> 8, ids >> 16], -1).astype(np.uint8)).save(path)


def write(
    root: Path,
    infos: dict[str, list[dict]],
    json_path="annotations/panoptic_train.json",
    maps="annotations/panoptic_train",
    images="train",
) -> Path:
    (root / json_path).parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [{"id": stem, "file_name": f"{stem}.jpg"} for stem in infos],
        "annotations": [
            {"image_id": stem, "file_name": f"{stem}.png", "segments_info": rows}
            for stem, rows in infos.items()
        ],
        "categories": CATEGORIES,
    }
    (root / json_path).write_text(json.dumps(content))
    for stem in infos:
        save_ids(root / maps / f"{stem}.png", IDS)
        (root / images).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 3)).save(root / images / f"{stem}.jpg")
    return root


def change(root: Path, edit) -> None:
    path = root / "annotations/panoptic_train.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


class TestReading:
    def test_segments(self, tmp_path: Path):
        (record,) = read_coco_panoptic(write(tmp_path, {"5": INFOS}), "train")
        segments = record.annotation()
        assert segments.track_ids.tolist() == [7, 300, 70000]
        assert segments.class_ids.tolist() == [1, 0, 0]
        assert segments.crowd.tolist() == [False, False, True]
        assert segments.index_map.tolist() == [[1, 1, 2], [-1, 0, -1], [0, 0, -1]]
        assert record.classes == {0, 1}
        assert record.id == "5"

    def test_things_only(self, tmp_path: Path):
        root = write(tmp_path, {"5": INFOS})
        (record,) = with_classes(read_coco_panoptic(root, "train"), {0: 0})
        segments = record.annotation()
        assert segments.track_ids.tolist() == [300, 70000]
        assert segments.index_map.tolist() == [[0, 0, 1], [-1, -1, -1], [-1, -1, -1]]
        assert record.classes == {0}

    def test_a_segment_without_pixels_is_left_out(self, tmp_path: Path):
        more = [{"id": 55, "category_id": 9}, {"id": 999999, "category_id": 1}]
        (record,) = read_coco_panoptic(write(tmp_path, {"5": [*INFOS, *more]}), "train")
        assert record.annotation().track_ids.tolist() == [7, 300, 70000]

    def test_a_picture_without_segments(self, tmp_path: Path):
        (record,) = read_coco_panoptic(write(tmp_path, {"5": []}), "train")
        assert len(record.annotation()) == 0
        assert record.labelled

    def test_the_vocabulary_of_the_file(self, tmp_path: Path):
        vocabulary = coco_panoptic_vocabulary(write(tmp_path, {"5": INFOS}), "train")
        assert vocabulary.names == ("person", "sky")
        assert vocabulary.stuff_ids == {1}
        assert vocabulary.classes[1].color == (1, 2, 3)

    @pytest.mark.parametrize(
        ("json_path", "maps", "images"),
        [
            ("annotations/panoptic_train2017.json", "annotations/panoptic_train2017", "train2017"),
            ("annotations/panoptic_train2017.json", "panoptic_train2017", "images/train2017"),
            ("panoptic_train.json", "panoptic_train", "train"),
        ],
    )
    def test_known_places(self, tmp_path: Path, json_path: str, maps: str, images: str):
        root = write(tmp_path, {"5": INFOS}, json_path, maps, images)
        (record,) = pickle.loads(pickle.dumps(read_coco_panoptic(root, "train")))
        assert len(record.annotation()) == 3
        assert record.image().shape == (3, 3, 3)


class TestDefects:
    def test_all_come_in_one_error(self, tmp_path: Path):
        root = write(tmp_path, {"5": [*INFOS, INFOS[2]], "6": INFOS, "7": INFOS})

        def edit(content: dict) -> None:
            content["images"] += [{"id": 5, "file_name": "8.jpg"}, {"id": 9, "file_name": "6.png"}]
            content["annotations"][1]["image_id"] = 77
            content["annotations"][2]["segments_info"] = [{"id": 0, "category_id": 4}]

        change(root, edit)
        (root / "train/7.jpg").unlink()
        (root / "annotations/panoptic_train/6.png").write_bytes(b"")
        with pytest.raises(InputError) as refusal:
            read_coco_panoptic(root, "train")
        assert [line.strip() for line in str(refusal.value).splitlines()[1:]] == [
            "image id 5 occurs 2 times",
            f"there is no file {root / 'train/7.jpg'}",
            f"there is no file {root / 'train/8.jpg'}",
            f"there is no file {root / 'train/6.png'}",
            "annotation 6.png is of image 77, which is unknown",
            "5.png: segment id 7 occurs 2 times",
            "7.png: segment id 0 is no id, which are 1..16777215",
            "category 4 '' of 1 annotations is no class of the vocabulary 'panoptic_train'",
            f"the file is empty: {root / 'annotations/panoptic_train/6.png'}",
        ]

    def test_classes_that_a_vocabulary_lacks(self, tmp_path: Path):
        root = write(tmp_path, {"5": INFOS})
        other = Vocabulary.load({"name": "mine", "classes": [{"id": 0, "name": "person"}]})
        with pytest.raises(
            InputError, match=r"category 9 'sky' of 1 annotations is no class .*mine"
        ):
            read_coco_panoptic(root, "train", other)

    def test_another_size(self, tmp_path: Path):
        root = write(tmp_path, {"5": INFOS})
        Image.new("RGB", (6, 6)).save(root / "train/5.jpg")
        (record,) = read_coco_panoptic(root, "train")
        with pytest.raises(InputError, match=r"5\.png is \(3, 3\).*\(6, 6\); use the pictures"):
            record.annotation()

    def test_swapped_colours_are_noticed(self, tmp_path: Path):
        root = write(tmp_path, {"5": INFOS})
        png = root / "annotations/panoptic_train/5.png"
        Image.fromarray(np.array(Image.open(png))[..., ::-1]).save(png)
        (record,) = read_coco_panoptic(root, "train")
        with pytest.raises(InputError, match=r"none of the 3 segment ids .* such as 7"):
            record.annotation()

    def test_a_jpeg_holds_no_ids(self, tmp_path: Path):
        Image.new("RGB", (3, 3)).save(tmp_path / "a.jpg")
        with pytest.raises(InputError, match=r"a\.jpg: segment ids are kept in PNG"):
            read_color_ids(tmp_path / "a.jpg")

    def test_nothing_there(self, tmp_path: Path):
        with pytest.raises(InputError, match="name a split"):
            read_coco_panoptic(tmp_path, None)
        with pytest.raises(InputError, match="lists no annotations"):
            read_coco_panoptic(write(tmp_path, {}), "train")


@needs_data("coco_panoptic")
@pytest.mark.parametrize(
    ("split", "images", "things", "crowds", "stuff", "void"),
    [("train", 88, 716, 6, 334, 0.097), ("val", 50, 357, 4, 173, 0.105)],
)
def test_coco_panoptic(split, images, things, crowds, stuff, void):
    records = read_coco_panoptic(
        SHARED_DATA / "coco_panoptic", split, Vocabulary.load("coco_panoptic")
    )
    annotations = [record.annotation() for record in records]
    stuff_ids = list(Vocabulary.load("coco_panoptic").stuff_ids)
    is_stuff = np.concatenate([np.isin(a.class_ids, stuff_ids) for a in annotations])
    assert len(records) == images
    assert ((~is_stuff).sum(), is_stuff.sum()) == (things, stuff)
    assert sum(a.crowd.sum() for a in annotations) == crowds
    maps = np.concatenate([a.index_map.ravel() for a in annotations])
    assert (maps == -1).mean() == pytest.approx(void, abs=5e-4)
    for record, annotation in zip(records, annotations, strict=True):
        assert record.classes == set(annotation.class_ids[~annotation.crowd].tolist())
