"""Sampling maps at points, and the source of random points (SPEC 5.1, 5.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Draw = Callable[[tuple[int, ...]], Tensor]
"""Gives uniform numbers in [0, 1) of the shape asked for; tests replay recorded ones."""


def uniform_points(device: torch.device, generator: torch.Generator | None = None) -> Draw:
    """Fresh uniform numbers, drawn on `device`."""
    return lambda shape: torch.rand(shape, device=device, generator=generator)


def sample(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of maps (N, K, H, W) at points (N, P, 2), order x, y in [0, 1): (N, K, P).

    Coordinates are those of the whole map, pixel centres at (i+0.5)/size; zero outside.
    """
    grid = 2 * points[:, :, None] - 1  # (N, P, 1, 2)
    return F.grid_sample(maps, grid, align_corners=False)[..., 0]
