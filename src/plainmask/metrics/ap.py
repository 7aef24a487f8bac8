"""Average precision and recall by COCO's procedure, given how objects overlap.

What the objects are, and how much they overlap, is the callers' (`instance_ap`, `track_ap`).

Letters: A size ranges, T thresholds, R recall points, D detections, G targets of one class in one
image or video.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""(T,) least IoUs of a match; the ninth is 0.8999999999999999, as in the official tool."""
RECALLS = np.linspace(0, 1, 101)
"""(R,) where the precision is read."""
MAX_DETECTIONS = (1, 10, 100)
"""How many detections of a class count in an image or video; figures AR1, AR10, AR100, and AP at
the last."""


class _HasClass(Protocol):
    @property
    def class_id(self) -> int: ...


_Object = TypeVar("_Object", bound=_HasClass)

_LARGEST_IOU = 1 - 1e-10
"""Thresholds are no higher, so that an IoU of 1 passes whatever the rounding."""


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


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of the detections of one class in one image or video, by falling score."""

    scores: NDArray[np.float64]
    """(D,)."""
    matched: NDArray[np.bool_]
    """(A, T, D): took a target."""
    ignored: NDArray[np.bool_]
    """(A, T, D): neither right nor wrong."""
    targets: NDArray[np.int64]
    """(A,): targets that are to be found."""


def match(
    ious: NDArray[np.float64],
    scores: NDArray[np.float64],
    areas: NDArray[np.float64],
    target_areas: NDArray[np.float64],
    crowd: NDArray[np.bool_],
    sizes: SizeRanges,
    max_detections: int = MAX_DETECTIONS[-1],
) -> Outcome:
    """Let each detection, the surest first, take the best target that is left (docs/model.md 8.2).

    Of targets with equal IoU the later one is taken; crowds and targets out of the size range only
    if no other fits, and a crowd by any number of detections. A detection that took such a target
    is ignored, and one that took none and is itself out of the range, too.

    Args:
        ious: (D, G) in 0..1.
        scores: (D,) in any order; of equal ones the first counts as surer.
        areas: (D,) pixels.
        target_areas: (G,) pixels.
        crowd: (G,).
        sizes: the ranges for which all is done.
        max_detections: so many of the surest count.
    """
    order = np.argsort(-scores, kind="stable")[:max_detections]
    low, high = sizes.limits.T[..., None]  # (A, 1) each
    outside = (areas[order] < low) | (areas[order] > high)  # (A, D)
    unwanted = crowd | (target_areas < low) | (target_areas > high)  # (A, G)
    shape = len(low), len(THRESHOLDS), len(order)
    matched, ignored = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    if len(crowd):
        _take(ious[order], unwanted, crowd, matched, ignored)
    ignored |= ~matched & outside[:, None]
    return Outcome(scores[order], matched, ignored, (~unwanted).sum(1))


def _take(
    ious: NDArray[np.float64],
    unwanted: NDArray[np.bool_],
    crowd: NDArray[np.bool_],
    matched: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
) -> None:
    """Fill `matched` and `ignored` (A, T, D), detection by detection, all ranges at once."""
    least = np.minimum(THRESHOLDS, _LARGEST_IOU)[:, None]  # (T, 1)
    free = np.ones((len(unwanted), len(THRESHOLDS), len(crowd)), np.bool_)  # (A, T, G)
    wanted = ~unwanted[:, None]  # (A, 1, G)
    last = len(crowd) - 1
    for index in np.flatnonzero((ious >= THRESHOLDS[0]).any(1)).tolist():
        fits = free & (ious[index] >= least)  # (A, T, G)
        good = fits & wanted
        any_good = good.any(2)  # (A, T)
        fits = np.where(any_good[..., None], good, fits)
        # Reversed, because of equal IoUs the last one is taken.
        best = last - np.argmax(np.where(fits, ious[index], -1.0)[..., ::-1], axis=2)  # (A, T)
        taken = fits.any(2)
        ranges, steps = np.nonzero(taken)
        free[ranges, steps, best[ranges, steps]] = crowd[best[ranges, steps]]
        matched[..., index] = taken
        ignored[..., index] = taken & ~any_good


class PrecisionRecall:
    """AP and AR from the outcomes of all images or videos, in the order of their numbers.

    Args:
        names: the classes, in the order of their ids 0..C-1.
        max_detections: ascending; see `MAX_DETECTIONS`.
    """

    def __init__(self, names: Sequence[str], *, max_detections: Sequence[int] = MAX_DETECTIONS):
        self.names = tuple(names)
        self.max_detections = tuple(max_detections)
        self._outcomes: list[list[Outcome]] = [[] for _ in names]

    def add(self, class_id: int, outcome: Outcome) -> None:
        """Count one class in one image or video.

        Raises:
            InputError: there is no such class.
        """
        if not 0 <= class_id < len(self.names):
            raise InputError(
                f"there is no class {class_id}; the classes are 0..{len(self.names) - 1}"
            )
        self._outcomes[class_id].append(outcome)

    def merge(self, other: PrecisionRecall) -> None:
        """Add the images or videos of another one, after those so far."""
        for mine, theirs in zip(self._outcomes, other._outcomes, strict=True):
            mine.extend(theirs)

    def figures(self) -> dict[str, Any]:
        """The figures so far, in percent; None where there is no target.

        Returns:
            `AP`: the mean over classes, thresholds and recall points; `AP50`, `AP75`: at one
            threshold; `APs`, `APm`, `APl`: small, medium and large objects; `AR1`, `AR10`,
            `AR100`: the mean recall with that many detections; `ARs`, `ARm`, `ARl`;
            `per_class`: name -> AP.
        """
        limits = self.max_detections
        curves = [_curves(outcomes, limits) for outcomes in self._outcomes]
        known = [curve for curve in curves if curve is not None]
        if not known:
            known = [_undefined(len(limits))]
        precision = np.stack([curve.precision for curve in known])  # (C, A, T, R)
        recall = np.stack([curve.recall for curve in known])  # (C, M, A, T)
        figures: dict[str, Any] = {
            "AP": _mean(precision[:, 0]),
            "AP50": _mean(precision[:, 0, 0]),
            "AP75": _mean(precision[:, 0, 5]),
        }
        figures |= {f"AP{size}": _mean(precision[:, i]) for i, size in enumerate("sml", 1)}
        figures |= {f"AR{n}": _mean(recall[:, i, 0]) for i, n in enumerate(limits)}
        figures |= {f"AR{size}": _mean(recall[:, -1, i]) for i, size in enumerate("sml", 1)}
        figures["per_class"] = {
            name: None if curve is None else _mean(curve.precision[0])
            for name, curve in zip(self.names, curves, strict=True)
        }
        return figures


@dataclass(frozen=True, eq=False)
class _Curves:
    """Of one class; NaN where a size range has no target."""

    precision: NDArray[np.float64]
    """(A, T, R) with the largest number of detections."""
    recall: NDArray[np.float64]
    """(M, A, T) by number of detections."""


def _undefined(num_limits: int) -> _Curves:
    shape = 4, len(THRESHOLDS)
    return _Curves(np.full((*shape, len(RECALLS)), np.nan), np.full((num_limits, *shape), np.nan))


def _curves(outcomes: Sequence[Outcome], limits: Sequence[int]) -> _Curves | None:
    """The curves of one class; None if nothing of it is to be found."""
    targets = sum((outcome.targets for outcome in outcomes), start=np.zeros(4, np.int64))
    if not targets.any():
        return None
    curves = _undefined(len(limits))
    for place, count in enumerate(limits):
        scores = np.concatenate([outcome.scores[:count] for outcome in outcomes])
        order = np.argsort(-scores, kind="stable")
        matched = np.concatenate([o.matched[..., :count] for o in outcomes], axis=2)[..., order]
        ignored = np.concatenate([o.ignored[..., :count] for o in outcomes], axis=2)[..., order]
        right = np.cumsum(matched & ~ignored, axis=2)  # (A, T, D)
        wrong = np.cumsum(~matched & ~ignored, axis=2)
        for size in np.flatnonzero(targets).tolist():
            found = right[size, :, -1] if len(scores) else np.zeros(len(THRESHOLDS))
            curves.recall[place, size] = found / targets[size]
            if count == max(limits):
                curves.precision[size] = _precision(right[size], wrong[size], int(targets[size]))
    return curves


def _precision(
    right: NDArray[np.int64], wrong: NDArray[np.int64], targets: int
) -> NDArray[np.float64]:
    """Precision (T, R) at the recall points, made to fall from left to right."""
    sampled = np.zeros((len(right), len(RECALLS)))
    precision = right / (right + wrong + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # (T, D)
    for step in range(len(right)):
        places = np.searchsorted(right[step] / targets, RECALLS, side="left")
        reached = places < precision.shape[1]
        sampled[step, reached] = precision[step, places[reached]]
    return sampled


def _mean(values: NDArray[np.float64]) -> float | None:
    """Of what is defined, in percent."""
    known = values[~np.isnan(values)]
    return 100 * float(known.mean()) if known.size else None


def group_by_class(
    results: Sequence[_Object], targets: Sequence[_Object]
) -> Iterator[tuple[int, list[_Object], list[_Object]]]:
    """Each class that occurs, ascending, with its results and its targets in their order."""
    for class_id in sorted({item.class_id for item in (*results, *targets)}):
        mine = [result for result in results if result.class_id == class_id]
        yield class_id, mine, [target for target in targets if target.class_id == class_id]
