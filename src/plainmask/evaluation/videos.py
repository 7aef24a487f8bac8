"""Videos x a head -> figures. Metrics see what people get, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.data.record import Record, Segments, Video, group_videos
from plainmask.errors import InputError, PlainmaskError
from plainmask.evaluation.measures import panoptic_map, panoptic_target, target_map
from plainmask.evaluation.report import Evaluation, only_labelled, without_annotation
from plainmask.evaluation.result_files import CONFIDENT
from plainmask.inference.segmenter import HeadSegmenter
from plainmask.inference.tracking import Protocol
from plainmask.metrics.identity import Sightings, TrackIdentity
from plainmask.metrics.jf import MAX_PROPOSALS, RegionBoundary
from plainmask.metrics.miou import MeanIoU
from plainmask.metrics.panoptic_map import Overlap
from plainmask.metrics.stq import SegmentationTrackingQuality
from plainmask.metrics.track_ap import TrackAP
from plainmask.metrics.vc import VideoConsistency
from plainmask.metrics.vpq import VideoPanopticQuality
from plainmask.results import IGNORE, InstanceResult, PanopticResult, Result, SemanticResult
from plainmask.results.rle import Rle
from plainmask.results.track import Track
from plainmask.vocabulary import Vocabulary

Report = Callable[[], None]
Pairs = Iterator[tuple[Record, Result]]


def evaluate_videos(
    segmenter: HeadSegmenter[Any],
    records: Sequence[Record],
    *,
    protocol: Protocol = "offline",
    on_record: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Follow every video and compare.

    Where only some frames are annotated, all are followed and these are compared, as if they were
    next to each other. Videos without any are left out.

    Args:
        segmenter: a head on its encoder, as `plainmask.load` gives it.
        records: frames of videos; read one at a time.
        protocol: "offline" is the published one, see `Segmenter.track`.
        on_record: called with (frames done, frames in all) after each.

    Raises:
        InputError: no records, or a record that cannot be read.
    """
    labelled = len(only_labelled(records))
    config = segmenter.head.config
    measure = {"semantic": _semantic, "instance": _instance, "panoptic": _panoptic}[config.task]
    videos = [video for video in group_videos(records) if any(f.labelled for f in video.frames)]
    frames, done = sum(map(len, videos)), 0

    def follow(video: Video) -> Pairs:
        nonlocal done
        images = (record.image() for record in video.frames)
        results = iter(segmenter.track(images, protocol=protocol))
        for record in video.frames:
            try:
                result = next(results)
            except PlainmaskError as error:
                raise InputError(f"video {video.id}: {error}") from error
            if record.labelled:
                yield record, result
            done += 1
            if on_record:
                on_record(done, frames)

    figures = measure(((video, follow(video)) for video in videos), config.vocabulary)
    per_class = figures.pop("per_class", {})
    return Evaluation(
        figures=figures,
        per_class=per_class,
        count=len(videos),
        unit="videos",
        protocol=(
            f"input {config.input}, propagation {config.decoder.propagation}, {protocol} protocol; "
            "per class: "
            + {"semantic": "IoU", "instance": "AP", "panoptic": "VPQ"}[config.task]
            + without_annotation(len(records) - labelled, "frames")
        ),
        per_object=figures.pop("per_object", {}),
    )


def _semantic(videos: Iterable[tuple[Video, Pairs]], vocabulary: Vocabulary) -> dict[str, Any]:
    """mIoU over all frames, and the consistency of labels over 8 and 16 frames."""
    metric, consistency = MeanIoU(vocabulary.names, ignore=IGNORE), VideoConsistency()
    for video, pairs in videos:
        for record, result in pairs:
            assert isinstance(result, SemanticResult)
            target = target_map(record.segments())
            metric.update(result.label_map, target)
            consistency.update(result.label_map, target, video=video.id)
    return metric.figures() | consistency.figures()


def _instance(videos: Iterable[tuple[Video, Pairs]], vocabulary: Vocabulary) -> dict[str, Any]:
    """AP and AR of tracks, identity figures, and J and F with the best assignment of objects."""
    metric, identity = TrackAP(vocabulary.names), TrackIdentity()
    regions = RegionBoundary(protocol="unsupervised")
    for video, pairs in videos:
        frames: list[InstanceResult] = []
        annotations: list[Segments] = []
        for record, result in pairs:
            assert isinstance(result, InstanceResult)
            frames.append(result)
            annotations.append(record.segments())
        found, wanted = result_tracks(frames), target_tracks(annotations)
        metric.update(found, wanted)
        sure = [track for track in found if track.score >= CONFIDENT]
        proposals = sure[:MAX_PROPOSALS]  # the surest; DAVIS allows no more
        for time in range(len(frames)):
            identity.update(Sightings.of_tracks(sure, wanted, time), video=video.id)
            size = annotations[time].size
            regions.update(
                object_map(proposals, time, size), object_map(wanted, time, size), video=video.id
            )
    return metric.figures() | identity.figures() | regions.figures()


def _panoptic(videos: Iterable[tuple[Video, Pairs]], vocabulary: Vocabulary) -> dict[str, Any]:
    """VPQ, STQ and the identity figures of things."""
    quality, tracking = VideoPanopticQuality(vocabulary), SegmentationTrackingQuality(vocabulary)
    identity = TrackIdentity()
    things = np.array([entry.thing for entry in vocabulary.classes], np.bool_)
    for video, pairs in videos:
        for record, result in pairs:
            assert isinstance(result, PanopticResult)
            overlap = Overlap.between(panoptic_map(result), panoptic_target(record.segments()))
            quality.add(overlap, video=video.id)
            tracking.add(overlap, video=video.id)
            identity.update(Sightings.of_overlap(overlap, things), video=video.id)
    return tracking.figures() | identity.figures() | quality.figures()


def result_tracks(frames: Sequence[InstanceResult]) -> list[Track]:
    """The tracks of a video from the results of its frames, the surest first.

    A track is a query with a class; its score is the last one that it was given.
    """
    masks: dict[tuple[int, int], list[Rle | None]] = {}
    scores: dict[tuple[int, int], float] = {}
    for time, frame in enumerate(frames):
        ids = frame.track_ids or range(len(frame))
        for track, label, score, rle in zip(
            ids, frame.class_ids.tolist(), frame.scores.tolist(), frame.rles, strict=True
        ):
            masks.setdefault((track, label), [None] * len(frames))[time] = rle
            scores[track, label] = score
    ordered = sorted(masks, key=lambda key: -scores[key])
    return [Track(key[1], tuple(masks[key]), score=scores[key], id=key[0]) for key in ordered]


def target_tracks(frames: Sequence[Segments]) -> list[Track]:
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
