"""Panoptic quality by the rules of the official script (panopticapi).

Letters: C classes, G segments of the target, D of the result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError
from plainmask.metrics.panoptic_map import Overlap, PanopticMap, Side
from plainmask.vocabulary import Vocabulary


class PanopticTally:
    """Matches, misses and false alarms of each class, and the figures that they give.

    Args:
        vocabulary: the classes.
        rule: "official", or "pmt", as the published figures of images were measured: means are over
            all classes, absent ones as 0, and stuff is a crowd where the image's first segment is.
    """

    def __init__(self, vocabulary: Vocabulary, *, rule: Literal["official", "pmt"] = "official"):
        self.rule = rule
        self.names = vocabulary.names
        self.things = np.array([entry.thing for entry in vocabulary.classes], np.bool_)
        self._ious: list[tuple[NDArray[np.intp], NDArray[np.float64]]] = []
        """Of each picture the classes with matches, and their sums of IoUs."""
        self.matched = np.zeros(len(vocabulary), np.int64)
        """True positives."""
        self.false = np.zeros(len(vocabulary), np.int64)
        """False positives: segments of results that match nothing."""
        self.missed = np.zeros(len(vocabulary), np.int64)
        """False negatives: segments of targets that nothing matches."""

    def add(self, overlap: Overlap) -> None:
        """Match the segments of one picture, or the tubes of one window, and count.

        See docs/model.md 8.3.

        A pair of equal class matches if its IoU, the target's void left out of the union, is more
        than 0.5; so each segment has at most one match. Crowds of the target match nothing. A
        segment of the result without a match does not count if more than half of it lies on void
        and on the crowd of its class, of several the one that is listed last; or if it has no
        pixel.

        Raises:
            InputError: a class id that the vocabulary does not have, or a stated area of the
                target smaller than what the result shares with it.
        """
        self._check_classes(overlap.target.class_ids, "target")
        self._check_classes(overlap.result.class_ids, "result")
        if self.rule == "pmt":
            overlap = self._with_published_crowds(overlap)
        target, result = overlap.target, overlap.result
        rows, columns, ious = _matches(overlap)
        sums = self._by_class(target.class_ids[rows], ious)
        present = np.flatnonzero(sums)
        self._ious.append((present, sums[present]))
        self.matched += self._by_class(target.class_ids[rows])
        missed = ~target.crowd
        missed[rows] = False
        self.missed += self._by_class(target.class_ids[missed])
        false = ~_forgiven(overlap) & (result.areas > 0)
        false[columns] = False
        self.false += self._by_class(result.class_ids[false])

    def merge(self, other: PanopticTally) -> None:
        """Add the pictures of another one, after those so far."""
        self._ious += other._ious
        self.matched += other.matched
        self.false += other.false
        self.missed += other.missed

    @property
    def iou_sum(self) -> NDArray[np.float64]:
        """(C,): the IoUs of all matches, added up picture by picture, whoever counted them."""
        if not self._ious:
            return np.zeros(len(self.names))
        class_ids, sums = (np.concatenate(part) for part in zip(*self._ious, strict=True))
        return self._by_class(class_ids, sums)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(C,): the classes that occur, and so have a figure."""
        return self.matched + self.false + self.missed > 0

    def qualities(self) -> dict[str, NDArray[np.float64]]:
        """`PQ`, `SQ` and `RQ` of each class, (C,) in 0..1; 0 where it does not occur."""
        weight = np.maximum(self.matched + self.false / 2 + self.missed / 2, 0.5)
        return {
            "PQ": self.iou_sum / weight,
            "SQ": self.iou_sum / np.maximum(self.matched, 1),
            "RQ": self.matched / weight,
        }

    def figures(self) -> dict[str, float | None]:
        """The figures so far, in percent; None where no class occurs.

        Returns:
            `PQ`, `SQ`, `RQ`: means over the classes that occur; `PQ_th` …: over things; `PQ_st` …:
            over stuff.
        """
        in_mean = np.ones_like(self.things) if self.rule == "pmt" else self.counted
        groups = {"": in_mean, "_th": in_mean & self.things, "_st": in_mean & ~self.things}
        return {
            name + suffix: 100 * float(values[group].mean()) if group.any() else None
            for suffix, group in groups.items()
            for name, values in self.qualities().items()
        }

    def _with_published_crowds(self, overlap: Overlap) -> Overlap:
        """Stuff takes the crowd flag of the first segment, as published.

        See docs/model.md 9, quirk 13.
        """
        target = overlap.target
        if not len(target.crowd):
            return overlap
        crowd = np.where(self.things[target.class_ids], target.crowd, target.crowd[0])
        return replace(overlap, target=replace(target, crowd=crowd))

    def _by_class(
        self, class_ids: NDArray[np.int64], weights: NDArray[np.float64] | None = None
    ) -> NDArray[Any]:
        return np.bincount(class_ids, weights, minlength=len(self.names))

    def _check_classes(self, class_ids: NDArray[np.int64], side: str) -> None:
        odd = class_ids[(class_ids < 0) | (class_ids >= len(self.names))]
        if odd.size:
            raise InputError(
                f"the {side} holds a segment of class {odd[0]}; the classes are "
                f"0..{len(self.names) - 1}"
            )


class PanopticQuality:
    """Panoptic quality over all images given to `update`; of each a number a class is kept.

    Args:
        vocabulary, rule: see `PanopticTally`.
    """

    def __init__(self, vocabulary: Vocabulary, *, rule: Literal["official", "pmt"] = "official"):
        self.tally = PanopticTally(vocabulary, rule=rule)

    def update(self, result: PanopticMap, target: PanopticMap) -> None:
        """Count the segments of one image.

        Raises:
            InputError: the sizes differ, or as `PanopticTally.add`.
        """
        self.tally.add(Overlap.between(result, target))

    def merge(self, other: PanopticQuality) -> None:
        """Add the images of another one, after those so far."""
        self.tally.merge(other.tally)

    def figures(self) -> dict[str, Any]:
        """The figures so far, in percent.

        Returns:
            as `PanopticTally.figures`, and `per_class`: name -> PQ, None for a class that occurs
            in neither targets nor results.
        """
        quality = 100 * self.tally.qualities()["PQ"]
        return {
            **self.tally.figures(),
            "per_class": {
                name: float(value) if counted else None
                for name, value, counted in zip(
                    self.tally.names, quality, self.tally.counted, strict=True
                )
            },
        }


def _matches(
    overlap: Overlap,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Segments of the target and of the result that match each other, and the IoU of each pair."""
    target, result = overlap.target, overlap.result
    shared = overlap.pixels[1:, 1:]
    possible = (target.class_ids[:, None] == result.class_ids) & ~target.crowd[:, None]
    rows, columns = np.nonzero(possible & (shared > 0))
    inter = shared[rows, columns]
    void = overlap.pixels[0, 1:][columns]
    union = target.areas[rows] + result.areas[columns] - inter - void
    if (union < inter).any():
        row = rows[np.argmax(union < inter)]
        raise InputError(
            f"segment {target.ids[row]} of the target is said to have {target.areas[row]} pixels, "
            "fewer than the map shows; correct its area in the annotation file"
        )
    ious = inter / union
    good = ious > 0.5
    return rows[good], columns[good], ious[good]


def _forgiven(overlap: Overlap) -> NDArray[np.bool_]:
    """(D,): segments of the result that lie mostly on void and the crowd of their class."""
    target, result = overlap.target, overlap.result
    beside = overlap.pixels[0, 1:].copy()
    for index in _last_crowds(target):
        of_class = result.class_ids == target.class_ids[index]
        beside[of_class] += overlap.pixels[index + 1, 1:][of_class]
    return beside / np.maximum(result.areas, 1) > 0.5


def _last_crowds(target: Side) -> list[int]:
    """For each class that has crowds, the one that is listed last."""
    crowds = np.flatnonzero(target.crowd).tolist()
    return list({int(target.class_ids[index]): index for index in crowds}.values())
