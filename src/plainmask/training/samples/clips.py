"""Training clips: frames chosen from a video, still pictures set in motion, tracks pasted over.

All chance comes from the generator handed in; the same generator gives the same clip.

Letters: H W size of the frames, T frames of a clip, N segments, L layers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from torch import Tensor

from plainmask.data.record import NO_SEGMENT, Annotation, LabelledVideo, Record
from plainmask.errors import InputError
from plainmask.training.samples.augment import Probability
from plainmask.training.samples.color import uniform
from plainmask.training.samples.warp import warp_image, warp_layers, way_back


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StillClipConfig(_Part):
    """How a still picture becomes a clip. Published: rotation only, as by default.

    See docs/model.md 7.6.
    """

    rotation: NonNegativeFloat = 15.0
    """Frames are turned by sorted angles drawn from -rotation..rotation degrees."""
    center: tuple[float, float] = (0.4, 0.6)
    """Bounds of the centre of rotation and zoom, as a fraction of height and of width."""
    shift: NonNegativeFloat = 0.0
    """Largest drift over the whole clip along each axis, as a fraction of height and width."""
    zoom: NonNegativeFloat = 0.0
    """Largest drift of the size over the whole clip, as the logarithm of the factor."""


class PasteConfig(_Part):
    """How the objects of another clip are pasted over a clip."""

    scale: tuple[PositiveFloat, PositiveFloat] = (0.5, 1.0)
    """Bounds of the factor on the size at which the other clip just fits into the frame."""
    shift: NonNegativeFloat = 0.3
    """Largest distance from the middle along each axis, as a fraction of height and width."""
    flip: Probability = 0.5
    """Probability of mirroring left to right."""
    max_objects: PositiveInt = 3
    """Of more objects, so many are drawn."""
    partial: Probability = 0.5
    """Probability that an object is pasted in a part of the frames only: that it comes late,
    leaves early, or both."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale {self.scale} must be (low, high) with low <= high")
        return self


class ClipConfig(_Part):
    """How training clips are drawn."""

    frames: PositiveInt
    """T. Published: 5."""
    reach: NonNegativeInt
    """Frames lie up to this far from a reference frame; consecutive ones where 2 reach + 1 =
    frames. Published: 2."""
    reverse: Probability = 0.0
    """Probability of going back in time."""
    published: bool = False
    """Keep two oddities of the published sampling: consecutive clips never begin at the last
    possible frame, and the frames that fill up a short video stay at its end, unsorted."""
    stills: Probability = 0.5
    """Share of clips made from still pictures, where both kinds are given."""
    still_motion: StillClipConfig = StillClipConfig()
    paste: Probability = 0.0
    """Probability of pasting the objects of another clip over a clip."""
    pasting: PasteConfig = PasteConfig()


class Clip(NamedTuple):
    """Some frames of one video, or made to look so, in the order of time."""

    images: list[Tensor]
    """T of (3, H, W) uint8 RGB."""
    segments: list[Annotation]
    """One per frame; the same track id is the same object."""


def sample_clip(
    videos: Sequence[LabelledVideo],
    stills: Sequence[Record],
    config: ClipConfig,
    generator: torch.Generator,
    index: int,
    *,
    pasted_classes: Collection[int] | None = None,
) -> Clip:
    """Draw one training clip.

    Only annotated frames of a video are used; they count as neighbours in time.

    Args:
        videos: real videos; may be none.
        stills: annotated pictures in the classes of the videos; may be none.
        config: how to draw.
        generator: where chance comes from.
        index: which video; a still that takes its place is drawn. Without videos: which still.
        pasted_classes: class ids of the objects that may be pasted; None: all.

    Raises:
        InputError: neither videos nor stills, a video without annotated frames, or a file that
            cannot be read.
    """
    pool = videos or stills
    if not pool:
        raise InputError("there is nothing to draw clips from; give videos, stills or both")
    clip = _draw_clip(videos, stills, config, generator, index)
    if uniform(generator) >= config.paste or len(pool) == 1:
        return clip
    other = (index + 1 + _integer(len(pool) - 1, generator)) % len(pool)
    donor = _draw_clip(videos, stills, config, generator, other)
    return paste_tracks(clip, donor, config.pasting, generator, classes=pasted_classes)


def choose_frames(length: int, config: ClipConfig, generator: torch.Generator) -> list[int]:
    """Which frames of a video of `length` frames a clip shows, in this order (docs/model.md 7.4).

    With 2 reach + 1 = frames they are consecutive; a shorter video gives all its frames, and some
    twice. Otherwise a reference frame is drawn, and the others, with replacement, from the `reach`
    frames before and after it; a video of one frame gives that frame only.
    """
    assert length >= 1, "a video without frames"
    if 2 * config.reach + 1 == config.frames:
        chosen = _consecutive(length, config, generator)
    else:
        reference = _integer(length, generator)
        low, high = max(0, reference - config.reach), min(length - 1, reference + config.reach)
        near = [frame for frame in range(low, high + 1) if frame != reference] or [reference]
        drawn = [near[_integer(len(near), generator)] for _ in range(config.frames - 1)]
        chosen = sorted([reference, *drawn])
    return chosen[::-1] if uniform(generator) < config.reverse else chosen


def still_clip(
    image: Tensor,
    segments: Annotation,
    frames: int,
    config: StillClipConfig,
    generator: torch.Generator,
) -> Clip:
    """Set a still picture in motion: each frame is the picture, turned, moved and scaled.

    The picture keeps its size; what comes in from outside is black and belongs to no segment.

    Args:
        image: (3, H, W) uint8 RGB.
        segments: of the same size.
        frames: T.
        config: how much it moves.
        generator: where chance comes from.
    """
    height, width = segments.size
    angles = sorted(uniform(generator, -config.rotation, config.rotation) for _ in range(frames))
    if uniform(generator) < 0.5:
        angles.reverse()
    center_x, center_y = (side * uniform(generator, *config.center) for side in (width, height))
    shift_x, shift_y = (
        side * uniform(generator, -config.shift, config.shift) for side in (width, height)
    )
    zoom = uniform(generator, -config.zoom, config.zoom)
    clip = Clip([], [])
    for time, angle in enumerate(angles):
        progress = (time - (frames - 1) / 2) / max(1, frames - 1)  # -0.5..0.5
        target = (center_x + progress * shift_x, center_y + progress * shift_y)
        scale = float(np.exp(progress * zoom))
        matrix = way_back((center_x, center_y), target, scale=scale, angle=angle)
        layers = warp_layers(segments.layers, matrix, segments.size)
        clip.images.append(warp_image(image, matrix, segments.size))
        clip.segments.append(
            Annotation(layers, segments.class_ids, segments.crowd, segments.track_ids)
        )
    return clip


def paste_tracks(
    clip: Clip,
    donor: Clip,
    config: PasteConfig,
    generator: torch.Generator,
    *,
    classes: Collection[int] | None = None,
) -> Clip:
    """Paste the objects of one clip over another, frame by frame.

    Pasted objects lie on top and keep their own motion; they get new track ids. What they cover
    of other objects is gone. Crowds are not pasted.

    Args:
        clip: below.
        donor: of as many frames, of any size; its objects are placed by one draw for all frames.
        config: where and when.
        generator: where chance comes from.
        classes: class ids of the objects to paste; None: all.
    """
    assert len(clip.images) == len(donor.images), "clips of different length"
    matrix = _draw_placement(clip, donor, config, generator)
    intervals = _draw_intervals(donor, config, generator, classes)
    first_id = 1 + max(int(frame.track_ids.max(initial=-1)) for frame in clip.segments)
    new_ids = {track: first_id + place for place, track in enumerate(sorted(intervals))}
    pasted = Clip([], [])
    for time, (image, below) in enumerate(zip(*clip, strict=True)):
        shown = {
            track: new_ids[track]
            for track, (first, last) in intervals.items()
            if first <= time <= last
        }
        layers, above = _placed(donor.segments[time], shown, matrix, below)
        covered = torch.from_numpy((layers != NO_SEGMENT).any(axis=0))
        donor_image = warp_image(donor.images[time], matrix, below.size)
        pasted.images.append(torch.where(covered, donor_image, image))
        pasted.segments.append(above)
    return pasted


def _draw_clip(
    videos: Sequence[LabelledVideo],
    stills: Sequence[Record],
    config: ClipConfig,
    generator: torch.Generator,
    index: int,
) -> Clip:
    """One clip without anything pasted; arguments as in `sample_clip`."""
    if stills and (not videos or uniform(generator) < config.stills):
        record = stills[_integer(len(stills), generator) if videos else index]
        image = torch.from_numpy(record.image()).permute(2, 0, 1)
        return still_clip(image, record.annotation(), config.frames, config.still_motion, generator)
    video = videos[index]
    frames = [frame for frame in video.frames if frame.labelled]
    if not frames:
        raise InputError(
            f"the video {video.id} has no annotated frame; train on a split with annotations"
        )
    chosen = choose_frames(len(frames), config, generator)
    images = {place: torch.from_numpy(frames[place].image()).permute(2, 0, 1) for place in chosen}
    segments = {place: frames[place].annotation() for place in set(chosen)}
    return Clip([images[place] for place in chosen], [segments[place] for place in chosen])


def _consecutive(length: int, config: ClipConfig, generator: torch.Generator) -> list[int]:
    """`frames` consecutive frames; all of a shorter video, and some of them again."""
    spare = length - config.frames
    if spare >= 0:
        starts = max(1, spare) if config.published else spare + 1
        start = _integer(starts, generator)
        return list(range(start, start + config.frames))
    repeated = [_integer(length, generator) for _ in range(-spare)]
    chosen = [*range(length), *repeated]
    return chosen if config.published else sorted(chosen)


def _draw_placement(
    clip: Clip, donor: Clip, config: PasteConfig, generator: torch.Generator
) -> NDArray[np.float64]:
    """The warp that brings the donor's frames into the clip's."""
    (height, width), (donor_height, donor_width) = clip.segments[0].size, donor.segments[0].size
    fit = min(height / donor_height, width / donor_width)
    scale = fit * uniform(generator, *config.scale)
    x, y = (
        side * (0.5 + uniform(generator, -config.shift, config.shift)) for side in (width, height)
    )
    flip = uniform(generator) < config.flip
    return way_back((donor_width / 2, donor_height / 2), (x, y), scale=scale, flip=flip)


def _draw_intervals(
    donor: Clip, config: PasteConfig, generator: torch.Generator, classes: Collection[int] | None
) -> dict[int, tuple[int, int]]:
    """Which objects of the donor are pasted: the first and last frame of each, by track id."""
    tracks = {
        int(frame.track_ids[index]): None
        for frame in donor.segments
        for index in np.flatnonzero(~frame.crowd)
        if classes is None or int(frame.class_ids[index]) in classes
    }
    shuffled = torch.randperm(len(tracks), generator=generator).tolist()
    chosen = [list(tracks)[place] for place in shuffled[: config.max_objects]]
    last = len(donor.images) - 1
    intervals: dict[int, tuple[int, int]] = {}
    for track in chosen:
        first_end, second_end = (_integer(last + 1, generator) for _ in range(2))
        partial = uniform(generator) < config.partial
        ends = (min(first_end, second_end), max(first_end, second_end))
        intervals[track] = ends if partial else (0, last)
    return intervals


def _placed(
    donor: Annotation, shown: Mapping[int, int], matrix: NDArray[np.float64], below: Annotation
) -> tuple[NDArray[np.int32], Annotation]:
    """Segments with those of a donor's frame on top.

    Args:
        donor: the annotation of the donor's frame.
        shown: new track id by the old one, of the objects to paste.
        matrix: the warp into this frame.
        below: the annotation of this frame.

    Returns:
        the warped layers (L, H, W) of what is pasted, and all segments of the frame.
    """
    chosen = [
        index
        for index, track in enumerate(donor.track_ids.tolist())
        if track in shown and not donor.crowd[index]
    ]
    numbers = np.full(len(donor) + 1, NO_SEGMENT, np.int32)
    numbers[chosen] = len(below) + np.arange(len(chosen))
    layers = warp_layers(numbers[donor.layers], matrix, below.size)
    tracks = [shown[track] for track in donor.track_ids[chosen].tolist()]
    together = Annotation(
        layers=_laid_over(below.layers, layers),
        class_ids=np.append(below.class_ids, donor.class_ids[chosen]),
        crowd=np.append(below.crowd, np.zeros(len(chosen), np.bool_)),
        track_ids=np.append(below.track_ids, np.array(tracks, np.int64)),
    )
    return layers, together


def _laid_over(below: NDArray[np.int32], above: NDArray[np.int32]) -> NDArray[np.int32]:
    """Layers (L, H, W) with others on top; the lower ones vanish where any upper one is."""
    empty = [(0, max(0, len(above) - len(below))), (0, 0), (0, 0)]
    layers = np.pad(below, empty, constant_values=NO_SEGMENT)
    layers[:, (above != NO_SEGMENT).any(axis=0)] = NO_SEGMENT
    layers[: len(above)] = np.where(above != NO_SEGMENT, above, layers[: len(above)])
    return layers


def _integer(count: int, generator: torch.Generator) -> int:
    """One draw from 0..count-1."""
    return int(torch.randint(count, (), generator=generator))
