"""Rotary position embedding of a patch grid, for encoder and decoder alike (docs/model.md 1.2).

Letters: h w patch grid, d head dim, N tokens, nh heads.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor

THETA = 100.0
KEPT_GRIDS = 16
"""Whose tables are kept: some megabytes."""

Rope: TypeAlias = tuple[Tensor, Tensor]
"""Cosine and sine of every patch's angles, each (h*w, d)."""


def rope_tables(
    grid: tuple[int, int], head_dim: int, *, device: torch.device, scale: float = 1.0
) -> Rope:
    """Cosine and sine of every patch's angles, each (h*w, d) float32.

    Patch (i, j) has the coordinates y = 2(i+0.5)/h - 1 and x = 2(j+0.5)/w - 1, each axis
    normalised by its own length, and the frequencies 100^(-4k/d). `scale` multiplies both
    coordinates: the `rescale` augmentation draws exp(U(-ln 2, ln 2)); 1 is the plain embedding.
    Computed in float32 whatever the model's dtype; those of the plain embedding are kept for the
    grids used last. `head_dim` must be a multiple of 4.
    """
    if scale == 1 and not torch.compiler.is_exporting():  # there a side is a symbol, not a number
        return _kept_tables(grid, head_dim, device)
    return _tables(grid, head_dim, device, scale)


@lru_cache(maxsize=KEPT_GRIDS)
def _kept_tables(grid: tuple[int, int], head_dim: int, device: torch.device) -> Rope:
    with torch.inference_mode(False):  # or training could not use what inference has left
        return _tables(grid, head_dim, device, 1.0)


def _tables(grid: tuple[int, int], head_dim: int, device: torch.device, scale: float) -> Rope:
    h, w = grid
    y = 2 * (torch.arange(h, dtype=torch.float32, device=device) + 0.5) / h - 1
    x = 2 * (torch.arange(w, dtype=torch.float32, device=device) + 0.5) / w - 1
    coordinates = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flatten(0, 1)  # (h*w, 2)
    exponents = torch.arange(0, 1, 4 / head_dim, dtype=torch.float32, device=device)
    frequencies = 1 / THETA**exponents  # (d/4,)
    angles = 2 * math.pi * (scale * coordinates)[:, :, None] * frequencies  # (h*w, 2, d/4)
    angles = angles.flatten(1).tile(2)  # (h*w, d): all y, then all x, twice
    return angles.cos(), angles.sin()


def rotate_patches(tokens: Tensor, rope: Rope) -> Tensor:
    """Rotate the last h*w tokens of (B, nh, N, d); those before them (prefix, queries) stay."""
    cos, sin = (table.to(tokens.dtype) for table in rope)
    num_patches = cos.shape[0]
    kept, patches = tokens.split([tokens.shape[-2] - num_patches, num_patches], dim=-2)
    first, second = patches.chunk(2, dim=-1)
    rotated = patches * cos + torch.cat([-second, first], dim=-1) * sin
    return torch.cat([kept, rotated], dim=-2)
