"""Made-up videos of moving objects with exact masks: what a memory is for.

Textured shapes move over a textured ground and bounce off the borders of the picture. An upright
bar, which is no object, hides for a while what passes behind it; objects hide each other, too.
Some enter late and leave early. Everything follows from one seed.

Letters: T frames, S side of the square picture, N objects.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.data.record import NO_SEGMENT, Annotation, Record
from plainmask.results.rle import Rle

SHAPES = ("disc", "square", "diamond", "triangle")
TEXTURES = ("plain", "stripes", "checks")
COLORS = (
    (214, 50, 45), (236, 150, 30), (240, 225, 60), (60, 170, 70),
    (60, 200, 210), (50, 90, 210), (150, 70, 190), (240, 120, 180),
)  # fmt: skip

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MovingConfig:
    """What a scene is made of; sizes in pixels."""

    size: int = 112
    frames: int = 60
    objects: int = 4
    """The first pass behind the bar in their time; the last one enters and leaves the picture."""
    diameter: tuple[float, float] = (24, 32)
    bar: tuple[float, float] = (36, 52)
    """Width of the bar; 0, 0: none."""
    hidden: tuple[int, int] = (1, 20)
    """Frames for which an object may be hidden at a time; the least holds for the bar only."""
    speed: tuple[float, float] = (0.8, 5)
    """Pixels a frame of what passes behind the bar, if that leaves a choice."""
    twins: bool = False
    """The first two look the same, and cross behind the bar at one height."""


@dataclass(frozen=True)
class Look:
    """How an object looks; the picture moves with it."""

    shape: str
    texture: str
    color: tuple[int, int, int]
    diameter: float


@dataclass(frozen=True)
class Occlusion:
    """Frames in which an object is in the picture, but out of sight, between two where it is seen.

    So long as it is partly seen, it is not occluded.
    """

    track_id: int
    first: int
    frames: int


@dataclass(frozen=True, eq=False)
class Scene:
    """One video, its annotation, and what the annotation does not say."""

    images: NDArray[np.uint8]
    """(T, S, S, 3) RGB."""
    segments: list[Annotation]
    """T; of the objects that are seen in each frame, by the track ids 1..N, all of class 0."""
    looks: tuple[Look, ...]
    """N."""
    centers: Floats
    """(N, T, 2): x and y, also where the object is hidden or outside the picture."""
    visible: NDArray[np.bool_]
    """(N, T): which objects are seen."""
    inside: NDArray[np.bool_]
    """(N, T): which objects reach into the picture, seen or not."""

    def occlusions(self) -> list[Occlusion]:
        """All of them, by track and time."""
        found: list[Occlusion] = []
        for number, (visible, inside) in enumerate(zip(self.visible, self.inside, strict=True), 1):
            seen = np.flatnonzero(visible).tolist()
            found += [
                Occlusion(number, last + 1, first - last - 1)
                for last, first in pairwise(seen)
                if first > last + 1 and inside[last:first].all()
            ]
        return found

    def backwards(self) -> Scene:
        """The same video, played from its end to its beginning."""
        return replace(
            self,
            images=self.images[::-1],
            segments=self.segments[::-1],
            centers=self.centers[:, ::-1],
            visible=self.visible[:, ::-1],
            inside=self.inside[:, ::-1],
        )


def make_scene(config: MovingConfig, seed: int) -> Scene:
    """Draw one scene; the same seed gives the same one."""
    for attempt in count():
        scene = _draw_scene(config, np.random.default_rng((seed, attempt)))
        # Objects that one behind the bar meets may prolong its absence.
        if all(occlusion.frames <= config.hidden[1] for occlusion in scene.occlusions()):
            return scene
    raise AssertionError


def records_of(scene: Scene, name: str) -> list[Record]:
    """The scene as a video of a data set, which lies in memory."""
    return [
        Record(
            id=f"{name}/{time:05}",
            load_image=partial(_itself, image),
            load_annotation=partial(_itself, segments),
            sequence=name,
            frame=time,
            classes=frozenset(segments.class_ids.tolist()),
        )
        for time, (image, segments) in enumerate(zip(scene.images, scene.segments, strict=True))
    ]


def save_youtube_vis(scenes: Sequence[Scene], root: Path, split: str) -> None:
    """Write videos video_0, video_1, … in the form of YouTube-VIS."""
    videos, tracks = [], []
    for number, scene in enumerate(scenes):
        names = _save_images(scene, root / split / "JPEGImages", f"video_{number}")
        height, width = scene.images.shape[1:3]
        videos.append({"id": number, "file_names": names, "height": height, "width": width})
        for track in range(1, len(scene.looks) + 1):
            masks = [_mask_of(frame, track) for frame in scene.segments]
            forms = [None if mask is None else Rle.encode(mask).to_coco() for mask in masks]
            row = {"id": len(tracks) + 1, "video_id": number, "category_id": 1, "iscrowd": 0}
            tracks.append({**row, "segmentations": forms})
    content = {
        "videos": videos,
        "annotations": tracks,
        "categories": [{"id": 1, "name": "object"}],
    }
    (root / f"{split}.json").write_text(json.dumps(content))


def save_video_folder(scenes: Sequence[Scene], root: Path) -> None:
    """Write videos video_0, video_1, … as a folder per video, labels with the objects' numbers."""
    for number, scene in enumerate(scenes):
        names = _save_images(scene, root / "JPEGImages", f"video_{number}")
        for name, frame in zip(names, scene.segments, strict=True):
            values = np.append(frame.track_ids, 0)[frame.index_map].astype(np.uint8)
            path = (root / "Annotations" / name).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)


def _draw_scene(config: MovingConfig, random: np.random.Generator) -> Scene:
    bar = _draw_bar(config, random)
    looks = _draw_looks(config, random)
    centers = np.stack(
        [_draw_path(config, look, bar, number, random) for number, look in enumerate(looks)]
    )
    if config.twins:
        looks = (looks[0], looks[0], *looks[2:])
        centers[:2] = _draw_crossing(config, looks[0], bar, random)
    order = random.permutation(len(looks))  # from the back to the front
    ground = _draw_ground(config.size, random)
    front = _draw_ground(config.size, random, stripes=True)
    columns = np.arange(config.size)
    in_front = (columns >= bar[0]) & (columns < bar[1])
    pictures, segments, inside = [], [], []
    for time in range(config.frames):
        picture, owner, reach = _render(ground, looks, centers[:, time], order)
        picture[:, in_front], owner[:, in_front] = front[:, in_front], NO_SEGMENT
        pictures.append(picture)
        segments.append(_segments(owner))
        inside.append(reach)
    numbers = range(1, len(looks) + 1)
    return Scene(
        images=np.stack(pictures),
        segments=segments,
        looks=looks,
        centers=centers,
        visible=np.array([[n in frame.track_ids for frame in segments] for n in numbers]),
        inside=np.stack(inside, axis=1),
    )


def _itself(value):
    return value


def _save_images(scene: Scene, folder: Path, name: str) -> list[str]:
    (folder / name).mkdir(parents=True)
    names = [f"{name}/{time:05}.jpg" for time in range(len(scene.images))]
    for path, image in zip(names, scene.images, strict=True):
        Image.fromarray(image).save(folder / path, quality=95)
    return names


def _mask_of(frame: Annotation, track: int) -> NDArray[np.bool_] | None:
    place = np.flatnonzero(frame.track_ids == track)
    return frame.index_map == place[0] if len(place) else None


def _draw_bar(config: MovingConfig, random: np.random.Generator) -> tuple[float, float]:
    """Left and right border of the bar, about the middle."""
    width = random.uniform(*config.bar)
    left = (config.size - width) / 2 + random.uniform(-1, 1) * config.size / 28
    return (left, left + width) if width else (0.0, 0.0)


def _draw_looks(config: MovingConfig, random: np.random.Generator) -> tuple[Look, ...]:
    """Looks of which no two share both colour and shape, though they may share one."""
    kinds = [(shape, color) for shape in SHAPES for color in COLORS]
    chosen = random.choice(len(kinds), config.objects, replace=False)
    return tuple(
        Look(
            kinds[kind][0],
            str(random.choice(TEXTURES)),
            kinds[kind][1],
            random.uniform(*config.diameter),
        )
        for kind in chosen
    )


def _draw_path(
    config: MovingConfig,
    look: Look,
    bar: tuple[float, float],
    number: int,
    random: np.random.Generator,
) -> Floats:
    """Centres (T, 2) of one object."""
    if number > 0 and number == config.objects - 1:
        return _draw_visit(config, look, random)
    height = _draw_bounce(config, look, random)
    if bar[0] == bar[1]:
        return np.stack([_draw_bounce(config, look, random), height], axis=1)
    hidden, speed = _draw_hiding(config, bar[1] - bar[0] - look.diameter, random)
    latest = max(8, config.frames - hidden - 12)
    first = random.integers(8, latest + 1)
    return np.stack([_passing(config, look, bar, first, speed, random), height], axis=1)


def _draw_hiding(
    config: MovingConfig, slack: float, random: np.random.Generator
) -> tuple[int, float]:
    """For how many frames an object is hidden, and how fast it moves for that.

    Args:
        slack: how far it goes from the first moment to the last in which the bar covers it all.
    """
    slowest, fastest = config.speed
    fewest = max(config.hidden[0], int(np.ceil(slack / fastest)))
    most = min(config.hidden[1], int(slack / slowest))
    hidden = int(random.integers(fewest, max(fewest, most) + 1))
    return hidden, slack / hidden


def _passing(
    config: MovingConfig,
    look: Look,
    bar: tuple[float, float],
    first: int,
    speed: float,
    random: np.random.Generator,
    rightwards: bool | None = None,
) -> Floats:
    """x (T,) of an object that the bar hides from frame `first` on, moving left or right."""
    # Half a step in, so that rounding to pixels cannot change the number of hidden frames.
    along = bar[0] + look.diameter / 2 + speed * (np.arange(config.frames) - first + 0.5)
    x = _bounced(along, look.diameter / 2, config.size)
    rightwards = bool(random.integers(2)) if rightwards is None else rightwards
    return x if rightwards else bar[0] + bar[1] - x


def _draw_crossing(
    config: MovingConfig, look: Look, bar: tuple[float, float], random: np.random.Generator
) -> Floats:
    """Centres (2, T, 2) of two objects that pass each other behind the bar, at one height."""
    hidden, speed = _draw_hiding(config, bar[1] - bar[0] - look.diameter, random)
    first = int(random.integers(8, max(8, config.frames - hidden - 12) + 1))
    height = np.full(config.frames, random.uniform(0.3, 0.7) * config.size)
    paths = [_passing(config, look, bar, first, speed, random, side) for side in (True, False)]
    return np.stack([np.stack([x, height], axis=1) for x in paths])


def _draw_visit(config: MovingConfig, look: Look, random: np.random.Generator) -> Floats:
    """Centres of an object that comes from above or below, stays for a while, and leaves."""
    half, frames = look.diameter / 2, config.frames
    enters = random.uniform(0.1, 0.3) * frames
    leaves = random.uniform(0.7, 0.9) * frames
    progress = (np.arange(frames) - enters) / (leaves - enters)
    y = -half + progress * (config.size + look.diameter)
    x = random.uniform(half, config.size - half) + random.uniform(-0.5, 0.5) * np.arange(frames)
    return np.stack([x, y if random.integers(2) else config.size - y], axis=1)


def _draw_bounce(config: MovingConfig, look: Look, random: np.random.Generator) -> Floats:
    """One coordinate (T,) of an object that stays in the picture."""
    half = look.diameter / 2
    start, speed = random.uniform(half, config.size - half), random.uniform(-1.5, 1.5)
    return _bounced(start + speed * np.arange(config.frames), half, config.size)


def _bounced(along: Floats, half: float, size: int) -> Floats:
    """Reflects places on a straight line into half..size - half."""
    room = size - 2 * half
    folded = np.mod(along - half, 2 * room)
    return half + np.where(folded > room, 2 * room - folded, folded)


def _draw_ground(size: int, random: np.random.Generator, stripes: bool = False) -> NDArray:
    """(S, S, 3) uint8: a dull texture; with `stripes` upright ones."""
    shape = (1, size // 4) if stripes else (size // 8, size // 8)
    coarse = Image.fromarray(random.integers(0, 256, shape, np.uint8))
    smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float64)
    fine = random.uniform(-10, 10, (size, size))
    tint = random.uniform(-15, 15, 3) + (-30 if stripes else 10)
    grey = 110 + 0.3 * (smooth - 128) + fine
    return (grey[..., None] + tint).clip(0, 255).astype(np.uint8)


def _render(
    ground: NDArray, looks: Sequence[Look], centers: Floats, order: NDArray
) -> tuple[NDArray, NDArray[np.int32], NDArray[np.bool_]]:
    """One frame without the bar: the picture, the place of each pixel's object, who reaches in."""
    picture = ground.copy()
    owner = np.full(ground.shape[:2], NO_SEGMENT, np.int32)
    reach = np.zeros(len(looks), np.bool_)
    for number in order.tolist():
        window, covered, colors = _paint(looks[number], centers[number], len(ground))
        picture[window][covered] = colors[covered]
        owner[window][covered] = number
        reach[number] = covered.any()
    return picture, owner, reach


def _paint(
    look: Look, center: Floats, size: int
) -> tuple[tuple[slice, slice], NDArray[np.bool_], NDArray]:
    """A window of the picture, which of its pixels an object covers, and its colours there."""
    half = look.diameter / 2
    low = np.floor(center - half).clip(0, size).astype(int)
    high = np.ceil(center + half).clip(0, size).astype(int)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    x = np.arange(low[0], high[0])[None] + 0.5 - center[0]
    y = np.arange(low[1], high[1])[:, None] + 0.5 - center[1]
    covered = {
        "disc": x**2 + y**2 < half**2,
        "square": np.maximum(abs(x), abs(y)) < half,
        "diamond": abs(x) + abs(y) < half,
        "triangle": (abs(x) < (y + half) / 2) & (y < half),
    }[look.shape]
    period = look.diameter / 3
    dark = {
        "plain": np.zeros(covered.shape, np.bool_),
        "stripes": np.mod(x + y, period) < period / 2,
        "checks": (np.mod(x, period) < period / 2) ^ (np.mod(y, period) < period / 2),
    }[look.texture]
    colors = np.array(look.color) * np.where(dark, 0.6, 1)[..., None]
    return window, covered, colors.astype(np.uint8)


def _segments(owner: NDArray[np.int32]) -> Annotation:
    """The annotation of a frame, from the place 0..N-1 of each pixel's object, or -1."""
    present = np.unique(owner[owner != NO_SEGMENT])
    index_map = np.where(owner == NO_SEGMENT, NO_SEGMENT, np.searchsorted(present, owner))
    return Annotation.of_map(
        index_map.astype(np.int32), np.zeros(len(present)), track_ids=present + 1
    )
