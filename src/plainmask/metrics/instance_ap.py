"""AP of instances in images, as COCO's official tool computes it for masks.

Letters: D detections, G targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.metrics.ap import PrecisionRecall
from plainmask.metrics.matching import (
    MAX_DETECTIONS,
    Detections,
    Outcome,
    SizeRanges,
    Sought,
    match,
    same_class,
)
from plainmask.results.masks import areas_of, intersections_of
from plainmask.results.rle import Rle

SIZES = SizeRanges(small=32**2, medium=96**2)


@dataclass(frozen=True)
class Instance:
    """One object of a result or of a target."""

    class_id: int
    """0..C-1."""
    rle: Rle
    score: float = 1.0
    """How sure a result is, 0..1."""
    crowd: bool = False
    """Of a target: stands for a group of objects, which is forgiven."""
    area: float | None = None
    """Of a target: pixels as the annotation file states them; None: those of the mask."""


class InstanceAP:
    """Average precision and recall over all images given to `update`.

    Args:
        names: the classes, in the order of their ids 0..C-1.
        max_detections: how many detections of a class count in an image, ascending; AP counts as
            many as the last says. COCO's: 1, 10 and 100.
    """

    def __init__(self, names: Sequence[str], *, max_detections: Sequence[int] = MAX_DETECTIONS):
        self.curves = PrecisionRecall(names, max_detections=max_detections)

    def update(self, results: Sequence[Instance], targets: Sequence[Instance]) -> None:
        """Count one image.

        Args:
            results: the detections; of equal scores the first counts as surer.
            targets: the annotation, crowds included.

        Raises:
            InputError: masks of different sizes, or a class id out of range.
        """
        self.curves.add(_outcome(results, targets, self.curves.max_detections[-1]))

    def merge(self, other: InstanceAP) -> None:
        """Add the images of another one, after those so far."""
        self.curves.merge(other.curves)

    def figures(self) -> dict[str, Any]:
        """The figures so far, in percent; see `PrecisionRecall.figures`."""
        return self.curves.figures()


def _outcome(
    results: Sequence[Instance], targets: Sequence[Instance], max_detections: int
) -> Outcome:
    """Match the objects of one image."""
    masks, target_masks = [r.rle for r in results], [t.rle for t in targets]
    areas, target_areas = areas_of(masks), areas_of(target_masks)
    crowd = np.array([target.crowd for target in targets], np.bool_)

    def ious(rows: list[int], columns: list[int]) -> NDArray[np.float64]:
        shared = intersections_of([masks[i] for i in rows], [target_masks[i] for i in columns])
        # On a crowd it only counts how much of the detection lies there.
        beyond = np.where(crowd[columns], 0, target_areas[columns] - shared)
        return shared / np.maximum(areas[rows][:, None] + beyond, 1)

    stated = [
        counted if target.area is None else target.area
        for target, counted in zip(targets, target_areas.tolist(), strict=True)
    ]
    return match(
        same_class(results, targets, ious),
        Detections(
            np.array([result.class_id for result in results], np.int64),
            np.array([result.score for result in results], np.float64),
            areas.astype(np.float64),
        ),
        Sought(
            np.array([target.class_id for target in targets], np.int64),
            np.array(stated, np.float64),
            crowd,
        ),
        SIZES,
        max_detections,
    )
