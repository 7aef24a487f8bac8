"""Which of K maps is the largest in each pixel of an image, without K maps of the image's size.

The maps are small and come to the image by bilinear resizing, which never leaves the range of
what it mixes. So in a part of the image most maps cannot win, whatever happens between their grid
points: their largest value there lies below another's smallest. The image is quartered until parts
are small, and those that cannot win are left out on the way; only the others are resized. What
comes out is the same, in a tenth of the time and memory.

For CPUs: on a GPU, which would have to be asked in every part, all maps are resized (queries.py).

Letters: K maps, h w their size, H W image size.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from plainmask.pictures.geometry import Geometry, Size, axis_weights

SMALL = 128
"""Pixels along a side of what is not quartered: some such maps stay in a processor's cache."""
_KEPT_WAYS = 4
"""Of the last sizes: up to 30 MB each at 3840 x 2160."""
ROUNDING = 1e-5
"""More than float32 loses on the way, as a share of the largest value."""


class Area(NamedTuple):
    """Rows and columns of a map, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, maps: Tensor) -> Tensor:
        """This part of maps (..., H, W)."""
        return maps[..., self.top : self.bottom, self.left : self.right]

    @property
    def pixels(self) -> int:
        """How many there are."""
        return (self.bottom - self.top) * (self.right - self.left)

    def quarters(self) -> list[Area]:
        """It in four, two or one: sides that are small stay."""
        rows, columns = _halves(self.top, self.bottom), _halves(self.left, self.right)
        return [Area(*row, *column) for row in rows for column in columns]


def _halves(first: int, last: int) -> list[tuple[int, int]]:
    middle = (first + last) // 2
    return [(first, last)] if last - first <= SMALL else [(first, middle), (middle, last)]


class Resizing:
    """Bilinear resizing as two matrices, of which a part can be taken.

    Args:
        rows, columns: what each row and column mixes, (new, old) each.
    """

    def __init__(self, rows: Tensor, columns: Tensor):
        self.rows, self.columns = rows, columns
        self._row_ends, self._column_ends = _ends(rows), _ends(columns)

    @classmethod
    def between(cls, old: Size, new: Size, kept: Size | None = None) -> Resizing:
        """From one size to another; of that, only the upper left part may be kept."""
        height, width = kept or new
        rows, columns = (axis_weights(*lengths) for lengths in zip(old, new, strict=True))
        return cls(rows[:height], columns[:width])

    def then(self, other: Resizing) -> Resizing:
        """Both, one after the other."""
        return Resizing(other.rows @ self.rows, other.columns @ self.columns)

    def source(self, area: Area) -> Area:
        """What an area of the new maps is mixed from."""
        (tops, bottoms), (lefts, rights) = self._row_ends, self._column_ends
        return Area(
            tops[area.top], bottoms[area.bottom - 1], lefts[area.left], rights[area.right - 1]
        )

    def rows_from(self, top: int, bottom: int) -> tuple[int, int]:
        """First and last rows, end excluded, of the new maps that old ones of these are mixed in.

        None of them may be, where maps become smaller: then the first is not below the end.
        """
        tops, bottoms = self._row_ends
        return bisect_right(bottoms, top), bisect_left(tops, bottom)

    def part(self, maps: Tensor, area: Area) -> Tensor:
        """An area of the new maps, from its `source` in the old ones (K, ., .)."""
        source = self.source(area)
        rows = self.rows[area.top : area.bottom, source.top : source.bottom]
        columns = self.columns[area.left : area.right, source.left : source.right]
        count = len(maps)
        # As a batch: one large product rounds equal maps differently, and the first would not win.
        return torch.bmm(
            torch.bmm(rows.expand(count, -1, -1), maps), columns.T.expand(count, -1, -1)
        )


def _ends(weights: Tensor) -> tuple[list[int], list[int]]:
    """The first place that each row mixes, and the place after the last."""
    mixed = (weights != 0).to(torch.uint8)
    return mixed.argmax(1).tolist(), (weights.shape[1] - mixed.flip(1).argmax(1)).tolist()


class Ways(NamedTuple):
    """What happens to maps on their way into an image of one window."""

    model: Resizing
    """From their cells to the resized image."""
    image: Resizing
    """From there to the image."""
    both: Resizing


def ways_to_image(cells: Size, geometry: Geometry) -> Ways:
    """The ways of maps of this size; those of a video are made once."""
    return _ways(cells, geometry.model_size, geometry.content_size, geometry.image_size)


@lru_cache(maxsize=_KEPT_WAYS)
def _ways(cells: Size, model_size: Size, content: Size, size: Size) -> Ways:
    model, image = Resizing.between(cells, model_size, content), way(content, size)
    return Ways(model, image, model.then(image))


@lru_cache(maxsize=2 * _KEPT_WAYS)
def way(old: Size, new: Size) -> Resizing:
    """From one size to another; that of a video is made once."""
    return Resizing.between(old, new)


class Shares(NamedTuple):
    """How K masks share out an image; on the CPU."""

    owner: Tensor
    """(H, W) int16, or int32 of thousands: the mask that wins the pixel."""
    inside: Tensor
    """(H, W) bool: the pixel is in that mask, too."""
    masks: Tensor
    """(K,) int64: pixels in each mask, won or not."""


def share_out(logits: Tensor, scores: Tensor, geometry: Geometry, *, early: bool) -> Shares:
    """Give each pixel to the mask with the largest score times probability; of two, the first.

    Args:
        logits: (K, mh, mw) float32 of the masks, at least one.
        scores: (K,) in 0..1.
        geometry: of an image of one window.
        early: the sigmoid is taken before the last resize (docs/model.md 4.6).
    """
    model, image, both = ways_to_image((logits.shape[1], logits.shape[2]), geometry)
    dtype = torch.int16 if len(logits) < 2**14 else torch.int32
    owner = torch.zeros(geometry.image_size, dtype=dtype)
    inside = torch.zeros(geometry.image_size, dtype=torch.bool)
    masks = torch.zeros(len(logits), dtype=torch.int64)
    rounding = ROUNDING * (1 + float(logits.abs().max()))
    open_parts = [
        (Area(0, image.rows.shape[0], 0, image.columns.shape[0]), torch.arange(len(logits)))
    ]
    while open_parts:
        part, places = open_parts.pop()
        content = image.source(part)
        cells = (model.source(content) if early else both.source(part)).of(logits)[places]
        low, high = cells.flatten(1).aminmax(dim=1)
        whole = low > rounding
        chances = high.sigmoid() * scores[places]
        wins = chances >= (low.sigmoid() * scores[places]).max() - ROUNDING
        masks[places[whole & ~wins]] += part.pixels
        going = wins | ((high > -rounding) & ~whole)
        places = places[going]
        if len(places) == 1 and whole[going]:
            masks[places] += part.pixels
            part.of(owner).fill_(int(places))
            part.of(inside).fill_(True)
        elif len(quarters := part.quarters()) > 1:
            open_parts += [(quarter, places) for quarter in quarters]
        else:
            if early:
                probs = image.part(model.part(cells[going], content).sigmoid_(), part)
            else:
                probs = both.part(cells[going], part).sigmoid_()
            within = probs >= 0.5
            masks[places] += within.flatten(1).sum(1)
            best = probs.mul_(scores[places, None, None]).max(0).indices
            part.of(owner).copy_(places[best])
            part.of(inside).copy_(within.gather(0, best[None])[0])
    return Shares(owner, inside, masks)
