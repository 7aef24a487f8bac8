"""Average precision and recall by COCO's procedure, given what was matched.

Letters: A size ranges, T thresholds, R recall points, D detections and G targets of one class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError
from plainmask.metrics.matching import MAX_DETECTIONS, THRESHOLDS, Outcome, unpacked

RECALLS = np.linspace(0, 1, 101)
"""(R,) where the precision is read."""
_NOTHING = Outcome(*(np.zeros(0, kind) for kind in "qqdqqqq"))


class PrecisionRecall:
    """AP and AR from the outcomes of all images or videos, in the order of their numbers.

    Args:
        names: the classes, in the order of their ids 0..C-1.
        max_detections: ascending; see `MAX_DETECTIONS`.
    """

    def __init__(self, names: Sequence[str], *, max_detections: Sequence[int] = MAX_DETECTIONS):
        self.names = tuple(names)
        self.max_detections = tuple(max_detections)
        self._outcomes: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Count one image or video.

        Raises:
            InputError: a class id that is not there.
        """
        for class_ids in (outcome.class_ids, outcome.target_classes):
            odd = class_ids[(class_ids < 0) | (class_ids >= len(self.names))]
            if odd.size:
                raise InputError(
                    f"there is no class {odd[0]}; the classes are 0..{len(self.names) - 1}"
                )
        self._outcomes.append(outcome)

    def merge(self, other: PrecisionRecall) -> None:
        """Add the images or videos of another one, after those so far."""
        self._outcomes += other._outcomes

    def figures(self) -> dict[str, Any]:
        """The figures so far, in percent; None where there is no target.

        Returns:
            `AP`: the mean over classes, thresholds and recall points; `AP50`, `AP75`: at one
            threshold; `APs`, `APm`, `APl`: small, medium and large objects; `AR1`, `AR10`,
            `AR100`: the mean recall with that many detections; `ARs`, `ARm`, `ARl`;
            `per_class`: name -> AP.
        """
        limits = self.max_detections
        curves = [_curves(outcome, limits) for outcome in self._by_class()]
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

    def _by_class(self) -> Iterator[Outcome]:
        """All images or videos as one, class by class."""
        fields: Any = zip(_NOTHING, *self._outcomes, strict=True)
        joint = [np.concatenate(field) for field in fields]
        found, wanted = (_places(joint[i], len(self.names)) for i in (0, 5))  # ids of classes
        for mine, theirs in zip(found, wanted, strict=True):
            yield Outcome(*(part[mine] for part in joint[:5]), *(p[theirs] for p in joint[5:]))


def _places(class_ids: NDArray[np.int64], count: int) -> list[NDArray[np.intp]]:
    """Where each class stands, in the order of its objects."""
    order = np.argsort(class_ids, kind="stable")
    return np.split(order, np.searchsorted(class_ids[order], np.arange(1, count)))


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


def _curves(outcome: Outcome, limits: Sequence[int]) -> _Curves | None:
    """The curves of one class; None if nothing of it is to be found."""
    targets = unpacked(outcome.wanted)[:, 0].sum(1)  # (A,)
    if not targets.any():
        return None
    order = np.argsort(-outcome.scores, kind="stable")
    matched, ignored = unpacked(outcome.matched[order]), unpacked(outcome.ignored[order])
    right, wrong = matched & ~ignored, ~matched & ~ignored  # (A, T, D)
    curves = _undefined(len(limits))
    sizes = np.flatnonzero(targets)
    for place, count in enumerate(limits):
        found = right[..., outcome.ranks[order] < count].sum(2)  # (A, T)
        curves.recall[place, sizes] = found[sizes] / targets[sizes, None]
    for size in sizes.tolist():
        sums = np.cumsum(right[size], axis=1), np.cumsum(wrong[size], axis=1)
        curves.precision[size] = _precision(*sums, int(targets[size]))
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
