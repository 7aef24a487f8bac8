"""Results for the tests of sinks, without a model."""

from typing import Any

import numpy as np

from plainmask.results import InstanceResult, Moment, PanopticResult, SemanticResult
from plainmask.results.rle import Rle
from plainmask.results.segments import segments_of
from plainmask.video.frames import Frame
from plainmask.vocabulary import Vocabulary
from videos import pictures


def vocabulary() -> Vocabulary:
    """Two things and one stuff class, numbered in files as 11, 12, 13."""
    classes = [
        {"id": place, "name": name, "thing": place < 2, "file_id": 11 + place}
        for place, name in enumerate(("car", "person", "road"))
    ]
    return Vocabulary.load({"name": "three", "classes": classes})


def semantic(place: int, height: int, width: int) -> SemanticResult:
    labels = np.full((height, width), 2, np.int16)
    labels[:10, 2 * place : 2 * place + 8] = 1
    return SemanticResult(labels, vocabulary(), moment=Moment(place, (2, 3), (place + 1,) * 2))


def panoptic(place: int, height: int, width: int) -> PanopticResult:
    """Segment 1 is road; segment 300 a car that is there from the second frame on."""
    ids = np.ones((height, width), np.int32)
    if place:
        ids[:10, 2 * place : 2 * place + 8] = 300
    segments = segments_of(ids, lambda key: (2 if key == 1 else 0, 0.9), vocabulary())
    keys = tuple(segment.id for segment in segments)
    ages = tuple(place if key == 300 else place + 1 for key in keys)
    return PanopticResult(ids, segments, vocabulary(), Moment(place, keys, ages))


def instance(place: int, height: int, width: int) -> InstanceResult:
    """Track 4 as a car and, less sure, as a person; track 7 hidden in frames 1 and 2."""
    first = np.zeros((height, width), bool)
    first[:10, 2 * place : 2 * place + 8] = True
    second = np.zeros((height, width), bool)
    if place not in (1, 2):
        second[20:30, 20:30] = True
    rles = (Rle.encode(first), Rle.encode(second), Rle.encode(first))
    return InstanceResult(
        (height, width),
        rles,
        np.array([0, 1, 1]),
        np.array([0.9 - 0.1 * place, 0.7, 0.1], np.float32),
        vocabulary(),
        moment=Moment(place, (4, 7, 4), (place + 1, 1, place + 1)),
    )


Made = list[tuple[Frame, Any]]

_MAKERS = {"semantic": semantic, "panoptic": panoptic, "instance": instance}


def made(task: str, count: int, size: tuple[int, int] = (48, 64), first: int = 0) -> Made:
    """Frames with their results, from a place in the video on."""
    frames = [
        Frame(image, (first + place) / 25, f"{first + place:05d}")
        for place, image in enumerate(pictures(count, size))
    ]
    return [(frame, _MAKERS[task](int(frame.name), *size)) for frame in frames]
