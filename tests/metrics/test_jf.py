"""J and F against the DAVIS tool, and what the protocols leave out."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_cases import TOLERANCE, percent, reference
from plainmask.errors import InputError
from plainmask.metrics.boundaries import boundary_f
from plainmask.metrics.jf import DavisProtocol, RegionBoundary

PROTOCOLS: tuple[DavisProtocol, ...] = ("semi-supervised", "unsupervised")


CASES: list[tuple[str, DavisProtocol]] = [
    *((case, protocol) for case in ("single", "multi") for protocol in PROTOCOLS),
    ("unsupervised_void", "unsupervised"),
]


@pytest.mark.parametrize(("case", "protocol"), CASES)
def test_official(case: str, protocol: DavisProtocol):
    table, arrays = reference(f"jf_{case}")
    metric = RegionBoundary(protocol=protocol)
    for result, target in zip(arrays["result"], arrays["gt"], strict=True):
        metric.update(result, target, video="v")
    figures, expected = metric.figures(), table[protocol]
    for name in "JF":
        assert figures[name] == percent(expected[f"{name}_mean"])
        assert figures[f"{name}_recall"] == percent(expected[f"{name}_recall"])
        assert figures[f"{name}_decay"] == percent(expected[f"{name}_decay"])
    assert figures["J&F"] == percent(expected["JF_mean"])
    # The tool lists the objects of the unsupervised task in the order of the results.
    means = zip(*(expected[name]["mean_per_object"] for name in "JF"), strict=True)
    found = sorted(figures["per_object"].values())
    assert found == [percent(value) for value in sorted(sum(pair) / 2 for pair in means)]


@pytest.mark.parametrize("case", ["single", "multi"])
def test_official_frames(case: str):
    table, arrays = reference(f"jf_{case}")
    expected = np.array(table["per_frame_all_frames_no_void_object_k_vs_k"]["F"])  # (G, T)
    objects = len(expected)
    for index, (result, target) in enumerate(zip(arrays["result"], arrays["gt"], strict=True)):
        values = boundary_f(result, objects, target, objects)
        np.testing.assert_allclose(np.diagonal(values), expected[:, index], atol=TOLERANCE)


def brute_force(result: np.ndarray, target: np.ndarray, radius: int) -> float:
    """F by comparing every two boundary pixels."""

    def points(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
        others = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
        edges = np.any([mask ^ other for other in others], axis=0)
        edges[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
        edges[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
        edges[-1, -1] = False
        return np.argwhere(edges)

    mine, other = points(result), points(target)
    if not len(mine) or not len(other):
        return float(len(mine) == len(other))
    near = ((mine[:, None] - other) ** 2).sum(2) <= radius**2
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 9), (12, 1), (20, 30), (60, 110)]))
@settings(max_examples=25)
def test_boundaries_by_brute_force(seed: int, size: tuple[int, int]):
    rng = np.random.default_rng(seed)
    grid = -(-size[0] // 5), -(-size[1] // 5)
    maps = [
        np.kron(rng.integers(0, 3, grid), np.ones((5, 5), int))[: size[0], : size[1]]
        for _ in range(2)
    ]
    radius = int(np.ceil(0.008 * np.hypot(*size)))
    values = boundary_f(maps[0], 2, maps[1], 2)
    expected = [[brute_force(maps[0] == d, maps[1] == g, radius) for g in (1, 2)] for d in (1, 2)]
    np.testing.assert_allclose(values, expected, atol=1e-12)


def picture(*objects: tuple[int, int]) -> np.ndarray:
    """(number, column) of squares."""
    target = np.zeros((40, 60), np.uint8)
    for number, column in objects:
        target[10:20, column : column + 10] = number
    return target


FRAME = picture((1, 5), (2, 30))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_target_itself_is_perfect(protocol: DavisProtocol):
    metric = RegionBoundary(protocol=protocol)
    for video in "ab":
        for _ in range(4):
            metric.update(FRAME, FRAME, video=video)
    figures = metric.figures()
    assert figures["J&F"] == figures["J"] == figures["F"] == figures["J_recall"] == 100
    assert figures["J_decay"] == figures["F_decay"] == 0
    assert figures["per_object"] == {f"{video}/{n}": 100 for video in "ab" for n in (1, 2)}


def test_numbers_matter_only_where_they_were_given():
    figures: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        metric = RegionBoundary(protocol=protocol)
        for _ in range(4):
            metric.update(picture((2, 5), (1, 30)), FRAME, video="a")
        figures[protocol] = metric.figures()
    assert figures["semi-supervised"]["J"] == 0
    assert figures["unsupervised"]["J"] == 100


def test_a_result_without_an_object_for_some_frames():
    metric = RegionBoundary(protocol="unsupervised")
    for result in (picture(), picture((3, 5)), picture((3, 5), (7, 30)), picture((3, 5))):
        metric.update(result, FRAME, video="a")
    assert metric.figures()["per_object"] == {"a/1": 75, "a/2": 25}


def test_void_and_objects_that_come_later():
    late = picture((1, 5), (2, 30), (3, 45))
    with_void = late.copy()
    with_void[:10] = 255
    for protocol, result in (("semi-supervised", FRAME), ("unsupervised", late)):
        metric = RegionBoundary(protocol=protocol)  # pyright: ignore[reportArgumentType]
        metric.update(FRAME, FRAME, video="a")
        for _ in range(3):
            metric.update(result, with_void, video="a")
        assert metric.figures()["J"] == 100


def test_refuses():
    metric = RegionBoundary()
    assert metric.figures()["J&F"] is metric.figures()["J"] is None
    metric.update(FRAME, FRAME, video="a")
    with pytest.raises(InputError, match=r"size \(40, 60\) for a target of \(40, 61\)"):
        metric.update(FRAME, np.zeros((40, 61), int), video="a")
    with pytest.raises(
        InputError, match=r"holds the object 3; in the semi-supervised .* at most 2"
    ):
        metric.update(picture((3, 5)), FRAME, video="a")
    with pytest.raises(InputError, match=r"'a' has 1 frames; .* it needs 3"):
        metric.figures()
    with pytest.raises(InputError, match=r"'a' has 1 frames; .* it needs 3"):
        metric.update(FRAME, FRAME, video="b")
    with pytest.raises(InputError, match=r"holds the object 21; in the unsupervised .* at most 20"):
        RegionBoundary(protocol="unsupervised").update(picture((21, 5)), FRAME, video="a")
