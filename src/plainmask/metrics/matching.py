"""COCO's matching of detections with what is to be found, in one image or video.

What the objects are, and how much they overlap, is the callers' (`instance_ap`, `track_ap`).

Letters: A size ranges, T thresholds, D detections and G targets of an image or video.

A set of size ranges and thresholds is a number: range a with threshold t is its bit a * T + t. So
what became of a detection is two numbers, however many the ranges and thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""(T,) least IoUs of a match; the ninth is 0.8999999999999999, as in the official tool."""
MAX_DETECTIONS = (1, 10, 100)
"""How many detections of a class count in an image or video; figures AR1, AR10, AR100, and AP at
the last."""


class _HasClass(Protocol):
    @property
    def class_id(self) -> int: ...


_Object = TypeVar("_Object", bound=_HasClass)

_LARGEST_IOU = 1 - 1e-10
"""Thresholds are no higher, so that an IoU of 1 passes whatever the rounding."""
_SIZES = 4
"""A: all sizes, small, medium and large."""
_IN_RANGE = np.int64(2 ** len(THRESHOLDS) - 1) << np.arange(_SIZES) * len(THRESHOLDS)
"""(A,): all thresholds of a range."""
_ALL = int(_IN_RANGE.sum())


@dataclass(frozen=True)
class SizeRanges:
    """Areas in pixels that make an object small, medium or large; a limit belongs to both."""

    small: float
    """The largest area of a small object."""
    medium: float
    """The largest area of a medium object."""

    @property
    def limits(self) -> NDArray[np.float64]:
        """(A, 2): least and largest area of all sizes, small, medium and large."""
        end = 1e10
        rows = [(0, end), (0, self.small), (self.small, self.medium), (self.medium, end)]
        return np.array(rows, np.float64)


class Detections(NamedTuple):
    """Of one image or video; of equal scores the first counts as surer."""

    class_ids: NDArray[np.int64]
    """(D,)."""
    scores: NDArray[np.float64]
    """(D,)."""
    areas: NDArray[np.float64]
    """(D,) pixels."""


class Sought(NamedTuple):
    """What is to be found in one image or video."""

    class_ids: NDArray[np.int64]
    """(G,)."""
    areas: NDArray[np.float64]
    """(G,) pixels."""
    crowd: NDArray[np.bool_]
    """(G,): groups, which are forgiven."""


class Outcome(NamedTuple):
    """What became of the detections in one image or video, by falling score."""

    class_ids: NDArray[np.int64]
    """(D,)."""
    ranks: NDArray[np.int64]
    """(D,): how many of its class are surer."""
    scores: NDArray[np.float64]
    """(D,)."""
    matched: NDArray[np.int64]
    """(D,) sets: where it took a target."""
    ignored: NDArray[np.int64]
    """(D,) sets: where it is neither right nor wrong."""
    target_classes: NDArray[np.int64]
    """(G,)."""
    wanted: NDArray[np.int64]
    """(G,) sets: where the target is to be found."""


def match(
    ious: NDArray[np.float64],
    detections: Detections,
    sought: Sought,
    sizes: SizeRanges,
    max_detections: int = MAX_DETECTIONS[-1],
) -> Outcome:
    """Let each detection, the surest first, take the best target that is left (docs/model.md 8.2).

    Of targets with equal IoU the later one is taken; crowds and targets out of the size range only
    if no other fits, and a crowd by any number of detections. A detection that took such a target
    is ignored, and one that took none and is itself out of the range, too.

    Args:
        ious: (D, G) in 0..1; 0 where classes differ.
        detections, sought: of an image or video.
        sizes: the ranges for which all is done.
        max_detections: so many of the surest of each class count.
    """
    order = np.argsort(-detections.scores, kind="stable")
    ranks = _ranks(detections.class_ids[order])
    order, ranks = order[ranks < max_detections], ranks[ranks < max_detections]
    wanted = np.where(sought.crowd, 0, _in_range(sought.areas, sizes))
    matched, ignored = _take(ious[order], wanted.tolist(), sought.crowd.tolist())
    outside = _ALL & ~_in_range(detections.areas[order], sizes)
    return Outcome(
        detections.class_ids[order],
        ranks,
        detections.scores[order],
        matched,
        ignored | outside & ~matched,
        sought.class_ids,
        wanted,
    )


def _ranks(class_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """(D,): how many of the same class come before each."""
    order = np.argsort(class_ids, kind="stable")
    ordered = class_ids[order]
    ranks = np.empty_like(class_ids)
    ranks[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return ranks


def _in_range(areas: NDArray[np.float64], sizes: SizeRanges) -> NDArray[np.int64]:
    """(N,) sets: all thresholds of the ranges in which areas (N,) lie."""
    low, high = sizes.limits.T
    inside = (areas[:, None] >= low) & (areas[:, None] <= high)  # (N, A)
    return inside @ _IN_RANGE


def _take(
    ious: NDArray[np.float64], wanted: list[int], crowd: list[bool]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each detection takes a target, and where that is no wanted one: (D,) sets each."""
    least = np.minimum(THRESHOLDS, _LARGEST_IOU)
    passed = np.searchsorted(least, ious, side="right")  # (D, G): that many thresholds
    rows, columns = np.nonzero(passed)
    near: dict[int, list[tuple[float, int, int]]] = {}
    sets = ((1 << passed[rows, columns]) - 1) * (_ALL // (2 ** len(THRESHOLDS) - 1))
    values = ious[rows, columns].tolist()
    for row, *pair in zip(rows.tolist(), values, columns.tolist(), sets.tolist(), strict=True):
        near.setdefault(row, []).append((pair[0], pair[1], pair[2]))
    free = [_ALL] * len(wanted)
    matched, ignored = np.zeros((2, len(ious)), np.int64)
    for row, pairs in near.items():
        pairs.sort(reverse=True)  # the best first, of equal IoUs the later one
        taken = good = 0
        for is_good in (True, False):
            for _, column, where in pairs:
                kind = wanted[column] if is_good else ~wanted[column]
                takes = where & free[column] & kind & ~taken
                taken |= takes
                if not crowd[column]:
                    free[column] &= ~takes
            good = taken if is_good else good
        matched[row], ignored[row] = taken, taken & ~good
    return matched, ignored


def unpacked(sets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(A, T, N) of sets (N,)."""
    bits = sets >> np.arange(_SIZES * len(THRESHOLDS))[:, None] & 1
    return bits.astype(np.bool_).reshape(_SIZES, len(THRESHOLDS), -1)


def same_class(
    results: Sequence[_Object],
    targets: Sequence[_Object],
    ious: Callable[[list[int], list[int]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """IoUs (D, G) of results and targets of equal classes; 0 for others, which are not compared.

    Args:
        results, targets: D and G objects.
        ious: gives those of some results with some targets, by their places.
    """
    found = np.zeros((len(results), len(targets)))
    places: dict[int, list[int]] = {}
    for place, target in enumerate(targets):
        places.setdefault(target.class_id, []).append(place)
    for class_id, columns in places.items():
        rows = [place for place, result in enumerate(results) if result.class_id == class_id]
        if rows:
            found[np.ix_(rows, columns)] = ious(rows, columns)
    return found
