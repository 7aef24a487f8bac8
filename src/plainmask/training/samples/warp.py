"""Move, turn, scale and mirror pictures and their segments alike.

A warp is given the way back: a matrix (2, 3) that takes (x, y, 1) in the new picture, in pixels
from its top-left corner with pixel centres at .5, to (x, y) in the old one.

Letters: H W old size, h w new size, L layers.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plainmask.data.record import NO_SEGMENT

Point = tuple[float, float]
"""x, y in pixels."""


def way_back(
    source: Point, target: Point, *, scale: float = 1.0, angle: float = 0.0, flip: bool = False
) -> NDArray[np.float64]:
    """The matrix of a warp that mirrors, turns and scales about a point and moves it elsewhere.

    Args:
        source: the point in the old picture.
        target: where it comes to lie in the new one.
        scale: factor on lengths.
        angle: degrees, clockwise as seen.
        flip: whether to mirror left to right, before turning.
    """
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    linear = np.array([[cosine, sine], [-sine, cosine]]) / scale
    if flip:
        linear[0] *= -1
    offset = np.array(source) - linear @ np.array(target)
    return np.concatenate([linear, offset[:, None]], axis=1)


def warp_image(image: Tensor, matrix: NDArray[np.float64], size: tuple[int, int]) -> Tensor:
    """Warp (3, H, W) uint8 to (3, h, w) uint8, bilinear, black outside."""
    grid = _grid(matrix, (image.shape[1], image.shape[2]), size)
    warped = F.grid_sample(image[None].float(), grid, mode="bilinear", align_corners=False)[0]
    return warped.round().to(torch.uint8)


def warp_layers(
    layers: NDArray[np.int32], matrix: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.int32]:
    """Warp (L, H, W) int32 maps of segments to (L, h, w), nearest, -1 outside."""
    grid = _grid(matrix, (layers.shape[1], layers.shape[2]), size)
    # Zero is what lies outside; float32 holds indices up to 2^24 exactly.
    counted = torch.from_numpy(layers - NO_SEGMENT).float()
    warped = F.grid_sample(counted[None], grid, mode="nearest", align_corners=False)[0]
    return warped.numpy().astype(np.int32) + np.int32(NO_SEGMENT)


def _grid(matrix: NDArray[np.float64], old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """(1, h, w, 2): where each new pixel's centre lies in the old picture, its borders at -1, 1."""
    rows, columns = np.arange(new[0]) + 0.5, np.arange(new[1]) + 0.5
    x, y = (
        line[0] * columns[None, :] + line[1] * rows[:, None] + line[2]  # (h, w)
        for line in matrix
    )
    points = np.stack([2 * x / old[1] - 1, 2 * y / old[0] - 1], axis=-1)
    return torch.from_numpy(points[None].astype(np.float32))
