"""Pictures of several sets as one of objects, which recipes/everyday-objects.yaml learns from.

    python benchmarks/joined_objects.py ../shared/data runs/joined-objects

Of COCO's (coco_objects and coco_panoptic, train) every eighth picture becomes the val split, and
each of the others occurs four times, so that it is varied as often. Beside them stand pictures that
show single objects: every second one of ccp_people, all of pets, and those of msrc_v2 whose objects
do not touch others of their class. Files are linked to; categories are COCO's.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from scipy import ndimage

COPIES, HELD_OUT = 4, 8
LEAST, MOST = 0.01, 3
"""Share of a picture that an object covers at least, and objects of a class in one."""
MSRC = {
    3: "cow",
    4: "horse",
    5: "sheep",
    8: "airplane",
    11: "car",
    12: "bicycle",
    14: "stop sign",
    15: "bird",
    17: "chair",
    19: "cat",
    20: "dog",
    22: "boat",
}
ALONE = {"cow", "sheep", "car", "bicycle"}
"""Of these, several in a picture mostly touch somewhere."""
PERSON, UNCOUNTED = (10, 21), (13, 16)
"""Classes of msrc_v2: face and body; flowers and books, which lie side by side."""


class Shown(NamedTuple):
    """A picture and its objects."""

    path: Path
    size: tuple[int, int]
    objects: list[dict[str, Any]]


def outlined(mask: NDArray[Any], category: int) -> dict[str, Any]:
    rle: Any = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    known = {"bbox": coco_mask.toBbox(rle).tolist(), "area": int(mask.sum()), "iscrowd": 0}
    rle["counts"] = rle["counts"].decode()
    return known | {"category_id": category, "segmentation": rle}


def coco_pictures(data: Path) -> Iterator[Shown]:
    """Of both sets, each once."""
    seen: set[int] = set()
    for root in (data / "coco_objects", data / "coco_panoptic"):
        known = json.loads((root / "annotations/instances_train.json").read_text())
        for image in sorted(known["images"], key=lambda one: one["id"]):
            objects = [one for one in known["annotations"] if one["image_id"] == image["id"]]
            if objects and image["id"] not in seen:
                seen.add(image["id"])
                size = image["height"], image["width"]
                yield Shown(root / "train" / image["file_name"], size, objects)


def labels_of(root: Path, step: int = 1) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    for path in sorted((root / "labels/train").glob("*.png"))[::step]:
        yield root / "images/train" / f"{path.stem}.jpg", np.asarray(Image.open(path))


def single_objects(data: Path, categories: dict[str, int]) -> Iterator[Shown]:
    for path, labels in labels_of(data / "ccp_people", 2):
        yield Shown(path, labels.shape, [outlined(labels > 0, categories["person"])])
    for path, labels in labels_of(data / "pets"):
        inside = (labels == 1) | (labels == 2)
        name = "cat" if (labels == 1).sum() > (labels == 2).sum() else "dog"
        mask = ndimage.binary_dilation(inside, iterations=3) & (inside | (labels == 255))
        yield Shown(path, labels.shape, [outlined(mask, categories[name])])
    for path, labels in labels_of(data / "msrc_v2"):
        if np.isin(labels, UNCOUNTED).mean() <= LEAST and (objects := parts(labels, categories)):
            yield Shown(path, labels.shape, objects)


def parts(labels: NDArray[np.uint8], categories: dict[str, int]) -> list[dict[str, Any]]:
    """The objects of a picture of msrc_v2; none where it is not clear what they are."""
    masks = {name: labels == value for value, name in MSRC.items()}
    masks["person"] = np.isin(labels, PERSON)
    found: list[dict[str, Any]] = []
    for name, mask in masks.items():
        if mask.mean() < LEAST / 2:
            continue
        labelled: Any = ndimage.label(ndimage.binary_closing(mask, iterations=2))
        regions, count = labelled
        sizes = ndimage.sum(mask, regions, range(1, count + 1))
        large = [k + 1 for k in range(count) if sizes[k] >= LEAST * mask.size]
        if not large or len(large) > (1 if name in ALONE else MOST):
            return []
        found += [outlined(mask & (regions == k), categories[name]) for k in large]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    file = options.data / "coco_objects/annotations/instances_train.json"
    table = json.loads(file.read_text())["categories"]
    categories = {entry["name"]: entry["id"] for entry in table}
    splits: dict[str, list[tuple[str, Shown]]] = {"train": [], "val": []}
    for number, shown in enumerate(coco_pictures(options.data), 1):
        if number % HELD_OUT == 3:
            splits["val"].append((shown.path.name, shown))
        else:
            names = (f"{shown.path.stem}_{copy}.jpg" for copy in range(COPIES))
            splits["train"] += [(name, shown) for name in names]
    for shown in single_objects(options.data, categories):
        name = f"{shown.path.parents[2].name}_{shown.path.name}"
        splits["train"].append((name, shown))
    for split, pictures in splits.items():
        (options.out / split).mkdir(parents=True, exist_ok=True)
        images, annotations = [], []
        for number, (name, shown) in enumerate(pictures, 1):
            link = options.out / split / name
            link.unlink(missing_ok=True)
            link.symlink_to(shown.path.resolve())
            height, width = shown.size
            images.append({"id": number, "file_name": name, "height": height, "width": width})
            for one in shown.objects:
                annotations.append(one | {"id": len(annotations) + 1, "image_id": number})
        place = options.out / f"annotations/instances_{split}.json"
        place.parent.mkdir(exist_ok=True)
        whole = {"images": images, "annotations": annotations, "categories": table}
        place.write_text(json.dumps(whole))
        print(f"{split}: {len(images)} pictures, {len(annotations)} objects")


if __name__ == "__main__":
    main()
