"""Which query answers for which target: minimum-cost assignment on sampled points.

See docs/model.md 6.2.

Letters: Q queries, N targets of an image, P points, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from plainmask.training.points import corners, sample_masks, sample_pixels
from plainmask.training.samples.targets import Targets

Match = tuple[Tensor, Tensor]
"""Query indices (ascending) and target indices, each (M,) int64 with M = min(Q, N)."""

COST_LIMIT = 1e10
CPU_POINTS = 1024
"""Points that are looked at together on a CPU, whose caches then hold them."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """The targets of a batch one after the other, in the form in which the losses read them."""

    masks: Tensor
    """(N', H+2, W+2) uint8 of all images; see `sample_masks`."""
    labels: Tensor
    """(N',) int64."""
    counts: list[int]
    """B: how many of them belong to each image."""

    @classmethod
    def of(cls, targets: Sequence[Targets]) -> Self:
        """Join the targets of B images of one size."""
        return cls(
            corners([target.masks for target in targets]),
            torch.cat([target.labels for target in targets]),
            [len(target.labels) for target in targets],
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Masks and labels of each image."""
        parts = self.masks.split(self.counts), self.labels.split(self.counts)
        return zip(*parts, strict=True)

    def rows(self, matches: Sequence[Match]) -> Tensor:
        """Place in `masks` and `labels` of the target of each pair, images in order."""
        first = np.cumsum([0, *self.counts[:-1]]).tolist()
        return torch.cat([start + n for start, (_, n) in zip(first, matches, strict=True)])


@torch.no_grad()
def matching_cost(
    mask_logits: Tensor,
    class_logits: Tensor,
    masks: Tensor,
    labels: Tensor,
    points: Tensor,
    weights: tuple[float, float, float],
) -> Tensor:
    """Cost of every query for every target of one image, (Q, N) float32.

    Args:
        mask_logits: (Q, mh, mw) at mask resolution.
        class_logits: (Q, C+1).
        masks: (N, H+2, W+2) uint8, see `corners`.
        labels: (N,) int64.
        points: (P, 2) in [0, 1), order x, y; the same for all queries and targets.
        weights: of masks, dice and classes.
    """
    num_queries, num_targets, num_points = len(mask_logits), len(labels), len(points)
    bce, overlap = torch.zeros(2, num_queries, num_targets, device=points.device)
    common, s_sum = torch.zeros(2, num_queries, 1, device=points.device)
    t_sum = torch.zeros(num_targets, device=points.device)
    rows = torch.arange(num_targets, device=points.device)
    pixels = mask_logits.float().flatten(1).t().contiguous()  # (mh*mw, Q)
    for some in points.split(CPU_POINTS if points.device.type == "cpu" else num_points):
        t = sample_masks(masks, rows, some[None]).t()  # (p, N), fractional at borders
        x = sample_pixels(pixels, mask_logits.shape[1], some).t()  # (Q, p)
        s = x.sigmoid()
        # softplus of -x and x is these and log(1 + exp(-|x|)), which both have in common.
        inside, outside = (-x).clamp_(min=0), x.clamp(min=0)
        common += x.abs_().neg_().exp_().log1p_().sum(1, keepdim=True)
        bce.addmm_(inside, t).addmm_(outside, 1 - t)
        overlap.addmm_(s, t)
        s_sum += s.sum(1, keepdim=True)
        t_sum += t.sum(0)
    mask_weight, dice_weight, class_weight = weights
    dice = 1 - (2 * overlap + 1) / (s_sum + t_sum + 1)
    prob = class_logits.float().softmax(-1)[:, labels]  # (Q, N)
    cost = mask_weight * (bce + common) / num_points - class_weight * prob + dice_weight * dice
    # The published guard (docs/model.md 6.2): a NaN query costs nothing. Training stops on NaN
    # elsewhere.
    return cost.clamp(-COST_LIMIT, COST_LIMIT).nan_to_num(0)


def assign(cost: Tensor) -> Match:
    """Minimum-cost pairs of a (Q, N) cost matrix, query indices ascending."""
    return assign_all([cost])[0]


def assign_all(costs: Sequence[Tensor]) -> list[Match]:
    """`assign` for many matrices, which leave their device together: one wait for all of them."""
    if not costs:
        return []
    device = costs[0].device
    numbers = torch.cat([cost.flatten() for cost in costs]).cpu().numpy().astype(np.float64)
    ends = np.cumsum([cost.numel() for cost in costs])[:-1]
    found: list[tuple[np.ndarray, np.ndarray]] = [
        linear_sum_assignment(part.reshape(cost.shape))
        for part, cost in zip(np.split(numbers, ends), costs, strict=True)
    ]
    pairs = torch.from_numpy(np.concatenate(found, 1)).long().to(device)
    parts = pairs.split([len(queries) for queries, _ in found], 1)
    return [(part[0], part[1]) for part in parts]
