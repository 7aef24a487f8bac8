"""Pictures and label files: whatever people hand over becomes one plain array or one clear error.

Paths may lead into zip archives; see `archive`. Everything that can be wrong with a file surfaces
here and in `opening`, so no other room knows Pillow's modes, EXIF, or errors of broken files.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.errors import InputError
from plainmask.pictures.depth import (
    FULL,
    WHITE,
    checked_white,
    is_dim,
    raw_mode,
    scaled,
    stated_white,
    swap_bytes,
    white_of,
)
from plainmask.pictures.opening import opened, orientation, pillow_errors, upright

if TYPE_CHECKING:
    from torch import Tensor

ImageSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[Any] | Tensor"
)
"""A path, the bytes of a file, an open file, a PIL image, an array (H, W, 3) or a tensor (3, H, W);
of arrays and tensors also grey and with transparency, see `read_image`."""

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

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")


def read_image(source: ImageSource, *, white: float | None = None) -> NDArray[np.uint8]:
    """Read a picture as RGB.

    Files and PIL images are turned upright by their EXIF orientation. Every mode of 8 bits, grey,
    palette, CMYK, 1-bit and 16-bit are accepted; transparency is dropped, and of several frames
    the first is read. Of 16 bits the upper 8 are kept, or of those that are used (see `depth`).

    Args:
        source: a path; the bytes of a file, or an open one; a PIL image; an array (H, W, 3),
            (H, W, 4), (H, W, 1) or (H, W), or a tensor (3, H, W), (4, H, W), (1, H, W) or (H, W):
            RGB, RGBA or grey, uint8.
        white: the value that is white, where arrays and tensors hold other numbers than uint8, such
            as 1.0, and where files hold more than 8 bits, such as 4095. None: files decide.

    Returns:
        (H, W, 3) uint8, contiguous, writable and never shared with the source.

    Raises:
        InputError: the file is missing, broken, too large or no picture, or the array or tensor
            has another dtype or layout. The message names the source and what would be right.
    """
    white = None if white is None else checked_white(white)
    if isinstance(source, Image.Image):
        file = str(getattr(source, "filename", ""))
        name = file or f"the PIL image of mode {source.mode}"
        # One of 16 bits that is not decoded yet is better decoded here: Pillow keeps 8 of colours.
        if ";16" in raw_mode(source) and source.tell() == 0 and Path(file).is_file():
            return _read_file(Path(file), name, white)
        with pillow_errors(name):
            return _rgb(upright(source), name, white, None)
    if isinstance(source, str | os.PathLike):
        return _read_file(Path(source), str(source), white)
    if isinstance(source, bytes | bytearray | memoryview):
        return _read_file(io.BytesIO(source), "these bytes", white)
    if isinstance(source, np.ndarray):
        return _pixels(source, "array", white)
    # A tensor can only exist where torch is loaded already; importing it here would cost seconds.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.Tensor):
        tensor = cast(Any, source)
        dtype = str(tensor.dtype).removeprefix("torch.")
        plain = tensor.float() if dtype == "bfloat16" else tensor  # NumPy has none
        return _pixels(plain.detach().cpu().numpy(), "tensor", white, dtype)
    if hasattr(source, "read") and hasattr(source, "seek"):
        name = str(getattr(source, "name", "the open file"))
        return _read_file(cast(IO[bytes], source), name, white)
    kind = type(source).__name__
    hint = "; give its images one by one" if isinstance(source, list | tuple) else ""
    raise InputError(
        f"an image must be a path, bytes, an open file, a PIL image, an (H, W, 3) uint8 array or a "
        f"(3, H, W) uint8 tensor, not a {kind}{hint}"
    )


def _read_file(source: Path | IO[bytes], name: str, white: float | None) -> NDArray[np.uint8]:
    """Decode a file, twice where its colours have 16 bits and the upper 8 do not say all."""
    with opened(source, name) as image:
        stated, raw = stated_white(image), raw_mode(image)
        first = _rgb(upright(image), name, white, stated)
    limit = white or stated or (FULL if WHITE not in os.environ else 0)
    if ";16" not in raw or raw.startswith("I") or (limit >= FULL and not is_dim(first)):
        return first
    with opened(source, name) as image:
        if not swap_bytes(image):
            return first
        values = first.astype(np.int64) * 256 + _rgb(upright(image), name, None, None)
        top = int(values.max())
        return scaled(values, white_of(top, image, stated, name) if white is None else white)


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a picture file as `read_image` would return it, without decoding it.

    Raises:
        InputError: as `read_image`.
    """
    with opened(path) as image:
        if image.format == "TIFF":
            image.load()  # Pillow turns these itself while loading, unlike all other formats
        width, height = image.size
        return (width, height) if orientation(image) >= 5 else (height, width)


def is_turned(path: str | Path) -> bool:
    """Whether a picture file has an EXIF orientation other than upright.

    Raises:
        InputError: as `read_image`.
    """
    with opened(path) as image:
        return orientation(image) != 1


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
    with opened(path) as image:
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
    with opened(path) as image:
        if image.format == "JPEG":
            raise InputError(
                f"{path} is a JPEG file, which blurs label values; export the labels as PNG"
            )
        if colors:
            label = _packed(upright(image), path)
        elif image.mode in ("1", "L", "P", "I", *_SIXTEEN_BIT_MODES):
            label = np.array(upright(image)).astype(np.int32)
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


def _pixels(
    values: NDArray[Any], kind: str, white: float | None, dtype: str | None = None
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 from an array or tensor of one picture, else refuse it."""
    shape, layout = values.shape, "(H, W, 3)" if kind == "array" else "(3, H, W)"
    dtype = str(values.dtype) if dtype is None else dtype
    found = f"its shape is {shape}, its dtype {dtype}"
    if len(shape) == 4:
        raise InputError(f"this {kind} is a batch: {found}; give its images one by one")
    axis = 2 if kind == "array" else 0
    is_image = len(shape) == 2 or (len(shape) == 3 and shape[axis] in (1, 3, 4))
    if not is_image or (axis == 0 and shape[0] != 3 and shape[-1] == 3):  # maybe (H, W, 3)
        raise InputError(f"an image {kind} must be {layout} RGB, or grey or RGBA alike; {found}")
    if 0 in shape:
        raise InputError(f"this image {kind} has no pixels; {found}")
    if dtype != "uint8":
        values = _as_bytes(values, f"an image {kind}", found, white)
    if len(shape) == 3 and axis == 0:
        values = values.transpose(1, 2, 0)
    channels = values[..., None] if len(shape) == 2 else values[..., :3]
    return np.array(np.broadcast_to(channels, (*channels.shape[:2], 3)), np.uint8, order="C")


def _as_bytes(
    values: NDArray[Any], kind: str, found: str, white: float | None
) -> NDArray[np.uint8]:
    """Values whose white is known as uint8."""
    if white is None or values.dtype == np.bool_:
        raise InputError(
            f"{kind} must hold uint8 values 0..255; {found}. Say which value is white to make it "
            "so: plainmask.pictures.images.read_image(image, white=1.0)"
        )
    if not np.isfinite(values).all():
        raise InputError(f"{kind} holds values that are not finite; {found}")
    return scaled(values, white)


def _packed(image: Image.Image, path: str | Path) -> NDArray[np.int32]:
    """The colours of a decoded picture as numbers (H, W): R + 256 G + 65536 B."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        raise InputError(f"{path} is transparent in places; export the labels without transparency")
    red, green, blue = np.array(image.convert("RGB")).astype(np.int32).transpose(2, 0, 1)
    return red + 256 * green + 65536 * blue


def _rgb(
    image: Image.Image, name: str, white: float | None, stated: int | None
) -> NDArray[np.uint8]:
    """A decoded picture of any mode as (H, W, 3) uint8."""
    if image.mode in ("I", *_SIXTEEN_BIT_MODES):
        grey = np.array(image).astype(np.int64)
        top = int(grey.max())
        if grey.min() < 0 or (top > FULL and white is None):
            raise InputError(
                f"{name}: its values {grey.min()}..{top} do not fit 16 bits; "
                "export it with 8 or 16 bits"
            )
        known = white_of(top, image, stated, name) if white is None else white
        return np.repeat(scaled(grey, known)[..., None], 3, axis=2)
    if image.mode == "F":
        if white is None:
            raise InputError(
                f"{name} holds floating-point values; export it with 8 or 16 bits, or say which "
                "value is white: plainmask.pictures.images.read_image(…, white=1.0)"
            )
        grey = _as_bytes(np.array(image), name, "mode F", white)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("P", "PA"):  # by way of RGBA: palettes may hold transparency of many forms
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))
