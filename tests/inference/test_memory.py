"""Batches that are too large for memory: halved, said once, with the same results."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from plainmask.encoder.vit import Encoder
from plainmask.errors import PlainmaskError
from plainmask.inference.memory import Fits
from streams import segmenter, video

TOO_MUCH = 2**50
"""Bytes that no machine gives."""


def narrow(encoder: Encoder, most: int) -> list[int]:
    """Have the encoder fail as torch does in a batch of more pictures; the sizes of the others."""
    passed: list[int] = []

    def check(_: Any, given: tuple[torch.Tensor, ...]) -> None:
        if len(given[0]) > most:
            torch.empty(TOO_MUCH, dtype=torch.uint8)
        passed.append(len(given[0]))

    encoder.register_forward_pre_hook(check)
    return passed


def test_a_list_is_halved_and_complete():
    images = video(0, 8)
    expected = [result.rows() for result in segmenter("instance")(images)]
    model = segmenter("instance")
    passed = narrow(model.encoder, 3)
    with pytest.warns(UserWarning, match="8 pictures at once; going on with 2 at a time") as said:
        found = model(images)
    assert [result.rows() for result in found] == expected
    assert passed == [2, 2, 2, 2]
    assert len(said) == 1


def test_later_batches_of_a_call_begin_with_what_fits():
    model = segmenter("semantic")
    passed = narrow(model.encoder, 4)
    with pytest.warns(UserWarning, match="going on with 4 at a time") as said:
        assert len(model(video(0, 24))) == 24
    assert len(said) == 1
    assert passed == [4] * 6


def test_tiles_are_halved():
    whole = segmenter("semantic").seeing("tiles", 2.0)
    model = segmenter("semantic").seeing("tiles", 2.0)
    image = video(0, 1, (120, 160))[0]
    passed = narrow(model.encoder, 1)
    with pytest.warns(UserWarning, match="4 tiles at once; going on with 1 at a time"):
        found = model(image)
    assert np.array_equal(found.label_map, whole(image).label_map)
    assert set(passed) == {1}


@pytest.mark.parametrize("protocol", ["online", "offline"])
def test_frames_of_a_video_are_halved(protocol: Any):
    frames = video(1, 11)
    expected = [r.flat_map() for r in segmenter().track(frames, protocol=protocol)]
    model = segmenter()
    passed = narrow(model.encoder, 4)
    with pytest.warns(UserWarning, match="8 frames at once; going on with 4 at a time") as said:
        found = [result.flat_map() for result in model.track(frames, protocol=protocol)]
    assert len(said) == 1
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert passed == [4, 4, 3]


def test_streams_side_by_side_are_halved():
    model = segmenter("instance")
    frames = video(2, 4)
    expected = [model.stream().step(frame).rows() for frame in frames]
    streams = [model.stream() for _ in frames]
    narrow(model.encoder, 2)
    with pytest.warns(UserWarning, match="4 frames at once"):
        found = model.step_many(streams, frames)
    assert [result.rows() for result in found] == expected
    assert all(stream.state is not None for stream in streams)


def test_one_picture_that_is_too_much_is_named_in_one_line():
    model = segmenter("semantic")
    narrow(model.encoder, 0)
    with pytest.raises(PlainmaskError, match="memory does not hold what one picture takes; make"):
        model(video(0, 1)[0])
    with pytest.raises(PlainmaskError, match="memory does not hold what one frame takes"):
        list(model.track(video(0, 4)))


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("std::bad_alloc")],
)
def test_every_way_in_which_memory_ends(error: Exception):
    def work(part: Sequence[int]) -> list[int]:
        if len(part) > 1:
            raise error
        return [10 * one for one in part]

    with pytest.warns(UserWarning, match="3 things at once; going on with 1 at a time"):
        assert Fits().run(work, [1, 2, 3], "thing") == [10, 20, 30]


def test_other_errors_are_not_taken_for_it():
    def work(_: Sequence[int]) -> list[int]:
        raise RuntimeError("shapes differ")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match="shapes differ"):
            Fits().run(work, [1, 2], "thing")


def test_nothing_is_said_where_memory_is_enough():
    assert Fits().run(list, [1, 2, 3], "thing") == [1, 2, 3]
