"""What tiles see of an image, put together again: no seams, nothing twice, nothing lost."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainmask.inference.mosaic import build_mosaic
from plainmask.inference.tiles import Tile, plan_tiles
from plainmask.results import InstanceResult, PanopticResult, SemanticResult
from plainmask.results.rle import Rle
from plainmask.results.segments import segments_of
from plainmask.vocabulary import Vocabulary

SIZE = (90, 120)
CLASSES = Vocabulary.load(
    {
        "name": "two",
        "classes": [
            {"id": 0, "name": "thing", "thing": True},
            {"id": 1, "name": "other", "thing": True},
            {"id": 2, "name": "ground", "thing": False},
        ],
    }
)


def tiles() -> list[Tile]:
    return plan_tiles(SIZE, (40, 40), 0.25)


def discs(seed: int, count: int = 12) -> list[np.ndarray]:
    """Masks of discs that do not touch each other, of which many cross the borders of tiles."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    free = np.ones(SIZE, bool)
    found = []
    for _ in range(count):
        y, x, radius = rng.uniform(0, SIZE[0]), rng.uniform(0, SIZE[1]), rng.uniform(3, 20)
        distance = np.hypot(rows - y, columns - x)
        if free[distance <= radius + 2].all():
            free[distance <= radius + 2] = False
            found.append(distance <= radius)
    return found


def instances(tile: Tile, masks: list[np.ndarray]) -> InstanceResult:
    """What a perfect head says of a tile."""
    parts = [tile.cut(mask) for mask in masks]
    seen = [(k, part) for k, part in enumerate(parts) if part.any()]
    return InstanceResult(
        tile.size,
        tuple(Rle.encode(np.ascontiguousarray(part)) for _, part in seen),
        np.array([k % 2 for k, _ in seen], np.int64),
        np.array([0.5 + k / 100 for k, _ in seen], np.float32),
        CLASSES,
    )


def panoptic(tile: Tile, masks: list[np.ndarray]) -> PanopticResult:
    """Things on ground, numbered anew in each tile."""
    flat = np.ones(tile.size, np.int32)
    kinds = {1: 2}
    for k, mask in enumerate(masks):
        part = tile.cut(mask)
        if part.any():
            kinds[len(kinds) + 1] = k % 2
            flat[part] = len(kinds)
    segments = segments_of(flat, lambda key: (kinds[key], 0.9), CLASSES)
    return PanopticResult(flat, segments, CLASSES)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_objects_over_borders_are_whole_again(seed: int):
    masks = discs(seed)
    mosaic = build_mosaic("instance", SIZE, CLASSES)
    for tile in tiles():
        mosaic.add(tile, instances(tile, masks))
    result = mosaic.result()
    assert isinstance(result, InstanceResult)
    kinds = result.class_ids.tolist()
    found = sorted((m.tobytes(), kind) for m, kind in zip(result.masks, kinds, strict=True))
    wanted = sorted((mask.tobytes(), k % 2) for k, mask in enumerate(masks))
    assert found == wanted
    assert (np.diff(result.scores) <= 0).all()


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_panoptic_segments_over_borders_are_one(seed: int):
    masks = discs(seed)
    mosaic = build_mosaic("panoptic", SIZE, CLASSES)
    for tile in tiles():
        mosaic.add(tile, panoptic(tile, masks))
    result = mosaic.result()
    assert isinstance(result, PanopticResult)
    found = {(result.mask_of(s).tobytes(), s.class_id) for s in result.segments}
    ground = ~np.logical_or.reduce([np.zeros(SIZE, bool), *masks])
    wanted = {(mask.tobytes(), k % 2) for k, mask in enumerate(masks)} | {(ground.tobytes(), 2)}
    assert found == wanted
    assert len(result.segments) == len(wanted)
    assert all(s.score == pytest.approx(0.9) for s in result.segments)


def test_labels_come_from_the_tile_in_which_they_lie_deepest():
    labels = np.random.default_rng(0).integers(0, 3, SIZE).astype(np.int16)
    mosaic = build_mosaic("semantic", SIZE, CLASSES)
    for tile in tiles():
        part = labels[tile.rows.slice, tile.columns.slice].copy()
        # What lies near an inner border of the tile is wrong, as networks are there.
        inner = tile.rows.first > 0
        part[: 3 * inner] = 0
        mosaic.add(tile, SemanticResult(part, CLASSES))
    assert np.array_equal(mosaic.result().flat_map() - 1, labels)


def stump(mask: np.ndarray) -> Iterator[InstanceResult]:
    """Only one tile, which hardly shows it, finds the object."""
    for place, tile in enumerate(tiles()):
        yield instances(tile, [mask] if place == 0 else [])


def test_a_stump_that_the_neighbour_does_not_see_is_left_out():
    mask = np.zeros(SIZE, bool)
    mask[10:20, 34:44] = True  # mostly right of the middle of the overlap
    mosaic = build_mosaic("instance", SIZE, CLASSES)
    for tile, result in zip(tiles(), stump(mask), strict=True):
        mosaic.add(tile, result)
    assert len(mosaic.result().segments) == 0


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def scored(tile: Tile, masks: list[tuple[np.ndarray, float]]) -> InstanceResult:
    seen = [(tile.cut(mask), score) for mask, score in masks if tile.cut(mask).any()]
    return InstanceResult(
        tile.size,
        tuple(Rle.encode(np.ascontiguousarray(part)) for part, _ in seen),
        np.zeros(len(seen), np.int64),
        np.array([score for _, score in seen], np.float32),
        CLASSES,
    )


def test_doubtful_doubles_neither_swallow_nor_fuse_what_is_sure():
    first, second = box(10, 26, 18, 34), box(10, 35, 18, 39)  # side by side, over a border
    union = box(10, 26, 18, 39)
    mosaic = build_mosaic("instance", SIZE, CLASSES)
    for place, tile in enumerate(tiles()):
        doubles = [(union, 0.06)] if place == 0 else []
        mosaic.add(tile, scored(tile, [(first, 0.95), (second, 0.9), *doubles]))
    result = mosaic.result().candidates
    assert isinstance(result, InstanceResult)
    assert result.scores.tolist() == pytest.approx([0.95, 0.9] + [0.06] * (len(result) - 2))
    assert np.array_equal(result.masks[0], first)
    assert np.array_equal(result.masks[1], second)


def test_of_doubles_of_one_tile_the_surest_stays():
    whole, most, beside = box(10, 6, 18, 16), box(10, 6, 18, 14), box(10, 14, 18, 22)
    mosaic = build_mosaic("instance", SIZE, CLASSES)
    for tile in tiles():
        mosaic.add(tile, scored(tile, [(most, 0.4), (whole, 0.9), (beside, 0.3)]))
    result = mosaic.result().candidates
    assert isinstance(result, InstanceResult)
    assert result.scores.tolist() == pytest.approx([0.9, 0.3])
    assert np.array_equal(result.masks[0], whole)
    assert np.array_equal(result.masks[1], beside)


@given(st.integers(0, 10_000), st.integers(0, 20), st.integers(0, 30))
def test_the_mask_of_a_part_is_that_of_the_whole(seed: int, top: int, left: int):
    rng = np.random.default_rng(seed)
    part = rng.random((rng.integers(1, 9), rng.integers(1, 9))) < 0.6
    whole = np.zeros((top + part.shape[0] + seed % 2, left + part.shape[1] + seed % 3), bool)
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    assert Rle.encode_part(part, (top, left), whole.shape) == Rle.encode(whole)
