"""Streams: one frame after the other, interleaved, batched, saved; images and videos together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import plainmask
from goldens import relative_error
from plainmask.decoder.propagation import State
from plainmask.errors import InputError
from plainmask.heads.head import Head, HeadConfig
from plainmask.inference.tracking import TrackingProtocol, batches, online
from plainmask.pictures.geometry import InputProtocol
from plainmask.results.task import Task
from plainmask.video.frames import Frame
from streams import segmenter, segmenters, video
from tiny import tiny_encoder, tiny_head, tiny_video_head

MODEL = 2e-5


def outputs(stream: Any, frames: list[np.ndarray]) -> list[Any]:
    return [stream.step(frame) for frame in frames]


def assert_same(found: Any, expected: Any) -> None:
    assert found.moment == expected.moment
    assert np.array_equal(found.flat_map(), expected.flat_map())
    for mine, theirs in zip(found.segments, expected.segments, strict=True):
        assert mine.score == pytest.approx(theirs.score, abs=1e-5)
        assert (mine.id, mine.class_id, mine.area) == (theirs.id, theirs.class_id, theirs.area)


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_results_have_their_place_in_the_video(task: Task):
    results = outputs(segmenter(task).stream(), video(0))
    assert [result.frame_index for result in results] == [0, 1, 2, 3, 4]
    for result in results:
        assert result.image_size == (50, 70)
        assert len(result.track_ids) == len(result.age) == len(result.segments)
        assert len(result.segments)
        assert max(result.age) <= result.frame_index + 1
    assert max(results[-1].age) > 1


def test_the_past_matters_and_reset_forgets_it():
    model = segmenter("semantic")
    frames = video(1)
    stream = model.stream()
    before = outputs(stream, frames)
    fresh = model.stream().step(frames[-1])
    assert not np.array_equal(before[-1].scores, fresh.scores)
    assert stream.state.frames.tolist() == [5]
    stream.reset()
    assert stream.state is None
    assert_same(stream.step(frames[-1]), fresh)


@pytest.mark.parametrize("ahead", [1, 5])
def test_a_memory_starts_anew_after_the_frames_that_a_head_says(ahead: int):
    encoder = tiny_encoder()
    head = tiny_video_head("semantic", encoder, memory=3)
    model = plainmask.Segmenter(encoder, {"head": head}, device="cpu")["head"]
    frames = video(1)
    results = list(model.track(frames, protocol="online", ahead=ahead))
    assert [result.frame_index for result in results] == [0, 1, 2, 3, 4]
    assert [int(result.state.counted[0]) for result in results] == [1, 2, 3, 1, 2]
    alone = model.stream()
    for place, frame in enumerate(frames[3:], 3):
        assert np.allclose(alone.step(frame).scores, results[place].scores, atol=1e-5)


@pytest.mark.parametrize("task", ["instance", "panoptic"])
def test_memories_of_objects_do_not_start_anew(task: Task):
    config = tiny_video_head(task, tiny_encoder()).config
    with pytest.raises(ValueError, match="only semantic heads can start anew"):
        HeadConfig.model_validate(config.model_dump() | {"memory": 3})


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_interleaved_streams_give_what_they_give_alone(task: Task):
    model = segmenter(task)
    first, second = video(2), video(3)
    alone = outputs(model.stream(), first), outputs(model.stream(), second)
    one, two = model.stream(), model.stream()
    for time in range(5):
        assert_same(one.step(first[time]), alone[0][time])
        assert_same(two.step(second[time]), alone[1][time])


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_streams_stepped_together_give_what_they_give_alone(task: Task):
    model = segmenter(task)
    videos = [video(4), video(5), video(6, size=(64, 48))]
    alone = [outputs(model.stream(), frames) for frames in videos]
    streams = [model.stream() for _ in videos]
    model.step_many([streams[1]], [videos[1][0]])  # one frame ahead of the others
    for time in range(4):
        found = model.step_many(streams, [videos[0][time], videos[1][time + 1], videos[2][time]])
        for result, expected in zip(
            found, (alone[0][time], alone[1][time + 1], alone[2][time]), strict=True
        ):
            assert_same(result, expected)


def test_batched_logits_equal_those_of_single_videos():
    model = segmenter("instance")
    generator = torch.Generator().manual_seed(0)
    shape = (2, 4, 3, 50, 70)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    both, alone = model.stream(), [model.stream(), model.stream()]
    for time in range(4):
        found = both.logits(pixels[:, time])
        assert found.mask_logits.shape == (2, 6, 8, 12)  # 64 x 96 padded, patch 16, stride 8
        for k, stream in enumerate(alone):
            expected = stream.logits(pixels[k : k + 1, time])
            assert relative_error(found.mask_logits[k], expected.mask_logits[0]) < MODEL
            assert relative_error(found.class_logits[k], expected.class_logits[0]) < MODEL
    with pytest.raises(InputError, match="follows 2 videos side by side"):
        both.logits(pixels[:1, 0])


def test_padding_is_zero_after_normalisation():
    """Whatever stands in the padding, black or grey, the network must not see it."""
    model = segmenter("instance")
    pixels = torch.full((1, 3, 40, 50), 200, dtype=torch.uint8)
    found = model.stream().logits(pixels)
    encoder, head = model.encoder, model.head
    canvas = torch.full((1, 3, 64, 64), 9, dtype=torch.uint8)
    canvas[:, :, :40, :50] = 200
    with torch.no_grad():
        expected = head.decoder(encoder(canvas, content=[(40, 50)]))
    assert relative_error(found.mask_logits, expected.mask_logits) < MODEL


def test_saved_states_go_on_where_they_were(tmp_path: Path):
    model = segmenter("panoptic")
    frames = video(7, count=6)
    expected = outputs(model.stream(), frames)
    stream = model.stream()
    outputs(stream, frames[:3])
    path = stream.state.save(tmp_path / "state.safetensors")
    other = model.stream()
    other.state = State.load(path)
    for result, wanted in zip(outputs(other, frames[3:]), expected[3:], strict=True):
        assert_same(result, wanted)


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
@pytest.mark.parametrize("protocol", ["online", "offline"])
def test_a_video_goes_on_after_any_of_its_results(task: Task, protocol: TrackingProtocol):
    """Also where frames were read ahead; what is resumed is the online protocol."""
    model = segmenter(task)
    frames = video(21, count=9)
    expected = outputs(model.stream(), frames)
    for result in list(model.track(frames, protocol=protocol, ahead=4))[:-1]:
        stream = model.stream()
        stream.state = result.state
        follower = stream.step(frames[result.frame_index + 1])
        assert follower.frame_index == result.frame_index + 1
        if protocol == "online":
            assert_same(follower, expected[follower.frame_index])


def test_the_state_is_that_of_the_last_result_given():
    stream = segmenter("panoptic").stream()
    frames = (Frame(image, 0.0, "") for image in video(22, count=20))
    for time, (_, results) in enumerate(online(stream.inner, frames, ahead=8)):
        assert stream.state.frames.tolist() == [time + 1]
        assert torch.equal(stream.state.ages, results["panoptic"].state.ages)


def test_joined_states_are_read_back_as_they_were_given():
    model = segmenter("instance")
    one, two = model.stream(), model.stream()
    outputs(one, video(23, 2))
    outputs(two, video(24, 5))
    both = model.stream()
    both.state = State.join([one.state, two.state])
    for name in ("queries", "frames", "numbers", "ages"):
        parts = [getattr(one.state, name), getattr(two.state, name)]
        assert torch.equal(getattr(both.state, name), torch.cat(parts))
    with pytest.raises(InputError, match="follows 2 videos side by side"):
        both.step(video(23, 1)[0])


def test_logits_count_as_frames_live_and_restored():
    model = segmenter("semantic")
    live, restored = model.stream(), model.stream()
    frame = video(25, 1)[0]
    pixels = torch.from_numpy(frame).permute(2, 0, 1)[None]
    live.logits(pixels)
    live.logits(pixels)
    restored.state = live.state
    assert live.step(frame).frame_index == restored.step(frame).frame_index == 2


def test_states_that_do_not_fit_are_refused():
    model = segmenter("panoptic")
    stream = model.stream()
    with pytest.raises(InputError, match="give a state of this head"):
        stream.state = State.start(torch.zeros(1, 2, 8), 3)
    with pytest.raises(InputError, match="class_logits have the shape"):  # of 2 classes, not 3
        stream.state = State.start(torch.zeros(1, 6, 64), 2)
    both = segmenters("panoptic", "semantic").stream()
    with pytest.raises(InputError, match="give a dict with a state for each"):
        both.state = State.start(torch.zeros(1, 6, 64), 3)
    with pytest.raises(InputError, match="states of no head for a stream"):
        both.state = {}


def test_image_and_video_heads_share_one_encoder_pass():
    encoder = tiny_encoder()
    image = tiny_head("panoptic", encoder)
    image = Head(
        image.config.model_copy(update={"input": InputProtocol(kind="video", size=48)}),
        image.decoder,
    )
    both = {"image": image, "video": tiny_video_head("instance", encoder)}
    model = plainmask.Segmenter(encoder, both, device="cpu")
    calls: list[int] = []
    encoder.register_forward_hook(lambda *_: calls.append(1))
    stream = model.stream()
    frames = video(8)
    for time, frame in enumerate(frames):
        found = stream.step(frame)
        assert set(found) == {"image", "video"}
        assert len(calls) == time + 1
        assert found["image"].frame_index == time
    alone = outputs(model["video"].stream(), frames)
    assert_same(found["video"], alone[-1])
    as_image = plainmask.Segmenter(encoder, {"image": image}, device="cpu")["image"](frames[-1])
    assert np.array_equal(found["image"].segment_map, as_image.segment_map)


def test_an_image_is_a_video_of_one_frame():
    model = segmenter("panoptic")
    frame = video(9)[0]
    as_image, as_frame = model(frame), model.stream().step(frame)
    assert np.array_equal(as_image.segment_map, as_frame.segment_map)
    assert as_image.moment is None


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_encoding_ahead_changes_nothing(task: Task):
    model = segmenter(task)
    frames = video(10, 7) + video(11, 3, (64, 48)) + video(12, 2)
    expected = outputs(model.stream(), frames)
    for ahead in (1, 4, 16):
        found = list(model.track(frames, ahead=ahead))
        for result, wanted in zip(found, expected, strict=True):
            assert_same(result, wanted)


def test_offline_equals_online_for_one_frame():
    for task in ("semantic", "instance", "panoptic"):
        model = segmenter(task)
        frames = video(13, 1)
        (found,) = model.track(frames, protocol="offline")
        (expected,) = model.track(frames)
        assert_same(found, expected)


def test_offline_labels_are_those_of_the_whole_video():
    model = segmenter("instance")
    frames = video(14, 6)
    results = list(model.track(frames, protocol="offline"))
    assert len({result.scores.tobytes() for result in results}) == 1
    last = list(model.track(frames))[-1]
    assert np.allclose(results[0].scores, last.scores)


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_heads_without_propagation_see_images(task: Task):
    model = segmenter(task, propagation="none")
    frames = video(17)
    for protocol in ("online", "offline"):
        for result, frame in zip(model.track(frames, protocol=protocol), frames, strict=True):
            image = model(frame)
            assert np.array_equal(result.flat_map(), image.flat_map())
            assert result.frame_index is not None


def test_a_video_cut_into_windows_keeps_one_memory_for_each():
    windows = InputProtocol(kind="windows", size=(48, 48))
    model = segmenter("semantic", input=windows)
    stream = model.stream()
    results = outputs(stream, video(15))
    assert len(stream.state.queries) == 2
    assert results[-1].label_map.shape == (50, 70)
    stream.step(video(16, 1, (50, 50))[0])  # one window: the memory starts anew
    assert len(stream.state.queries) == 1
    assert stream.state.counted.tolist() == [1]
    assert stream.state.frames.tolist() == [6]  # the video goes on


def test_wrong_use_is_refused():
    model = segmenter("panoptic")
    with pytest.raises(InputError, match="there is no head 'cars'"):
        segmenters("panoptic")["cars"]
    stream = model.stream()
    with pytest.raises(InputError, match="2 streams, each once, need as many images"):
        model.step_many([stream, stream], video(0, 2))
    other = segmenter("panoptic").stream()
    with pytest.raises(InputError, match="belongs to the Segmenter that made it"):
        model.step_many([other], video(0, 1))


def test_frames_of_one_size_go_together():
    sizes = [np.zeros((k, 2, 3), np.uint8) for k in (1, 1, 1, 2, 1)]
    found = [[len(frame) for frame in batch] for batch in batches(sizes, 2, np.shape)]
    assert found == [[1, 1], [1], [2], [1]]


@pytest.mark.parametrize("protocol", ["online", "offline"])
def test_what_came_before_an_error_is_not_lost(protocol: str):
    model = segmenter("semantic")
    frames = video(18, 5)

    def broken():
        yield from frames
        raise InputError("the camera is gone")

    results = model.track(broken(), protocol=protocol, ahead=3)
    found = [next(results) for _ in frames]
    with pytest.raises(InputError, match="the camera is gone"):
        next(results)
    assert [result.frame_index for result in found] == [0, 1, 2, 3, 4]
