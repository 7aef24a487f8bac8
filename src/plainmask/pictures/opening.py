"""Open a picture file: one decoder, one limit, one clear error.

What a file is is told by its contents, not by its name. Paths may lead into zip archives; see
`archive`.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from PIL import ExifTags, Image, UnidentifiedImageError

from plainmask.errors import InputError
from plainmask.pictures.archive import open_file

MAX_PIXELS = "PLAINMASK_MAX_PIXELS"
"""Environment variable: how many pixels a picture may have; 0: any number."""

_DECODE_ERRORS = (
    EOFError,
    IndexError,
    OSError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises on broken files; the bomb warning counts where warnings are errors."""

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OTHER_KINDS = (
    (b"git-lfs", "this is a Git LFS pointer, not the picture; fetch it with git lfs pull"),
    (b"<svg", "this is an SVG drawing; export it as PNG"),
    (b"%pdf", "this is a PDF document; export its page as PNG"),
    (b"<html", "this is a web page, not the picture; download the picture itself"),
)
"""What files are that are no pictures, by something that they begin with."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the picture upright; 5 and above swap height and width."""


@contextmanager
def opened(
    source: str | Path | IO[bytes], name: str | None = None
) -> Generator[Image.Image, None, None]:
    """Open a picture file for the block; it is closed, and errors translated, at the end."""
    name = str(source) if name is None else name
    _set_limit()
    with pillow_errors(name), ExitStack() as stack:
        if isinstance(source, str | Path):
            if re.match(r"\w\w+:/", str(source)) and not Path(source).exists():
                raise InputError(f"{name} is an address; download it, and give the file")
            file = stack.enter_context(open_file(Path(source)))
        else:
            file = source
            file.seek(0)
        yield stack.enter_context(_identified(file, name))


def _identified(file: IO[bytes], name: str) -> Image.Image:
    """What Pillow makes of a file, with the help of pillow-heif where it is installed."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        file.seek(0)
        head = file.read(1024)
        if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
            reason = next((words for sign, words in _OTHER_KINDS if sign in head.lower()), None)
            if reason is None:
                raise
            raise InputError(f"{name}: {reason}") from None
    try:
        from pillow_heif import register_heif_opener  # pyright: ignore
    except ImportError:
        raise InputError(
            f"{name}: this is a HEIC picture; install what reads it (pip install pillow-heif), or "
            "export it as JPEG"
        ) from None
    cast(Any, register_heif_opener)()
    file.seek(0)
    return Image.open(file)


def _set_limit() -> None:
    """Take over the limit on pixels that a person has set."""
    said = os.environ.get(MAX_PIXELS)
    if not said:
        return
    if not said.isdecimal():
        raise InputError(f"{MAX_PIXELS} is a whole number, 0 for no limit, not {said!r}")
    Image.MAX_IMAGE_PIXELS = int(said) or None


@contextmanager
def pillow_errors(name: str) -> Generator[None, None, None]:
    """Let what Pillow raises on a broken picture leave the block as an InputError."""
    try:
        yield
    except InputError:
        raise
    except _DECODE_ERRORS as cause:
        raise InputError(f"{name}: {_reason(cause)}") from cause


def _reason(cause: Exception) -> str:
    """What went wrong and what to do, for people."""
    match cause:
        case FileNotFoundError():
            return "there is no such file; check the path"
        case IsADirectoryError():
            return "this is a folder; give the files in it"
        case PermissionError():
            return "this may not be read; check its permissions and that it is a file"
        case UnidentifiedImageError():
            return "this is not a picture that can be read; give a JPEG, PNG, WebP, BMP or TIFF"
        case OSError() if cause.errno is not None:
            return f"this cannot be opened ({cause.strerror})"
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            count = re.search(r"\d+", str(cause))
            return (
                f"it unpacks to {count[0] if count else 'more'} pixels, beyond the limit that "
                "guards against malicious files; scale it down, or, if you trust it, set the "
                f"environment variable {MAX_PIXELS}={count[0] if count else 0} (in Python: "
                "PIL.Image.MAX_IMAGE_PIXELS)"
            )
        case _:
            return f"the picture is damaged ({cause}); get or export it again"


def upright(image: Image.Image) -> Image.Image:
    """The decoded picture, turned as its EXIF orientation says."""
    image.load()
    if 0 in image.size:
        raise InputError(f"the image has no pixels (width x height {image.width}x{image.height})")
    turn = _UPRIGHT.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none or where it cannot be read."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DECODE_ERRORS:  # damaged metadata is no reason to refuse a sound picture
        return 1
    return found if found in _UPRIGHT else 1
