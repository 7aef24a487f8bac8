"""Geometry against recorded cases of the published implementation, and there-and-back."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from goldens import golden
from plainmask.errors import InputError
from plainmask.pictures.geometry import MAX_TOKENS, MAX_WINDOWS, Geometry, InputProtocol

SIDE = 64
WINDOWS = InputProtocol(kind="windows", size=SIDE)
FIT = InputProtocol(kind="fit", size=SIDE)

sizes = st.tuples(st.integers(1, 300), st.integers(1, 300))
model_sizes = st.one_of(st.integers(8, 96), st.tuples(st.integers(8, 96), st.integers(8, 96)))
protocols = st.one_of(
    st.builds(InputProtocol, kind=st.sampled_from(["windows", "fit"]), size=model_sizes),
    st.builds(InputProtocol, kind=st.just("stride"), size=st.integers(8, 96)),
)


def images(case: dict[str, torch.Tensor]) -> list[np.ndarray]:
    count = sum(key.startswith("image.") for key in case)
    return [case[f"image.{i}"].permute(1, 2, 0).numpy() for i in range(count)]


def plan(image: np.ndarray, protocol: InputProtocol) -> Geometry:
    height, width = image.shape[:2]
    return Geometry.plan((height, width), protocol, 16)


def test_windows_equal_published():
    case = golden("post_semantic")
    crops, origins = [], []
    for index, image in enumerate(images(case)):
        geometry = plan(image, WINDOWS)
        crops.append(geometry.fit(image))
        for y, x in geometry.windows:
            origins.append((index, max(y, x), max(y, x) + SIDE))
    np.testing.assert_array_equal(np.concatenate(crops), case["crops"].numpy())
    assert origins == [tuple(row) for row in case["origins"].tolist()]


@pytest.mark.parametrize("name", ["post_instance", "post_panoptic"])
def test_fit_equals_published(name: str):
    case = golden(name)
    found = [plan(image, FIT).fit(image) for image in images(case)]
    np.testing.assert_array_equal(np.concatenate(found), case["transformed"].numpy())
    if name == "post_instance":
        content = [list(plan(image, FIT).content_size) for image in images(case)]
        assert content == case["scaled_sizes"].tolist()


@pytest.mark.parametrize("name", ["post_instance", "post_panoptic"])
def test_restore_equals_published(name: str):
    case = golden(name)
    recorded = [key for key in case if key.startswith("reverted_logits.")]
    assert recorded
    for key in recorded:
        index = int(key.split(".")[1])
        found = plan(images(case)[index], FIT).restore(case["mask_logits"][index : index + 1])
        torch.testing.assert_close(found, case[key], atol=1e-5, rtol=0)


def test_window_table():
    rows = golden("post_semantic")["window_table"].tolist()
    defects = 0
    for side, height, width, new_height, new_width, count, number, start, end in rows:
        protocol = InputProtocol(kind="windows", size=side)
        geometry = Geometry.plan((height, width), protocol, 16)
        assert geometry.content_size == (new_height, new_width)
        assert len(geometry.windows) == count
        place = geometry.windows[number][0 if new_height > new_width else 1]
        longer = max(new_height, new_width)
        if number == count - 1 and end != longer:  # the published rule loses a column here
            defects += 1
            assert place == longer - side
        else:
            assert (place, place + side) == (start, end)
    assert defects <= 3


def test_size_table():
    for side, h, w, *expected in golden("post_instance")["size_table"].tolist():
        found = Geometry.plan((h, w), InputProtocol(kind="fit", size=side), 16).content_size
        assert found == tuple(max(1, value) for value in expected[:2])
        try:
            protocol = InputProtocol(kind="windows", size=side)
            found = Geometry.plan((h, w), protocol, 16).content_size
        except InputError:
            assert max(expected[2:]) > MAX_WINDOWS * side
        else:
            assert found == tuple(expected[2:])


@settings(deadline=None)
@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(8, 1400))
def test_windows_cover_everything(height: int, width: int, side: int):
    if max(height, width) > (MAX_WINDOWS - 1) * min(height, width):
        return
    protocol = InputProtocol(kind="windows", size=side)
    geometry = Geometry.plan((height, width), protocol, 16)
    assert min(geometry.content_size) == side
    axis = 0 if geometry.content_size[0] > side else 1
    starts = [window[axis] for window in geometry.windows]
    assert starts[0] == 0
    assert starts[-1] + side == geometry.content_size[axis]
    assert all(0 < b - a <= side for a, b in pairwise(starts))


@settings(deadline=None, max_examples=60)
@given(sizes, protocols, st.sampled_from([8, 14, 16]))
def test_there_and_back(image_size: tuple[int, int], protocol: InputProtocol, patch: int):
    try:
        geometry = Geometry.plan(image_size, protocol, patch)
    except InputError:
        assert protocol.kind != "fit", "fit takes every shape"
        return
    pixels = geometry.fit(np.full((*image_size, 3), 77, np.uint8))
    assert pixels.shape == (len(geometry.windows), 3, *geometry.model_size)
    assert pixels.dtype == np.uint8
    maps = torch.from_numpy(pixels).float()
    back = geometry.merge(maps)
    assert back.shape == (3, *image_size)
    torch.testing.assert_close(back, torch.full_like(back, 77))
    if protocol.kind == "stride":
        assert all(side % patch == 0 for side in geometry.model_size)


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(40, 200), st.integers(40, 200)),
    st.sampled_from(["windows", "fit", "stride"]),
)
def test_places_come_back(image_size: tuple[int, int], kind: str):
    """A ramp of x coordinates comes back with each pixel at its own place."""
    protocol = InputProtocol.model_validate({"kind": kind, "size": 128})
    geometry = Geometry.plan(image_size, protocol, 16)
    height, width = image_size
    ramp = np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None], (height, width, 3))
    back = geometry.merge(torch.from_numpy(geometry.fit(np.ascontiguousarray(ramp))).float())
    # Resizing clamps at the borders, and uint8 rounds: look inside.
    border = max(3, round(2 * width / geometry.content_size[1]) + 1)
    inner = back[0, height // 2, border:-border].numpy()
    np.testing.assert_allclose(inner, np.arange(width)[border:-border], atol=0.8)


def test_rectangles():
    geometry = Geometry.plan((100, 100), InputProtocol(kind="fit", size=(32, 64)), 16)
    assert (geometry.model_size, geometry.content_size) == ((32, 64), (32, 32))
    geometry = Geometry.plan((100, 100), InputProtocol(kind="windows", size=(32, 64)), 16)
    assert geometry.content_size == (64, 64)
    assert geometry.windows == ((0, 0), (32, 0))
    geometry = Geometry.plan((120, 300), InputProtocol(kind="stride", size=64), 14)
    assert geometry.content_size == (64, 160)
    assert geometry.model_size == (70, 168)


def test_size_off_the_patch_grid():
    """The encoder drops the remainder; logits still span the whole size, as published."""
    geometry = Geometry.plan((50, 70), InputProtocol(kind="fit", size=70), 16)
    assert geometry.model_size == (70, 70)
    assert geometry.upsample(torch.zeros(1, 2, 16, 16)).shape == (1, 2, 70, 70)


def test_half_precision_comes_back_as_float32():
    geometry = Geometry.plan((20, 20), FIT, 16)
    assert geometry.restore(torch.zeros(1, 2, 16, 16, dtype=torch.float16)).dtype == torch.float32


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)])
def test_extreme_aspect(size: tuple[int, int]):
    for kind, most in (("stride", MAX_TOKENS), ("windows", MAX_WINDOWS)):
        protocol = InputProtocol.model_validate({"kind": kind, "size": 640})
        with pytest.raises(InputError, match=f"{size[0]} x {size[1]}.*at most {most}.*cut it"):
            Geometry.plan(size, protocol, 16)
    geometry = Geometry.plan(size, InputProtocol(kind="fit", size=640), 16)
    assert sorted(geometry.content_size) == [1, 640]
    assert geometry.fit(np.zeros((*size, 3), np.uint8)).shape == (1, 3, 640, 640)
    assert geometry.restore(torch.zeros(1, 1, 160, 160)).shape == (1, *size)


def test_refuses():
    with pytest.raises(InputError, match="0 x 5 pixels"):
        Geometry.plan((0, 5), FIT, 16)
    geometry = Geometry.plan((4, 5), FIT, 16)
    with pytest.raises(InputError, match=r"\(4, 5, 3\).*found float32"):
        geometry.fit(np.zeros((4, 5, 3), np.float32))  # pyright: ignore
    for wrong in (
        {"kind": "stride", "size": (4, 5)},
        {"kind": "fit", "size": 0},
        {"kind": "tile", "size": 64},
        {"kind": "fit", "size": 64, "pad": 1},
    ):
        with pytest.raises(ValidationError):
            InputProtocol.model_validate(wrong)


def test_protocol_reads_back():
    protocol = InputProtocol(kind="windows", size=(32, 64))
    assert InputProtocol.model_validate_json(protocol.model_dump_json()) == protocol


@pytest.mark.parametrize("image_size", [(360, 480), (480, 360), (90, 1000), (1, 1)])
def test_windows_of_a_larger_resize_reach_over_both_sides(image_size: tuple[int, int]):
    protocol = InputProtocol(kind="windows", size=(48, 64), shorter=70)
    geometry = Geometry.plan(image_size, protocol, 16)
    assert min(geometry.content_size) == 70
    height, width = geometry.content_size
    seen = np.zeros(geometry.content_size, int)
    for y, x in geometry.windows:
        assert 0 <= y <= max(0, height - 48)
        assert 0 <= x <= max(0, width - 64)
        seen[y : y + 48, x : x + 64] += 1
    assert seen.min() >= 1
    pixels = geometry.fit(np.full((*image_size, 3), 9, np.uint8))
    assert pixels.shape == (len(geometry.windows), 3, 48, 64)
    maps = torch.ones(len(geometry.windows), 2, 48, 64)
    assert torch.allclose(geometry.merge(maps), torch.ones(2, *image_size))


def test_shorter_belongs_to_windows():
    with pytest.raises(ValidationError, match="shorter belongs to windows"):
        InputProtocol(kind="fit", size=64, shorter=70)
