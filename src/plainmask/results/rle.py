"""Run-length encoded masks, in COCO's compressed form: hundreds of masks fit in kilobytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

Box: TypeAlias = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels; x1 and y1 are the far edges, so x1 - x0 is the width."""


@dataclass(frozen=True)
class Rle:
    """One binary mask, compressed."""

    size: tuple[int, int]
    """(H, W)."""
    counts: str
    """COCO's compressed run lengths, column by column; ASCII."""

    @classmethod
    def encode(cls, mask: NDArray[np.bool_]) -> Rle:
        """Compress a mask (H, W) of booleans."""
        encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
        height, width = mask.shape
        return cls((height, width), cast(bytes, encoded["counts"]).decode("ascii"))

    @classmethod
    def of_runs(cls, runs: NDArray[np.int64], size: tuple[int, int]) -> Rle:
        """Compress run lengths, zeros first, column by column; they fill a picture of (H, W)."""
        listed: Any = {"size": list(size), "counts": runs.tolist()}
        encoded = coco.frPyObjects(listed, *size)
        return cls(size, cast(bytes, cast(Any, encoded)["counts"]).decode("ascii"))

    @classmethod
    def encode_part(
        cls, mask: NDArray[np.bool_], corner: tuple[int, int], size: tuple[int, int]
    ) -> Rle:
        """Compress the mask of an object of a large picture, without making a mask of that size.

        Args:
            mask: (h, w) of booleans, a cut-out.
            corner: (top, left) of the cut-out in the picture.
            size: (H, W) of the picture.
        """
        return cls.of_ends([run_ends(mask, corner, size)], size)

    @classmethod
    def of_ends(cls, ends: Sequence[NDArray[np.int64]], size: tuple[int, int]) -> Rle:
        """Compress the mask whose runs begin and end there.

        Args:
            ends: `run_ends` of its parts, of which each lies in columns to the right of the last.
            size: (H, W) of the picture.
        """
        joined = np.concatenate([np.empty(0, np.int64), *ends])
        joint = np.flatnonzero(joined[1:-1:2] == joined[2::2])  # over the border of two columns
        joined = np.delete(joined, np.concatenate([2 * joint + 1, 2 * joint + 2]))
        last = size[0] * size[1]
        if not joined.size or joined[-1] != last:
            joined = np.append(joined, last)
        return cls.of_runs(np.diff(joined, prepend=0), size)

    def decode(self) -> NDArray[np.bool_]:
        """The mask (H, W) of booleans."""
        return coco.decode(self._pycoco()).view(bool)  # zeros and ones

    def decode_within(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """`decode()[rows, columns]`, of which only these columns are made.

        Args:
            rows, columns: from a first to a last one in the mask, both given.
        """
        height = self.size[0]
        first, last = columns.start * height, columns.stop * height
        ends = np.clip(np.cumsum(self._runs()), first, last)
        flat = np.repeat(np.arange(len(ends)) % 2 == 1, np.diff(ends, prepend=first))
        return np.ascontiguousarray(flat.reshape(-1, height)[:, rows].T)

    def _runs(self) -> NDArray[np.int64]:
        """Run lengths, zeros first, column by column: what `of_runs` compresses."""
        # Five bits a character, low ones first; one bit says that more follow. The last character
        # has the sign, as from the fourth on a run is the difference to the one before the last.
        bits = np.frombuffer(self.counts.encode("ascii"), np.uint8).astype(np.int64) - 48
        ends = np.flatnonzero(bits < 32)
        starts = np.append(0, ends[:-1] + 1)
        places = np.arange(len(bits)) - np.repeat(starts, ends - starts + 1)
        runs = np.add.reduceat((bits & 31) << 5 * places, starts)
        runs -= (bits[ends] & 16) << 5 * places[ends] + 1
        np.cumsum(runs[1::2], out=runs[1::2])
        np.cumsum(runs[2::2], out=runs[2::2])
        return runs

    @property
    def area(self) -> int:
        """Number of pixels in the mask."""
        return int(coco.area(self._pycoco()))

    @property
    def box(self) -> Box:
        """Smallest box around the mask; all zeros for an empty one."""
        x, y, width, height = (float(value) for value in coco.toBbox(self._pycoco()))
        return (x, y, x + width, y + height) if width and height else (0.0, 0.0, 0.0, 0.0)

    def to_coco(self) -> dict[str, Any]:
        """As in COCO's JSON files: `{"size": [H, W], "counts": str}`."""
        return {"size": list(self.size), "counts": self.counts}

    def _pycoco(self) -> Any:
        return {"size": list(self.size), "counts": self.counts.encode("ascii")}


def run_ends(
    mask: NDArray[np.bool_], corner: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.int64]:
    """Where runs of a part of a mask begin and end, in turn, column by column of the picture.

    Args:
        mask: (h, w) of booleans, a cut-out.
        corner: (top, left) of the cut-out in the picture.
        size: (H, W) of the picture.

    Returns:
        (2 * runs,) pixels from the upper left corner of the picture, down the columns. A run that
        goes on in the next column is two.
    """
    (height, width), (top, left) = mask.shape, corner
    padded = np.zeros((width, height + 2), bool)
    padded[:, 1:-1] = mask.T
    columns, rows = np.divmod(np.flatnonzero(padded[:, 1:] != padded[:, :-1]), height + 1)
    return (columns + left) * size[0] + rows + top


def rles_of(flat_map: NDArray[np.int32]) -> dict[int, Rle]:
    """The masks of all segments of a map (H, W) of their ids, by id; 0 is none. One pass for all.

    Equal to `Rle.encode(flat_map == key)` for each.
    """
    size = (flat_map.shape[0], flat_map.shape[1])
    columns = flat_map.ravel("F")
    begins = np.ones(columns.size, bool)
    np.not_equal(columns[1:], columns[:-1], out=begins[1:])
    starts = np.flatnonzero(begins)
    ids, ends = columns[starts], np.append(starts[1:], columns.size)
    order = np.argsort(ids, kind="stable")
    found, firsts = np.unique(ids[order], return_index=True)
    groups = np.split(order, firsts[1:])
    return {
        key: Rle.of_ends([np.stack([starts[runs], ends[runs]], 1).ravel()], size)
        for key, runs in zip(found.tolist(), groups, strict=True)
        if key
    }
