"""Track quality against the published numbers and against TrackEval on random tracks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_cases import percent, video_metrics
from plainmask.errors import InputError
from plainmask.metrics.identity import Sightings, TrackIdentity
from plainmask.metrics.panoptic_map import Overlap, PanopticMap, PanopticSegment
from plainmask.results.rle import Rle
from plainmask.results.track import Track

THING = np.ones(1, bool)


def sightings(result: np.ndarray, target: np.ndarray) -> Sightings:
    """One frame of two maps of ids, all of one class."""

    def map_of(ids: np.ndarray) -> PanopticMap:
        return PanopticMap.from_ids(
            ids, [PanopticSegment(int(key), 0) for key in np.unique(ids) if key]
        )

    return Sightings.of_overlap(Overlap.between(map_of(result), map_of(target)), THING)


@pytest.mark.parametrize("case", video_metrics()[0]["tracking"]["cases"])
def test_published(case: str):
    table, arrays = video_metrics()
    expected = table["tracking"]["cases"][case]
    metric = TrackIdentity()
    for result, target in zip(
        arrays[f"tracking/{case}/pred"], arrays[f"tracking/{case}/gt"], strict=True
    ):
        metric.update(sightings(result, target), video="v")
    figures = metric.figures()
    for name in ("IDF1", "IDP", "IDR", "HOTA", "DetA", "AssA"):
        assert figures[name] == percent(expected[name]), name
    for name in ("IDTP", "IDFP", "IDFN"):
        assert figures[name] == expected[name]
    assert figures["ID_switches"] == expected["IDSW"]
    assert figures["fragments"] == expected["Frag"]
    np.testing.assert_allclose(metric.association(), expected["AssA_per_alpha"], atol=1e-8)


def test_tracks_and_maps_agree():
    _, arrays = video_metrics()
    name = "tracking/shifted_missing_false_positive_empty_frame"
    maps = arrays[f"{name}/pred"], arrays[f"{name}/gt"]
    results, targets = (
        [
            Track(0, tuple(Rle.encode(frame == key) for frame in ids))
            for key in np.unique(ids)
            if key
        ]
        for ids in maps
    )
    from_maps, from_tracks = TrackIdentity(), TrackIdentity()
    for frame, (result, target) in enumerate(zip(*maps, strict=True)):
        from_maps.update(sightings(result, target), video="v")
        from_tracks.update(Sightings.of_tracks(results, targets, frame), video="v")
    assert from_tracks.figures() == pytest.approx(from_maps.figures())


def random_frames(seed: int) -> list[Sightings]:
    """Tracks that come and go; similarities of an exclusive map, some on the very thresholds."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 6, 2)
    frames = []
    for _ in range(rng.integers(1, 12)):
        ids = [np.flatnonzero(rng.random(count) < 0.7) for count in counts]
        weights = rng.random((len(ids[0]), len(ids[1]))) ** 3
        similarity = (
            weights / max(1, *weights.sum(0, initial=0), *weights.sum(1, initial=0))
            if weights.size
            else weights
        )
        similarity = np.where(
            rng.random(weights.shape) < 0.2, np.round(similarity * 4) / 4, similarity
        )
        frames.append(Sightings(ids[0] + 10, ids[1] + 20, similarity))
    return frames


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_trackeval_agrees(seed: int):
    hota, identity, clear = trackeval_metrics()
    videos = [random_frames(seed + index) for index in range(3)]
    metric = TrackIdentity()
    parts: dict[str, list[dict]] = {"hota": [], "identity": [], "clear": []}
    for index, frames in enumerate(videos):
        for frame in frames:
            metric.update(frame, video=str(index))
        data = trackeval_data(frames)
        parts["hota"].append(hota.eval_sequence(data))
        parts["identity"].append(identity.eval_sequence(data))
        parts["clear"].append(clear.eval_sequence(data))

    def combined(tool, name: str) -> dict:
        return tool.combine_sequences({str(i): part for i, part in enumerate(parts[name])})

    figures = metric.figures()
    identities = combined(identity, "identity")
    for name in ("IDF1", "IDP", "IDR"):
        assert figures[name] == pytest.approx(100 * identities[name], abs=1e-9)
    switches = combined(clear, "clear")
    assert (figures["ID_switches"], figures["fragments"]) == (switches["IDSW"], switches["Frag"])
    tracking = combined(hota, "hota")
    for name in ("HOTA", "DetA", "AssA"):
        assert figures[name] == pytest.approx(100 * tracking[name].mean(), abs=1e-9)


def trackeval_metrics():
    pytest.importorskip("trackeval", reason="pip install trackeval")
    from trackeval.metrics.clear import CLEAR
    from trackeval.metrics.hota import HOTA
    from trackeval.metrics.identity import Identity

    return HOTA(), Identity({"PRINT_CONFIG": False}), CLEAR({"PRINT_CONFIG": False})


def trackeval_data(frames: list[Sightings]) -> dict:
    """As TrackEval's data sets hand it to its metrics: ids counted from 0 within the video."""
    targets = np.unique(np.concatenate([frame.target_ids for frame in frames]))
    results = np.unique(np.concatenate([frame.result_ids for frame in frames]))
    return {
        "num_timesteps": len(frames),
        "num_gt_ids": len(targets),
        "num_tracker_ids": len(results),
        "num_gt_dets": sum(len(frame.target_ids) for frame in frames),
        "num_tracker_dets": sum(len(frame.result_ids) for frame in frames),
        "gt_ids": [np.searchsorted(targets, frame.target_ids) for frame in frames],
        "tracker_ids": [np.searchsorted(results, frame.result_ids) for frame in frames],
        "similarity_scores": [frame.similarity for frame in frames],
    }


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_names_do_not_matter(seed: int):
    frames = random_frames(seed)
    plain, renamed = TrackIdentity(), TrackIdentity()
    for frame in frames:
        plain.update(frame, video="v")
        # Ascending names again: among assignments that are equally good, the order decides.
        renamed.update(
            Sightings(frame.target_ids * 3, frame.result_ids * 7 + 1, frame.similarity), video="v"
        )
    assert plain.figures() == renamed.figures()


def test_nothing_at_all():
    figures = TrackIdentity().figures()
    assert set(figures.values()) == {0}
    metric = TrackIdentity()
    metric.update(Sightings(np.arange(2), np.zeros(0, int), np.zeros((2, 0))), video="v")
    figures = metric.figures()
    assert (figures["IDFN"], figures["IDF1"], figures["HOTA"]) == (2, 0, 0)


def test_only_things_that_are_seen_and_no_crowds():
    target = PanopticMap.from_ids(
        np.array([[1, 2, 3, 3]]),
        [
            PanopticSegment(1, 0),
            PanopticSegment(2, 1),
            PanopticSegment(3, 1, crowd=True),
            PanopticSegment(4, 1),
        ],
    )
    result = PanopticMap.from_ids(
        np.array([[1, 2, 2, 0]]),
        [PanopticSegment(1, 0), PanopticSegment(2, 1), PanopticSegment(9, 1)],
    )
    found = Sightings.of_overlap(Overlap.between(result, target), np.array([False, True]))
    assert found.target_ids.tolist() == [2]
    assert found.result_ids.tolist() == [2]
    assert found.similarity.tolist() == [[0.5]]


def test_refuses():
    metric = TrackIdentity()
    twice = Sightings(np.array([1, 1]), np.array([1]), np.zeros((2, 1)))
    with pytest.raises(InputError, match="'v' holds an id twice"):
        metric.update(twice, video="v")
