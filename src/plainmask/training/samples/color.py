"""Colour jitter: brightness, contrast, saturation and hue of a picture, as published.

See docs/model.md 7.3.

Chance and change are apart, as in `augment`: `draw_color` decides, `change_color` carries out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

ColorOperation = Literal["brightness", "contrast", "saturation", "hue"]

ColorDraw = tuple[tuple[ColorOperation, float], ...]
"""Operations in their order, with their factors (hue: a part of a full turn)."""


def draw_color(generator: torch.Generator) -> ColorDraw:
    """Each operation with probability 1/2; contrast comes before or after saturation and hue."""
    contrast_first = uniform(generator) < 0.5
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
        (operation, uniform(generator, *bounds[operation]))
        for operation in order
        if uniform(generator) < 0.5
    )


def change_color(image: Tensor, decisions: ColorDraw) -> Tensor:
    """Carry out the decisions on a picture (3, H, W) uint8."""
    for operation, factor in decisions:
        image = _OPERATIONS[operation](image, factor)
    return image


def uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """One draw from [low, high)."""
    return low + float(torch.rand((), generator=generator)) * (high - low)


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


_OPERATIONS: dict[ColorOperation, Callable[[Tensor, float], Tensor]] = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}


def _grey(image: Tensor) -> Tensor:
    """(3, H, W) uint8 -> (H, W) float32 whole grey levels."""
    red, green, blue = image.float()
    return (0.2989 * red + 0.587 * green + 0.114 * blue).floor()


def _truncated(values: Tensor) -> Tensor:
    """Back to uint8, fractions cut off."""
    return values.clamp(0, 255).to(torch.uint8)
