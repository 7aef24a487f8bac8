"""Mean intersection over union of label maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError
from plainmask.metrics.runs import Runs


class MeanIoU:
    """Mean IoU over all images given to `update`, from one confusion matrix of all pixels.

    Args:
        names: the classes, in the order of their ids 0..C-1.
        ignore: pixels whose target is this value do not count.
        rule: which classes are in the mean. "official" (Cityscapes, mmsegmentation): those that
            occur in targets or predictions. "pmt" (as the published figures of images were
            measured): all, absent ones as 0. "vspw" (as those of videos): those that occur in
            targets. On complete benchmarks all agree.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        ignore: int = 255,
        rule: Literal["official", "pmt", "vspw"] = "official",
    ):
        self.names = tuple(names)
        self.ignore = ignore
        self.rule = rule
        # Rows: target classes; columns: predicted classes, then one for "no class".
        self.confusion = np.zeros((len(self.names), len(self.names) + 1), np.int64)

    def update(self, result: NDArray[Any], target: NDArray[Any]) -> None:
        """Count the pixels of one image.

        Args:
            result: (H, W) integers, the predicted classes; what is outside 0..C-1 (-1, 255) is no
                class and counts as a miss of the true one.
            target: (H, W) integers, the true classes 0..C-1 or the value to ignore.

        Raises:
            InputError: the sizes differ, or the target holds another value.
        """
        if result.shape != target.shape:
            raise InputError(f"a result of size {result.shape} for a target of {target.shape}")
        count = len(self.names)
        found, truth, lengths = Runs.of(result).on(Runs.of(target))
        valid = truth != self.ignore
        truth, lengths = truth[valid].astype(np.int64), lengths[valid]
        odd = truth[(truth < 0) | (truth >= count)]
        if odd.size:
            raise InputError(
                f"the target holds {odd[0]}, which is neither a class (0..{count - 1}) nor the "
                f"value to ignore ({self.ignore})"
            )
        found = found[valid].astype(np.int64)
        found[(found < 0) | (found >= count)] = count
        np.add.at(self.confusion, (truth, found), lengths)

    def merge(self, other: MeanIoU) -> None:
        """Add the images of another one."""
        self.confusion += other.confusion

    def figures(self) -> dict[str, Any]:
        """The figures so far, in percent.

        Returns:
            `mIoU`, None if no class is in the mean; `per_class`: name -> IoU, None for a class that
            occurs in neither targets nor predictions.
        """
        hits = np.diagonal(self.confusion)
        unions = self.confusion.sum(1) + self.confusion[:, :-1].sum(0) - hits
        ious = 100 * hits / np.maximum(unions, 1)
        in_mean = {
            "official": unions > 0,
            "pmt": np.ones_like(unions, np.bool_),
            "vspw": self.confusion.sum(1) > 0,
        }
        counted = ious[in_mean[self.rule]]
        return {
            "mIoU": float(counted.mean()) if counted.size else None,
            "per_class": {
                name: float(iou) if union else None
                for name, iou, union in zip(self.names, ious, unions, strict=True)
            },
        }
