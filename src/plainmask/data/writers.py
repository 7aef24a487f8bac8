"""Data sets as other tools read them, written picture by picture: one class a format.

All have `picture_folder`, `add` and `finish`, and count in `lost` what the format cannot hold.

Letters: H W image size.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from plainmask.data.record import NO_SEGMENT, Annotation
from plainmask.results.formats import id_colors, xywh
from plainmask.results.rle import Rle
from plainmask.results.trace import trace_polygon
from plainmask.vocabulary import Vocabulary

_STUFF = "segments of stuff"
_CROWDS = "marks of crowds"
_COVERED = "pixels of objects that others cover (the smaller lies on top)"
_APART = "objects that are one with others of their class"
_HIDDEN = "objects that others cover wholly"


class Writer(Protocol):
    """Writes a data set of one format."""

    lost: Counter[str]
    """What could not be written, and how often."""

    def picture_folder(self, split: str | None) -> Path:
        """Where the pictures of a split go; the writer leaves them to its caller."""
        ...

    def add(self, split: str | None, picture: Path, image_id: int, segments: Annotation) -> None:
        """Write the annotation of a picture, which has its final path."""
        ...

    def finish(self) -> None:
        """Write what concerns all pictures."""
        ...


class LabelFolderWriter:
    """Label files of class numbers, as `label_folder` reads them.

    Args:
        root: where to write.
        vocabulary: the classes; their ids are the values.
        with_background: put a class "background" before them, for what is no object; without, that
            is void.
    """

    def __init__(self, root: Path, vocabulary: Vocabulary, *, with_background: bool):
        self.root, self.lost = root, Counter[str]()
        rows = [entry.model_dump(exclude={"file_id"}) for entry in vocabulary.classes]
        if with_background:
            name = "background" if "background" not in vocabulary.names else "no_object"
            rows.insert(0, {"name": name, "thing": False, "color": (0, 0, 0)})
        self.rows = [row | {"id": place} for place, row in enumerate(rows)]
        self.shift = int(with_background)
        self.dtype, self.void = (np.uint8, 255) if len(rows) <= 255 else (np.uint16, 65535)

    def picture_folder(self, split: str | None) -> Path:
        """`images/SPLIT`."""
        return self.root / "images" / (split or "")

    def add(self, split: str | None, picture: Path, image_id: int, segments: Annotation) -> None:
        """Write `labels/SPLIT/NAME.png`."""
        index_map = _flattened(segments, self.lost)
        repeated = len(segments) - len(set(segments.class_ids.tolist()))
        _count(self.lost, {_APART: repeated, _CROWDS: int(segments.crowd.sum())})
        rest = 0 if self.shift else self.void
        values = np.append(segments.class_ids + self.shift, rest)[index_map]
        path = self.root / "labels" / (split or "") / f"{picture.stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype(self.dtype)).save(path)

    def finish(self) -> None:
        """Write `classes.json`."""
        _dump(self.root / "classes.json", {"ignore_value": self.void, "classes": self.rows})


class CocoInstancesWriter:
    """Objects as run lengths in JSON, as `coco_instances` reads them; stuff is left out."""

    def __init__(self, root: Path, vocabulary: Vocabulary):
        self.root, self.lost = root, Counter[str]()
        self.things = {entry.id for entry in vocabulary.classes if entry.thing}
        self.numbers, categories = _categories(vocabulary)
        self.categories = [row for row in categories if row["isthing"]]
        self.count = 0
        self.splits: dict[str, dict[str, list[Any]]] = {}

    def picture_folder(self, split: str | None) -> Path:
        """`SPLIT`."""
        return self.root / (split or "train")

    def add(self, split: str | None, picture: Path, image_id: int, segments: Annotation) -> None:
        """Remember the objects of a picture, in compact form."""
        content = self.splits.setdefault(split or "train", {"images": [], "annotations": []})
        content["images"].append(_image(image_id, picture, segments.size))
        for index, mask in enumerate(segments.masks()):
            class_id = int(segments.class_ids[index])
            if class_id not in self.things:
                self.lost[_STUFF] += 1
                continue
            rle = Rle.encode(mask)
            self.count += 1
            content["annotations"].append(
                {
                    "id": self.count,
                    "image_id": image_id,
                    "category_id": self.numbers[class_id],
                    "iscrowd": int(segments.crowd[index]),
                    "area": rle.area,
                    "bbox": xywh(rle.box),
                    "segmentation": rle.to_coco(),
                }
            )

    def finish(self) -> None:
        """Write `annotations/instances_SPLIT.json`."""
        for split, content in self.splits.items():
            path = self.root / f"annotations/instances_{split}.json"
            _dump(path, {**content, "categories": self.categories})


class CocoPanopticWriter:
    """PNGs of segment ids and JSON, as `coco_panoptic` reads them.

    Args:
        root: where to write.
        vocabulary: the classes.
        all_stuff: call all classes stuff, where objects are not told apart.
    """

    def __init__(self, root: Path, vocabulary: Vocabulary, *, all_stuff: bool):
        self.root, self.lost = root, Counter[str]()
        self.numbers, self.categories = _categories(vocabulary)
        if all_stuff:
            self.categories = [row | {"isthing": 0} for row in self.categories]
        self.splits: dict[str, dict[str, list[Any]]] = {}

    def picture_folder(self, split: str | None) -> Path:
        """`SPLIT`."""
        return self.root / (split or "train")

    def add(self, split: str | None, picture: Path, image_id: int, segments: Annotation) -> None:
        """Write `annotations/panoptic_SPLIT/NAME.png`, and remember what it holds."""
        name = split or "train"
        content = self.splits.setdefault(name, {"images": [], "annotations": []})
        content["images"].append(_image(image_id, picture, segments.size))
        index_map = _flattened(segments, self.lost)
        path = self.root / f"annotations/panoptic_{name}/{picture.stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        ids = index_map + 1
        Image.fromarray(id_colors(ids)).save(path)
        infos: list[dict[str, Any]] = []
        for index in (np.unique(ids[ids > 0]) - 1).tolist():
            rle = Rle.encode(index_map == index)
            infos.append(
                {
                    "id": index + 1,
                    "category_id": self.numbers[int(segments.class_ids[index])],
                    "iscrowd": int(segments.crowd[index]),
                    "area": rle.area,
                    "bbox": xywh(rle.box),
                }
            )
        entry = {"image_id": image_id, "file_name": path.name, "segments_info": infos}
        content["annotations"].append(entry)

    def finish(self) -> None:
        """Write `annotations/panoptic_SPLIT.json`."""
        for split, content in self.splits.items():
            path = self.root / f"annotations/panoptic_{split}.json"
            _dump(path, {**content, "categories": self.categories})


class YoloWriter:
    """Text files with one polygon per object, as `yolo` reads them; stuff and crowds are left out.

    A polygon follows the edges of the pixels; parts and holes are joined by bridges of no width.
    """

    def __init__(self, root: Path, vocabulary: Vocabulary):
        self.root, self.lost = root, Counter[str]()
        things = [entry for entry in vocabulary.classes if entry.thing]
        self.number_of = {entry.id: number for number, entry in enumerate(things)}
        self.names = [entry.name for entry in things]
        self.splits: dict[str, None] = {}

    def picture_folder(self, split: str | None) -> Path:
        """`images/SPLIT`."""
        return self.root / "images" / (split or "train")

    def add(self, split: str | None, picture: Path, image_id: int, segments: Annotation) -> None:
        """Write `labels/SPLIT/NAME.txt`."""
        self.splits[split or "train"] = None
        height, width = segments.size
        lines: list[str] = []
        for index, mask in enumerate(segments.masks()):
            class_id = int(segments.class_ids[index])
            if class_id not in self.number_of or segments.crowd[index]:
                is_stuff = class_id not in self.number_of
                self.lost[_STUFF if is_stuff else "crowds, whole"] += 1
                continue
            points = (trace_polygon(mask) / [width, height]).ravel().tolist()
            words = (f"{value:.7g}" for value in points)
            lines.append(" ".join([str(self.number_of[class_id]), *words]))
        path = self.root / "labels" / (split or "train") / f"{picture.stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")

    def finish(self) -> None:
        """Write `data.yaml`."""
        content = {split: f"images/{split}" for split in self.splits}
        table = {"path": ".", **content, "names": dict(enumerate(self.names))}
        text = yaml.safe_dump(table, sort_keys=False, allow_unicode=True)
        (self.root / "data.yaml").write_text(text, "utf-8")


def _flattened(segments: Annotation, lost: Counter[str]) -> NDArray[np.int32]:
    """(H, W): the segment of each pixel; crowds lie below others, small segments on top."""
    if len(segments.layers) == 1:
        return segments.layers[0]
    masks = segments.masks()
    areas = masks.sum((1, 2))
    index_map = np.full(segments.size, NO_SEGMENT, np.int32)
    for index in np.lexsort((-areas, ~segments.crowd)).tolist():
        index_map[masks[index]] = index
    left = np.bincount(index_map.ravel() + 1, minlength=len(segments) + 1)[1:]
    _count(lost, {_COVERED: int((areas - left).sum()), _HIDDEN: int((left == 0).sum())})
    return index_map


def _count(lost: Counter[str], more: dict[str, int]) -> None:
    lost.update({what: number for what, number in more.items() if number})


def _categories(vocabulary: Vocabulary) -> tuple[dict[int, int], list[dict[str, Any]]]:
    """The category id of each class, positive as other tools want it, and the list of them."""
    lowest = min(entry.file_id for entry in vocabulary.classes)
    numbers = {
        entry.id: entry.file_id if lowest > 0 else entry.id + 1 for entry in vocabulary.classes
    }
    rows = [
        {
            "id": numbers[entry.id],
            "name": entry.name,
            "supercategory": entry.name,
            "isthing": int(entry.thing),
            "color": list(entry.color),
        }
        for entry in vocabulary.classes
    ]
    return numbers, rows


def _image(image_id: int, picture: Path, size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    return {"id": image_id, "file_name": picture.name, "width": width, "height": height}


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
