"""Pictures and label files: whatever people hand over becomes one plain array or one clear error.

Paths may lead into zip archives; see `archive`.

Everything that can be wrong with a file surfaces here, so no other room knows Pillow's modes,
EXIF, or the many exceptions of broken files.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from plainmask.errors import InputError
from plainmask.pictures.archive import open_file

if TYPE_CHECKING:
    from torch import Tensor

ImageSource: TypeAlias = "str | Path | Image.Image | NDArray[np.uint8] | Tensor"
"""A path, a PIL image, an (H, W, 3) uint8 array or a (3, H, W) uint8 tensor."""

IMAGE_SUFFIXES = frozenset(
    {
        ".avif",
        ".bmp",
        ".dib",
        ".gif",
        ".heic",
        ".heif",
        ".j2k",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""Lower-case suffixes by which pictures are found in a folder, the one list of them."""

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

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")

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


def read_image(source: ImageSource) -> NDArray[np.uint8]:
    """Read a picture as RGB.

    Files and PIL images are turned upright by their EXIF orientation. Every 8-bit mode, grey,
    palette, CMYK, 1-bit and 16-bit grey are accepted; of 16 bits the upper 8 are kept (as Pillow
    does for 16-bit colour), transparency is dropped, and of several frames the first is read.

    Args:
        source: a path, a PIL image, an (H, W, 3) uint8 array or a (3, H, W) uint8 tensor; RGB.

    Returns:
        (H, W, 3) uint8, contiguous, writable and never shared with the source.

    Raises:
        InputError: the file is missing, broken, too large or no picture, or the array or tensor
            has another dtype or layout. The message names the source and what would be right.
    """
    if isinstance(source, Image.Image):
        name = getattr(source, "filename", "") or f"the PIL image of mode {source.mode}"
        with _pillow_errors(name):
            return _rgb(_upright(source), name)
    if isinstance(source, str | Path):
        with _opened(source) as image:
            return _rgb(_upright(image), str(source))
    if isinstance(source, np.ndarray):
        _check("array", "(H, W, 3)", source.shape, str(source.dtype), channel_axis=2)
        return np.array(source, order="C")
    # A tensor can only exist where torch is loaded already; importing it here would cost seconds.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.Tensor):
        dtype = str(source.dtype).removeprefix("torch.")
        _check("tensor", "(3, H, W)", tuple(source.shape), dtype, channel_axis=0)
        return np.array(source.permute(1, 2, 0).cpu().numpy(), order="C")
    kind = type(source).__name__
    hint = "; give its images one by one" if isinstance(source, list | tuple) else ""
    raise InputError(
        f"an image must be a path, a PIL image, an (H, W, 3) uint8 array or a (3, H, W) uint8 "
        f"tensor, not a {kind}{hint}"
    )


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a picture file as `read_image` would return it, without decoding it.

    Raises:
        InputError: as `read_image`.
    """
    with _opened(path) as image:
        if image.format == "TIFF":
            image.load()  # Pillow turns these itself while loading, unlike all other formats
        width, height = image.size
        return (width, height) if _orientation(image) >= 5 else (height, width)


def is_turned(path: str | Path) -> bool:
    """Whether a picture file has an EXIF orientation other than upright.

    Raises:
        InputError: as `read_image`.
    """
    with _opened(path) as image:
        return _orientation(image) != 1


class LabelForm(NamedTuple):
    """What the values of a label file are."""

    colors: bool
    """Three channels; a palette file has one."""
    one_bit: bool
    """0 and 1, which viewers show as black and white."""
    palette: tuple[int, ...] | None
    """The colour of each value, as R + 256 G + 65536 B; None: there is no palette."""


def label_form(path: str | Path) -> LabelForm:
    """What the values of a label file are, without decoding it.

    Raises:
        InputError: as `read_image`.
    """
    with _opened(path) as image:
        channels = image.getpalette("RGB") if image.mode == "P" else None
        palette = None if channels is None else np.reshape(channels, (-1, 3)) @ [1, 256, 65536]
        return LabelForm(
            image.mode in ("RGB", "RGBA"),
            image.mode == "1",
            None if palette is None else tuple(palette.tolist()),
        )


def read_label(
    path: str | Path,
    size: tuple[int, int] | None = None,
    *,
    colors: bool = False,
    resize: bool = True,
) -> NDArray[np.int32]:
    """Read a label file: one number per pixel.

    Accepted are 8-bit, 16-bit, 32-bit and 1-bit grey (values as stored) and palette files (the
    indices, not the colours). An EXIF orientation, where there is one, is applied.

    Args:
        path: the label file.
        size: (height, width) of the image; a label of another size is resized to it by nearest
            neighbour, source index floor(i * in / out).
        colors: read a colour file instead; the numbers are R + 256 G + 65536 B.
        resize: whether a label of another size may be resized.

    Returns:
        (H, W) int32.

    Raises:
        InputError: as `read_image`; also for colour files, for JPEG, which changes values, and for
            labels whose height and width are those of the image swapped.
    """
    with _opened(path) as image:
        if image.format == "JPEG":
            raise InputError(
                f"{path} is a JPEG file, which blurs label values; export the labels as PNG"
            )
        if colors:
            label = _packed(_upright(image), path)
        elif image.mode in ("1", "L", "P", "I", *_SIXTEEN_BIT_MODES):
            label = np.array(_upright(image)).astype(np.int32)
        else:
            raise InputError(
                f"{path} has mode {image.mode}; a label needs one channel of class numbers "
                "(8-bit or 16-bit grey, or a palette). Convert its colours to class numbers first"
            )
    if size is None or label.shape == size:
        return label
    if label.shape == size[::-1]:
        raise InputError(
            f"{path} lies on its side: it is {label.shape} high and wide, its image {size}. The "
            "image is turned by its EXIF orientation; turn the label, too"
        )
    if not resize:
        raise InputError(
            f"{path} is {label.shape} high and wide, its picture {size}; training resizes labels "
            "to their pictures, but labels of the same size are better"
        )
    rows, columns = (
        np.arange(new) * old // new for new, old in zip(size, label.shape, strict=True)
    )
    return label[rows[:, None], columns]


def _check(kind: str, layout: str, shape: tuple[int, ...], dtype: str, channel_axis: int) -> None:
    """Refuse an array or tensor that is not one picture of uint8 RGB."""
    found = f"its shape is {shape}, its dtype {dtype}"
    if len(shape) == 4:
        raise InputError(f"this {kind} is a batch: {found}; give its images one by one")
    if len(shape) != 3 or shape[channel_axis] != 3:
        raise InputError(f"an image {kind} must be {layout} RGB; {found}")
    if dtype != "uint8":
        raise InputError(f"an image {kind} must hold uint8 values 0..255; {found}")
    if 0 in shape:
        raise InputError(f"this image {kind} has no pixels; {found}")


@contextmanager
def _opened(path: str | Path) -> Generator[Image.Image, None, None]:
    """Open a picture file for the block; it is closed, and errors translated, at the end."""
    with (
        _pillow_errors(str(path)),
        open_file(Path(path)) as file,
        Image.open(file) as image,
    ):
        yield image


@contextmanager
def _pillow_errors(name: str) -> Generator[None, None, None]:
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
            return (
                f"it unpacks to more pixels than the limit that guards against malicious files "
                f"({cause}); scale it down, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
            )
        case _:
            return f"the picture is damaged ({cause}); get or export it again"


def _upright(image: Image.Image) -> Image.Image:
    """The decoded picture, turned as its EXIF orientation says."""
    image.load()
    if 0 in image.size:
        raise InputError(f"the image has no pixels (width x height {image.width}x{image.height})")
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 1 where there is none or where it cannot be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DECODE_ERRORS:  # damaged metadata is no reason to refuse a sound picture
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _packed(image: Image.Image, path: str | Path) -> NDArray[np.int32]:
    """The colours of a decoded picture as numbers (H, W): R + 256 G + 65536 B."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        raise InputError(f"{path} is transparent in places; export the labels without transparency")
    red, green, blue = np.array(image.convert("RGB")).astype(np.int32).transpose(2, 0, 1)
    return red + 256 * green + 65536 * blue


def _rgb(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """A decoded picture of any mode as (H, W, 3) uint8."""
    if image.mode in ("I", *_SIXTEEN_BIT_MODES):
        grey = np.array(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise InputError(
                f"{name}: its values {grey.min()}..{grey.max()} do not fit 16 bits; "
                "export it with 8 or 16 bits"
            )
        return np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise InputError(f"{name} holds floating-point values; export it with 8 or 16 bits")
    if image.mode in ("P", "PA"):  # by way of RGBA: palettes may hold transparency of many forms
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))
