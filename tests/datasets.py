"""The smallest data set of each format: one picture or frame, split train, one mask."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from plainmask.results.rle import Rle

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


def write_ade20k(root: Path) -> None:
    picture(root / "images/training/a.jpg")
    picture(root / "annotations/training/a.png", MASK * 150)


def write_ade20k_panoptic(root: Path) -> None:
    write_ade20k(root / "ADEChallengeData2016")
    picture(root / "annotations_instance/training/a.png", MASK[..., None] * [100, 1, 0])


def write_cityscapes(root: Path) -> None:
    picture(root / "leftImg8bit/train/bonn/bonn_0_1_leftImg8bit.png")
    picture(root / "gtFine/train/bonn/bonn_0_1_gtFine_labelIds.png", MASK * 33)


def write_cityscapes_panoptic(root: Path) -> None:
    write_cityscapes(root)
    name = "gtFine/cityscapes_panoptic_train"
    picture(root / name / "bonn_0_1_gtFine_panoptic.png", MASK[..., None] * [1, 0, 0])
    entry = {"image_id": "bonn_0_1", "file_name": "bonn_0_1_gtFine_panoptic.png"}
    content = {
        "images": [{"id": "bonn_0_1", "file_name": "bonn_0_1_gtFine_leftImg8bit.png"}],
        "annotations": [entry | {"segments_info": [{"id": 1, "category_id": 26}]}],
        "categories": [{"id": 26, "name": "car"}],
    }
    text(root / f"{name}.json", content)


def write_voc(root: Path) -> None:
    picture(root / "VOCdevkit/VOC2012/JPEGImages/a.jpg")
    for kind, value in (("Class", 20), ("Object", 1)):
        picture(root / f"VOCdevkit/VOC2012/Segmentation{kind}/a.png", MASK * value)
    text(root / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", "a\n")


def write_yolo(root: Path) -> None:
    picture(root / "images/train/a.jpg")
    # The L of MASK: x 1..3 of 3, y 0..1 and 1..2 of 2.
    corners = [(1, 0), (3, 0), (3, 1), (2, 1), (2, 2), (1, 2)]
    text(root / "labels/train/a.txt", " ".join(["0", *(f"{x / 3} {y / 2}" for x, y in corners)]))
    text(root / "data.yaml", "train: images/train\nnames: [thing]\n")


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
    "ade20k": write_ade20k,
    "ade20k_panoptic": write_ade20k_panoptic,
    "cityscapes": write_cityscapes,
    "cityscapes_panoptic": write_cityscapes_panoptic,
    "voc": write_voc,
    "voc_objects": write_voc,
    "yolo": write_yolo,
    "vipseg": write_vipseg,
    "vspw": write_vspw,
    "video_folder": write_video_folder,
}
