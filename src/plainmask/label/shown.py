"""Pictures, labels and proposals as files that a browser shows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.errors import InputError
from plainmask.label.config import LabelClass
from plainmask.label.planes import Planes
from plainmask.label.stroke import NO_LABEL
from plainmask.pictures.images import read_image
from plainmask.pictures.opening import opened, orientation, upright
from plainmask.results.formats import png_bytes

KINDS = {
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
}
"""Formats that browsers show; others are sent as PNG."""
THUMB = 256
"""Pixels of the longer side of a small picture."""


def picture_file(path: Path) -> tuple[bytes, str]:
    """The content of a picture for a browser, and its media type.

    Raises:
        InputError: it is not there any more, or cannot be read.
    """
    with opened(path) as image:
        kind = KINDS.get(image.format or "")
        is_plain = image.mode in ("1", "L", "LA", "P", "RGB", "RGBA")
        # Not every browser turns other files than JPEG upright.
        is_plain &= image.format == "JPEG" or orientation(image) == 1
    if kind is None or not is_plain:
        return png_bytes(Image.fromarray(read_image(path))), "image/png"
    try:
        return path.read_bytes(), kind
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def thumb(path: Path) -> bytes:
    """A small picture, JPEG; errors as above."""
    with opened(path) as image:
        image.draft("RGB", (2 * THUMB, 2 * THUMB))  # JPEG files are decoded at a fraction
        if image.mode in ("L", "RGB"):
            small = upright(image).convert("RGB")
        else:
            small = Image.fromarray(read_image(path))
    small.thumbnail((THUMB, THUMB))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def labels_png(labels: Planes, classes: Sequence[LabelClass]) -> bytes:
    """Labels (H, W) as a PNG in the colours of the classes; transparent where there are none.

    Where objects are told apart, as `planes_png`.
    """
    if labels.objects is not None:
        return planes_png(labels)
    palette = np.zeros((256, 3), np.uint8)
    for entry in classes:
        palette[entry.id] = entry.color
    picture = Image.fromarray(labels.classes).convert("P")
    picture.putpalette(palette.tobytes())
    picture.info["transparency"] = bytes(255 * (value != NO_LABEL) for value in range(256))
    return png_bytes(picture)


def planes_png(planes: Planes) -> bytes:
    """Planes (H, W) as a PNG of numbers: grey, of class ids, 255 for none.

    Where objects are told apart, in three channels: class id, and number of the object, the high
    byte first.
    """
    if planes.objects is None:
        return grey_png(planes.classes)
    high, low = (planes.objects >> 8).astype(np.uint8), planes.objects.astype(np.uint8)
    return png_bytes(Image.fromarray(np.stack([planes.classes, high, low], axis=2)))


def grey_png(values: NDArray[np.uint8]) -> bytes:
    """Numbers (H, W) as a grey PNG."""
    return png_bytes(Image.fromarray(values))
