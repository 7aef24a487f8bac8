"""Which of C classes has the largest score in each pixel of an image, without C maps of its size.

The score of a class is the sum over queries of mask probability times class probability. Where a
part of the image lies between known bounds (a mask that is resized never leaves the range of what
it is mixed from), so do the scores, and most classes cannot win there, whatever happens in between.
The image is looked at in parts; masks are resized for one part at a time, summed for the classes
that can win in it, and thrown away.

For CPUs: a GPU would have to be asked in every part (semantic.py).

Letters: N windows, Q queries, C classes, mh mw size of the masks, h w model size, H W image size.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from plainmask.pictures.geometry import Geometry
from plainmask.tasks.contest import ROUNDING, Area, way

NEGLIGIBLE = 1e-7
"""Queries that together have at most this share of a score are left out of it, as float32 loses
about as much in rounding."""
SMALL = 64
"""Pixels of the resized image along a side of a part: the masks of one stay in a cache."""
_LARGEST = 512
"""Pixels of the image along a side of a part, where the image is far larger than the masks."""


class Best(NamedTuple):
    """The class that wins each pixel; on the CPU."""

    labels: Tensor
    """(H, W) int16; of two with one score the first."""
    score: Tensor
    """(H, W) float32: its score."""
    total: Tensor
    """(H, W) float32: the scores of all classes together."""


class _Piece(NamedTuple):
    """What one window says of a part of the resized image."""

    window: int
    area: Area
    """In the window."""
    into: Area
    """In the part."""
    cells: Tensor
    """(Q, ., .) mask logits that the area is mixed from."""


def best_class(mask_logits: Tensor, probs: Tensor, geometry: Geometry) -> Best:
    """The class with the largest score in each pixel; where windows overlap, scores are averaged.

    Args:
        mask_logits: (N, Q, mh, mw) of the windows of one image.
        probs: (N, Q, C) float32, what each query gives to each class.
        geometry: how the image came into the model.
    """
    found = Best(
        torch.zeros(geometry.image_size, dtype=torch.int16),
        probs.new_zeros(geometry.image_size),
        probs.new_zeros(geometry.image_size),
    )
    mask_logits = mask_logits.float()
    model = way((mask_logits.shape[2], mask_logits.shape[3]), geometry.model_size)
    image = way(geometry.content_size, geometry.image_size)
    shares = torch.cat([probs, probs.sum(-1, keepdim=True)], -1)  # the last column: of all classes
    for part in _parts(geometry):
        source = image.source(part)
        pieces = [
            _Piece(window, area, into, model.source(area).of(mask_logits[window]))
            for window, area, into in _windows_on(source, geometry)
        ]
        ends = [_ends(piece.cells, together=len(pieces) > 1) for piece in pieces]
        classes, least = _able_to_win(ends, [probs[piece.window] for piece in pieces])
        wanted = torch.cat([classes, classes.new_tensor([-1])])
        scores = probs.new_zeros(
            len(wanted), source.bottom - source.top, source.right - source.left
        )
        count = probs.new_zeros(scores.shape[1:])
        for piece, (_, high) in zip(pieces, ends, strict=True):
            seen = _that_count(high.amax(1) * shares[piece.window, :, -1], NEGLIGIBLE * least)
            masks = model.part(piece.cells[seen], piece.area).sigmoid_()
            weights = shares[piece.window][seen][:, wanted].T
            piece.into.of(scores).add_((weights @ masks.flatten(1)).view(-1, *masks.shape[1:]))
            piece.into.of(count).add_(1)
        here = image.part(scores.div_(count), part)
        part.of(found.total).copy_(here[-1])
        _take_largest(here[:-1], classes, part.of(found.labels), part.of(found.score))
    return found


def _parts(geometry: Geometry) -> Iterator[Area]:
    """The image in parts that are small in the resized image, too."""
    rows, columns = (
        _cuts(length, max(-(-resized // SMALL), -(-length // _LARGEST)))
        for length, resized in zip(geometry.image_size, geometry.content_size, strict=True)
    )
    for (top, bottom), (left, right) in product(pairwise(rows), pairwise(columns)):
        yield Area(top, bottom, left, right)


def _cuts(length: int, count: int) -> list[int]:
    """Where a side is cut into as many even parts, or single pixels."""
    count = min(count, length)
    return [length * cut // count for cut in range(count + 1)]


def _windows_on(source: Area, geometry: Geometry) -> Iterator[tuple[int, Area, Area]]:
    """Windows over a part of the resized image: which, where in it, where in the part."""
    height, width = geometry.model_size
    for window, (y, x) in enumerate(geometry.windows):
        top, bottom = max(source.top, y), min(source.bottom, y + height)
        left, right = max(source.left, x), min(source.right, x + width)
        if top < bottom and left < right:
            into = (top - source.top, bottom - source.top, left - source.left, right - source.left)
            yield window, Area(top - y, bottom - y, left - x, right - x), Area(*into)


def _ends(cells: Tensor, *, together: bool) -> tuple[Tensor, Tensor]:
    """Bounds of mask probabilities (Q, P): least and largest in each of P places between cells.

    Args:
        cells: (Q, ., .) mask logits.
        together: all places as one, which goes with those of other windows.
    """
    if together:
        return cells.amin((1, 2))[:, None].sigmoid(), cells.amax((1, 2))[:, None].sigmoid()
    neighbours = [min(2, side) for side in cells.shape[1:]]
    largest = F.max_pool2d(cells, neighbours, stride=1)
    least = -F.max_pool2d(-cells, neighbours, stride=1)
    return least.flatten(1).sigmoid_(), largest.flatten(1).sigmoid_()


def _able_to_win(ends: list[tuple[Tensor, Tensor]], probs: list[Tensor]) -> tuple[Tensor, float]:
    """Classes (K,) that can have the largest score in some place; the least that a winner has.

    Args:
        ends: of each window, bounds of mask probabilities (Q, P).
        probs: of each window, (Q, C).
    """
    lows, highs = (
        torch.stack([given.T @ end for end, given in zip(side, probs, strict=True)])
        for side in zip(*ends, strict=True)
    )
    low, high = lows.amin(0), highs.amax(0)  # where windows overlap, the mean is between them
    least = low.amax(0)
    able = (high >= least - ROUNDING * high.max()).any(1)
    return able.nonzero()[:, 0], float(least.min())


def _that_count(shares: Tensor, negligible: float) -> Tensor:
    """Queries (K,) without those whose shares (Q,) are too small to be seen even together."""
    small_first = shares.sort()
    return small_first.indices[small_first.values.cumsum(0) > negligible].sort().values


def _take_largest(maps: Tensor, classes: Tensor, labels: Tensor, score: Tensor) -> None:
    """Write which of maps (K, h, w) is the largest, by its class (K,), and how large it is.

    In steps: torch's max over the first axis together with its places takes longer.
    """
    best = maps[0] if len(maps) == 1 else maps.amax(0)
    score.copy_(best)
    labels.fill_(int(classes[-1]))
    for index in range(len(maps) - 2, -1, -1):  # so the first of two wins
        labels.masked_fill_(maps[index] == best, int(classes[index]))
