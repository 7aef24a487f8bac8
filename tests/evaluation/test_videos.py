"""Videos through a head to figures: what the head itself says is always right."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import plainmask
from plainmask.data.record import Annotation, Record
from plainmask.errors import InputError
from plainmask.evaluation.sharing import Share
from plainmask.evaluation.video_measures import object_map, result_tracks, target_tracks
from plainmask.evaluation.videos import evaluate_videos
from plainmask.results import InstanceResult, Moment, PanopticResult, SemanticResult
from plainmask.results.rle import Rle
from plainmask.results.task import Task
from plainmask.vocabulary import Vocabulary
from streams import segmenter, video

VIDEOS = {"a": video(1, 4), "b": video(2, 3, (40, 60))}


def own_results(model: plainmask.Segmenter) -> dict[str, list]:
    return {name: list(model.track(frames, protocol="offline")) for name, frames in VIDEOS.items()}


def segments_of(result: SemanticResult | InstanceResult | PanopticResult) -> Annotation:
    if isinstance(result, SemanticResult):
        return Annotation.of_map(result.label_map.astype(np.int32), range(3))
    if isinstance(result, PanopticResult):
        ids = [segment.id for segment in result.segments]
        numbers = np.full(max([0, *ids]) + 1, -1, np.int32)
        numbers[ids] = range(len(ids))
        classes = [segment.class_id for segment in result.segments]
        return Annotation.of_map(numbers[result.segment_map], classes, track_ids=ids)
    best = {track: place for place, track in reversed(list(enumerate(result.track_ids)))}
    places = [place for place in best.values() if result.scores[place] >= 0.5]
    return Annotation.of_masks(
        [result.masks[place] for place in places],
        result.image_size,
        result.class_ids[places],
        track_ids=[result.track_ids[place] for place in places],
    )


def records_of(results: dict[str, list]) -> list[Record]:
    return [
        Record(
            id=f"{name}/{time}",
            load_image=partial(np.copy, VIDEOS[name][time]),
            load_annotation=partial(segments_of, result),
            sequence=name,
            frame=time,
        )
        for name, frames in results.items()
        for time, result in enumerate(frames)
    ]


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("semantic", ("mIoU",)),
        ("panoptic", ("VPQ_1", "VPQ_2", "STQ", "IDF1")),
        ("instance", ("IDF1", "HOTA")),  # its masks overlap, so J is less
    ],
)
def test_a_heads_own_results_are_perfect(task: Task, names: Sequence[str]):
    model = segmenter(task)
    seen: list[int] = []
    found = evaluate_videos(
        model, records_of(own_results(model)), on_record=lambda done, total: seen.append(done)
    )
    assert {name: found.figures[name] for name in names} == dict.fromkeys(names, pytest.approx(100))
    assert (found.count, found.unit) == (2, "videos")
    assert seen == list(range(1, 8))
    assert "offline protocol" in found.protocol
    assert "propagation gru" in found.protocol


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("semantic", ("mIoU",)),
        ("panoptic", ("VPQ_1", "VPQ_2", "STQ", "IDF1")),
        ("instance", ("IDF1", "HOTA")),
    ],
)
def test_sparse_labels_are_compared_with_the_results_of_their_frames(
    task: Task, names: Sequence[str]
):
    model = segmenter(task)
    records = [
        record if record.id in ("a/0", "a/3") else replace(record, load_annotation=None)
        for record in records_of(own_results(model))
    ]
    seen: list[tuple[int, int]] = []
    found = evaluate_videos(model, records, on_record=lambda *done: seen.append(done))
    assert {name: found.figures[name] for name in names} == dict.fromkeys(names, pytest.approx(100))
    assert found.count == 1  # nothing of b is annotated
    assert seen == [(place, 4) for place in range(1, 5)]  # all frames of a are followed
    assert found.protocol.endswith("; 5 frames without annotation left out")
    with pytest.raises(InputError, match="none of the 3 pictures has an annotation"):
        evaluate_videos(model, records[4:])


@pytest.mark.parametrize("task", ["semantic", "panoptic", "instance"])
def test_shares_of_several_processes_give_the_figures_of_one(task: Task):
    """Also of more processes than videos."""
    model = segmenter(task)
    # Those of the other protocol are not perfect.
    records = records_of(
        {name: list(model.track(v, protocol="online")) for name, v in VIDEOS.items()}
    )
    whole = evaluate_videos(model, records)
    for processes in (2, 3):
        parts: list[Any] = []
        seen: list[tuple[int, ...]] = []

        def gather(part: Any, parts: list[Any] = parts) -> list[Any]:
            parts.append(part)
            return parts

        for process in range(processes):
            found = evaluate_videos(
                model,
                records,
                on_record=lambda *done, seen=seen: seen.append(done),
                share=Share(process, processes, gather),
            )
        assert found == whole
        assert len(seen) == 7
        assert seen[-1] == (3, 3)


def test_a_frame_that_fails_is_said_with_its_video():
    def broken() -> np.ndarray:
        raise InputError("1.jpg is cut off")

    model = segmenter("panoptic")
    records = records_of(own_results(model))
    records[1] = replace(records[1], load_image=broken)
    with pytest.raises(InputError, match=r"video a: .*1\.jpg is cut off"):
        evaluate_videos(model, records)


def test_online_may_differ_but_is_measured():
    model = segmenter("panoptic")
    found = evaluate_videos(model, records_of(own_results(model)), protocol="online")
    assert 0 <= found.figures["VPQ_1"] <= 100
    assert "online protocol" in found.protocol


def test_tracks_are_queries_with_a_class():
    vocabulary = Vocabulary.numbered(2)
    mask = np.eye(4, dtype=bool)

    def frame(time: int, ids: tuple[int, ...], classes: list[int], scores: list[float]):
        return InstanceResult(
            (4, 4),
            tuple(Rle.encode(mask) for _ in ids),
            np.array(classes),
            np.array(scores, np.float32),
            vocabulary,
            moment=Moment(time, ids, ids),
        )

    frames = [frame(0, (3, 5), [0, 1], [0.5, 0.75]), frame(1, (3, 3), [0, 1], [0.25, 0.125])]
    tracks = result_tracks(frames)
    assert [(track.id, track.class_id, track.score) for track in tracks] == [
        (5, 1, 0.75), (3, 0, 0.25), (3, 1, 0.125),
    ]  # fmt: skip
    assert [rle is not None for rle in tracks[0].rles] == [True, False]
    assert [rle is not None for rle in tracks[1].rles] == [True, True]


def test_targets_are_followed_through_their_frames():
    mask = np.zeros((2, 3, 3), bool)
    mask[0, 0], mask[1, 1] = True, True
    first = Annotation.of_masks(list(mask), (3, 3), [1, 0], track_ids=[7, 9])
    second = Annotation.of_masks([mask[1]], (3, 3), [0], crowd=[True], track_ids=[9])
    tracks = {track.id: track for track in target_tracks([first, second])}
    assert tracks[7].class_id == 1
    assert tracks[7].rles[1] is None
    assert np.array_equal(tracks[9].rles[1].decode(), mask[1])
    assert object_map([tracks[7], tracks[9]], 0, (3, 3))[:2, 0].tolist() == [1, 2]


def test_wrong_use_is_refused():
    with pytest.raises(InputError, match="no pictures"):
        evaluate_videos(segmenter("panoptic"), [])
