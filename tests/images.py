"""Small labelled images in the layouts of data sets, made up: colours and rectangles."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.results.formats import id_colors
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary

COUNT = 4
VOCABULARY = Vocabulary.numbered(3)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The file of a picture."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def labelled_images(
    root: Path, task: str, split: str = "val", *, enlarged: int = 1, shrunk: int = 1
) -> Path:
    """A data set of four images of 40 x 60 in the classes class_0, class_1 and class_2.

    The layout is the one of the task: label_folder, coco_instances or coco_panoptic; JSON files
    list images from the last to the first. Images may be `enlarged` by a factor,
    and their objects `shrunk` by one.
    """
    height, width = 40 * enlarged, 60 * enlarged
    images = root / "images" / split if task == "semantic" else root / split
    images.mkdir(parents=True)
    rows = [
        {"id": n, "file_name": f"image_{n}.png", "height": height, "width": width}
        for n in range(COUNT)
    ]
    annotations: list[Any] = []
    for number in range(COUNT):
        rng = np.random.default_rng(number)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(
            images / f"image_{number}.png"
        )
        segment_map = np.zeros((height, width), np.int32)  # segment of class k has the number k + 1
        for class_id in range(3):
            top, left = rng.integers(0, 25, 2) * enlarged
            tall, wide = 15 * enlarged // shrunk, 20 * enlarged // shrunk
            segment_map[top : top + tall, left : left + wide] = class_id + 1
        annotations += write[task](root, split, number, segment_map)
    content = {"images": rows[::-1], "annotations": annotations, "categories": categories()}
    if task == "semantic":
        table = [{"id": entry.id, "name": entry.name} for entry in VOCABULARY.classes]
        text = json.dumps({"ignore_values": [255], "classes": table})
        (root / "classes.json").write_text(text)
        return root
    name = {"instance": "instances", "panoptic": "panoptic"}[task]
    (root / "annotations").mkdir(exist_ok=True)
    (root / f"annotations/{name}_{split}.json").write_text(json.dumps(content))
    return root


def categories() -> list[dict[str, Any]]:
    return [{"id": entry.file_id, "name": entry.name, "isthing": 1} for entry in VOCABULARY.classes]


def write_label(root: Path, split: str, number: int, segment_map: np.ndarray) -> list[Any]:
    folder = root / "labels" / split
    folder.mkdir(parents=True, exist_ok=True)
    label = np.where(segment_map == 0, 255, segment_map - 1).astype(np.uint8)
    Image.fromarray(label).save(folder / f"image_{number}.png")
    return []


def write_instances(root: Path, split: str, number: int, segment_map: np.ndarray) -> list[Any]:
    return [
        {
            "id": 10 * number + value,
            "image_id": number,
            "category_id": VOCABULARY.classes[value - 1].file_id,
            "iscrowd": int(number == 3 and value == 1),
            "area": 4 * int((segment_map == value).sum()),  # not the truth: some were drawn larger
            "segmentation": Rle.encode(segment_map == value).to_coco(),
        }
        for value in np.unique(segment_map[segment_map > 0]).tolist()
    ]


def write_panoptic(root: Path, split: str, number: int, segment_map: np.ndarray) -> list[Any]:
    folder = root / f"annotations/panoptic_{split}"
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(id_colors(segment_map)).save(folder / f"image_{number}.png")
    infos = [
        {"id": value, "category_id": VOCABULARY.classes[value - 1].file_id, "iscrowd": 0}
        for value in np.unique(segment_map[segment_map > 0]).tolist()
    ]
    return [{"image_id": number, "file_name": f"image_{number}.png", "segments_info": infos}]


write = {"semantic": write_label, "instance": write_instances, "panoptic": write_panoptic}
