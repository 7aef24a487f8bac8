"""How the format of a data set is told from its files."""

from pathlib import Path

import pytest

from datasets import WRITERS, picture, text
from plainmask.data.guess import guess_format, image_format
from plainmask.data.reader import DataFormat, dataset_splits, dataset_vocabulary, read_dataset
from plainmask.errors import InputError


def test_an_unknown_folder(tmp_path: Path):
    text(tmp_path / "broken.json", "{")
    with pytest.raises(InputError, match="looks like no data set"):
        guess_format(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "annotations/instances_train.json",
            '{"images": [',
            "instances_train.json: Invalid JSON",
        ),
        ("data.yaml", 'path: "D:\\data"\ntrain: x\n', "data.yaml cannot be read as YAML"),
        ("data.yaml", "train: x\n", "data.yaml states no names"),
        ("other.json", "{", "looks like no data set .*other.json: .*Invalid JSON"),
    ],
)
def test_the_reason_is_told_where_a_file_cannot_be_read(
    tmp_path: Path, name: str, content: str, words: str
):
    text(tmp_path / name, content)
    if "looks" not in words:
        picture(tmp_path / "images/a.jpg")
    with pytest.raises(InputError, match=words):
        guess_format(tmp_path)


def test_labels_of_yolo_without_their_yaml(tmp_path: Path):
    WRITERS["yolo"](tmp_path)
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(InputError, match=r"labels without their data\.yaml"):
        guess_format(tmp_path)


def test_a_missing_folder_is_told_as_missing(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere: there is no such folder; check the path"):
        guess_format(tmp_path / "nowhere")


@pytest.mark.parametrize(("format", "file"), [("youtube_vis", "train.json"), ("yolo", "data.yaml")])
def test_the_file_that_lists_a_data_set(tmp_path: Path, format: DataFormat, file: str):
    WRITERS[format](tmp_path)
    assert guess_format(tmp_path / file) == format
    (split,) = dataset_splits(format, tmp_path / file)
    assert len(read_dataset(format, tmp_path / file, split)) == 1
    assert dataset_vocabulary(format, tmp_path / file, split).names == ("thing",)
    text(tmp_path / "any.json", [])
    with pytest.raises(InputError, match=r"any\.json lists no data set"):
        guess_format(tmp_path / "any.json")


def test_label_folders_without_splits(tmp_path: Path):
    picture(tmp_path / "images/a.jpg")
    assert guess_format(tmp_path) == "label_folder"


@pytest.mark.parametrize(
    ("format", "task", "expected"),
    [
        ("camvid_clips", "semantic", "label_folder"),
        ("ade20k_panoptic", "semantic", "ade20k"),
        ("ade20k_panoptic", "panoptic", "ade20k_panoptic"),
        ("cityscapes_panoptic", "semantic", "cityscapes"),
        ("voc", "instance", "voc_objects"),
        ("voc", "semantic", "voc"),
        ("yolo", "instance", "yolo"),
        ("video_folder", "instance", "video_folder"),
        ("coco_panoptic", "panoptic", "coco_panoptic"),
    ],
)
def test_a_folder_as_a_task_needs_it(tmp_path: Path, format: str, task: str, expected: str):
    WRITERS[format](tmp_path)
    assert image_format(task, tmp_path) == expected


@pytest.mark.parametrize("format", ["ade20k", "coco_panoptic", "label_folder", "vspw"])
def test_a_folder_without_objects(tmp_path: Path, format: str):
    WRITERS[format](tmp_path)
    with pytest.raises(InputError, match=f"is {format}, whose segments are not objects only"):
        image_format("instance", tmp_path)


def test_objects_beside_panoptic_files(tmp_path: Path):
    WRITERS["coco_panoptic"](tmp_path)
    WRITERS["coco_instances"](tmp_path)
    assert image_format("instance", tmp_path) == "coco_instances"
    assert image_format("semantic", tmp_path) == "coco_panoptic"
