"""Segmentation and tracking quality.

Letters: C classes, g tube of the target, d tube of the result.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from plainmask.metrics.panoptic_map import Overlap, PanopticMap, Side
from plainmask.metrics.videos import Videos
from plainmask.vocabulary import Vocabulary

Tube: TypeAlias = tuple[int, int]
"""Class and id of a thing: all its pixels in one video."""


@dataclass(eq=False)
class _Tubes:
    """How many pixels the tubes of one video have, and share."""

    areas: Counter[Tube] = field(default_factory=Counter)
    """Of the target."""
    result_areas: Counter[Tube] = field(default_factory=Counter)
    """Of the result."""
    shared: Counter[tuple[Tube, Tube]] = field(default_factory=Counter)
    """Of a tube of the target and one of the result."""
    crowds: set[Tube] = field(default_factory=set)
    """Tubes of the target that stand for groups."""
    first_id: int | None = None
    """The id that the target lists first in this video."""


@dataclass(frozen=True)
class _Association:
    """Sum over the tubes of targets, and their number."""

    total: float = 0.0
    tubes: int = 0

    def __add__(self, other: _Association) -> _Association:
        return _Association(self.total + other.total, self.tubes + other.tubes)


class SegmentationTrackingQuality:
    """STQ over all videos, whose frames are given to `update` in order (docs/model.md 8.5).

    The figures are given in two readings. The plain one averages the IoU over classes, and leaves
    out of the association the targets that are marked as crowds. The published VIPSeg script
    counts "no class" as one more class, of IoU 0, as soon as a labelled pixel is predicted as
    nothing (docs/model.md 9, quirk 8), and takes the segment that a video's target lists first for
    a crowd, if it is a thing, while it does not read the marks (quirk 9).
    """

    def __init__(self, vocabulary: Vocabulary):
        self.names = vocabulary.names
        # One more for no class: of the target's void and of what no result covers.
        self._is_thing = np.array([*(c.thing for c in vocabulary.classes), False], np.bool_)
        # Rows: target; columns: result; the last of both: no class.
        self.confusion = np.zeros((len(self.names) + 1,) * 2, np.int64)
        self._videos = Videos(_Tubes, _associations)

    def update(self, result: PanopticMap, target: PanopticMap, *, video: str) -> None:
        """Count the pixels of one frame.

        Args:
            result: of the size of the target; ids are constant over the video.
            target: its ids are constant over the video, its segments in the order of the file.
            video: names the video; all its frames come in order before those of another.

        Raises:
            InputError: the sizes differ, or the video was left before.
        """
        self.add(Overlap.between(result, target), video=video)

    def add(self, overlap: Overlap, *, video: str) -> None:
        """As `update`, with what several metrics of one frame have in common."""
        tubes = self._videos.at(video)
        target_classes, result_classes = (
            self._classes(overlap.target),
            self._classes(overlap.result),
        )
        np.add.at(self.confusion, np.ix_(target_classes, result_classes), overlap.pixels)
        self._add_tubes(tubes, overlap, target_classes, result_classes)

    def merge(self, other: SegmentationTrackingQuality) -> None:
        """Add the videos of another one, after those so far."""
        self._videos.merge(other._videos)
        self.confusion += other.confusion

    def segmentation_quality(self, *, published: bool = False) -> float | None:
        """SQ in 0..1: the mean IoU over the classes that occur; None if there are none.

        Args:
            published: whether "no class" is one more of them.
        """
        ious, unions = self._ious()
        if not published:
            ious, unions = ious[:-1], unions[:-1]
        return float(ious[unions > 0].mean()) if unions.any() else None

    def association_quality(self, *, published: bool = False) -> float | None:
        """AQ in 0..1: how well the tubes of things are kept together; None if there are none.

        Args:
            published: whether the crowd is what each video lists first, not what is marked.
        """
        videos = self._videos.all().values()
        association = sum((video[published] for video in videos), start=_Association())
        return association.total / association.tubes if association.tubes else None

    def figures(self) -> dict[str, Any]:
        """The figures so far, in percent; None where they are not defined.

        Returns:
            `STQ`, `SQ`, `AQ`; the same with `_published` in the reading of the published script;
            `per_class`: name -> IoU, None for a class that occurs in neither targets nor results.
        """
        figures: dict[str, Any] = {}
        for suffix, published in (("", False), ("_published", True)):
            segmentation = self.segmentation_quality(published=published)
            association = self.association_quality(published=published)
            figures["STQ" + suffix] = None
            if segmentation is not None and association is not None:
                figures["STQ" + suffix] = 100 * math.sqrt(segmentation * association)
            figures["SQ" + suffix] = None if segmentation is None else 100 * segmentation
            figures["AQ" + suffix] = None if association is None else 100 * association
        ious, unions = self._ious()
        figures["per_class"] = {
            name: 100 * float(iou) if union else None
            for name, iou, union in zip(self.names, ious[:-1], unions[:-1], strict=True)
        }
        return figures

    def _ious(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """IoU and union of each class and of no class, (C+1,); void targets do not count."""
        labelled = self.confusion[:-1]
        hits = np.append(np.diagonal(labelled), 0)
        unions = np.append(labelled.sum(1), 0) + labelled.sum(0) - hits
        return hits / np.maximum(unions, 1), unions

    def _classes(self, side: Side) -> NDArray[np.int64]:
        """The class of no segment, and of each: (N+1,)."""
        return np.append(len(self.names), side.class_ids)

    def _add_tubes(
        self,
        tubes: _Tubes,
        overlap: Overlap,
        target_classes: NDArray[np.int64],
        result_classes: NDArray[np.int64],
    ) -> None:
        target, result = overlap.target, overlap.result
        if tubes.first_id is None and target.ids.size:
            tubes.first_id = int(target.ids[0])
        rows = np.flatnonzero(self._is_thing[target_classes])
        columns = np.flatnonzero(self._is_thing[result_classes])
        of_row = {
            row: (int(target_classes[row]), int(target.ids[row - 1])) for row in rows.tolist()
        }
        of_column = {
            column: (int(result_classes[column]), int(result.ids[column - 1]))
            for column in columns.tolist()
        }
        tubes.crowds.update(tube for row, tube in of_row.items() if target.crowd[row - 1])
        for row, area in zip(of_row, overlap.pixels[rows].sum(1).tolist(), strict=True):
            tubes.areas[of_row[row]] += area
        for column, area in zip(of_column, overlap.pixels[:, columns].sum(0).tolist(), strict=True):
            tubes.result_areas[of_column[column]] += area
        pixels = overlap.pixels[np.ix_(rows, columns)]
        for i, j in zip(*(part.tolist() for part in np.nonzero(pixels)), strict=True):
            pair = of_row[int(rows[i])], of_column[int(columns[j])]
            tubes.shared[pair] += int(pixels[i, j])


def _associations(tubes: _Tubes) -> tuple[_Association, _Association]:
    """Of one video, in the plain reading and in the published one."""
    first = {tube for tube in tubes.areas if tube[1] == tubes.first_id}
    return _associate(tubes, tubes.crowds), _associate(tubes, first)


def _associate(tubes: _Tubes, crowds: Collection[Tube]) -> _Association:
    """Sum over g of 1/|g| * sum over d of TPA^2 / (|g| + |d| - TPA), TPA = |g & d|.

    The pixels of crowds are removed from both sides.
    """
    result_areas = tubes.result_areas.copy()
    for (g, d), pixels in tubes.shared.items():
        if g in crowds:
            result_areas[d] -= pixels
    sums: dict[Tube, float] = {
        g: 0.0 for g, area in tubes.areas.items() if area and g not in crowds
    }
    for (g, d), pixels in tubes.shared.items():
        if g in sums:
            area = tubes.areas[g]
            sums[g] += pixels / area * pixels / (area + result_areas[d] - pixels)
    return _Association(sum(sums.values()), len(sums))
