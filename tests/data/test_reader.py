"""What all readers owe, and how a format is told."""

import json
import pickle
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from plainmask.data.reader import DataFormat, dataset_vocabulary, guess_format, read_dataset
from plainmask.errors import InputError
from plainmask.rle import Rle
from plainmask.vocabulary import Vocabulary
from shared_data import SHARED_DATA, needs_data

MASK = np.array([[0, 1, 1], [0, 1, 0]], bool)
RLE = Rle.encode(MASK).to_coco()
THING = [{"id": 1, "name": "thing", "isthing": 1}]


def picture(path: Path, values=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((2, 3, 3), np.uint8) if values is None else np.array(values, np.uint8)
    Image.fromarray(array).save(path)


def text(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def write_label_folder(root: Path) -> None:
    picture(root / "images/train/a.jpg")
    picture(root / "labels/train/a.png", MASK)
    text(root / "classes.json", {"classes": [{"id": 0, "name": "no"}, {"id": 1, "name": "yes"}]})


def write_camvid_clips(root: Path) -> None:
    write_label_folder(root)
    text(root / "camvid.json", {"splits": {"train": [{"id": "clip", "frames": ["a"]}]}})


def write_youtube_vis(root: Path) -> None:
    picture(root / "train/JPEGImages/a/0.jpg")
    videos = [{"id": 1, "width": 3, "height": 2, "file_names": ["a/0.jpg"]}]
    tracks = [{"id": 1, "video_id": 1, "category_id": 1, "segmentations": [RLE]}]
    text(root / "train.json", {"videos": videos, "annotations": tracks, "categories": THING})


def write_coco_panoptic(root: Path) -> None:
    picture(root / "train/a.jpg")
    picture(root / "annotations/panoptic_train/a.png", MASK[..., None] * [1, 0, 0])
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [
            {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 1}]}
        ],
        "categories": THING,
    }
    text(root / "annotations/panoptic_train.json", content)


def write_coco_instances(root: Path) -> None:
    picture(root / "train/a.jpg")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": RLE}],
        "categories": THING,
    }
    text(root / "annotations/instances_train.json", content)
    text(root / "annotations/results.json", [])


def write_vipseg(root: Path) -> None:
    picture(root / "images/a/0.jpg")
    picture(root / "panomasksRGB/a/0.png", MASK[..., None] * [1, 0, 0])
    frame = {"image_id": 0, "segments_info": [{"id": 1, "category_id": 0}]}
    content = {
        "videos": [{"video_id": "a", "images": [{"id": 0, "file_name": "0.png"}]}],
        "annotations": [{"video_id": "a", "annotations": [frame]}],
        "categories": [],
    }
    text(root / "panoptic_gt_VIPSeg_train.json", content)


def write_vspw(root: Path) -> None:
    picture(root / "data/a/origin/0.jpg")
    picture(root / "data/a/mask/0.png", MASK)
    text(root / "train.txt", "a")


def write_video_folder(root: Path) -> None:
    picture(root / "images/train/a/0.jpg")
    picture(root / "labels/train/a/0.png", MASK)


WRITERS = {
    "label_folder": write_label_folder,
    "camvid_clips": write_camvid_clips,
    "youtube_vis": write_youtube_vis,
    "coco_panoptic": write_coco_panoptic,
    "coco_instances": write_coco_instances,
    "vipseg": write_vipseg,
    "vspw": write_vspw,
    "video_folder": write_video_folder,
}
IMAGE_FORMATS = {"label_folder", "coco_panoptic", "coco_instances"}


def test_every_format_is_tested():
    assert set(WRITERS) == set(get_args(DataFormat))


@pytest.mark.parametrize("format", WRITERS)
class TestContract:
    def test_one_record_of_one_mask(self, tmp_path: Path, format: DataFormat):
        WRITERS[format](tmp_path)
        (record,) = pickle.loads(pickle.dumps(read_dataset(format, tmp_path, "train")))
        segments = record.segments()
        assert record.image().shape == (*segments.size, 3) == (2, 3, 3)
        np.testing.assert_array_equal(segments.masks()[-1], MASK)
        vocabulary = dataset_vocabulary(format, tmp_path, "train")
        assert segments.class_ids.max() < len(vocabulary)
        assert record.classes in (None, set(segments.class_ids.tolist()))
        is_video = format not in IMAGE_FORMATS
        assert (record.sequence is not None) == (record.frame is not None) == is_video

    def test_the_format_is_told(self, tmp_path: Path, format: DataFormat):
        WRITERS[format](tmp_path)
        assert guess_format(tmp_path) == format

    def test_a_vocabulary_is_used(self, tmp_path: Path, format: DataFormat):
        WRITERS[format](tmp_path)
        own = dataset_vocabulary(format, tmp_path, "train")
        turned = [
            {"id": place, "name": entry.name, "file_id": entry.file_id, "thing": entry.thing}
            for place, entry in enumerate(reversed(own.classes))
        ]
        vocabulary = Vocabulary.load({"classes": turned, "ignore_values": own.ignore_values})
        before = read_dataset(format, tmp_path, "train")[0].segments()
        (record,) = read_dataset(format, tmp_path, "train", vocabulary)
        after = record.segments()
        names = [own.names[i] for i in before.class_ids]
        assert sorted(vocabulary.names[i] for i in after.class_ids) == sorted(names)

    def test_an_empty_folder_is_refused(self, tmp_path: Path, format: DataFormat):
        with pytest.raises(InputError, match=str(tmp_path)):
            read_dataset(format, tmp_path, "train")


def test_an_unknown_folder(tmp_path: Path):
    text(tmp_path / "broken.json", "{")
    with pytest.raises(InputError, match="looks like no data set"):
        guess_format(tmp_path)


def test_label_folders_without_splits(tmp_path: Path):
    picture(tmp_path / "images/a.jpg")
    assert guess_format(tmp_path) == "label_folder"


@pytest.mark.parametrize(
    ("name", "format"),
    [
        pytest.param(name, format, marks=needs_data(name))
        for name, format in {
            "camvid": "camvid_clips",
            "coco_panoptic": "coco_panoptic",
            "davis2016_vis": "youtube_vis",
            "dsb2018": "coco_instances",
        }.items()
    ],
)
def test_real_data(name: str, format: str):
    assert guess_format(SHARED_DATA / name) == format
