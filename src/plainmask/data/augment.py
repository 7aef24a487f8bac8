"""What training does to a picture and its segments before the network sees them (SPEC 2.2, 2.3).

Chance and change are apart: `draw` makes all random decisions for a picture of a given size, and
`change_image` and `change_index_map` carry them out, without chance. Several pictures (the frames
of a clip) can share one draw.

Letters: H W size of the picture, h w of the crop, N targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor

from plainmask.data.record import Segments
from plainmask.errors import InputError

Size = tuple[int, int]
"""Height and width in pixels."""

ColorOperation = Literal["brightness", "contrast", "saturation", "hue"]

_MAX_TRIES = 50
_NO_SEGMENT = -1


def _square(side: object) -> object:
    """One number means a square."""
    return (side, side) if isinstance(side, int) else side


class AugmentConfig(BaseModel):
    """How training pictures are varied."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_size: Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_square)]
    """(height, width) of what the network sees; one number for a square."""
    scale: tuple[float, float]
    """Bounds of the random factor on the size at which the picture just fits into the crop.
    Published: (0.1, 2.0) for COCO, (0.5, 2.0) for ADE20K."""
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability of mirroring left to right."""
    color_jitter: bool = False
    """Vary brightness, contrast, saturation and hue. Published: on for ADE20K, off for COCO."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(f"scale {self.scale} must be (low, high) with 0 < low <= high")
        return self


@dataclass(frozen=True, eq=False)
class Targets:
    """What one training picture should be segmented into; the same form for every task."""

    labels: Tensor
    """(N,) int64 class ids."""
    masks: Tensor
    """(N, h, w) bool, none of them empty."""
    valid: Tensor
    """(h, w) bool: pixels that belong to a segment; False on padding, void and crowds."""


@dataclass(frozen=True)
class Draw:
    """The random decisions for one picture, in the order in which they are carried out."""

    color: tuple[tuple[ColorOperation, float], ...]
    """Colour operations and their factors (hue: a part of a full turn)."""
    flip: bool
    size: Size
    """Size after the resize."""
    corner: tuple[int, int]
    """(top, left) of the crop in the resized and padded picture."""


def sample_generator(seed: int, epoch: int, index: int) -> torch.Generator:
    """A generator that depends on these three numbers (all >= 0) only, not on any worker.

    The numbers are mixed, so neighbouring samples draw independently.
    """
    state = np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def augment(
    image: Tensor, segments: Segments, config: AugmentConfig, generator: torch.Generator
) -> tuple[Tensor, Targets]:
    """Vary one training picture and its segments, the same way for both.

    Crowd segments are dropped before and empty ones after. A crop that shows no segment at all is
    drawn anew, up to 50 times; after that, and for a picture without segments, the targets are
    empty.

    Args:
        image: (3, H, W) uint8 RGB.
        segments: of the same height and width.
        config: what to vary.
        generator: where chance comes from; see `sample_generator`.

    Returns:
        pixels (3, h, w) uint8 and targets, h and w being the configured crop size.

    Raises:
        InputError: image and segments differ in size.
    """
    height, width = image.shape[1:]
    if segments.index_map.shape != (height, width):
        raise InputError(
            f"image {(height, width)} and segments {segments.index_map.shape} differ in size"
        )
    # Looking up -1 finds the last entry, so void stays void.
    kept = np.append(np.where(segments.crowd, _NO_SEGMENT, np.arange(len(segments))), _NO_SEGMENT)
    whole_map = torch.from_numpy(kept[segments.index_map].astype(np.int32))
    tries_left = _MAX_TRIES if bool((whole_map != _NO_SEGMENT).any()) else 1
    while True:
        decisions = draw((height, width), config, generator)
        index_map = change_index_map(whole_map, decisions, config.crop_size)
        tries_left -= 1
        if tries_left == 0 or bool((index_map != _NO_SEGMENT).any()):
            break
    pixels = change_image(image, decisions, config.crop_size)
    return pixels, _targets(index_map, torch.tensor(segments.class_ids))


def draw(size: Size, config: AugmentConfig, generator: torch.Generator) -> Draw:
    """Make the random decisions for a picture of the size given."""
    color = _draw_color(generator) if config.color_jitter else ()
    flip = _uniform(generator) < config.flip
    new_size = scaled_size(size, config.crop_size, _uniform(generator, *config.scale))
    spare = (max(new - crop, 0) for new, crop in zip(new_size, config.crop_size, strict=True))
    top, left = (int(torch.randint(extra + 1, (), generator=generator)) for extra in spare)
    return Draw(color, flip, new_size, (top, left))


def scaled_size(size: Size, crop_size: Size, scale: float) -> Size:
    """The size after scale jitter: `scale` times the largest that fits into the crop, at least 1.

    Computed in float32 and truncated, as published.
    """
    fit = min(crop / side for crop, side in zip(crop_size, size, strict=True))
    ratio = np.float32(fit) * np.float32(scale)
    height, width = (max(1, int(np.float32(side) * ratio)) for side in size)
    return height, width


def change_image(image: Tensor, decisions: Draw, crop_size: Size) -> Tensor:
    """Carry out the decisions on a picture: (3, H, W) uint8 -> (3, h, w) uint8, padded black."""
    for operation, factor in decisions.color:
        image = _COLOR_OPERATIONS[operation](image, factor)
    if decisions.flip:
        image = image.flip(-1)
    resized = F.interpolate(image[None], decisions.size, mode="bilinear", antialias=True)[0]
    return pad_and_crop(resized, decisions.corner, crop_size, fill=0)


def change_index_map(index_map: Tensor, decisions: Draw, crop_size: Size) -> Tensor:
    """Carry out the decisions on a map of segments: (H, W) int32 -> (h, w) int32, padded with -1.

    The resize takes the source index floor(i * in / out), not the pixel centre's (as published).
    """
    if decisions.flip:
        index_map = index_map.flip(-1)
    # float32 holds indices up to 2^24 exactly; torch resizes no int32.
    resized = F.interpolate(index_map[None, None].float(), decisions.size, mode="nearest")[0, 0]
    return pad_and_crop(resized.int(), decisions.corner, crop_size, fill=_NO_SEGMENT)


def pad_and_crop(planes: Tensor, corner: tuple[int, int], crop_size: Size, fill: int) -> Tensor:
    """Pad (..., H, W) right and bottom up to the crop size, then cut the crop at (top, left)."""
    (top, left), (height, width) = corner, crop_size
    missing = (max(0, height - planes.shape[-2]), max(0, width - planes.shape[-1]))
    padded = F.pad(planes, (0, missing[1], 0, missing[0]), value=fill)
    # A view would drag the whole padded picture along between worker processes.
    return padded[..., top : top + height, left : left + width].contiguous()


def adjust_brightness(image: Tensor, factor: float) -> Tensor:
    """Multiply (3, H, W) uint8 by a factor, truncated."""
    return _truncated(image.float() * factor)


def adjust_contrast(image: Tensor, factor: float) -> Tensor:
    """Blend (3, H, W) uint8 with the mean of its grey: 0 gives that mean, 1 the image."""
    return _truncated(image.float() * factor + (1 - factor) * _grey(image).mean())


def adjust_saturation(image: Tensor, factor: float) -> Tensor:
    """Blend (3, H, W) uint8 with its grey: 0 gives grey, 1 the image."""
    return _truncated(image.float() * factor + (1 - factor) * _grey(image))


def adjust_hue(image: Tensor, turn: float) -> Tensor:
    """Turn the hue of (3, H, W) uint8 by a part of the full circle, -0.5..0.5."""
    red, green, blue = rgb = image.float() / 255
    value, low = rgb.amax(0), rgb.amin(0)
    chroma = value - low
    divisor = torch.where(chroma == 0, 1.0, chroma)
    saturation = chroma / torch.where(chroma == 0, 1.0, value)
    hue = torch.where(  # in sixths of a turn
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    # Each channel falls from `value` by up to `saturation` with its distance from its own hue.
    distance = (torch.tensor([5.0, 3.0, 1.0])[:, None, None] + hue + 6 * turn).remainder(6)
    turned = value - value * saturation * torch.minimum(distance, 4 - distance).clamp(0, 1)
    return _truncated(turned * (256 - 1e-3))


_COLOR_OPERATIONS: dict[ColorOperation, Callable[[Tensor, float], Tensor]] = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}


def _draw_color(generator: torch.Generator) -> tuple[tuple[ColorOperation, float], ...]:
    """Each operation with probability 1/2; contrast comes before or after saturation and hue."""
    contrast_first = _uniform(generator) < 0.5
    order: tuple[ColorOperation, ...] = (
        ("brightness", "contrast", "saturation", "hue")
        if contrast_first
        else ("brightness", "saturation", "hue", "contrast")
    )
    bounds: dict[ColorOperation, tuple[float, float]] = {
        "brightness": (1 - 32 / 255, 1 + 32 / 255),
        "contrast": (0.5, 1.5),
        "saturation": (0.5, 1.5),
        "hue": (-18 / 360, 18 / 360),
    }
    return tuple(
        (operation, _uniform(generator, *bounds[operation]))
        for operation in order
        if _uniform(generator) < 0.5
    )


def _uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """One draw from [low, high)."""
    return low + float(torch.rand((), generator=generator)) * (high - low)


def _grey(image: Tensor) -> Tensor:
    """(3, H, W) uint8 -> (H, W) float32 whole grey levels."""
    red, green, blue = image.float()
    return (0.2989 * red + 0.587 * green + 0.114 * blue).floor()


def _truncated(values: Tensor) -> Tensor:
    """Back to uint8, fractions cut off."""
    return values.clamp(0, 255).to(torch.uint8)


def _targets(index_map: Tensor, class_ids: Tensor) -> Targets:
    """One mask per segment that the crop shows, by ascending index."""
    counts = torch.bincount(index_map.flatten() + 1)  # entry 0: no segment; faster than unique()
    present = counts[1:].nonzero().flatten()
    return Targets(
        labels=class_ids[present],
        masks=index_map == present.int()[:, None, None],
        valid=index_map != _NO_SEGMENT,
    )
