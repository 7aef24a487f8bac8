"""How results of videos are compared with their annotation, task by task. No torch here.

A measure is fed frame by frame, of tracks video by video. Of a video it keeps what its metrics
must know until it ends.

Letters: H W image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from plainmask.data.record import Annotation
from plainmask.metrics.identity import Sightings, TrackIdentity
from plainmask.metrics.jf import MAX_PROPOSALS, RegionBoundary
from plainmask.metrics.miou import MeanIoU
from plainmask.metrics.panoptic_map import Overlap, PanopticMap
from plainmask.metrics.stq import SegmentationTrackingQuality
from plainmask.metrics.track_ap import TrackAP, mean_of_lists
from plainmask.metrics.vc import VideoConsistency
from plainmask.metrics.vpq import VideoPanopticQuality
from plainmask.results import IGNORE, InstanceResult
from plainmask.results.rle import Rle
from plainmask.results.track import Track
from plainmask.vocabulary import Vocabulary

CONFIDENT = 0.5
"""Tracks that a result is less sure of do not count for the identity figures, nor for J and F."""


class VideoMeasure(Protocol):
    """What all of them can do."""

    def update(self, found: Any, wanted: Any, /, *, video: str) -> None:
        """Count a frame, or a whole video; all of one come before those of another."""
        ...

    def merge(self, other: Any, /) -> None:
        """Add the videos of another one, after those so far."""
        ...

    def figures(self) -> dict[str, Any]:
        """The figures so far, with `per_class`."""
        ...


class SemanticVideos:
    """mIoU over all frames, and the consistency of labels over 8 and 16 frames."""

    def __init__(self, vocabulary: Vocabulary, rule: Literal["official", "vspw"] = "official"):
        self.overlap = MeanIoU(vocabulary.names, ignore=IGNORE, rule=rule)
        self.consistency = VideoConsistency()

    def update(self, found: NDArray[Any], wanted: NDArray[Any], *, video: str) -> None:
        """Count a frame: maps (H, W) of class ids, `IGNORE` for none."""
        self.overlap.update(found, wanted)
        self.consistency.update(found, wanted, video=video)

    def merge(self, other: SemanticVideos) -> None:
        """Add the videos of another one, after those so far."""
        self.overlap.merge(other.overlap)
        self.consistency.merge(other.consistency)

    def figures(self) -> dict[str, Any]:
        """The figures so far; `per_class`: IoU."""
        return self.overlap.figures() | self.consistency.figures()


class InstanceVideos:
    """AP and AR of tracks, and of sure ones the identity figures.

    Args:
        vocabulary: the classes.
        lists: names of lists of videos whose AP is evaluated apart; the figures are the means.
        regions: also J and F, with the best assignment of objects.
    """

    def __init__(
        self, vocabulary: Vocabulary, *, lists: Sequence[str] = ("",), regions: bool = False
    ):
        self.precision = {name: TrackAP(vocabulary.names) for name in lists}
        self.identity = TrackIdentity()
        self.regions = RegionBoundary(protocol="unsupervised") if regions else None

    def update(
        self, found: Sequence[Track], wanted: Sequence[Track], *, video: str, list: str = ""
    ) -> None:
        """Count a whole video; of equal scores the first result counts as surer."""
        self.precision[list].update(found, wanted)
        sure = [track for track in found if track.score >= CONFIDENT]
        proposals = sure[:MAX_PROPOSALS]  # DAVIS allows no more
        for time in range(max((len(track.rles) for track in (*sure, *wanted)), default=0)):
            self.identity.update(Sightings.of_tracks(sure, wanted, time), video=f"{list}/{video}")
            if self.regions is not None:
                masks = [track.rles[time] for track in (*proposals, *wanted)]
                size = next((rle.size for rle in masks if rle), (1, 1))  # of nothing, any will do
                self.regions.update(
                    object_map(proposals, time, size), object_map(wanted, time, size), video=video
                )

    def merge(self, other: InstanceVideos) -> None:
        """Add the videos of another one, after those so far."""
        for name, metric in self.precision.items():
            metric.merge(other.precision[name])
        self.identity.merge(other.identity)
        if self.regions is not None and other.regions is not None:
            self.regions.merge(other.regions)

    def figures(self) -> dict[str, Any]:
        """The figures so far; `per_class`: AP. See `mean_of_lists`."""
        of_lists = {name: metric.figures() for name, metric in self.precision.items()}
        joint = of_lists[""] if [*of_lists] == [""] else mean_of_lists(of_lists)
        regions = {} if self.regions is None else self.regions.figures()
        return joint | self.identity.figures() | regions


class PanopticVideos:
    """VPQ, STQ and the identity figures of things."""

    def __init__(self, vocabulary: Vocabulary):
        self.quality = VideoPanopticQuality(vocabulary)
        self.tracking = SegmentationTrackingQuality(vocabulary)
        self.identity = TrackIdentity()
        self.things = np.array([entry.thing for entry in vocabulary.classes], np.bool_)

    def update(self, found: PanopticMap, wanted: PanopticMap, *, video: str) -> None:
        """Count a frame; ids are constant over the video."""
        overlap = Overlap.between(found, wanted)
        self.quality.add(overlap, video=video)
        self.tracking.add(overlap, video=video)
        self.identity.update(Sightings.of_overlap(overlap, self.things), video=video)

    def merge(self, other: PanopticVideos) -> None:
        """Add the videos of another one, after those so far."""
        self.quality.merge(other.quality)
        self.tracking.merge(other.tracking)
        self.identity.merge(other.identity)

    def figures(self) -> dict[str, Any]:
        """The figures so far; `per_class`: VPQ."""
        quality = self.quality.figures()
        others = self.tracking.figures() | self.identity.figures()
        return quality | others | {"per_class": quality["per_class"]}


def result_tracks(results: Sequence[InstanceResult]) -> list[Track]:
    """The tracks of a video from the results of its frames, doubtful ones too, the surest first.

    A track is a query with a class; its score is the last one that it was given.
    """
    masks: dict[tuple[int, int], list[Rle | None]] = {}
    scores: dict[tuple[int, int], float] = {}
    for time, frame in enumerate(result.candidates for result in results):
        ids = frame.track_ids or range(len(frame))
        for track, label, score, rle in zip(
            ids, frame.class_ids.tolist(), frame.scores.tolist(), frame.rles, strict=True
        ):
            masks.setdefault((track, label), [None] * len(results))[time] = rle
            scores[track, label] = score
    ordered = sorted(masks, key=lambda key: -scores[key])
    return [Track(key[1], tuple(masks[key]), score=scores[key], id=key[0]) for key in ordered]


def target_tracks(frames: Sequence[Annotation]) -> list[Track]:
    """The tracks of a video from the annotations of its frames."""
    masks: dict[int, list[Rle | None]] = {}
    facts: dict[int, tuple[int, bool]] = {}
    for time, frame in enumerate(frames):
        for place, mask in enumerate(frame.masks()):
            track = int(frame.track_ids[place])
            masks.setdefault(track, [None] * len(frames))[time] = Rle.encode(mask)
            facts.setdefault(track, (int(frame.class_ids[place]), bool(frame.crowd[place])))
    return [
        Track(facts[track][0], tuple(rles), crowd=facts[track][1], id=track)
        for track, rles in masks.items()
    ]


def object_map(tracks: Sequence[Track], time: int, size: tuple[int, int]) -> NDArray[np.int32]:
    """Each pixel's track in one frame, from 1 in their order; of two the first one lies on top."""
    flat = np.zeros(size, np.int32)
    for number in range(len(tracks), 0, -1):
        rle = tracks[number - 1].rles[time]
        if rle is not None:
            flat[rle.decode()] = number
    return flat
