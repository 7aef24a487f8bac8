"""A linear head in closed form, from sums that single patches can be added to and taken from.

Linear discriminant analysis on the features of labelled patches: every class has a mean, all
share one covariance, and every class counts as equally likely, however much was labelled of it. It
needs one matrix for all classes, where ridge regression that balances classes needs one for each,
and finds more from the strokes of a robot (benchmarks/label.py).

Letters: N patches, D numbers of a patch, C classes, K classes with labels, h w patch grid, H W size
of the picture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from plainmask.label.stroke import NO_LABEL
from plainmask.pictures.geometry import Geometry, Size

PRIOR = 1000.0
"""Patches that a covariance without any structure counts as; it matters while labels are few."""
LEAST = 1e-6
"""Patches of a class below which it counts as not labelled: what is left of sums that went away."""


class LinearHead(NamedTuple):
    """A head for K of the classes."""

    classes: NDArray[np.int64]
    """(K,) their ids."""
    weights: NDArray[np.float32]
    """(D, K)"""
    bias: NDArray[np.float32]
    """(K,)"""

    def scores(self, features: NDArray[np.float16]) -> NDArray[np.float32]:
        """(N, D) -> (N, K): log-probabilities, up to a number each patch has."""
        return features.astype(np.float32) @ self.weights + self.bias

    def predict(self, features: NDArray[np.float16]) -> NDArray[np.int64]:
        """(N, D) -> (N,): class ids."""
        return self.classes[self.scores(features).argmax(1)]


class Sums:
    """What patches with labels add up to: all that a head follows from."""

    def __init__(self, width: int):
        self._second = torch.zeros(width, width, dtype=torch.float64)
        self._first = torch.zeros(0, width, dtype=torch.float64)
        self._counts = torch.zeros(0, dtype=torch.float64)

    def change(
        self,
        features: NDArray[np.float16],
        shares: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> None:
        """Add patches; those of negative weight are taken away.

        Args:
            features: (N, D).
            shares: (N, C) of each class in a patch; rows sum to 1. C never falls.
            weights: (N,).
        """
        missing = shares.shape[1] - len(self._counts)
        self._first = F.pad(self._first, (0, 0, 0, missing))
        self._counts = F.pad(self._counts, (0, missing))
        values = torch.from_numpy(features).double()
        weight = torch.from_numpy(weights).double()[:, None]
        weighted = torch.from_numpy(shares).double() * weight
        self._second.addmm_((values * weight).T, values)
        self._first.addmm_(weighted.T, values)
        self._counts += weighted.sum(0)

    def solve(self) -> LinearHead | None:
        """The head of what is known; None: fewer than two classes have labels."""
        classes = torch.nonzero(self._counts > LEAST)[:, 0]
        if len(classes) < 2:
            return None
        counts = self._counts[classes]
        means = self._first[classes] / counts[:, None]
        total = counts.sum()
        covariance = torch.addmm(self._second, (means * counts[:, None]).T, means, alpha=-1)
        variance = self._second.trace() / (total * len(covariance))
        covariance.diagonal().add_(PRIOR * variance)
        factor = torch.linalg.cholesky(covariance)
        weights = torch.cholesky_solve(means.T, factor) * (total + PRIOR)
        bias = -0.5 * (means.T * weights).sum(0)
        return LinearHead(classes.numpy(), weights.float().numpy(), bias.float().numpy())


def classes_of(
    head: LinearHead, scores: NDArray[np.float32], geometry: Geometry, grid: Size
) -> NDArray[np.uint8]:
    """The class of each pixel (H, W), from scores (h * w, K) between whose patches lines are drawn.

    One class after the other, so a large picture takes no more memory with many of them.
    """
    maps = torch.from_numpy(scores).T.reshape(-1, *grid)
    best = geometry.to_image(maps[:1])[0]
    found = torch.full(geometry.image_size, int(head.classes[0]), dtype=torch.uint8)
    for class_id, values in zip(head.classes[1:].tolist(), maps[1:], strict=True):
        here = geometry.to_image(values[None])[0]
        better = here > best
        found[better] = class_id
        best = torch.where(better, here, best)
    assert NO_LABEL not in head.classes
    return found.numpy()


def entropy(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """How undecided each patch is: (N, K), K > 1 -> (N,), 0 sure to 1 as good as anything."""
    shifted = scores - scores.max(1, keepdims=True)
    probs = np.exp(shifted)
    total = probs.sum(1)
    found = np.log(total) - (probs * shifted).sum(1) / total
    return np.clip(found / np.log(scores.shape[1]), 0, 1)


def smooth(values: NDArray[np.float32], geometry: Geometry, grid: Size) -> NDArray[np.uint8]:
    """Values 0..1 of patches (h * w,) as a grey picture (H, W), 0..255."""
    maps = torch.from_numpy(values).reshape(1, *grid)
    return (geometry.to_image(maps)[0] * 255).round().to(torch.uint8).numpy()
