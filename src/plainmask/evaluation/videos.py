"""Videos x a head -> figures. Metrics see what people get, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

from plainmask.data.record import LabelledVideo, Record, group_videos
from plainmask.errors import InputError, PlainmaskError
from plainmask.evaluation.measures import Pairs, found_in, target_in
from plainmask.evaluation.report import Evaluation, only_labelled, without_annotation
from plainmask.evaluation.sharing import ALONE, Share
from plainmask.evaluation.video_measures import (
    InstanceVideos,
    PanopticVideos,
    SemanticVideos,
    VideoMeasure,
    result_tracks,
    target_tracks,
)
from plainmask.inference.segmenter import HeadSegmenter
from plainmask.inference.tracking import TrackingProtocol
from plainmask.results.task import TASKS, Task
from plainmask.vocabulary import Vocabulary

OnFrame: TypeAlias = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""


def evaluate_videos(
    segmenter: HeadSegmenter[Any],
    records: Sequence[Record],
    *,
    protocol: TrackingProtocol = "offline",
    on_record: OnFrame | None = None,
    share: Share = ALONE,
) -> Evaluation:
    """Follow every video and compare.

    Where only some frames are annotated, all are followed and these are compared, as if they were
    next to each other. Videos without any are left out.

    Args:
        segmenter: a head on its encoder, as `plainmask.load` gives it.
        records: frames of videos; read one at a time.
        protocol: "offline" is the published one, see `Segmenter.track`.
        on_record: called after each frame, of this process.
        share: of several processes, all of which call this; each follows whole videos, and all
            get the same figures.

    Raises:
        InputError: no records, or a record that cannot be read.
        PlainmaskError: another process failed.
    """
    labelled = len(only_labelled(records))
    config = segmenter.head.config
    videos = [video for video in group_videos(records) if any(f.labelled for f in video.frames)]
    mine = share.of(videos)
    measure, _ = _measure(config.task, config.vocabulary)
    for part in share.joined(lambda: _look_at(segmenter, mine, protocol, on_record)):
        measure.merge(part)
    text = (
        f"input {config.input}, propagation {config.decoder.propagation}, {protocol} protocol; "
        f"per class: {TASKS[config.task].per_class_in_videos}"
        + without_annotation(len(records) - labelled, "frames")
    )
    return Evaluation.of(measure.figures(), len(videos), "videos", text)


def _look_at(
    segmenter: HeadSegmenter[Any],
    videos: Sequence[LabelledVideo],
    protocol: TrackingProtocol,
    on_record: OnFrame | None,
) -> VideoMeasure:
    """Follow some videos and compare."""
    config = segmenter.head.config
    measure, units = _measure(config.task, config.vocabulary)
    frames, done = sum(map(len, videos)), 0

    def follow(video: LabelledVideo) -> Pairs:
        nonlocal done
        images = (record.image() for record in video.frames)
        results = iter(segmenter.track(images, protocol=protocol))
        for record in video.frames:
            try:
                result = next(results)
            except PlainmaskError as error:
                raise InputError(f"video {video.id}: {error}") from error
            if record.labelled:
                yield result, record.annotation()
            done += 1
            if on_record:
                on_record(done, frames)

    for video in videos:
        for found, wanted in units(follow(video)):
            measure.update(found, wanted, video=video.id)
    return measure


def _measure(
    task: Task, vocabulary: Vocabulary
) -> tuple[VideoMeasure, Callable[[Pairs], Iterable[tuple[Any, Any]]]]:
    """What measures a head, and what makes of a followed video what it is fed with."""
    match task:
        case "semantic":
            return SemanticVideos(vocabulary), partial(_by_frame, task)
        case "instance":
            return InstanceVideos(vocabulary, regions=True), _as_tracks
        case "panoptic":
            return PanopticVideos(vocabulary), partial(_by_frame, task)


def _by_frame(task: Task, pairs: Pairs) -> Iterator[tuple[Any, Any]]:
    return ((found_in(result), target_in(task, segments)) for result, segments in pairs)


def _as_tracks(pairs: Pairs) -> Iterator[tuple[Any, Any]]:
    results, annotations = zip(*pairs, strict=True)
    yield result_tracks(results), target_tracks(annotations)
