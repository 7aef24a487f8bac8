"""Results as JSON for clients."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

from plainmask.results import Result
from plainmask.results.formats import png_bytes
from plainmask.results.trace import trace_polygon

Masks: TypeAlias = Literal["rle", "polygons", "png", "none"]
"""How masks are told: of each segment COCO's RLE or one polygon (filled by the even-odd rule), both
exact; one picture of all segments, as `Result.save` writes it; or not at all."""
MASKS: tuple[Masks, ...] = get_args(Masks)


def answer(result: Result, masks: Masks) -> dict[str, Any]:
    """What a head found in a picture, ready for JSON.

    `kind`, `image_size` [H, W], `vocabulary`, and `segments`: the rows of `Result.rows` with, by
    `masks`, `rle` ({"size", "counts"}) or `polygon` ([x0, y0, x1, y1, ...] along the edges of
    pixels). With "png" the answer has `labels`, a PNG in base64; of a frame, `frame_index`.
    """
    segments = result.rows()
    for row, segment in zip(segments, result.segments, strict=True):
        if masks == "rle":
            row["rle"] = result.rle_of(segment).to_coco()
        elif masks == "polygons":
            row["polygon"] = trace_polygon(result.mask_of(segment)).ravel().tolist()
    found: dict[str, Any] = {
        "kind": result.kind,
        "image_size": list(result.image_size),
        "vocabulary": result.vocabulary.name,
        "segments": segments,
    }
    if result.frame_index is not None:
        found["frame_index"] = result.frame_index
    if masks == "png":
        found["labels"] = base64.b64encode(png_bytes(result.label_picture())).decode("ascii")
    return found


def timing(seconds: Mapping[str, float]) -> str:
    """What took how long, as the header Server-Timing tells it."""
    return ", ".join(f"{what};dur={1e3 * spent:.1f}" for what, spent in seconds.items())
