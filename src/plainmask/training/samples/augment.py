"""What training does to pictures, clips and their segments before the network sees them.

A clip is changed by one draw: all its frames keep their relation to each other. A picture is a
clip of one frame.

Chance and change are apart: `draw_rounds` makes all random decisions for a clip of a given size,
and `change_image` and `change_layers` carry them out, without chance (docs/model.md 7.2, 7.3, 7.5
and 7.7).

Letters: H W size of the frames, h w of the sample, T frames, N targets, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor

from plainmask.data.record import NO_SEGMENT, Annotation
from plainmask.errors import InputError
from plainmask.pictures.geometry import Size, bounded_size
from plainmask.training.samples.color import ColorDraw, change_color, draw_color, uniform
from plainmask.training.samples.targets import ClipTargets, Targets, clip_targets, number_objects

Probability = Annotated[float, Field(ge=0, le=1)]

_MAX_TRIES = 50


def _square(side: object) -> object:
    """One number means a square."""
    return (side, side) if isinstance(side, int) else side


class AugmentConfig(BaseModel):
    """Scale jitter and a crop of one size: how pictures are varied."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_size: Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_square)]
    """(height, width) of what the network sees; one number for a square."""
    scale: tuple[float, float]
    """Bounds of the random factor on the size. Published: (0.1, 2.0) for COCO, (0.5, 2.0) for
    ADE20K."""
    scale_of: Literal["crop", "image"] = "crop"
    """What the factor multiplies. `crop`, as published: the size at which the picture just fits
    into the crop. `image`: the picture's own size, for heads that see large pictures in tiles."""
    flip: Probability = 0.5
    """Probability of mirroring left to right."""
    color_jitter: bool = False
    """Vary brightness, contrast, saturation and hue. Published: on for ADE20K, off for COCO."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(f"scale {self.scale} must be (low, high) with 0 < low <= high")
        return self


class CropConfig(BaseModel):
    """A cut-out before the resize: closer views. Published for YouTube-VIS and OVIS, as here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    probability: Probability = 0.5
    shorter: tuple[PositiveInt, ...] = Field(default=(400, 500, 600), min_length=1)
    """Before the cut the shorter side becomes one of these."""
    longest: PositiveInt = 1333
    """Unless the longer side would exceed this; then it becomes this."""
    side: tuple[PositiveInt, PositiveInt] = (384, 600)
    """Bounds of height and of width of the cut-out, where the picture has as much."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.side[0] > self.side[1]:
            raise ValueError(f"side {self.side} must be (low, high) with low <= high")
        return self


class VideoAugmentConfig(BaseModel):
    """Several sizes at native aspect, padded: how video clips are varied."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shorter: tuple[PositiveInt, ...] = Field(min_length=1)
    """The shorter side becomes one of these. Published: 320, 352, 392, 416, 448, 480, 512, 544,
    576, 608, 640 for YouTube-VIS and OVIS, 480 to 800 in steps of 32 for VIPSeg and VSPW."""
    longest: PositiveInt
    """Unless the longer side would exceed this; then it becomes this. Published: 768 and 1333."""
    crop: CropConfig | None = None
    """Published: as by default for YouTube-VIS and OVIS, none for VIPSeg and VSPW."""
    flip: Probability = 0.5
    """Probability of mirroring left to right."""
    color_jitter: bool = False
    """Vary brightness, contrast, saturation and hue. Published: off."""
    multiple: PositiveInt = 32
    """Height and width are padded to multiples of this. Published: 32, for patches of 16."""


class ClipSample(NamedTuple):
    """One training clip as the network sees it."""

    pixels: Tensor
    """(T, 3, h, w) uint8 RGB, black where padded."""
    targets: ClipTargets
    content: Size
    """Height and width, from the top-left corner, of what is no padding."""


@dataclass(frozen=True)
class Decisions:
    """One round of random decisions, in the order in which they are carried out."""

    color: ColorDraw
    flip: bool
    size: Size
    """Size after the resize."""
    corner: tuple[int, int]
    """(top, left) of the crop in the resized and padded picture."""
    crop_size: Size

    @property
    def content(self) -> Size:
        """How much of the crop, from the top-left corner, is picture and no padding."""
        return min(self.size[0], self.crop_size[0]), min(self.size[1], self.crop_size[1])


def sample_generator(seed: int, epoch: int, index: int) -> torch.Generator:
    """A generator that depends on these three numbers (all >= 0) only, not on any worker.

    The numbers are mixed, so neighbouring samples draw independently.
    """
    state = np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def augment(
    image: Tensor,
    segments: Annotation,
    config: AugmentConfig | VideoAugmentConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Targets]:
    """Vary one training picture and its segments, the same way for both; see `augment_clip`.

    Args:
        image: (3, H, W) uint8 RGB.
        segments: of the same height and width.
        config: what to vary.
        generator: where chance comes from; see `sample_generator`.

    Returns:
        pixels (3, h, w) uint8 and targets.

    Raises:
        InputError: image and segments differ in size.
    """
    sample = augment_clip([image], [segments], config, generator)
    return sample.pixels[0], sample.targets.frame(0)


def augment_clip(
    images: Sequence[Tensor],
    segments: Sequence[Annotation],
    config: AugmentConfig | VideoAugmentConfig,
    generator: torch.Generator,
    *,
    always_present: bool = False,
) -> ClipSample:
    """Vary the frames of a training clip and their segments, all in the same way.

    Segments with one track id are one object, of the class that it has where it first occurs.
    Crowds are dropped before, and objects that no frame shows after. A draw that shows no object
    at all is repeated, up to 50 times; after that, and where there are none, targets are empty.

    Args:
        images: T of (3, H, W) uint8 RGB, all of one size.
        segments: one of each, of the same size.
        config: what to vary; h and w are the crop size, or the padded size that was drawn.
        generator: where chance comes from; see `sample_generator`.
        always_present: what `visible` says. False: the object has pixels in the frame. True: it
            counts as there in all frames, as published for panoptic and semantic video
            (docs/model.md 7.7).

    Raises:
        InputError: frames or segments differ in size.
    """
    size = _common_size(images, segments)
    layers, labels = number_objects(segments)
    tries_left = _MAX_TRIES if any(bool((frame != NO_SEGMENT).any()) for frame in layers) else 1
    while True:
        rounds = draw_rounds(size, config, generator)
        changed = [_change_by_rounds(frame, rounds, change_layers) for frame in layers]
        tries_left -= 1
        if tries_left == 0 or any(bool((frame != NO_SEGMENT).any()) for frame in changed):
            break
    pixels = torch.stack([_change_by_rounds(image, rounds, change_image) for image in images])
    return ClipSample(pixels, clip_targets(changed, labels, always_present), rounds[-1].content)


def draw_rounds(
    size: Size, config: AugmentConfig | VideoAugmentConfig, generator: torch.Generator
) -> tuple[Decisions, ...]:
    """Make the random decisions for pictures of the size given, to be carried out in turn."""
    color = draw_color(generator) if config.color_jitter else ()
    if isinstance(config, AugmentConfig):
        flip = uniform(generator) < config.flip
        fitted = config.crop_size if config.scale_of == "crop" else size
        new_size = scaled_size(size, fitted, uniform(generator, *config.scale))
        corner = _draw_corner(new_size, config.crop_size, generator)
        return (Decisions(color, flip, new_size, corner, config.crop_size),)
    cut = _draw_cut(size, config.crop, generator)
    whole = size if cut is None else cut.crop_size
    flip = uniform(generator) < config.flip
    content = bounded_size(whole, _choice(config.shorter, generator), config.longest)
    height, width = (-(-side // config.multiple) * config.multiple for side in content)
    last = Decisions(color, flip, content, (0, 0), (height, width))
    return (last,) if cut is None else (cut, last)


def scaled_size(size: Size, fitted: Size, scale: float) -> Size:
    """The size after scale jitter: `scale` times the largest that fits into `fitted`, at least 1.

    Computed in float32 and truncated, as published.
    """
    fit = min(whole / side for whole, side in zip(fitted, size, strict=True))
    ratio = np.float32(fit) * np.float32(scale)
    height, width = (max(1, int(np.float32(side) * ratio)) for side in size)
    return height, width


def change_image(image: Tensor, decisions: Decisions) -> Tensor:
    """Carry out the decisions on a picture: (3, H, W) uint8 -> (3, h, w) uint8, padded black."""
    image = change_color(image, decisions.color)
    if decisions.flip:
        image = image.flip(-1)
    resized = F.interpolate(image[None], decisions.size, mode="bilinear", antialias=True)[0]
    return pad_and_crop(resized, decisions.corner, decisions.crop_size, fill=0)


def change_layers(layers: Tensor, decisions: Decisions) -> Tensor:
    """Carry out the decisions on maps of segments: (L, H, W) int32 -> (L, h, w), padded with -1.

    The resize takes the source index floor(i * in / out), not the pixel centre's (as published).
    """
    if decisions.flip:
        layers = layers.flip(-1)
    # float32 holds indices up to 2^24 exactly; torch resizes no int32.
    resized = F.interpolate(layers[None].float(), decisions.size, mode="nearest")[0]
    return pad_and_crop(resized.int(), decisions.corner, decisions.crop_size, fill=NO_SEGMENT)


def pad_and_crop(planes: Tensor, corner: tuple[int, int], crop_size: Size, fill: int) -> Tensor:
    """Pad (..., H, W) right and bottom up to the crop size, then cut the crop at (top, left)."""
    (top, left), (height, width) = corner, crop_size
    missing = (max(0, height - planes.shape[-2]), max(0, width - planes.shape[-1]))
    padded = F.pad(planes, (0, missing[1], 0, missing[0]), value=fill)
    # A view would drag the whole padded picture along between worker processes.
    return padded[..., top : top + height, left : left + width].contiguous()


def _common_size(images: Sequence[Tensor], segments: Sequence[Annotation]) -> Size:
    """The one height and width of all frames and of their segments."""
    assert len(images) == len(segments) > 0, "one annotation per frame"
    size = (images[0].shape[1], images[0].shape[2])
    for time, (image, annotation) in enumerate(zip(images, segments, strict=True)):
        if image.shape[1:] != size:
            raise InputError(
                f"the frames of a clip differ in size: frame {time} is {tuple(image.shape[1:])}, "
                f"the first {size}. Bring them to one size first"
            )
        if annotation.size != size:
            raise InputError(f"image {size} and segments {annotation.size} differ in size")
    return size


def _change_by_rounds(
    planes: Tensor, rounds: Sequence[Decisions], change: Callable[[Tensor, Decisions], Tensor]
) -> Tensor:
    for decisions in rounds:
        planes = change(planes, decisions)
    return planes


def _draw_cut(
    size: Size, config: CropConfig | None, generator: torch.Generator
) -> Decisions | None:
    """The resize and the cut-out before the final resize, if there is to be one."""
    if config is None or uniform(generator) >= config.probability:
        return None
    resized = bounded_size(size, _choice(config.shorter, generator), config.longest)
    low, high = config.side
    height, width = (
        min(side, low) + _integer(min(side, high) - min(side, low) + 1, generator)
        for side in resized
    )
    corner = _draw_corner(resized, (height, width), generator)
    return Decisions((), False, resized, corner, (height, width))


def _draw_corner(size: Size, crop_size: Size, generator: torch.Generator) -> tuple[int, int]:
    """(top, left) of a crop, uniform where the picture is larger than the crop."""
    spare = (max(new - crop, 0) for new, crop in zip(size, crop_size, strict=True))
    top, left = (_integer(extra + 1, generator) for extra in spare)
    return top, left


def _choice(options: Sequence[int], generator: torch.Generator) -> int:
    return options[_integer(len(options), generator)]


def _integer(count: int, generator: torch.Generator) -> int:
    """One draw from 0..count-1."""
    return int(torch.randint(count, (), generator=generator))
