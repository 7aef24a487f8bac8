"""Masks as they stand in JSON files of the COCO family, compressed and checked.

Letters: H W image size.
"""

from __future__ import annotations

from typing import Any, cast

from pycocotools import mask as coco

from plainmask.data.coco_masks import Size, decode_mask, is_absent, rle_size, run_lengths
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
    runs = run_lengths(counts, size)
    if isinstance(counts, str):
        return Rle(size, counts)
    encoded = coco.frPyObjects(cast(Any, {"size": list(size), "counts": runs.tolist()}), *size)
    return Rle(size, cast(bytes, cast(Any, encoded)["counts"]).decode("ascii"))
