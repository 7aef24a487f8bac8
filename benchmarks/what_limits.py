"""What keeps the AP50 of an instance head low: its masks, its classes or its scores.

    python benchmarks/what_limits.py HEAD DATA --split SPLIT [--every N]

Measured four times: as it is; with each mask under the class of the object that it fits best; with
the overlap with that as its score, too, so that what is left are masks that are not there; and of a
head that has the class of every pixel right, but takes each connected region for one object.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plainmask import load
from plainmask.data.record import Annotation
from plainmask.evaluation.head import read_labelled
from plainmask.evaluation.measures import found_in, target_instances
from plainmask.metrics.instance_ap import Instance, InstanceAP
from plainmask.progress import stepper
from plainmask.results.masks import areas_of, intersections_of
from plainmask.results.rle import Rle


def overlaps(found: Sequence[Instance], wanted: Sequence[Instance]) -> NDArray[np.float64]:
    """IoU of each with each."""
    masks, others = [one.rle for one in found], [one.rle for one in wanted]
    shared = intersections_of(masks, others)
    return shared / np.maximum(areas_of(masks)[:, None] + areas_of(others) - shared, 1)


def with_right_classes(
    found: Sequence[Instance], wanted: Sequence[Instance], *, scores: bool
) -> list[Instance]:
    """Each mask once, under the class of the object that it fits best; with IoU as its `scores`."""
    wanted = [one for one in wanted if not one.crowd]
    surest: dict[Rle, Instance] = {}
    for one in sorted(found, key=lambda one: -one.score):
        surest.setdefault(one.rle, one)
    once = list(surest.values())
    if not once or not wanted:
        return once
    ious = overlaps(once, wanted)
    best = ious.argmax(1)
    return [
        replace(one, class_id=wanted[k].class_id, score=float(iou[k]) if scores else one.score)
        for one, iou, k in zip(once, ious, best, strict=True)
    ]


def right_regions(segments: Annotation) -> list[Instance]:
    """Each connected region of a class, with the score 1."""
    masks = list(segments.masks())
    found: list[Instance] = []
    for class_id in np.unique(segments.class_ids).tolist():
        of_class = [m for m, c in zip(masks, segments.class_ids, strict=True) if c == class_id]
        labelled: Any = ndimage.label(np.any(of_class, axis=0))
        regions, count = labelled
        found += [Instance(class_id, Rle.encode(regions == k + 1)) for k in range(count)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("head")
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1, help="look at every Nth picture")
    options = parser.parse_args()
    segment = load(options.head)
    config = segment.head.config
    records = read_labelled(config, options.data, options.split, None)[:: options.every]
    names = config.vocabulary.names
    ways = ("as it is", "right classes", "right classes and scores", "right regions")
    measures = {way: InstanceAP(names) for way in ways}
    step = stepper("picture")
    for index, record in enumerate(records):
        segments = record.annotation()
        found, wanted = found_in(segment(record.image())), target_instances(segments)
        results = (
            found,
            with_right_classes(found, wanted, scores=False),
            with_right_classes(found, wanted, scores=True),
            right_regions(segments),
        )
        for measure, result in zip(measures.values(), results, strict=True):
            measure.update(result, wanted)
        step(index + 1, len(records))
    print(f"{'':26}{'AP50':>8}{'ARs':>8}{'ARm':>8}{'ARl':>8}")
    for way, measure in measures.items():
        figures = [measure.figures()[key] for key in ("AP50", "ARs", "ARm", "ARl")]
        print(f"{way:26}" + "".join(f"{'-' if x is None else f'{x:.1f}':>8}" for x in figures))


if __name__ == "__main__":
    main()
