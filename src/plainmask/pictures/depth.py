"""Pictures of more than 8 bits: which value is white, and the 8 bits that a model sees.

Cameras and microscopes write 10, 12 or 14 bits into files of 16. What a file says decides
(BitsPerSample, MaxSampleValue, sBIT); where it says nothing, the values do, and a warning says so.

Letters: H W image size.
"""

from __future__ import annotations

import os
import struct
import warnings
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.errors import InputError

WHITE = "PLAINMASK_WHITE"
"""Environment variable: the value that is white in files of more than 8 bits."""

FULL = 0xFFFF
_BITS = (8, 10, 12, 14)
"""Depths that are taken to be meant where a file of 16 bits holds no more."""
_DIM = 0xFF >> 2
"""Largest upper byte of values that fit 14 bits."""
_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE = 258, 281


def scaled(values: NDArray[Any], white: float) -> NDArray[np.uint8]:
    """Values 0..white as uint8 0..255: of whole numbers of N bits the upper 8, of others rounded.

    What lies outside is cut off.
    """
    if np.issubdtype(values.dtype, np.integer) and float(white).is_integer():
        whole = values.astype(np.int64) * 256 // (int(white) + 1)
        return whole.clip(0, 255).astype(np.uint8)
    return np.rint(values.astype(np.float64) * (255 / white)).clip(0, 255).astype(np.uint8)


def white_of(top: int, image: Image.Image, stated: int | None, name: str) -> float:
    """The value that is white in a file of more than 8 bits.

    Args:
        top: its largest value.
        image: the opened file.
        stated: what it says, see `stated_white`.
        name: of it, for the warning.

    Raises:
        InputError: the environment variable is no number.
    """
    if said := os.environ.get(WHITE):
        try:
            return checked_white(float(said))
        except ValueError:
            raise InputError(f"{WHITE} is a number such as 4095, not {said!r}") from None
    if stated is not None:
        return stated if top <= stated else FULL
    fitting = (2**bits - 1 for bits in _BITS if top < 2**bits)
    white = next(fitting, FULL) if top else FULL
    is_wide = image.mode == "I" and image.format != "PNG"  # 32 bits, of which 8 are used
    if white < FULL and not (white == 0xFF and is_wide):
        warnings.warn(
            f"{name}: its values go up to {top} of {FULL}, so {white} is taken to be white; if "
            f"another value is, set {WHITE}, such as {WHITE}={FULL}",
            stacklevel=2,
        )
    return white


def checked_white(white: float) -> float:
    """A value that can be white.

    Raises:
        InputError: it is not positive and finite.
    """
    if not 0 < white < float("inf"):
        raise InputError(f"white is a positive number, such as 1.0 or 4095, not {white:g}")
    return white


def stated_white(image: Image.Image) -> int | None:
    """The largest value that an opened, not yet decoded file says it may hold; None: it does not.

    A file of 8 bits says nothing that is needed.
    """
    if image.format == "TIFF":
        tags = cast(dict[int, Any], getattr(image, "tag_v2", {}))
        most = _largest(tags.get(_MAX_SAMPLE_VALUE))
        bits = _largest(tags.get(_BITS_PER_SAMPLE))
        if most is not None and 0 < most <= FULL:
            return most
        return 2**bits - 1 if bits is not None and 8 < bits < 16 else None
    if image.format == "PNG":
        bits = _significant_bits(image)
        return 2**bits - 1 if bits is not None and 0 < bits <= 16 else None
    return None


def raw_mode(image: Image.Image) -> str:
    """How an opened, not yet decoded file holds its pixels, such as "RGB;16B"; "" if not known."""
    tiles = cast(list[Any], getattr(image, "tile", []))
    if not tiles:
        return ""
    args = tiles[0][3]
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def is_dim(upper: NDArray[np.uint8]) -> bool:
    """Whether upper bytes of colours of 16 bits leave room for the thought that fewer are used."""
    return int(upper.max(initial=0)) <= _DIM


def swap_bytes(image: Image.Image) -> bool:
    """Let an opened file of colours of 16 bits decode to the lower bytes, not the upper ones.

    Pillow keeps the first or the second of two bytes, as their order says; this turns that round.

    Returns:
        whether it can.
    """
    other = {"L": "B", "B": "L", "N": "B"}
    old = raw_mode(image)
    if old[:-1] not in ("RGB;16", "RGBA;16", "RGBX;16"):
        return False
    new = f"{old[:-1]}{other[old[-1]]}"
    tiles: list[Any] = []
    for tile in cast(list[Any], cast(Any, image).tile):
        args = (new, *tile[3][1:]) if isinstance(tile[3], tuple) else new
        tiles.append(tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args))
    cast(Any, image).tile = tiles
    return True


def _largest(value: Any) -> int | None:
    """The largest of one number or several."""
    numbers = cast(tuple[Any, ...], value if isinstance(value, tuple) else (value,))
    whole = [int(number) for number in numbers if isinstance(number, int | float)]
    return max(whole, default=None)


def _significant_bits(image: Image.Image) -> int | None:
    """The largest number in a PNG's chunk sBIT, which Pillow passes over; None: there is none."""
    file = cast(Any, image).fp
    place = file.tell()
    try:
        file.seek(8)
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            if kind == b"sBIT":
                return max(file.read(length), default=None)
            if kind in (b"IDAT", b"IEND"):
                return None
            file.seek(length + 4, os.SEEK_CUR)
        return None
    finally:
        file.seek(place)
