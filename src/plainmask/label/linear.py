"""A linear head in closed form, from sums that single patches can be added to and taken from.

Linear discriminant analysis on the features of labelled patches: every class has a mean, all
share one covariance, and every class counts as equally likely, however much was labelled of it. It
needs one matrix for all classes, where ridge regression that balances classes needs one for each,
and finds more from the strokes of a robot (benchmarks/label.py).

Patches without labels help: they join the classes by the shares that a head gives them, and a head
follows from all, a few times over (expectation maximisation). That is worth 1 to 8 points of mean
IoU where strokes are few.

A mean of few pictures lies off the true one, and so, in a space of many numbers, too far from
everything: its class would lose to those with labels in many pictures. What it is off by is told
from how much pictures of a class differ, and counted back.

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
MEANS = 200
"""Of so many pictures' means of a class it is measured how much they differ."""
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
        self._by_picture: dict[tuple[str, int], tuple[Tensor, float]] = {}
        """(D,) sum and count of the patches of a class in a picture."""
        self._others: dict[str, tuple[Tensor, Tensor]] = {}
        self._joined: tuple[Tensor, Tensor] | None = None
        self._others_second = _zeros(width, width)

    def change(
        self,
        name: str,
        features: NDArray[np.float16],
        shares: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> None:
        """Add patches of a picture; those of negative weight are taken away.

        Args:
            name: of it.
            features: (N, D).
            shares: (N, C) of each class in a patch; rows sum to 1. C never falls.
            weights: (N,).
        """
        second, first, counts = self._labelled = self._labelled.of_classes(shares.shape[1])
        values = torch.from_numpy(features).double()
        weight = torch.from_numpy(weights).double()[:, None]
        weighted = torch.from_numpy(shares).double() * weight
        second.addmm_((values * weight).T, values)
        changes, count_changes = weighted.T @ values, weighted.sum(0)
        first += changes
        counts += count_changes
        for class_id in torch.nonzero(weighted.any(0))[:, 0].tolist():
            old, count = self._by_picture.pop((name, class_id), (_zeros(len(first[0])), 0.0))
            count += float(count_changes[class_id])
            if count > LEAST:
                self._by_picture[name, class_id] = old + changes[class_id], count

    def see(self, name: str, features: NDArray[np.float16], weight: float) -> None:
        """Let patches (N, D) of a picture count without labels, each for so much."""
        self.forget(name)
        values = torch.from_numpy(features).float()
        self._others[name] = values, torch.full((len(values), 1), weight)
        self._join(values, weight)

    def forget(self, name: str) -> None:
        """Take away what `see` added."""
        if name in self._others:
            values, weights = self._others.pop(name)
            self._join(values, -float(weights[0]))

    def _join(self, values: Tensor, weight: float) -> None:
        """Bring up what all patches without labels have in common."""
        self._others_second.addmm_(values.T.double(), values.double(), alpha=weight)
        parts = list(zip(*self._others.values(), strict=True))
        self._joined = (torch.cat(parts[0]), torch.cat(parts[1])) if parts else None

    def solve(self) -> LinearHead | None:
        """The head of what is known; None: fewer than two classes have labels."""
        labelled = self._labelled
        classes = torch.nonzero(labelled.counts > LEAST)[:, 0]
        if len(classes) < 2:
            return None
        first, counts = labelled.first[classes], labelled.counts[classes]
        weights, bias, scale = Scatter.of(labelled.second, counts.sum()).head(first, counts)
        if self._joined is not None:
            values, each = self._joined
            second = labelled.second + self._others_second
            scatter = Scatter.of(second, counts.sum() + each.sum().double())
            off = self._off(classes, scatter)
            for _ in range(ROUNDS):
                shares = (values @ weights + bias).softmax(1).mul_(each)
                together = counts + shares.sum(0).double()
                weights, bias, scale = scatter.head(first + (shares.T @ values).double(), together)
                bias = bias + (off * (counts / together) ** 2 / 2).float()
        return LinearHead(classes.numpy(), weights.numpy(), bias.numpy(), scale)

    def _off(self, classes: Tensor, scatter: Scatter) -> Tensor:
        """(K,): squared distance of the mean of each class from the true one, as it is expected.

        With w the share of a picture in the labels of a class, its mean scatters by the sum of all
        w^2 times what the mean in a picture does; and that lies off the mean of all by
        1 - 2 w + the sum of all w^2 times it.
        """
        places = {class_id: place for place, class_id in enumerate(classes.tolist())}
        pairs = [
            (places[class_id], first, count)
            for (_, class_id), (first, count) in self._by_picture.items()
            if class_id in places
        ]
        of = torch.tensor([place for place, _, _ in pairs])
        counts = torch.tensor([count for _, _, count in pairs], dtype=torch.float64)
        totals = _zeros(len(classes)).index_add(0, of, counts)
        shares = counts / totals[of]
        squares = _zeros(len(classes)).index_add(0, of, shares**2)
        some = torch.arange(0, len(pairs), -(-len(pairs) // MEANS))
        means = torch.stack([pairs[one][1] / pairs[one][2] for one in some.tolist()])
        all_means = self._labelled.first[classes] / self._labelled.counts[classes, None]
        measured = scatter.squared(means - all_means[of[some]]).sum()
        expected = (1 - 2 * shares[some] + squares[of[some]]).sum()
        return squares * measured / expected if expected > LEAST else 0 * squares


class Scatter(NamedTuple):
    """How patches of all classes scatter: what heads that share it need only once."""

    factor: Tensor
    """(D, D) float64: Cholesky factor of the sum of products, with the prior on the diagonal."""
    patches: Tensor
    """How many there are."""

    @classmethod
    def of(cls, second: Tensor, patches: Tensor) -> Scatter:
        """From the sum of products (D, D) of so many patches."""
        known = second.clone()
        known.diagonal().add_(PRIOR * second.trace() / (patches * len(second)))
        return cls(torch.linalg.cholesky(known), patches)

    def squared(self, differences: Tensor) -> Tensor:
        """(M, D) -> (M,): squared distances, as heads measure them."""
        white = torch.linalg.solve_triangular(self.factor, differences.T, upper=False)
        return (self.patches + PRIOR) * white.square().sum(0)

    def head(self, first: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, float]:
        """Weights (D, K), bias (K,) and scale of the head for sums of K classes.

        The covariance within classes is the scatter less that of the K means, so its inverse is
        had from the factor by a system of K equations (Woodbury).
        """
        means = first / counts[:, None]
        spread = torch.cholesky_solve(means.T, self.factor)  # (D, K)
        inner = torch.eye(len(counts)) - counts[:, None] * (means @ spread)
        weights = torch.linalg.solve(inner.T, spread.T).T * (self.patches + PRIOR)
        scores = means @ weights
        bias = -0.5 * scores.diagonal()
        scores = scores + bias
        scale = float((scores - scores.mean(1, keepdim=True)).std(correction=0))
        # Classes that look alike to the last digit have none.
        return weights.float(), bias.float(), scale or 1.0


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def entropy(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """How undecided each patch is: (N, K), K > 1 -> (N,), 0 sure to 1 as good as anything."""
    shifted = scores - scores.max(1, keepdims=True)
    probs = np.exp(shifted)
    total = probs.sum(1)
    found = np.log(total) - (probs * shifted).sum(1) / total
    return np.clip(found / np.log(scores.shape[1]), 0, 1)
