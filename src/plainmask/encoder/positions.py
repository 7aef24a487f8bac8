"""Fitting learnt position tables and patch kernels to another grid or patch size.

See docs/model.md 1.3.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

TableResize: TypeAlias = Literal["bicubic", "bilinear", "square"]
"""DINOv2's rule, TIPSv2's and C-RADIO's: see `resize_table`."""


def resize_table(
    table: Tensor,
    old: tuple[int, int],
    new: tuple[int, int],
    *,
    antialias: bool,
    resize: TableResize = "bicubic",
) -> Tensor:
    """Resize a position table (h*w, D) of grid `old` to grid `new` in float32, half-pixel centres.

    Published rules differ, and features with them. A grid that fits is untouched.

    Args:
        table: a row for each place of the grid, row by row.
        old: its grid (h, w).
        new: the grid that is wanted.
        antialias: off for the Hugging Face `Dinov2Model` and C-RADIO, on for `Dinov2Model`'s
            variant with registers, TIPSv2 and timm's DINOv2.
        resize: "bicubic" (DINOv2), "bilinear" (TIPSv2), or "square": bilinear to a square of the
            longer side, of which the top left is taken (C-RADIO).
    """
    if old == new:
        return table
    planes = table.float().reshape(1, *old, -1).permute(0, 3, 1, 2)
    mode = "bicubic" if resize == "bicubic" else "bilinear"
    size = (max(new), max(new)) if resize == "square" else new
    resized = F.interpolate(planes, size, mode=mode, antialias=antialias, align_corners=False)
    return resized[..., : new[0], : new[1]].flatten(2).squeeze(0).T.to(table.dtype)


def resize_by_products(
    table: Tensor,
    old: tuple[int, int],
    new: tuple[int, int],
    *,
    antialias: bool,
    resize: TableResize = "bicubic",
) -> Tensor:
    """The same as products with two small matrices, within 1e-5 of the largest entry.

    For graphs in which the new grid is not known yet, and for runtimes that resize otherwise. With
    the rule "square" the old grid is one.
    """
    sides = (torch.scalar_tensor(side, dtype=torch.int64, device=table.device) for side in new)
    height, width = sides
    if resize == "square":
        height = width = torch.maximum(height, width)
    cubic = resize == "bicubic"
    rows = _weights(old[0], height, new[0], antialias=antialias, cubic=cubic)  # (h, old h)
    columns = _weights(old[1], width, new[1], antialias=antialias, cubic=cubic)  # (w, old w)
    planes = rows @ table.float().reshape(old[0], -1)  # (h, old w * D)
    resized = columns @ planes.reshape(new[0], old[1], -1)  # (h, w, D)
    return resized.flatten(0, 1).to(table.dtype)


def _weights(old: int, size: Tensor, count: int, *, antialias: bool, cubic: bool) -> Tensor:
    """What each of `old` samples weighs in the first of `size` new ones: (count, old) float32.

    Whole numbers as long as possible, which is exact without float64, that WebGPU does not have.
    """
    samples = torch.arange(old, device=size.device)
    units = 2 * size  # of a sample: the place of n is (n + 0.5) * old / size - 0.5 samples
    places = (2 * torch.arange(count, device=size.device)[:, None] + 1) * old - size
    if antialias:  # Pillow's rule: a wider kernel where it shrinks, cut off at the border
        distance = (samples * units - places).float() / units.clamp(min=2 * old).float()
        weights = _cubic(distance, -0.5) if cubic else _triangle(distance)
        return weights / weights.sum(1, keepdim=True)
    up = places + units  # not negative: there runtimes agree on what is left of a division
    first, rest = up // units - 1, (up % units).float() / units.float()
    weights = torch.zeros_like(rest) * samples
    for step in range(-1, 3):  # samples beyond the border are the last one
        reached = torch.clamp(first + step, 0, old - 1) == samples
        distance = rest - step
        weights = weights + reached * (_cubic(distance, -0.75) if cubic else _triangle(distance))
    return weights


def _cubic(x: Tensor, a: float) -> Tensor:
    """Keys' cubic kernel."""
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _triangle(x: Tensor) -> Tensor:
    """The kernel of linear interpolation."""
    return torch.clamp(1 - x.abs(), min=0)


def resample_patch_kernel(kernel: Tensor, new: tuple[int, int]) -> Tensor:
    """Resample a patch kernel (D, 3, p, p) to (D, 3, *new) so that features are preserved.

    With R the matrix of the antialiased bicubic resize old -> new of a patch, the new kernel is
    w . pinv(R): it gives on a resized patch what the old one gave on the patch (FlexiViT, timm).
    Computed in float32.
    """
    old = (kernel.shape[-2], kernel.shape[-1])
    if old == new:
        return kernel
    size = old[0] * old[1]
    basis = torch.eye(size, dtype=torch.float32, device=kernel.device).reshape(size, 1, *old)
    resize = F.interpolate(basis, new, mode="bicubic", antialias=True, align_corners=False)
    resize = resize.reshape(size, -1).T  # (new^2, old^2)
    resampled = kernel.float().flatten(2) @ torch.linalg.pinv(resize)
    return resampled.reshape(*kernel.shape[:2], *new).to(kernel.dtype)
