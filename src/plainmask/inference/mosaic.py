"""The results of an image's tiles, put together to that of the image.

Every tile is an image of its own, so all that is kept of it is its result. Each pixel is decided
by the tile in which it lies deepest; what two tiles show of one object is joined where the tiles
overlap. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from plainmask.inference.tiles import Span, Tile
from plainmask.results import IGNORE, InstanceResult, PanopticResult, SemanticResult
from plainmask.results.masks import areas_of, intersections_of
from plainmask.results.rle import Rle
from plainmask.results.segments import segments_of
from plainmask.vocabulary import Vocabulary

AGREE = 0.5
"""IoU above which two masks of a class are one object: where two tiles overlap, and at the end."""
LEAST_SCORE = 0.05
"""Instances that a tile is less sure of are left out: tiles have many, images few."""


class Mosaic(Protocol):
    """Takes the results of tiles, row by row, and gives that of the image."""

    def add(self, tile: Tile, result: Any) -> None:
        """Put in the result of the next tile."""
        ...

    def result(self) -> SemanticResult | InstanceResult | PanopticResult:
        """The result of the image, when all tiles are in."""
        ...


def build_mosaic(kind: str, size: tuple[int, int], vocabulary: Vocabulary) -> Mosaic:
    """The empty mosaic of an image of size (H, W) for results of this kind."""
    build: dict[str, Callable[[tuple[int, int], Vocabulary], Mosaic]] = {
        "semantic": SemanticMosaic,
        "instance": InstanceMosaic,
        "panoptic": PanopticMosaic,
    }
    return build[kind](size, vocabulary)


class SemanticMosaic:
    """See `Mosaic`; there are no scores."""

    def __init__(self, size: tuple[int, int], vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        self.map = np.full(size, IGNORE, np.int32)

    def add(self, tile: Tile, result: SemanticResult) -> None:
        """Take the labels that the tile decides."""
        self.map[tile.own_rows.slice, tile.own_columns.slice] = tile.own(result.label_map)

    def result(self) -> SemanticResult:
        """See `Mosaic`."""
        return SemanticResult(self.map, self.vocabulary)


class _Joined:
    """Numbers 0..N-1, of which some are found to be one (union-find)."""

    def __init__(self) -> None:
        self._parents: list[int] = []

    def __len__(self) -> int:
        return len(self._parents)

    def grow(self, count: int) -> None:
        self._parents += range(len(self), len(self) + count)

    def first(self, number: int) -> int:
        """The least of the numbers that are one with this."""
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number

    def join(self, number: int, other: int) -> None:
        low, high = sorted((self.first(number), self.first(other)))
        self._parents[high] = low


@dataclass(frozen=True, eq=False)
class _Part:
    """What one tile shows of an object."""

    class_id: int
    score: float
    rows: Span
    """Of its box, in the image."""
    columns: Span
    rle: Rle
    """Its mask within the box."""
    area: int
    own_area: int
    """Pixels that the tile decides."""


class _Object(NamedTuple):
    """What the image shows, over all tiles."""

    class_id: int
    score: float
    rle: Rle


@dataclass(frozen=True, eq=False)
class _Shown:
    """A tile and its parts, as long as further tiles may share them."""

    tile: Tile
    numbers: range
    """Of its parts."""
    masks: list[NDArray[np.bool_]]
    """Decoded."""


class InstanceMosaic:
    """See `Mosaic`; an object's score is that of the tile that decides most of it."""

    def __init__(self, size: tuple[int, int], vocabulary: Vocabulary):
        self.size, self.vocabulary = size, vocabulary
        self.parts: list[_Part] = []
        self.joined = _Joined()
        self.tiles_of: dict[int, set[int]] = {}
        """The tiles that show an object, by the first of its parts."""
        self.recent: list[_Shown] = []
        """Tiles of this row and the one before."""
        self.tiles = 0
        self.confident = InstanceResult.confident

    def add(self, tile: Tile, result: InstanceResult) -> None:
        """Keep the tile's objects, and find those that it shares with earlier ones."""
        self.confident = result.confident  # the head's, so that of all tiles
        result = result.candidates
        first = len(self.parts)
        masks: list[NDArray[np.bool_]] = []
        for class_id, score, rle in zip(
            result.class_ids.tolist(), result.scores.tolist(), result.rles, strict=True
        ):
            if score >= LEAST_SCORE and rle.area:
                part, mask = _part_of(tile, class_id, score, rle)
                self.parts.append(part)
                masks.append(mask)
        shown = _Shown(tile, range(first, len(self.parts)), masks)
        self.joined.grow(len(masks))
        self.tiles_of |= {number: {self.tiles} for number in shown.numbers}
        self.tiles += 1
        self.recent = [other for other in self.recent if other.tile.row >= tile.row - 1]
        for other in self.recent:
            self._join(shown, other)
        self.recent.append(shown)

    def result(self) -> InstanceResult:
        """See `Mosaic`; the surest first."""
        groups: dict[int, list[_Part]] = {}
        for number, part in enumerate(self.parts):
            groups.setdefault(self.joined.first(number), []).append(part)
        objects: list[_Object] = []
        for parts in groups.values():
            # What lies mostly where a neighbour sees better, and was not seen there, is a stump.
            if len(parts) == 1 and 2 * parts[0].own_area < parts[0].area:
                continue
            main = max(parts, key=lambda part: part.own_area)
            objects.append(_Object(main.class_id, main.score, _together(parts, self.size)))
        objects.sort(key=lambda found: -found.score)
        objects = _without_doubles(objects)
        return InstanceResult(
            self.size,
            tuple(found.rle for found in objects),
            np.array([found.class_id for found in objects], np.int64),
            np.array([found.score for found in objects], np.float32),
            self.vocabulary,
            self.confident,
        ).sure()

    def _join(self, shown: _Shown, other: _Shown) -> None:
        """Join what two tiles agree on, one to one, the surest first.

        Heads give doubtful doubles of what they are sure of; each must find its own partner.
        """
        rows = shown.tile.rows.meet(other.tile.rows)
        columns = shown.tile.columns.meet(other.tile.columns)
        if rows.first >= rows.last or columns.first >= columns.last:
            return
        there = [k for k in other.numbers if _reaches(self.parts[k], rows, columns)]
        pairs = [
            (min(self.parts[number].score, self.parts[k].score), number, k)
            for number in shown.numbers
            if _reaches(self.parts[number], rows, columns)
            for k in there
            if _may_agree(self.parts[number], self.parts[k])
            and self._iou(shown, number, other, k, rows, columns) > AGREE
        ]
        taken: set[int] = set()
        for _, number, k in sorted(pairs, key=lambda pair: -pair[0]):
            if number in taken or k in taken:
                continue
            mine, theirs = self.joined.first(number), self.joined.first(k)
            if mine != theirs and not self.tiles_of[mine] & self.tiles_of[theirs]:
                tiles = self.tiles_of.pop(mine) | self.tiles_of.pop(theirs)
                self.joined.join(number, k)
                self.tiles_of[self.joined.first(number)] = tiles
            taken |= {number, k}

    def _iou(
        self, shown: _Shown, number: int, other: _Shown, k: int, rows: Span, columns: Span
    ) -> float:
        """Of two parts, in the window of the image that both tiles show."""
        part, there = self.parts[number], self.parts[k]
        mask, mask_there = (
            shown.masks[number - shown.numbers.start],
            other.masks[k - other.numbers.start],
        )
        both_rows, both_columns = part.rows.meet(there.rows), part.columns.meet(there.columns)
        shared = np.count_nonzero(
            _window(part, mask, both_rows, both_columns)
            & _window(there, mask_there, both_rows, both_columns)
        )
        areas = np.count_nonzero(_window(part, mask, rows, columns))
        areas += np.count_nonzero(_window(there, mask_there, rows, columns))
        return shared / max(1, areas - shared)


def _part_of(tile: Tile, class_id: int, score: float, rle: Rle) -> tuple[_Part, NDArray[np.bool_]]:
    """One object of a tile's result, and its mask within its box."""
    left, top, right, bottom = (int(side) for side in rle.box)
    mask = rle.decode()
    own_area = int(np.count_nonzero(tile.own(mask)))
    rows = Span(tile.rows.first + top, tile.rows.first + bottom)
    columns = Span(tile.columns.first + left, tile.columns.first + right)
    cut = mask[top:bottom, left:right].copy()
    return _Part(class_id, score, rows, columns, Rle.encode(cut), rle.area, own_area), cut


def _reaches(part: _Part, rows: Span, columns: Span) -> bool:
    """Whether its box reaches into a window."""
    return (
        part.rows.first < rows.last
        and rows.first < part.rows.last
        and part.columns.first < columns.last
        and columns.first < part.columns.last
    )


def _may_agree(part: _Part, other: _Part) -> bool:
    return part.class_id == other.class_id and _reaches(part, other.rows, other.columns)


def _window(part: _Part, mask: NDArray[np.bool_], rows: Span, columns: Span) -> NDArray[np.bool_]:
    """The part's mask in a window of the image, as far as its box reaches."""
    rows, columns = rows.meet(part.rows), columns.meet(part.columns)
    return mask[rows.within(part.rows).slice, columns.within(part.columns).slice]


def _together(parts: Sequence[_Part], size: tuple[int, int]) -> Rle:
    """The union of the parts as one mask of the image."""
    top = min(part.rows.first for part in parts)
    left = min(part.columns.first for part in parts)
    bottom = max(part.rows.last for part in parts)
    right = max(part.columns.last for part in parts)
    mask = np.zeros((bottom - top, right - left), np.bool_)
    for part in parts:
        rows, columns = part.rows.within(Span(top, 0)), part.columns.within(Span(left, 0))
        mask[rows.slice, columns.slice] |= part.rle.decode()
    return Rle.encode_part(mask, (top, left), size)


def _without_doubles(objects: Sequence[_Object]) -> list[_Object]:
    """Only the first of objects that agree, the surest first.

    A query's doubtful double finds no partner in other tiles, so it is an object of its own; over
    many tiles such doubles are most of what is wrong in the result.
    """
    rles = [found.rle for found in objects]
    boxes, areas = np.array([rle.box for rle in rles]).reshape(-1, 4), areas_of(rles)
    classes = np.array([found.class_id for found in objects])
    kept = np.zeros(len(objects), np.bool_)
    for k, found in enumerate(objects):
        meets = (boxes[:k, :2] < boxes[k, 2:]) & (boxes[:k, 2:] > boxes[k, :2])
        near = np.flatnonzero(kept[:k] & (classes[:k] == found.class_id) & meets.all(axis=1))
        (shared,) = intersections_of([found.rle], [rles[i] for i in near.tolist()])
        kept[k] = bool((shared <= AGREE * (areas[k] + areas[near] - shared)).all())
    return [objects[k] for k in np.flatnonzero(kept).tolist()]


class PanopticMosaic:
    """See `Mosaic`; stuff is one segment a class."""

    def __init__(self, size: tuple[int, int], vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        self.map = np.zeros(size, np.int32)
        """Number of a segment of a tile, + 1; 0 for none."""
        self.facts: list[tuple[int, float, int]] = []
        """Class, score and area in its tile, of each segment of a tile."""
        self.joined = _Joined()
        self.stuff: dict[int, int] = {}
        self.recent: list[tuple[Tile, NDArray[np.int32]]] = []
        """Tiles of this row and the one before, with their maps of such numbers."""

    def add(self, tile: Tile, result: PanopticResult) -> None:
        """Take the pixels that the tile decides, and find segments shared with earlier ones."""
        first = len(self.facts)
        numbers = np.zeros(max((s.id for s in result.segments), default=0) + 1, np.int32)
        self.joined.grow(len(result.segments))
        for number, segment in enumerate(result.segments, first):
            numbers[segment.id] = number + 1
            self.facts.append((segment.class_id, segment.score, segment.area))
            if not segment.thing:
                self.joined.join(number, self.stuff.setdefault(segment.class_id, number))
        part = numbers[result.segment_map]
        self.recent = [(t, m) for t, m in self.recent if t.row >= tile.row - 1]
        for other, map_there in self.recent:
            self._compare(tile, part, other, map_there)
        self.recent.append((tile, part))
        self.map[tile.own_rows.slice, tile.own_columns.slice] = tile.own(part)

    def result(self) -> PanopticResult:
        """See `Mosaic`; its map becomes that of the result."""
        firsts = np.array([self.joined.first(k) for k in range(len(self.facts))], np.int64)
        used = np.zeros(len(self.facts) + 1, np.bool_)
        for rows in self.map:  # row by row, as a copy of the whole map may be large
            used[rows] = True
        kept = np.unique(firsts[used[1:]])
        table = np.append(0, np.searchsorted(kept, firsts) + 1).astype(np.int32)
        table[1:][~used[1:]] = 0
        for rows in self.map:
            rows[:] = table[rows]
        scores = self._scores(firsts)

        def describe(key: int) -> tuple[int, float]:
            number = int(kept[key - 1])
            return self.facts[number][0], scores[number]

        return PanopticResult(
            self.map, segments_of(self.map, describe, self.vocabulary), self.vocabulary
        )

    def _scores(self, firsts: NDArray[np.int64]) -> dict[int, float]:
        """The score of each joined segment: the mean over its parts, by their areas."""
        weights: dict[int, float] = {}
        sums: dict[int, float] = {}
        for first, (_, score, area) in zip(firsts.tolist(), self.facts, strict=True):
            weights[first] = weights.get(first, 0) + area
            sums[first] = sums.get(first, 0) + score * area
        return {first: sums[first] / weights[first] for first in weights}

    def _compare(
        self, tile: Tile, part: NDArray[np.int32], other: Tile, map_there: NDArray[np.int32]
    ) -> None:
        """Join things that two tiles agree on where they overlap."""
        rows, columns = tile.rows.meet(other.rows), tile.columns.meet(other.columns)
        if rows.first >= rows.last or columns.first >= columns.last:
            return
        mine = part[rows.within(tile.rows).slice, columns.within(tile.columns).slice]
        theirs = map_there[rows.within(other.rows).slice, columns.within(other.columns).slice]
        base = len(self.facts) + 1
        pairs, counts = np.unique(mine.astype(np.int64) * base + theirs, return_counts=True)
        numbers, others = pairs // base, pairs % base
        my_areas = np.bincount(numbers, counts, minlength=base)
        their_areas = np.bincount(others, counts, minlength=base)
        agreed = counts > AGREE * (my_areas[numbers] + their_areas[others] - counts)
        agreed &= (numbers > 0) & (others > 0)
        for number, there in zip(numbers[agreed] - 1, others[agreed] - 1, strict=True):
            if self.facts[number][0] == self.facts[there][0]:
                self.joined.join(int(number), int(there))
