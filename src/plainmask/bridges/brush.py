"""Masks as Label Studio's brush stores them: run lengths of RGBA pixels, packed bit by bit.

A head of 53 bits (how many values, how wide each is, the four sizes that a length may have), then
for each run 1, which of the sizes, its length - 1 in so many bits, and the value. Values that stand
alone may come as 0 instead; nothing here writes that.

Letters: H W size of the mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError

__all__ = ["brush_mask", "brush_rle"]

_SIZES = (3, 4, 8, 16)
"""Bits that a length may have."""
_LIMITS = tuple(2**size for size in _SIZES)
_CHANNELS = 4


def brush_rle(mask: NDArray[np.bool_]) -> list[int]:
    """A mask (H, W) as `value.rle` of a brush region: bytes.

    They are those of `label_studio_sdk.converter.brush.mask2rle(255 * mask)`.
    """
    flat = mask.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    lengths = np.diff(starts, append=flat.size) * _CHANNELS
    sizes = np.searchsorted(_LIMITS[:-1], lengths)
    pieces = np.where(sizes == 3, (lengths - 1) // _LIMITS[3] + 1, 1)  # the longest are cut
    run = np.repeat(np.arange(len(lengths)), pieces)
    piece = np.full(len(run), _LIMITS[3])
    last = np.cumsum(pieces) - 1
    piece[last] = lengths - (pieces - 1) * _LIMITS[3]
    wide = np.array(_SIZES)[sizes[run]]
    codes = (((0b100 | sizes[run]) << wide | (piece - 1)) << 8) | np.where(
        flat[starts][run], 255, 0
    )
    head = flat.size * _CHANNELS, 7, *(size - 1 for size in _SIZES)
    values = np.concatenate([np.array(head, np.int64), codes])
    widths = np.concatenate([[32, 5, 4, 4, 4, 4], wide + 11])
    bits = _bits(values, widths)
    return np.packbits(np.append(bits, np.zeros(8 - bits.size % 8, np.uint8))).tolist()


def brush_mask(rle: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask (H, W) of a brush region: where its pixels are not wholly transparent.

    Args:
        rle: `value.rle`.
        size: (H, W): its `original_height` and `original_width`.

    Raises:
        InputError: it is broken off, or of a picture of another size.
    """
    data = bytes(rle) + bytes(8)
    place = 0

    def read(bits: int) -> int:
        nonlocal place
        if place + bits > 8 * len(rle):
            raise InputError("the brush's run lengths break off; take them whole from value.rle")
        word = int.from_bytes(data[place // 8 : place // 8 + 8], "big")
        place += bits
        return word >> (64 - bits - (place - bits) % 8) & (1 << bits) - 1

    count = read(32)
    if count != size[0] * size[1] * _CHANNELS:
        raise InputError(
            f"the brush's run lengths are of {count} values, not of RGBA pixels of {size[0]} x "
            f"{size[1]}; take original_height and original_width of the same region"
        )
    width, sizes = read(5) + 1, [read(4) + 1 for _ in range(4)]
    shown = np.empty(count, bool)
    done = 0
    while done < count:
        same, length = read(1), read(sizes[read(2)]) + 1
        alone = 1 if same else length
        values = [read(width) > 0 for _ in range(alone)]
        shown[done : done + length] = values[: count - done]
        done += length
    return shown.reshape(*size, _CHANNELS)[..., 3]


def _bits(values: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Numbers in so many bits each, one after the other."""
    ends = np.cumsum(widths)
    which = np.repeat(np.arange(len(values)), widths)
    behind = ends[which] - 1 - np.arange(ends[-1])
    return (values[which] >> behind & 1).astype(np.uint8)
