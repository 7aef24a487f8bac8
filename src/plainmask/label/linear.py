"""A linear head in closed form, from sums that single patches can be added to and taken from.

Linear discriminant analysis on the features of labelled patches: every class has a mean, all
share one covariance, and every class counts as equally likely, however much was labelled of it. It
needs one matrix for all classes, where ridge regression that balances classes needs one for each,
and finds more from the strokes of a robot (benchmarks/label.py).

Patches without labels help: they join the classes by the shares that a head gives them, and a head
follows from all, a few times over (expectation maximisation). That is worth 1 to 8 points of mean
IoU where strokes are few.

Letters: N patches, D numbers of a patch, C classes, K classes with labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

PRIOR = 1000.0
"""Patches that a covariance without any structure counts as; it matters while labels are few."""
LEAST = 1e-6
"""Patches of a class below which it counts as not labelled: what is left of sums that went away."""
ROUNDS = 3
"""How often patches without labels join the classes anew; ten times are worse."""


class LinearHead(NamedTuple):
    """A head for K of the classes."""

    classes: NDArray[np.int64]
    """(K,) their ids."""
    weights: NDArray[np.float32]
    """(D, K)"""
    bias: NDArray[np.float32]
    """(K,)"""
    scale: float
    """Standard deviation of the scores of the classes' means, apart from what all have."""

    def scores(self, features: NDArray[np.float16]) -> NDArray[np.float32]:
        """(N, D) -> (N, K): log-probabilities, up to a number each patch has."""
        return features.astype(np.float32) @ self.weights + self.bias

    def predict(self, features: NDArray[np.float16]) -> NDArray[np.int64]:
        """(N, D) -> (N,): class ids."""
        return self.classes[self.scores(features).argmax(1)]


class Total(NamedTuple):
    """What patches add up to: all that a head follows from."""

    second: Tensor
    """(D, D) float64: products of the patches' numbers."""
    first: Tensor
    """(C, D) float64: sums of each class."""
    counts: Tensor
    """(C,) float64: patches of each class."""

    def of_classes(self, count: int) -> Total:
        """The same with room for so many classes."""
        missing = count - len(self.counts)
        first, counts = F.pad(self.first, (0, 0, 0, missing)), F.pad(self.counts, (0, missing))
        return Total(self.second, first, counts)


class Sums:
    """The sums of patches with labels, and patches without."""

    def __init__(self, width: int):
        self._labelled = Total(_zeros(width, width), _zeros(0, width), _zeros(0))
        self._others: dict[str, tuple[Tensor, float]] = {}
        self._others_second = _zeros(width, width)

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
        second, first, counts = self._labelled = self._labelled.of_classes(shares.shape[1])
        values = torch.from_numpy(features).double()
        weight = torch.from_numpy(weights).double()[:, None]
        weighted = torch.from_numpy(shares).double() * weight
        second.addmm_((values * weight).T, values)
        first.addmm_(weighted.T, values)
        counts += weighted.sum(0)

    def see(self, name: str, features: NDArray[np.float16], weight: float) -> None:
        """Let patches (N, D) of a picture count without labels, each for so much."""
        self.forget(name)
        values = torch.from_numpy(features).float()
        self._others[name] = values, weight
        self._others_second.addmm_(values.T.double(), values.double(), alpha=weight)

    def forget(self, name: str) -> None:
        """Take away what `see` added."""
        if name in self._others:
            values, weight = self._others.pop(name)
            self._others_second.addmm_(values.T.double(), values.double(), alpha=-weight)

    def solve(self) -> LinearHead | None:
        """The head of what is known; None: fewer than two classes have labels."""
        labelled = self._labelled
        classes = torch.nonzero(labelled.counts > LEAST)[:, 0]
        if len(classes) < 2:
            return None
        known = Total(labelled.second, labelled.first[classes], labelled.counts[classes])
        weights, bias, scale = _discriminants(known)
        second = known.second + self._others_second
        for _ in range(ROUNDS if self._others else 0):
            first, counts = known.first.clone(), known.counts.clone()
            for values, weight in self._others.values():
                shares = (values @ weights + bias).softmax(1).mul_(weight)
                first += (shares.T @ values).double()
                counts += shares.sum(0).double()
            weights, bias, scale = _discriminants(Total(second, first, counts))
        return LinearHead(classes.numpy(), weights.numpy(), bias.numpy(), scale)


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def _discriminants(total: Total) -> tuple[Tensor, Tensor, float]:
    """Weights (D, K), bias (K,) and scale of the head that follows from sums of K classes."""
    second, first, counts = total
    means = first / counts[:, None]
    patches = counts.sum()
    covariance = torch.addmm(second, (means * counts[:, None]).T, means, alpha=-1)
    variance = second.trace() / (patches * len(covariance))
    covariance.diagonal().add_(PRIOR * variance)
    factor = torch.linalg.cholesky(covariance)
    weights = torch.cholesky_solve(means.T, factor) * (patches + PRIOR)
    bias = -0.5 * (means.T * weights).sum(0)
    scores = means @ weights + bias
    scale = float((scores - scores.mean(1, keepdim=True)).std(correction=0))
    # Classes that look alike to the last digit have none.
    return weights.float(), bias.float(), scale or 1.0


def entropy(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """How undecided each patch is: (N, K), K > 1 -> (N,), 0 sure to 1 as good as anything."""
    shifted = scores - scores.max(1, keepdims=True)
    probs = np.exp(shifted)
    total = probs.sum(1)
    found = np.log(total) - (probs * shifted).sum(1) / total
    return np.clip(found / np.log(scores.shape[1]), 0, 1)
