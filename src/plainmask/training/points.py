"""Sampling maps at points, and the source of random points (docs/model.md 6.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Draw = Callable[[tuple[int, ...]], Tensor]
"""Gives uniform numbers in [0, 1) of the shape asked for; tests replay recorded ones."""


def uniform_points(device: torch.device, generator: torch.Generator | None = None) -> Draw:
    """Fresh uniform numbers, drawn on `device`."""
    return lambda shape: torch.rand(shape, device=device, generator=generator)


class Counts(NamedTuple):
    """How many there are of what random points are drawn for."""

    images: int = 0
    """Or frames."""
    asked: int = 0
    """Images with targets, or frames of clips in which objects are new: those that are matched."""
    pairs: int = 0
    """Of queries and targets, in each layer."""


class Others(NamedTuple):
    """What other processes have of the batch of which this one has a part."""

    before: Counts = Counts()
    """Of the processes with lower numbers together."""
    after: Counts = Counts()
    processes: int = 1
    """All of them, with this one."""


NOBODY = Others()
"""The batch is here as a whole."""


def draw_rows(draw: Draw, row: tuple[int, int, int], shape: tuple[int, ...]) -> Tensor:
    """The rows (own, *shape) of a draw for the whole batch, which every process makes alike.

    Args:
        draw: makes it.
        row: how many others have before, this process, and others after it.
        shape: for each of them.
    """
    whole = draw((sum(row), *shape))
    if sum(row) == row[1]:
        return whole
    return whole[row[0] : row[0] + row[1]].clone()  # so that the rest is let go


def draw_each(draw: Draw, row: tuple[int, int, int], shape: tuple[int, ...]) -> list[Tensor]:
    """As `draw_rows`, of draws that are made one after the other."""
    places = range(row[0], row[0] + row[1])
    drawn = (draw(shape) for _ in range(sum(row)))
    return [points for place, points in enumerate(drawn) if place in places]


def sample(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of maps (N, K, H, W) at points (N, P, 2), order x, y in [0, 1): (N, K, P).

    Coordinates are those of the whole map, pixel centres at (i+0.5)/size; zero outside.
    """
    minus_one = torch.full((), -1.0, device=points.device)
    grid = minus_one.add(points[:, :, None], alpha=2)  # (N, P, 1, 2), in one pass
    return F.grid_sample(maps, grid, align_corners=False)[..., 0]


def sample_pixels(pixels: Tensor, height: int, points: Tensor) -> Tensor:
    """What `sample` gives for many maps at the same points, without a gradient.

    The values of a pixel lie side by side, so a point takes four reads, not four for each map.

    Args:
        pixels: (H*W, K) of K maps.
        height: H.
        points: (P, 2).

    Returns:
        (P, K).
    """
    width = len(pixels) // height
    size = torch.tensor((width, height), device=points.device)
    first = (points * size - 0.5).floor()
    far = points * size - 0.5 - first  # (P, 2)
    corner = torch.stack([first, first + 1], dim=1).long()  # (P, near or far, x or y)
    share = torch.stack([1 - far, far], dim=1) * ((corner >= 0) & (corner < size))
    corner = corner.clamp(min=0).minimum(size - 1)
    places = corner[:, :, None, 1] * width + corner[:, None, :, 0]  # (P, y, x)
    shares = share[:, :, None, 1] * share[:, None, :, 0]
    return F.embedding_bag(
        places.flatten(1), pixels, per_sample_weights=shares.flatten(1), mode="sum"
    )


def corners(masks: Sequence[Tensor]) -> Tensor:
    """Masks (N, H, W) bool of several images in the form that `sample_masks` reads.

    Returns:
        (N', H+2, W+2) uint8, each number four pixels: the bits of itself (1), of what is right (2),
        below (4), right below (8) of it. The masks have a border of zeros; the last row and
        column mean nothing.
    """
    flat = F.pad(torch.cat([m.view(torch.uint8) for m in masks]), (1, 1, 1, 1))
    shape = flat.shape
    flat = flat.flatten()
    for distance, bit in ((1, 2), (shape[2], 4)):
        flat[:-distance] += bit * flat[distance:]
    return flat.view(shape)


def sample_masks(masks: Tensor, rows: Tensor, points: Tensor) -> Tensor:
    """What `sample` gives for masks of 0 and 1, with one look into memory for a point.

    No mask becomes floats as a whole, and none is copied for a pair.

    Args:
        masks: (N, H+2, W+2) uint8 from `corners`.
        rows: (M,) int64, which mask each set of points is for.
        points: (M, P, 2), or (1, P, 2) for all of them.

    Returns:
        (M, P) float32.
    """
    height, width = masks.shape[1:]
    x = points[..., 0] * (width - 2) + 0.5  # half a pixel back, and one on for the border
    y = points[..., 1] * (height - 2) + 0.5
    left, top = x.long(), y.long()  # nothing is negative: truncating is rounding down
    x, y = x.sub_(left), y.sub_(top)
    place = top.mul_(width).add_(left) + rows[:, None] * (height * width)
    bits = masks.flatten().index_select(0, place.flatten()).view_as(place)

    def pixel(bit: int) -> Tensor:
        return (bits & bit).ne_(0).float()

    above, below = pixel(1).lerp_(pixel(2), x), pixel(4).lerp_(pixel(8), x)
    return above.lerp_(below, y)
