"""From an image's pixels to the model's and back: the one home of rounding and half-pixel rules.

Torch is imported only where tensors come in, so that planning and resizing work without it.

Letters: H W image size, h w model size (of one window), N windows, Q queries, K any channels,
mh mw size of the mask logits. Sizes are (height, width), places (y, x).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from plainmask.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Size: TypeAlias = tuple[int, int]
Length = Annotated[int, Field(gt=0)]

MAX_TOKENS = 32_768
"""Patches that one image may become with `stride`: beyond, a long strip would fill the memory."""
LONGEST = 1333
"""Bound of the longer side in the published video protocol."""
OVERLAP = 0.25
"""Least share of a tile that its neighbour shows, where the protocol does not say."""
MAX_WINDOWS = 32
"""Windows that one image may become with `windows`, for the same reason."""
LARGEST = 4.0
"""How many times as large as it is a long and thin image is shown in tiles."""


class InputProtocol(BaseModel):
    """How an image becomes model input; stored in a head's config.json.

    - `windows` (docs/model.md 3.1, published for semantic models): the image is resized so that it
      covers the size, and cut into as few overlapping windows of that size as reach over the longer
      side. Scores are averaged where windows overlap. No padding. With `shorter` the image is
      resized to that shorter side instead, and the windows reach over both sides: finer than the
      size alone allows, and still the size that the head was trained at.
    - `fit` (docs/model.md 3.2, published for instance and panoptic models): the image is resized so
      that it fits into the size and padded right and below with black. One pass.
    - `stride`: the shorter side becomes `size`, the aspect is kept, and right and bottom are padded
      with black up to a multiple of the patch. One pass, hardly any padding.
    - `video` (docs/model.md 3.4, published for video models): as `stride`, but the longer side is
      at most `longest`, sides are rounded half up, and the padding, up to a multiple of 32 for
      patches of 16, is 0 after the normalisation: the encoder has to be told the content's size.
    - `tiles`: for images larger than the size. The image, resized by the factor `scale`, is cut
      into overlapping tiles of the size, each is segmented as an image of its own, and the results
      are joined (`mosaic`). A geometry is that of one tile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["windows", "fit", "stride", "video", "tiles"]
    size: Length | tuple[Length, Length]
    """Side of a square, or (height, width); for `stride` and `video` the shorter side."""
    shorter: Length | None = None
    """`windows` only: the shorter side of the resized image; None: it just covers one window."""
    longest: Length | None = None
    """`video` only: bound of the longer side; None: 1333, as published."""
    scale: Annotated[float, Field(gt=0, le=16)] | None = None
    """`tiles` only: factor on the image's size; None: 1."""
    overlap: Annotated[float, Field(ge=0, le=0.9)] | None = None
    """`tiles` only: least share of a tile that its neighbour shows, too; None: 0.25. An object that
    is smaller than the overlap is seen whole."""

    def __str__(self) -> str:
        """As in "windows 350x462 of shorter side 460"."""
        size = self.size if isinstance(self.size, int) else _text(self.size)
        tail = "" if self.shorter is None else f" of shorter side {self.shorter}"
        tail += "" if self.scale is None else f" of the image times {self.scale:g}"
        return f"{self.kind} {size}{tail}"

    @property
    def least_overlap(self) -> float:
        """Least share of a tile that its neighbour shows, too."""
        return OVERLAP if self.overlap is None else self.overlap

    @property
    def tile(self) -> Size:
        """Height and width of a tile in pixels of the image."""
        height, width = (max(1, round(side / (self.scale or 1))) for side in _pair(self.size))
        return height, width

    def for_image(self, image_size: Size, patch_size: int) -> InputProtocol:
        """This protocol, or tiles where it would need too much memory for an image (H, W).

        That is where the image is so long and thin that it would become more than MAX_WINDOWS
        windows or MAX_TOKENS patches at once. The tiles show it as large as the protocol does, but
        at most LARGEST times as large as it is.
        """
        if self.kind == "windows":
            size, factor = _pair(self.size), self.window_factor(image_size)
            too_long = _num_windows(_scaled(image_size, factor), size) > MAX_WINDOWS
        elif self.kind == "stride" and isinstance(self.size, int):
            size, factor = _pair(self.size), self.size / max(1, min(image_size))
            too_long = math.prod(_grid(_scaled(image_size, factor), patch_size)) > MAX_TOKENS
        else:
            return self
        if not too_long:
            return self
        return InputProtocol(kind="tiles", size=size, scale=min(factor, LARGEST))

    def window_factor(self, image_size: Size) -> float:
        """How much larger than the image the windows show it."""
        size = _pair(self.size)
        if self.shorter is not None:
            return self.shorter / max(1, min(image_size))
        return max(size[0] / max(1, image_size[0]), size[1] / max(1, image_size[1]))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind in ("stride", "video") and not isinstance(self.size, int):
            raise ValueError(f"{self.kind} takes one number, the shorter side, not {self.size}")
        if self.kind != "video" and self.longest is not None:
            raise ValueError(f"longest belongs to video, not to {self.kind}")
        if self.kind != "tiles" and (self.scale is not None or self.overlap is not None):
            raise ValueError(f"scale and overlap belong to tiles, not to {self.kind}")
        if self.kind != "windows" and self.shorter is not None:
            raise ValueError(f"shorter belongs to windows, not to {self.kind}")
        return self


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of one image went on their way into the model, and the way back.

    The image is resized to `content_size`; the windows are cut from that (with black where they
    reach over its right or bottom border). `plan` makes it from an image's size.
    """

    image_size: Size
    """(H, W) of the image as it came."""
    model_size: Size
    """(h, w) of every window."""
    content_size: Size
    """(height, width) of the resized image, before padding."""
    windows: tuple[tuple[int, int], ...]
    """(y, x) of each window's top-left corner in the resized image, in reading order."""
    zero_padding: bool = False
    """Whether the encoder is to set everything outside the content to 0 (protocol `video`)."""

    @property
    def content(self) -> list[Size] | None:
        """What to tell the encoder of the padding: one content size for each window, or None."""
        return [self.content_size] * len(self.windows) if self.zero_padding else None

    def grid(self, patch_size: int) -> Size:
        """Whole patches of a window (h, w)."""
        height, width = self.model_size
        return height // patch_size, width // patch_size

    @classmethod
    def plan(cls, image_size: Size, protocol: InputProtocol, patch_size: int) -> Self:
        """Decide on the sizes for an image of `image_size` (H, W).

        `patch_size` matters for `stride` and `video` only: the sizes of the others are used as
        given, and an encoder drops what exceeds a multiple of its patch.

        Raises:
            InputError: the image has no pixels, or is so long and thin that the protocol would
                need more than MAX_TOKENS patches or MAX_WINDOWS windows; see
                `InputProtocol.for_image`.
        """
        if min(image_size) < 1:
            raise InputError(f"an image of {_text(image_size)} pixels has nothing to segment")
        match protocol.kind, protocol.size:
            case "stride", int(shorter):
                return cls._plan_stride(image_size, shorter, patch_size)
            case "video", int(shorter):
                longest = protocol.longest or LONGEST
                return cls._plan_video(image_size, shorter, longest, patch_size)
            case "tiles", size:
                return cls._plan_tile(image_size, _pair(size), protocol)
            case "windows", size:
                return cls._plan_windows(
                    image_size, _pair(size), protocol.window_factor(image_size)
                )
            case _, size:
                return cls._plan_fit(image_size, _pair(size))

    @classmethod
    def _plan_fit(cls, image_size: Size, size: Size) -> Self:
        factor = min(size[0] / image_size[0], size[1] / image_size[1])
        return cls(image_size, size, _scaled(image_size, factor), ((0, 0),))

    @classmethod
    def _plan_tile(cls, image_size: Size, size: Size, protocol: InputProtocol) -> Self:
        if any(side > limit for side, limit in zip(image_size, protocol.tile, strict=True)):
            raise InputError(
                f"{_text(image_size)} pixels are more than one tile ({protocol}); tiles are for "
                "images, not for the frames of videos"
            )
        content = _scaled(image_size, protocol.scale or 1)
        content = (min(content[0], size[0]), min(content[1], size[1]))
        return cls(image_size, size, content, ((0, 0),))

    @classmethod
    def _plan_stride(cls, image_size: Size, shorter: int, patch_size: int) -> Self:
        content = _scaled(image_size, shorter / min(image_size))
        rows, columns = _grid(content, patch_size)
        if rows * columns > MAX_TOKENS:
            raise InputError(
                f"a frame of {_text(image_size)} pixels is too long and thin to be seen at once "
                f"({rows} x {columns} patches, at most {MAX_TOKENS}); cut it into parts"
            )
        return cls(image_size, (rows * patch_size, columns * patch_size), content, ((0, 0),))

    @classmethod
    def _plan_video(cls, image_size: Size, shorter: int, longest: int, patch_size: int) -> Self:
        content = bounded_size(image_size, shorter, longest)
        padded = padded_size(content, patch_size)
        return cls(image_size, padded, content, ((0, 0),), zero_padding=True)

    @classmethod
    def _plan_windows(cls, image_size: Size, size: Size, factor: float) -> Self:
        content = _scaled(image_size, factor)
        count = _num_windows(content, size)
        if count > MAX_WINDOWS:
            raise InputError(
                f"a frame of {_text(image_size)} pixels is too long and thin to be seen in one "
                f"piece ({count} windows, at most {MAX_WINDOWS}); cut it into parts"
            )
        starts = [_window_starts(content[axis], size[axis]) for axis in (0, 1)]
        return cls(image_size, size, content, tuple((y, x) for y in starts[0] for x in starts[1]))

    def fit(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize, pad and cut an image (H, W, 3) uint8 RGB into model pixels (N, 3, h, w) uint8.

        Bilinear resizing as Pillow does it (antialiased when shrinking), as published.

        Raises:
            InputError: the image is not what this geometry was planned for.
        """
        if image.shape != (*self.image_size, 3) or image.dtype != np.uint8:
            raise InputError(
                f"expected a uint8 image of shape {(*self.image_size, 3)}, "
                f"found {image.dtype} of shape {image.shape}"
            )
        height, width = self.content_size
        content = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        canvas = np.zeros((*self._canvas_size, 3), np.uint8)
        canvas[:height, :width] = np.asarray(content)
        h, w = self.model_size
        cut = [canvas[y : y + h, x : x + w] for y, x in self.windows]
        return np.ascontiguousarray(np.stack(cut).transpose(0, 3, 1, 2))

    def upsample(self, mask_logits: Tensor) -> Tensor:
        """Mask logits (N, Q, mh, mw) -> float32 at the model's pixels (N, Q, h, w)."""
        return _resize(mask_logits.float(), self.model_size)

    def stitch(self, maps: Iterable[Tensor]) -> Tensor:
        """N maps (K, h, w), one per window -> one map of the resized image (K, *content_size).

        Where windows overlap the maps are averaged. An iterator is consumed one map at a time.
        """
        height, width = self.content_size
        if len(self.windows) == 1:
            (only,) = maps
            return only[:, :height, :width]
        h, w = self.model_size
        remaining = iter(maps)
        first = next(remaining)
        total = first.new_zeros(len(first), *self._canvas_size)
        count = first.new_zeros(self._canvas_size)
        for (y, x), window in zip(self.windows, chain([first], remaining), strict=True):
            total[:, y : y + h, x : x + w] += window
            count[y : y + h, x : x + w] += 1
        return total.div_(count)[:, :height, :width]

    def to_image(self, content: Tensor) -> Tensor:
        """A map of the resized image (K, *content_size) -> the image's pixels (K, H, W)."""
        return _resize(content[None], self.image_size)[0]

    def merge(self, maps: Iterable[Tensor]) -> Tensor:
        """N maps at the model's pixels (K, h, w) -> one at the image's pixels (K, H, W)."""
        return self.to_image(self.stitch(maps))

    def restore(self, mask_logits: Tensor) -> Tensor:
        """Mask logits (N, Q, mh, mw) -> float32 at the image's pixels (Q, H, W).

        With several windows the logits of a query are averaged where these overlap; that means
        something only if query q is the same thing in all of them.
        """
        return self.merge(self.upsample(mask_logits))

    @property
    def _canvas_size(self) -> Size:
        """(height, width) that the windows reach over: the resized image with its padding."""
        (h, w), (y, x) = self.model_size, self.windows[-1]
        return y + h, x + w


def bounded_size(size: Size, shorter: int, longest: int) -> Size:
    """The size whose shorter side is `shorter`, or less where the longer would exceed `longest`.

    Rounded half up, as published (docs/model.md 3.4); no side vanishes.
    """
    factor = min(shorter / min(size), longest / max(size))
    height, width = (max(1, int(side * factor + 0.5)) for side in size)
    return height, width


def padded_size(size: Size, patch_size: int) -> Size:
    """The size padded as published for video: to multiples of 32, or of a patch other than 16."""
    multiple = 32 if patch_size == 16 else patch_size
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def _grid(content: Size, patch_size: int) -> Size:
    """Patches that cover a resized image."""
    return math.ceil(content[0] / patch_size), math.ceil(content[1] / patch_size)


def _num_windows(content: Size, size: Size) -> int:
    """Windows that cover a resized image."""
    return math.ceil(content[0] / size[0]) * math.ceil(content[1] / size[1])


def _window_starts(length: int, window: int) -> list[int]:
    """Where windows start along an axis so that they cover it, spread evenly.

    See docs/model.md 3.1.
    """
    count = math.ceil(length / window)
    if count == 1:
        return [0]
    overlap = (count * window - length) / (count - 1)
    starts = [int(index * (window - overlap)) for index in range(count)]
    # Rounding could let the last window start one pixel early and leave a column uncovered.
    starts[-1] = length - window
    return starts


def _scaled(size: Size, factor: float) -> Size:
    """Size times factor, rounded half to even as published; no side vanishes."""
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


def _pair(size: int | Size) -> Size:
    return (size, size) if isinstance(size, int) else size


def _text(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def axis_weights(old: int, new: int) -> Tensor:
    """What `Geometry` does to an axis of maps on their way back, as a matrix (new, old) float32."""
    import torch

    return _resize(torch.eye(old, dtype=torch.float32)[:, None, None, :], (1, new))[
        :, 0, 0
    ].T.contiguous()


def _resize(maps: Tensor, size: Size) -> Tensor:
    """Bilinear, half-pixel centres, no antialiasing: (N, K, …) -> (N, K, *size)."""
    import torch.nn.functional as F

    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
