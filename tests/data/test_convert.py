import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import WRITERS, picture, text
from plainmask.data.convert import check_target, convert_dataset
from plainmask.data.guess import guess_format
from plainmask.data.reader import DataFormat, dataset_vocabulary, read_dataset
from plainmask.errors import InputError
from plainmask.results.rle import Rle

CATEGORIES = [
    {"id": 3, "name": "cat", "isthing": 1, "color": [9, 8, 7]},
    {"id": 7, "name": "dog", "isthing": 1, "color": [1, 2, 3]},
]


def ring() -> np.ndarray:
    """An object of two parts, one with a hole."""
    mask = np.zeros((20, 30), bool)
    mask[2:15, 3:20] = True
    mask[5:9, 6:12] = False
    mask[17:19, 25:30] = True
    return mask


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def instances(root: Path, *objects: tuple[np.ndarray, int, bool]) -> Path:
    picture(root / "train/a.jpg", np.zeros((20, 30, 3)))
    rows = [
        {
            "id": number,
            "image_id": 42,
            "category_id": category,
            "iscrowd": int(crowd),
            "segmentation": Rle.encode(mask).to_coco(),
        }
        for number, (mask, category, crowd) in enumerate(objects)
    ]
    content = {"images": [{"id": 42, "file_name": "a.jpg"}], "annotations": rows}
    text(root / "annotations/instances_train.json", content | {"categories": CATEGORIES})
    return root


def objects_of(format: DataFormat, root: Path) -> list[tuple[str, bool, bytes]]:
    """Names, crowds and masks of all objects, in any order."""
    (record,) = read_dataset(format, root, "train")
    names = dataset_vocabulary(format, root, "train").names
    segments = record.annotation()
    return sorted(
        (names[class_id], crowd, mask.tobytes())
        for class_id, crowd, mask in zip(
            segments.class_ids, segments.crowd.tolist(), segments.masks(), strict=True
        )
    )


def test_objects_there_and_back(tmp_path: Path):
    """Overlaps, parts and holes survive in COCO's and YOLO's form."""
    source = instances(
        tmp_path / "a", (ring(), 7, False), (square(0, 0, 9), 3, False), (square(6, 7, 2), 3, False)
    )
    before = objects_of("coco_instances", source)
    for number, target in enumerate(("coco_instances", "yolo", "coco_instances")):
        out = tmp_path / f"out{number}"
        found = convert_dataset(source, target, out)
        assert (found.lost, found.images) == ({}, {"train": 1})
        assert guess_format(out) == target
        assert objects_of(target, out) == before
        source = out
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_yolo_cannot_hold(tmp_path: Path):
    source = instances(tmp_path / "a", (ring(), 7, False), (square(0, 0, 9), 3, True))
    found = convert_dataset(source, "yolo", tmp_path / "b")
    assert found.lost == {"crowds, whole": 1}
    assert len(objects_of("yolo", tmp_path / "b")) == 1


class TestLabelFolder:
    def test_there_and_back(self, tmp_path: Path):
        label = np.array([[10, 20, 30], [255, 10, 20]], np.uint8)
        picture(tmp_path / "a/images/val/x.png", np.zeros((2, 3, 3)))
        picture(tmp_path / "a/labels/val/x.png", label)
        classes = [{"id": i, "name": f"c{i}", "file_id": 10 * i + 10} for i in range(3)]
        text(tmp_path / "a/classes.json", {"classes": classes, "ignore_value": 255})
        (before,) = read_dataset("label_folder", tmp_path / "a", "val")
        convert_dataset(tmp_path / "a", "label_folder", tmp_path / "b")
        (after,) = read_dataset("label_folder", tmp_path / "b", "val")
        np.testing.assert_array_equal(after.annotation().layers, before.annotation().layers)
        np.testing.assert_array_equal(after.annotation().class_ids, before.annotation().class_ids)
        found = convert_dataset(tmp_path / "a", "coco_panoptic", tmp_path / "c")
        (after,) = read_dataset("coco_panoptic", tmp_path / "c", "val")
        np.testing.assert_array_equal(after.annotation().layers, before.annotation().layers)
        assert found.notes == []

    def test_objects_become_classes_and_background(self, tmp_path: Path):
        small, large = square(4, 4, 3), square(0, 0, 9)
        source = instances(tmp_path / "a", (small, 3, False), (large, 7, False), (large, 7, True))
        found = convert_dataset(source, "label_folder", tmp_path / "b")
        (record,) = read_dataset("label_folder", tmp_path / "b", "train")
        names = dataset_vocabulary("label_folder", tmp_path / "b", "train").names
        assert names == ("background", "cat", "dog")
        segments = record.annotation()
        np.testing.assert_array_equal(segments.masks()[1], small)  # the smaller lies on top
        np.testing.assert_array_equal(segments.masks()[2], large & ~small)
        assert found.notes == [
            "what belongs to no object has become a class of its own, background"
        ]
        assert found.lost == {
            "pixels of objects that others cover (the smaller lies on top)": 81 + 9,
            "objects that others cover wholly": 1,
            "objects that are one with others of their class": 1,
            "marks of crowds": 1,
        }

    def test_more_classes_than_eight_bits(self, tmp_path: Path):
        picture(tmp_path / "a/images/x.png", np.zeros((1, 2, 3)))
        (tmp_path / "a/labels").mkdir()
        Image.fromarray(np.array([[299, 0]], np.uint16)).save(tmp_path / "a/labels/x.png")
        classes = [{"id": i, "name": f"c{i}"} for i in range(300)]
        text(tmp_path / "a/classes.json", {"classes": classes})
        convert_dataset(tmp_path / "a", "label_folder", tmp_path / "b")
        (record,) = read_dataset("label_folder", tmp_path / "b", None)
        assert record.annotation().class_ids.tolist() == [0, 299]


class TestPanoptic:
    IDS = np.array([[300, 300, 7], [0, 8, 7]])

    def write(self, root: Path) -> Path:
        picture(root / "train/a.jpg", np.zeros((2, 3, 3)))
        ids = np.stack([self.IDS, self.IDS >> 8, self.IDS * 0], -1)
        picture(root / "annotations/panoptic_train/a.png", ids)
        rows = [
            {"id": 300, "category_id": 3},
            {"id": 7, "category_id": 5},
            {"id": 8, "category_id": 3, "iscrowd": 1},
        ]
        content = {
            "images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": rows}],
            "categories": [CATEGORIES[0], {"id": 5, "name": "sky", "isthing": 0}],
        }
        text(root / "annotations/panoptic_train.json", content)
        return root

    def test_there_and_back(self, tmp_path: Path):
        source = self.write(tmp_path / "a")
        found = convert_dataset(source, "coco_panoptic", tmp_path / "b")
        assert found.lost == {}
        assert objects_of("coco_panoptic", tmp_path / "b") == objects_of("coco_panoptic", source)

    def test_things_alone_go_into_instances(self, tmp_path: Path):
        found = convert_dataset(self.write(tmp_path / "a"), "coco_instances", tmp_path / "b")
        assert found.lost == {"segments of stuff": 1}
        assert [row[:2] for row in objects_of("coco_instances", tmp_path / "b")] == [
            ("cat", False),
            ("cat", True),
        ]
        content = json.loads((tmp_path / "b/annotations/instances_train.json").read_text())
        assert [row["area"] for row in content["annotations"]] == [1, 2]
        assert content["annotations"][1]["bbox"] == [0, 0, 2, 1]

    def test_objects_leave_void(self, tmp_path: Path):
        source = instances(tmp_path / "a", (ring(), 7, False))
        found = convert_dataset(source, "coco_panoptic", tmp_path / "b")
        assert found.notes == ["what belongs to no object has become void"]
        assert objects_of("coco_panoptic", tmp_path / "b") == objects_of("coco_instances", source)


class TestPictures:
    def test_are_copied_as_they_are_unless_turned(self, tmp_path: Path):
        source = instances(tmp_path / "a")
        convert_dataset(source, "yolo", tmp_path / "b")
        copy = tmp_path / "b/images/train/a.jpg"
        assert copy.read_bytes() == (source / "train/a.jpg").read_bytes()
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (20, 30)).save(source / "train/a.jpg", exif=exif)
        convert_dataset(source, "yolo", tmp_path / "c")
        with Image.open(tmp_path / "c/images/train/a.png") as image:
            assert image.size == (30, 20)

    def test_the_numbers_of_pictures_stay(self, tmp_path: Path):
        convert_dataset(instances(tmp_path / "a"), "coco_instances", tmp_path / "b")
        (record,) = read_dataset("coco_instances", tmp_path / "b", "train")
        assert record.image_id == 42


class TestRefusals:
    def test_classes_are_no_objects(self, tmp_path: Path):
        WRITERS["label_folder"](tmp_path / "a")
        for target in ("coco_instances", "yolo"):
            with pytest.raises(InputError, match="of which class a pixel is, not of which object"):
                convert_dataset(tmp_path / "a", target, tmp_path / "b")

    def test_videos(self, tmp_path: Path):
        WRITERS["vspw"](tmp_path / "a")
        with pytest.raises(InputError, match="vspw holds videos, and only pictures"):
            convert_dataset(tmp_path / "a", "label_folder", tmp_path / "b")

    def test_what_is_there_stays(self, tmp_path: Path):
        source = instances(tmp_path / "a")
        text(tmp_path / "b/notes.txt", "mine")
        with pytest.raises(InputError, match="b is there already"):
            convert_dataset(source, "yolo", tmp_path / "b")
        (tmp_path / "c").mkdir()
        convert_dataset(source, "yolo", tmp_path / "c")

    def test_nothing_is_left_of_a_failure(self, tmp_path: Path):
        source = instances(tmp_path / "a", (square(0, 0, 3), 7, False))
        Image.new("RGB", (5, 5)).save(source / "train/a.jpg")
        with pytest.raises(InputError, match="run lengths are for a size"):
            convert_dataset(source, "yolo", tmp_path / "b")
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    def test_names_of_splits_and_formats(self, tmp_path: Path):
        source = instances(tmp_path / "a")
        annotations = source / "annotations"
        (annotations / "instances_train.json").rename(annotations / "instances_mine.json")
        (source / "train").rename(source / "mine")
        with pytest.raises(InputError, match="yolo knows the splits train, val and test, not mine"):
            convert_dataset(source, "yolo", tmp_path / "b")
        with pytest.raises(InputError, match="'voc' cannot be written; there are label_folder"):
            check_target("voc")

    def test_pictures_that_would_have_one_name(self, tmp_path: Path):
        source = instances(tmp_path / "a")
        path = source / "annotations/instances_train.json"
        content = json.loads(path.read_text())
        content["images"] = [
            {"id": 1, "file_name": "x/a.jpg"},
            {"id": 2, "file_name": "x_a.jpg"},
        ]
        text(path, content)
        for name in ("x/a.jpg", "x_a.jpg"):
            picture(source / "train" / name)
        with pytest.raises(InputError, match="several pictures would be called x_a"):
            convert_dataset(source, "yolo", tmp_path / "b")


class TestSkippingProblems:
    def test_what_is_wrong_is_left_out_and_listed(self, tmp_path: Path):
        source = instances(tmp_path / "a", (square(2, 2, 5), 3, False))
        path = source / "annotations/instances_train.json"
        content = json.loads(path.read_text())
        content["annotations"].append({"id": 9, "image_id": 42, "category_id": 3, "bbox": [1] * 4})
        content["images"] += [{"id": n, "file_name": f"{n}.jpg"} for n in (50, 51)]
        text(path, content)
        (source / "train/50.jpg").write_bytes(b"broken")
        with pytest.raises(InputError, match=r"annotation 9 of a\.jpg"):
            convert_dataset(source, "yolo", tmp_path / "b")
        done = convert_dataset(source, "yolo", tmp_path / "b", skip_problems=True)
        assert done.images == {"train": 1}
        assert len(done.skipped) == 3
        for words in ("annotation 9 of a.jpg", "51.jpg", "50.jpg"):
            assert any(words in line for line in done.skipped), words
        (record,) = read_dataset("yolo", tmp_path / "b", "train")
        assert len(record.annotation()) == 1

    def test_nothing_left(self, tmp_path: Path):
        source = instances(tmp_path / "a", (square(2, 2, 5), 3, False))
        (source / "train/a.jpg").write_bytes(b"broken")
        with pytest.raises(InputError, match="no picture of the split train can be used"):
            convert_dataset(source, "yolo", tmp_path / "b", skip_problems=True)
