from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.ade20k import read_ade20k
from plainmask.data.guess import guess_format
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

PANOPTIC = Vocabulary.load("ade20k_panoptic")
WALL, BED = 1, 8  # stuff and a thing, by the values of label files
BED_NUMBER = 1  # in instance files


def save(path: Path, values, dtype=np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype)).save(path)


def add(root: Path, stem: str, label, objects=None) -> None:
    save(root / f"images/training/{stem}.jpg", np.zeros((*np.shape(label), 3)))
    save(root / f"annotations/training/{stem}.png", label)
    if objects is not None:
        save(root / f"annotations_instance/training/{stem}.png", objects)


def pixels(*red_green: tuple[int, int]) -> list:
    return [[(red, green, 0) for red, green in red_green]]


class TestClasses:
    @pytest.mark.parametrize("split", ["train", "training"])
    def test_values_are_one_more_than_ids(self, tmp_path: Path, split: str):
        add(tmp_path, "ADE_train_1", [[0, 1, 150]])
        (record,) = read_ade20k(tmp_path, split)
        assert record.annotation().class_ids.tolist() == [0, 149]
        assert record.annotation().index_map.tolist() == [[-1, 0, 1]]

    def test_labels_shifted_for_another_tool(self, tmp_path: Path):
        add(tmp_path, "a", [[255, 0, 149]])
        (record,) = read_ade20k(tmp_path, "train")
        with pytest.raises(InputError, match=r"was shifted for another tool .*annotations$"):
            record.annotation()
        (tmp_path / "annotations").rename(tmp_path / "annotations_detectron2")
        assert guess_format(tmp_path) == "ade20k"
        with pytest.raises(
            InputError, match=r"annotations_detectron2 without annotations.*0\.\.149"
        ):
            read_ade20k(tmp_path, "train")

    def test_all_that_is_missing_comes_in_one_error(self, tmp_path: Path):
        for stem in "abcd":
            add(tmp_path, stem, [[1]])
        (tmp_path / "images/training/a.jpg").unlink()
        (tmp_path / "annotations/training/b.png").unlink()
        (tmp_path / "annotations/training/c.png").write_bytes(b"")
        with pytest.raises(InputError) as refusal:
            read_ade20k(tmp_path, "train")
        for line in ("training/b has no label", "training/a has no image", "is empty: "):
            assert line in str(refusal.value)
        problems: list[str] = []
        (record,) = read_ade20k(tmp_path, "train", problems=problems)
        assert (record.id, len(problems)) == ("d", 3)
        with pytest.raises(InputError, match="there are no files in validation"):
            read_ade20k(tmp_path, "val")
        with pytest.raises(InputError, match="name a split, train or val, not 'test'"):
            read_ade20k(tmp_path, "test")


class TestObjects:
    def read(self, root: Path):
        (record,) = read_ade20k(root, "train", objects=True)
        return record.annotation()

    def test_things_lie_on_stuff_and_are_void_without_objects(self, tmp_path: Path):
        label = [[WALL, WALL, BED, BED, 0]]
        objects = pixels((0, 0), (BED_NUMBER, 2), (BED_NUMBER, 3), (0, 0), (BED_NUMBER, 3))
        add(tmp_path, "a", label, objects)
        segments = self.read(tmp_path)
        bed, wall = BED - 1, WALL - 1
        assert segments.class_ids.tolist() == [bed, bed, wall]
        assert segments.index_map.tolist() == [[2, 0, 1, -1, 1]]
        assert PANOPTIC.names[bed].strip() == "bed"

    def test_a_number_that_is_no_class(self, tmp_path: Path):
        add(tmp_path, "a", [[WALL, WALL]], pixels((101, 1), (0, 0)))
        with pytest.raises(InputError, match=r"red channel holds \[101\].*1\.\.100"):
            self.read(tmp_path)

    def test_without_instance_files(self, tmp_path: Path):
        add(tmp_path, "a", [[WALL]])
        (tmp_path / "annotations_instance.tar").touch()
        with pytest.raises(InputError, match=r"unpack annotations_instance\.tar"):
            self.read(tmp_path)
        add(tmp_path, "b", [[WALL]], pixels((0, 0)))
        with pytest.raises(InputError, match="training/a has no instance file"):
            self.read(tmp_path)
