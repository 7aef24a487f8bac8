"""Masks as they stand in JSON files of the COCO family, compressed and checked.

Letters: H W image size.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from plainmask.data.coco_masks import Size, decode_mask, is_absent, rle_size
from plainmask.errors import InputError
from plainmask.results.rle import Rle


def read_rle(form: Any, size: Size) -> Rle | None:
    """One value of `segmentation` or `segmentations`; None where there is no object.

    Compressed run lengths are checked and kept, never decoded.

    Args:
        form: run lengths {"size", "counts"} as COCO's text or as a list, polygons, null, or [].
        size: (H, W) of the picture.

    Raises:
        InputError: it has another form, is damaged, or was made for another size.
    """
    if is_absent(form):
        return None
    if not isinstance(form, dict):
        return Rle.encode(decode_mask(form, size))  # polygons
    if (stated := rle_size(form)) != size:
        raise InputError(f"its run lengths are for a size of {stated}, the picture's is {size}")
    counts = cast(dict[str, Any], form)["counts"]
    if isinstance(counts, str):
        _check_runs(_runs(counts), size)
        return Rle(size, counts)
    if not isinstance(counts, list):
        raise InputError(f"run lengths are a text or a list, not {type(counts).__name__}")
    try:
        runs = np.array(counts, np.int64)
    except (TypeError, ValueError, OverflowError) as cause:
        raise InputError(f"run lengths must be whole numbers ({cause})") from cause
    _check_runs(runs, size)
    encoded = coco.frPyObjects(cast(Any, {"size": list(size), "counts": runs.tolist()}), *size)
    return Rle(size, cast(bytes, cast(Any, encoded)["counts"]).decode("ascii"))


def _check_runs(runs: NDArray[np.int64], size: Size) -> None:
    height, width = size
    if runs.ndim != 1 or runs.min(initial=0) < 0 or runs.sum() != height * width:
        raise InputError(
            f"its run lengths are damaged: they cover {runs.sum()} pixels of {height * width}"
        )


def _runs(counts: str) -> NDArray[np.int64]:
    """Run lengths of COCO's text form: as `data.coco_masks` reads them, for thousands of masks.

    Five bits a character, the lowest first; 0x20 says that more follow, 0x10 in the last one that
    the number is negative. From the fourth on, numbers are differences to the one before last.
    """
    codes = np.frombuffer(counts.encode("utf-8"), np.uint8).astype(np.int64) - 48
    if ((codes < 0) | (codes >= 64)).any():
        raise InputError("its run lengths hold a character that may not be there")
    last = codes & 0x20 == 0
    if not last[-1]:
        raise InputError("its run lengths end in the middle of a number")
    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    if (ends - starts).max() > 6:
        raise InputError("its run lengths hold a number that is too large")
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((codes & 0x1F) << 5 * place, starts)
    numbers -= np.where(codes[ends] & 0x10, 1 << 5 * (ends - starts + 1), 0)
    runs = numbers.copy()
    runs[1::2], runs[2::2] = np.cumsum(numbers[1::2]), np.cumsum(numbers[2::2])
    return runs
