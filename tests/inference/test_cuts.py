"""Another scene in a video: it is seen, memory and tracks begin anew, and no number comes twice."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import plainmask
from plainmask.heads.head import Head, shipped_heads
from plainmask.inference.cuts import likeness
from plainmask.inference.segmenter import HeadSegmenter, Segmenter
from plainmask.inference.stream import encode
from tiny import tiny_encoder, tiny_video_head

Pictures = list[NDArray[np.uint8]]


def scene(seed: int, count: int = 4) -> Pictures:
    """One picture that moves by a pixel a frame."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    large = np.kron(noise, np.ones((6, 6, 1), np.uint8))
    return [np.ascontiguousarray(large[:60, k : k + 80]) for k in range(count)]


def looking(task: Any, least: float | None, name: str = "video") -> HeadSegmenter[Any]:
    head = tiny_video_head(task, tiny_encoder())
    own = replace(head, config=head.config.model_copy(update={"cut": least}))
    return Segmenter(tiny_encoder(), {name: own}, device="cpu")[name]


def like(segmenter: HeadSegmenter[Any], one: Any, other: Any) -> float:
    found = encode(segmenter.shared, {"video": segmenter.head}, [one, other])["video"].scenes
    assert found is not None
    return likeness(*found)


def least_of(task: Any) -> float:
    """Between what neighbouring frames have at least, and those of two scenes at most."""
    segmenter = looking(task, 0.5)
    a, b = scene(0), scene(1)
    within = min(like(segmenter, x, y) for x, y in pairwise(a))
    assert like(segmenter, a[0], a[0]) == pytest.approx(1, abs=1e-3)
    across = like(segmenter, a[-1], b[0])
    assert within > across
    return (within + across) / 2


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
@pytest.mark.parametrize("ahead", [1, 3, 8])
def test_after_a_cut_it_is_as_if_the_video_began(task: Any, ahead: int):
    segmenter = looking(task, least_of(task))
    found = list(segmenter.track([*scene(0), *scene(1)], ahead=ahead))
    fresh = list(segmenter.track(scene(1)))
    assert [int(result.state.since[0]) for result in found] == [0] * 4 + [4] * 4
    assert [result.frame_index for result in found] == list(range(8))
    before = {number for result in found[:4] for number in result.track_ids}
    for joined, alone in zip(found[4:], fresh, strict=True):
        assert (joined.state.queries == alone.state.queries).all()
        assert [s.label for s in joined.segments] == [s.label for s in alone.segments]
        assert [row["age"] for row in joined.rows()] == [row["age"] for row in alone.rows()]
        if task != "semantic":  # whose numbers are those of its classes
            assert not before & set(joined.track_ids)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_streams_side_by_side_are_cut_each_for_itself(dtype: torch.dtype):
    head = looking("panoptic", least_of("panoptic")).head
    segmenter = Segmenter(tiny_encoder(), {"video": head}, device="cpu", dtype=dtype)["video"]
    streams = [segmenter.stream(), segmenter.stream()]
    videos = [[*scene(0, 3), *scene(1, 3)], scene(0, 6)]
    for frames in zip(*videos, strict=True):
        found = segmenter.step_many(streams, list(frames))
    assert [int(result.state.since[0]) for result in found] == [3, 0]


def test_a_saved_state_knows_its_scene(tmp_path: Path):
    segmenter = looking("instance", least_of("instance"))
    stream, moved = segmenter.stream(), segmenter.stream()
    for frame in scene(0):
        stream.step(frame)
    assert stream.state is not None
    path = stream.state.save(tmp_path / "state.safetensors")
    moved.state = plainmask.State.load(path)
    ours, theirs = stream.step(scene(1)[0]), moved.step(scene(1)[0])
    assert int(theirs.state.since[0]) == 4
    assert theirs.track_ids == ours.track_ids


def test_heads_that_do_not_look_and_the_published_protocol_see_no_cut():
    frames = [*scene(0), *scene(1)]
    least = least_of("panoptic")
    plain = looking("panoptic", None)
    assert all(int(r.state.since[0]) == 0 for r in plain.track(frames))
    offline = looking("panoptic", least).track(frames, protocol="offline")
    for ours, expected in zip(offline, plain.track(frames, protocol="offline"), strict=True):
        assert np.array_equal(ours.flat_map(), expected.flat_map())
        assert int(ours.state.since[0]) == 0


def test_the_shipped_head_of_objects_looks_for_cuts():
    assert Head.load(shipped_heads()["moving-objects"]).config.cut == 0.8
