"""How well touching objects of one class come apart by a stroke each, in `plainmask label`.

    python benchmarks/label_objects.py --data ../shared/data/coco_objects --split val

Each group of touching objects of one class is a region that is known to the pixel; each object gets
a stroke of 5 pixels from its deepest point to another deep one. The figure is the mean IoU of the
objects in it, for steps between equal patches of several lengths (`STEP`; a very long one: the
nearest stroke), and for the taps that features are taken from.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from plainmask.data.guess import image_format
from plainmask.data.reader import read_dataset
from plainmask.data.record import Annotation
from plainmask.encoder.weights import load_encoder
from plainmask.inference.shared_pass import SharedPass, pick_dtype
from plainmask.label import division
from plainmask.label.division import Ground
from plainmask.label.features import compute_taps, seen
from plainmask.label.objects import parts_of

Numbers = NDArray[np.uint16]
LEAST = 0.01
"""Share of a picture that an object has at least."""
GAP, WIDE = 2, 2
"""Pixels between objects that touch, and of a stroke to each side."""
STEPS = (0.03, 0.1, 0.25, 1.0, 100.0)


class Group(NamedTuple):
    """Objects that touch, in a picture."""

    taps: Sequence[NDArray[np.float16]]
    objects: Numbers
    """(H, W): 1.. in the group, 0 elsewhere."""
    strokes: Numbers


def groups_of(segments: Annotation) -> Iterator[Numbers]:
    """Groups of objects of one class that touch: (H, W) numbers."""
    masks = segments.masks()
    areas = masks.sum((1, 2))
    large = np.flatnonzero(~segments.crowd & (areas > LEAST * masks[0].size)) if len(masks) else []
    for class_id in np.unique(segments.class_ids[large]):
        objects = np.zeros(segments.size, np.uint16)
        its = [index for index in large if segments.class_ids[index] == class_id]
        for index in sorted(its, key=lambda index: -areas[index]):
            objects[masks[index]] = index + 1
        near = np.asarray(ndimage.binary_dilation(objects > 0, iterations=GAP), bool)
        regions = parts_of(near)
        for region in range(1, regions.max() + 1):
            inside = np.where(regions == region, objects, np.uint16(0))
            if len(np.unique(inside[inside > 0])) > 1:
                yield inside


def strokes_for(objects: Numbers, rng: np.random.Generator) -> Numbers:
    """A stroke on each object, from its deepest point to another that is half as deep."""
    strokes = np.zeros_like(objects)
    for number in np.unique(objects[objects > 0]):
        found: Any = ndimage.distance_transform_edt(np.pad(objects == number, 1))
        depth = found[1:-1, 1:-1]
        ends = np.argwhere(depth >= depth.max() / 2)
        path = np.linspace(np.argwhere(depth == depth.max())[0], ends[rng.integers(len(ends))], 60)
        for y, x in path.astype(int):
            part = slice(max(0, y - WIDE), y + WIDE + 1), slice(max(0, x - WIDE), x + WIDE + 1)
            strokes[part] = np.where(objects[part] == number, number, strokes[part])
    return strokes


def mean_iou(groups: Sequence[Group], taps: slice, patch: int) -> float:
    """The mean IoU of all objects, in percent, for features of these taps."""
    ious: list[float] = []
    for group in groups:
        features = np.concatenate(group.taps[taps], axis=1)
        size = group.objects.shape[0], group.objects.shape[1]
        ground = Ground.of(features, seen(size, patch), patch)
        whole = slice(0, size[0]), slice(0, size[1])
        found = np.where(group.objects > 0, ground.divided(group.strokes, whole), 0)
        for number in np.unique(group.objects[group.objects > 0]):
            one, other = found == number, group.objects == number
            ious.append(float((one & other).sum() / (one | other).sum()))
    return 100 * float(np.mean(ious))


def main() -> None:
    """Read, divide and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data of objects")
    parser.add_argument("--split", default="val")
    parser.add_argument("--encoder", default="dinov2-small")
    given = parser.parse_args()
    device = torch.device("cpu")
    shared = SharedPass.of(load_encoder(given.encoder), device, pick_dtype("auto", device))
    width, patch = shared.encoder.config.width, shared.encoder.config.patch_size
    count, rng = len(shared.encoder.config.taps), np.random.default_rng(0)
    groups: list[Group] = []
    for record in read_dataset(image_format("instance", given.data), given.data, given.split):
        for objects in groups_of(record.annotation()):
            features = compute_taps(record.image(), shared)
            taps = [features[:, place * width : (place + 1) * width] for place in range(count)]
            groups.append(Group(taps, objects, strokes_for(objects, rng)))
    total = sum(len(np.unique(group.objects)) - 1 for group in groups)
    print(f"{len(groups)} groups of {total} objects; step: mean IoU", flush=True)
    taken = {"all taps": slice(None), "the last": slice(-1, None), "the first": slice(0, 1)}
    for name, taps in taken.items():
        for step in STEPS:
            division.STEP = step
            print(f"{name}, {step:g}: {mean_iou(groups, taps, patch):.1f}", flush=True)


if __name__ == "__main__":
    main()
