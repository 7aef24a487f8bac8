"""Which query answers for which target: minimum-cost assignment on sampled points (SPEC 5.1).

Letters: Q queries, N targets of an image, P points, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from plainmask.training.points import Draw, sample

Match = tuple[Tensor, Tensor]
"""Query indices (ascending) and target indices, each (M,) int64 with M = min(Q, N)."""

COST_LIMIT = 1e10


@torch.no_grad()
def matching_cost(
    mask_logits: Tensor,
    class_logits: Tensor,
    masks: Tensor,
    labels: Tensor,
    points: Tensor,
    *,
    mask_weight: float,
    dice_weight: float,
    class_weight: float,
) -> Tensor:
    """Cost of every query for every target of one image, (Q, N) float32.

    Args:
        mask_logits: (Q, mh, mw) at mask resolution.
        class_logits: (Q, C+1).
        masks: (N, H, W) at crop resolution, 0/1.
        labels: (N,) int64.
        points: (P, 2) in [0, 1), order x, y; the same for all queries and targets.
        mask_weight, dice_weight, class_weight: of the three terms.
    """
    x = sample(mask_logits.float()[None], points[None])[0]  # (Q, P)
    t = sample(masks.float()[None], points[None])[0]  # (N, P), fractional at borders
    bce = (F.softplus(-x) @ t.T + F.softplus(x) @ (1 - t).T) / x.shape[1]
    s = x.sigmoid()
    dice = 1 - (2 * (s @ t.T) + 1) / (s.sum(1)[:, None] + t.sum(1) + 1)
    prob = class_logits.float().softmax(-1)[:, labels]  # (Q, N)
    cost = mask_weight * bce - class_weight * prob + dice_weight * dice
    # The published guard (SPEC 5.1): a NaN query costs nothing. Training stops on NaN elsewhere.
    return cost.clamp(-COST_LIMIT, COST_LIMIT).nan_to_num(0)


def assign(cost: Tensor) -> Match:
    """Minimum-cost pairs of a (Q, N) cost matrix, query indices ascending."""
    queries, targets = linear_sum_assignment(cost.cpu().numpy().astype(np.float64))
    device = cost.device
    return torch.as_tensor(queries, device=device), torch.as_tensor(targets, device=device)


def draw_match_points(draw: Draw, num_points: int) -> Tensor:
    """One set of points for one image, (P, 2)."""
    return draw((1, num_points, 2))[0]
