"""Labels as files that other commands read."""

from pathlib import Path

import numpy as np
import pytest

from images import png
from plainmask.data.check import check_dataset
from plainmask.data.convert import convert_dataset
from plainmask.data.reader import read_dataset
from plainmask.label.config import LabelClass, ProjectConfig
from plainmask.label.dataset import remove_strays, write_class_table, write_pair
from plainmask.label.planes import Planes

CAT = LabelClass(id=1, name="cat", color=(230, 159, 0))


def data_set(root: Path, labels: Planes) -> Path:
    config = ProjectConfig.begun("instance", "tiny", "abc")
    classes = (*config.classes, CAT)
    write_class_table(root, config.model_copy(update={"classes": classes}))
    picture = root.parent / "a.png"
    picture.write_bytes(png(np.zeros((*labels.classes.shape, 3), np.uint8)))
    write_pair(root, picture, labels)
    return root


def many(count: int) -> Planes:
    """As many cats, a pixel wide, with every second number; background; and what has no label."""
    labels = Planes.blank((4, count + 2), with_objects=True)
    assert labels.objects is not None
    labels.classes[:, : count + 1] = 1
    labels.classes[:, count] = 0
    labels.objects[:, :count] = 2 * np.arange(1, count + 1)
    return labels


@pytest.mark.parametrize("count", [1, 254, 255, 300])
def test_objects_are_read_as_they_were_written(tmp_path: Path, count: int):
    root = data_set(tmp_path / "data", many(count))
    assert check_dataset(root).all_problems == []
    (record,) = read_dataset("voc_objects", root, None)
    objects = record.annotation()
    assert len(objects) == count
    assert objects.pixels().tolist() == [4] * count
    assert objects.index_map[0].tolist() == [*range(count), -1, -1]
    (record,) = read_dataset("voc", root, None)
    classes = record.annotation()
    assert classes.pixels().tolist() == [4, 4 * count]  # what has no label counts for none


def test_objects_go_to_other_formats(tmp_path: Path):
    root = data_set(tmp_path / "data", many(3))
    made = convert_dataset(root, "coco_instances", tmp_path / "coco", format="voc_objects")
    assert sum(made.images.values()) == 1
    (record,) = read_dataset("coco_instances", tmp_path / "coco", "train")
    assert record.annotation().pixels().tolist() == [4, 4, 4]


def test_what_has_no_label_any_more_leaves_no_file(tmp_path: Path):
    root = data_set(tmp_path / "data", many(1))
    before = {path: path.read_bytes() for path in root.rglob("*.png")}
    assert len(before) == 3
    write_pair(root, tmp_path / "a.png", many(1))
    assert {path: path.read_bytes() for path in root.rglob("*.png")} == before
    write_pair(root, tmp_path / "a.png", Planes.blank((4, 3), with_objects=True))
    assert not list(root.rglob("*.png"))


def test_files_of_pictures_that_are_not_used_go(tmp_path: Path):
    root = data_set(tmp_path / "data", many(1))
    remove_strays(root, "instance", ["a"])
    assert len(list(root.rglob("*.png"))) == 3
    remove_strays(root, "instance", ["b"])
    assert not list(root.rglob("*.png"))
    assert (root / "classes.json").exists()
    assert (tmp_path / "a.png").exists()
