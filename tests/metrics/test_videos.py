"""Videos that several processes look at give the figures of one, to the last digit."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_cases import Classes
from plainmask.errors import InputError
from plainmask.metrics.identity import Sightings, TrackIdentity
from plainmask.metrics.jf import RegionBoundary
from plainmask.metrics.miou import MeanIoU
from plainmask.metrics.panoptic_map import Overlap, PanopticMap, PanopticSegment
from plainmask.metrics.stq import SegmentationTrackingQuality
from plainmask.metrics.track_ap import TrackAP
from plainmask.metrics.vc import VideoConsistency
from plainmask.metrics.videos import Videos
from plainmask.metrics.vpq import VideoPanopticQuality
from plainmask.results.rle import Rle
from plainmask.results.track import Track

VOCABULARY = Classes([(0, False), (1, True), (2, True)]).vocabulary
OBJECTS = 5


@dataclass
class Video:
    """A made-up video: maps of objects 1..5, 0 for nothing, in the result and in the target."""

    name: str
    results: np.ndarray
    targets: np.ndarray


def random_videos(seed: int, count: int) -> list[Video]:
    rng = np.random.default_rng(seed)
    videos: list[Video] = []
    for number in range(count):
        shape = (int(rng.integers(3, 14)), 6, 7)
        first = rng.integers(0, OBJECTS + 1, shape[1:])
        moved = rng.random((2, *shape)) < 0.1
        noise = rng.integers(0, OBJECTS + 1, (2, *shape))
        maps = np.where(moved, noise, first)
        maps[:, 0, 0, 0] = OBJECTS  # so the target begins with all objects
        videos.append(Video(str(number), maps[0], maps[1]))
    return videos


def panoptic(ids: np.ndarray) -> PanopticMap:
    segments = [PanopticSegment(int(key), int(key) % 3) for key in np.unique(ids) if key]
    return PanopticMap.from_ids(ids, segments)


def tracks(maps: np.ndarray) -> list[Track]:
    return [
        Track(key % 3, tuple(Rle.encode(frame == key) for frame in maps), score=1 / (1 + key % 2))
        for key in range(1, OBJECTS + 1)
    ]


def by_frame(make: Callable[[np.ndarray], Any]) -> Callable[[Any, Video], None]:
    def feed(metric: Any, video: Video) -> None:
        for result, target in zip(video.results, video.targets, strict=True):
            metric.update(make(result), make(target), video=video.name)

    return feed


def feed_overlap(metric: MeanIoU, video: Video) -> None:
    for result, target in zip(video.results, video.targets, strict=True):
        metric.update(result, target)


def feed_tracks(metric: TrackAP, video: Video) -> None:
    metric.update(tracks(video.results), tracks(video.targets))


def feed_identity(metric: TrackIdentity, video: Video) -> None:
    for result, target in zip(video.results, video.targets, strict=True):
        overlap = Overlap.between(panoptic(result), panoptic(target))
        metric.update(Sightings.of_overlap(overlap, np.ones(3, bool)), video=video.name)


METRICS: dict[str, tuple[Callable[[], Any], Callable[[Any, Video], None]]] = {
    "miou": (lambda: MeanIoU([*"abcdef"]), feed_overlap),
    "vc": (lambda: VideoConsistency(windows=(2, 5)), by_frame(np.asarray)),
    "vpq": (lambda: VideoPanopticQuality(VOCABULARY), by_frame(panoptic)),
    "stq": (lambda: SegmentationTrackingQuality(VOCABULARY), by_frame(panoptic)),
    "identity": (TrackIdentity, feed_identity),
    "jf": (RegionBoundary, by_frame(np.asarray)),
    "jf of proposals": (
        lambda: RegionBoundary(protocol="unsupervised"),
        by_frame(np.asarray),
    ),
    "track_ap": (lambda: TrackAP([*"abc"]), feed_tracks),
}


@pytest.mark.parametrize("name", METRICS)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 6), min_size=1, max_size=2))
@settings(max_examples=10)
def test_parts_of_the_videos_give_the_figures_of_all(name: str, seed: int, cuts: list[int]):
    """Also where a part has no video, and after a way between processes."""
    begin, feed = METRICS[name]
    videos = random_videos(seed, 6)
    whole, joined = begin(), begin()
    for video in videos:
        feed(whole, video)
    edges = [0, *sorted(cuts), 6]
    for first, last in pairwise(edges):
        part = begin()
        for video in videos[first:last]:
            feed(part, video)
        joined.merge(pickle.loads(pickle.dumps(part)))
    assert joined.figures() == whole.figures()


@pytest.mark.parametrize("name", [name for name in METRICS if name not in ("miou", "track_ap")])
def test_a_video_in_two_parts_is_refused(name: str):
    begin, feed = METRICS[name]
    parts = begin(), begin()
    for part in parts:
        for video in random_videos(0, 2)[:: 1 if part is parts[0] else -1]:
            feed(part, video)
    with pytest.raises(InputError, match="the video '0' was counted in two parts"):
        parts[0].merge(parts[1])


def test_a_video_has_ended_when_others_are_added():
    ours, theirs = Videos(list, len), Videos(list, len)
    ours.at("a").append(1)
    theirs.at("b").append(1)
    theirs.at("b").append(1)
    ours.merge(theirs)
    assert ours.all() == {"a": 1, "b": 2}
    ours.at("c")
    for video in "ab":
        with pytest.raises(InputError, match=f"'{video}' come again after frames of 'c'"):
            ours.at(video)
