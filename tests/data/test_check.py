import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from datasets import MASK, THING, WRITERS, picture, text
from plainmask.data.check import check_dataset, size_summary
from plainmask.data.reader import DataFormat
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

CLASSES = {
    "ignore_value": 255,
    "classes": [{"id": 0, "name": "wall"}, {"id": 1, "name": "door"}, {"id": 2, "name": "roof"}],
}


def add(root: Path, split: str, stem: str, label, seed: int = 0) -> None:
    size = np.shape(label)[:2]
    picture(root / f"images/{split}/{stem}.png", np.full((*size, 3), seed))
    picture(root / f"labels/{split}/{stem}.png", label)
    text(root / "classes.json", CLASSES)


@pytest.mark.parametrize("format", WRITERS)
def test_sound_data_of_every_format(tmp_path: Path, format: DataFormat):
    WRITERS[format](tmp_path)
    report = check_dataset(tmp_path, format)
    (split,) = report.splits
    assert report.all_problems == []
    assert (split.images, split.labelled) == (1, 1)
    assert sum(count.pixels for count in split.classes.values()) >= MASK.sum()
    assert split.sizes == {(2, 3): 1}
    assert len(report.samples) == 1


class TestCounts:
    def test_classes_and_void(self, tmp_path: Path):
        add(tmp_path, "train", "a", [[0, 0, 1], [255, 0, 1]], 1)
        add(tmp_path, "train", "b", [[0, 255]], 2)
        add(tmp_path, "train", "c", [[255, 255]], 3)
        calls: list[tuple[int, int]] = []
        report = check_dataset(tmp_path, on_record=lambda *call: calls.append(call))
        (split,) = report.splits
        assert calls == [(1, 3), (2, 3), (3, 3)]
        assert vars(split.classes["wall"]) == {"images": 2, "segments": 2, "pixels": 4}
        assert vars(split.classes["door"]) == {"images": 1, "segments": 1, "pixels": 2}
        assert (split.ignored, split.pixels, split.empty) == (4, 10, 1)
        assert split.notes == ["classes that never occur: roof", "pictures without a segment: 1"]
        found = report.to_json()["splits"]["train"]
        assert found["ignored"] == 40
        assert found["classes"]["wall"] == {"images": 2, "segments": 2, "pixels": 40}
        assert json.dumps(report.to_json())

    def test_several_processes_find_the_same(self, tmp_path: Path):
        for number, stem in enumerate("abcdefghijk"):
            add(tmp_path, "train", stem, [[0, number % 4]], number)
        alone, together = (check_dataset(tmp_path, workers=workers) for workers in (1, 2))
        assert alone.to_json() == together.to_json()
        assert len(alone.all_problems) == 2
        assert [title for title, _ in alone.samples] == [title for title, _ in together.samples]

    def test_crowds_and_overlaps(self, tmp_path: Path):
        WRITERS["coco_instances"](tmp_path)
        path = tmp_path / "annotations/instances_train.json"
        content = json.loads(path.read_text())
        content["annotations"] += [content["annotations"][0] | {"id": 2, "iscrowd": 1}]
        text(path, content)
        (split,) = check_dataset(tmp_path, split="train").splits
        assert (split.segments, split.crowds, split.overlapping) == (2, 1, 1)

    def test_sizes(self):
        assert size_summary(Counter({(2, 3): 5, (10, 1): 1, (1, 2): 1})) == {
            "different": 3,
            "smallest": [1, 2],
            "median": [2, 3],
            "largest": [10, 1],
        }
        assert size_summary(Counter()) == {"different": 0}


class TestProblems:
    def test_all_of_them_and_the_rest_is_checked(self, tmp_path: Path):
        for number, stem in enumerate("abcdef"):
            add(tmp_path, "train", stem, [[0, 1]], number)
        (tmp_path / "labels/train/a.png").unlink()
        picture(tmp_path / "labels/train/b.png", [[0, 7]])
        (tmp_path / "images/train/c.png").write_bytes(b"broken")
        picture(tmp_path / "labels/train/d.png", [[0, 1], [1, 1]])
        for number in range(20):
            picture(tmp_path / f"images/train/lonely{number}.jpg")
        (split,) = check_dataset(tmp_path).splits
        assert split.classes["wall"].images == 2
        assert len(split.problems) == 24
        for words in (
            "image without label: images/train/a.png",
            "image without label: images/train/lonely19.jpg",
            "b.png: label value 7 (1 pixels) is neither a class nor ignored",
            "c.png: this is not a picture",
            "d.png is (2, 2) high and wide, its picture (1, 2)",
        ):
            assert any(words in problem for problem in split.problems), words

    def test_a_split_that_cannot_be_read_and_one_that_can(self, tmp_path: Path):
        WRITERS["coco_instances"](tmp_path)
        text(tmp_path / "annotations/instances_val.json", "{\n}x")
        report = check_dataset(tmp_path, "coco_instances")
        train, val = report.splits
        assert (train.problems, train.images, val.images) == ([], 1, 0)
        assert "line 2" in val.problems[0]

    def test_entries_of_json_files(self, tmp_path: Path):
        WRITERS["coco_instances"](tmp_path)
        path = tmp_path / "annotations/instances_train.json"
        content = json.loads(path.read_text())
        one = content["annotations"][0]
        content["annotations"] += [
            one | {"image_id": 5},
            one | {"id": 3, "category_id": 9},
            one | {"id": 4, "segmentation": [[1, 1, 2, 2]]},
        ]
        content["images"].append({"id": 2, "file_name": "b.jpg"})
        text(path, content)
        (split,) = check_dataset(tmp_path, "coco_instances").splits
        for words in (
            f"{path}: annotation id 1 occurs 2 times",
            "is of image 5, which is unknown",
            "category 9 '' of 1 annotations",
            "there is no file",
            "1 object has no outline in `segmentation`, only a box or nothing",
            "(annotation 4 of a.jpg)",
        ):
            assert any(words in problem for problem in split.problems), words

    def test_ids_of_panoptic_files(self, tmp_path: Path):
        WRITERS["coco_panoptic"](tmp_path)
        path = tmp_path / "annotations/panoptic_train.json"
        content = json.loads(path.read_text())
        content["annotations"][0]["segments_info"].append({"id": 6, "category_id": 1})
        text(path, content)
        picture(
            tmp_path / "annotations/panoptic_train/a.png", [[(1, 0, 0), (0, 1, 0), (0, 0, 0)]] * 2
        )
        (split,) = check_dataset(tmp_path).splits
        (problem,) = split.problems
        assert "segment id 256 is not in segments_info" in problem
        assert "segment id 6 has no pixels" in problem

    def test_class_lists_that_differ(self, tmp_path: Path):
        WRITERS["coco_instances"](tmp_path)
        path = tmp_path / "annotations/instances_train.json"
        content = json.loads(path.read_text())
        categories = [*THING, {"id": 2, "name": "other"}]
        text(path.with_name("instances_val.json"), content | {"categories": categories})
        picture(tmp_path / "val/a.jpg", np.full((2, 3, 3), 9))
        report = check_dataset(tmp_path)
        assert report.problems == ["val has the class 'other', train has not"]

    def test_nothing_to_learn(self, tmp_path: Path):
        add(tmp_path, "train", "a", [[255, 255]])
        (split,) = check_dataset(tmp_path).splits
        assert split.problems == ["train: no picture has a segment"]
        (tmp_path / "labels/train/a.png").unlink()
        picture(tmp_path / "labels/train/b.png", [[0]])
        (split,) = check_dataset(tmp_path).splits
        assert split.problems[-1] == "train: no picture can be used"

    def test_an_empty_split(self, tmp_path: Path):
        add(tmp_path, "train", "a", [[0]])
        (split,) = check_dataset(tmp_path, split="val").splits
        assert "the splits there are train" in split.problems[0]

    def test_one_picture_in_two_splits_is_noted(self, tmp_path: Path):
        add(tmp_path, "train", "a", [[0, 1]], 5)
        add(tmp_path, "val", "b", [[0, 1]], 5)
        _, val = check_dataset(tmp_path).splits
        assert val.notes[-1] == "pictures that occur twice: val/b = train/a"

    def test_another_vocabulary(self, tmp_path: Path):
        add(tmp_path, "train", "a", [[0, 1]])
        (tmp_path / "classes.json").unlink()
        (split,) = check_dataset(tmp_path).splits
        assert list(split.classes) == ["class_0", "class_1"]
        assert split.notes[0] == "classes: those of the table 'values found in the labels'"
        (split,) = check_dataset(tmp_path, vocabulary=Vocabulary.numbered(2)).splits
        assert split.problems == []

    def test_no_data_set(self, tmp_path: Path):
        with pytest.raises(InputError, match="looks like no data set"):
            check_dataset(tmp_path)
