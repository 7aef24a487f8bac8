"""What is learnt of patches, and that undoing unlearns it."""

from typing import Any

import numpy as np
import pytest

from plainmask.label.canvas import Canvas, PatchLabels
from plainmask.label.learner import Learner
from plainmask.label.planes import PixelBox
from plainmask.label.stroke import Stroke
from plainmask.pictures.geometry import Geometry

SIZE, GRID, PATCH, WIDTH = (40, 60), (4, 6), 10, 8
GEOMETRY = Geometry(SIZE, SIZE, SIZE, ((0, 0),))
WHOLE = PixelBox(0, 0, *SIZE)


def dot(x: float, class_id: int) -> Stroke:
    return Stroke.read(
        {"picture": "a", "kind": "brush", "points": [[x, 20]], "radius": 9, "class": class_id}
    )


def features(seed: int = 0):
    """Of patches whose left and right half are told apart easily."""
    found = np.random.default_rng(seed).standard_normal((24, WIDTH))
    found[np.arange(24) % 6 >= 3] += 4
    return found.astype(np.float16)


def labelled(*strokes: tuple[float, int]) -> PatchLabels:
    numbered = enumerate((dot(x, class_id) for x, class_id in strokes), 1)
    return Canvas.of(GEOMETRY, PATCH, numbered).patch_labels(WHOLE, 3)


def learnt(*steps: PatchLabels, predicted: dict[int, float] | None = None) -> Any:
    learner = Learner(WIDTH)
    for labels in steps:
        learner.learn("a", features(), labels, predicted or {})
    learner.solve()
    return learner.head


def same(one: Any, other: Any) -> bool:
    return all(np.allclose(a, b, atol=1e-4) for a, b in zip(one, other, strict=True))


def test_strokes_one_by_one_or_together():
    one, both = labelled((10, 0)), labelled((10, 0), (40, 1))
    assert same(learnt(one, both), learnt(both))


def test_undone_strokes_are_unlearnt():
    two, three = labelled((10, 0), (40, 1)), labelled((10, 0), (40, 1), (30, 2))
    assert same(learnt(two, three, two), learnt(two))
    assert learnt(two, labelled()) is None


def test_what_is_learnt_twice_counts_once():
    both = labelled((10, 0), (40, 1))
    assert same(learnt(both, both), learnt(both))


def test_corrections_weigh_more():
    both = labelled((10, 0), (25, 1))
    plain, corrected = learnt(both), learnt(both, predicted={2: 0.0})
    assert not same(plain, corrected)
    assert same(plain, learnt(both, predicted={2: 1.0}))


def test_several_pictures_add_up():
    learner = Learner(WIDTH)
    learner.learn("a", features(0), labelled((10, 0)), {})
    learner.learn("b", features(1), labelled((40, 1)), {})
    learner.solve()
    assert learner.head is not None
    learner.learn("b", features(1), labelled(), {})
    learner.solve()
    assert learner.head is None


def test_a_stroke_is_predicted_before_it_is_learnt():
    learner = Learner(WIDTH)
    both = labelled((10, 0), (40, 1))
    assert learner.right(features(), both, 2) is None
    learner.learn("a", features(), both, {})
    learner.solve()
    assert learner.right(features(), both, 2) == pytest.approx(1)
    assert learner.right(features(), labelled((10, 0), (40, 0)), 2) == pytest.approx(0)
    assert learner.right(features(), both, 9) is None


def test_the_first_stroke_of_a_class_could_not_be_predicted():
    learner = Learner(WIDTH)
    learner.learn("a", features(), labelled((10, 0), (40, 1)), {})
    learner.solve()
    few = Canvas.of(GEOMETRY, PATCH, [(1, dot(10, 0)), (2, dot(40, 1)), (3, dot(25, 2))])
    assert learner.right(features(), few.patch_labels(WHOLE, 3), 3) is None


def test_classes_may_come_later():
    learner = Learner(WIDTH)
    few = Canvas.of(GEOMETRY, PATCH, [(1, dot(10, 0)), (2, dot(40, 1))])
    learner.learn("a", features(), few.patch_labels(WHOLE, 2), {})
    few.draw(3, dot(25, 2))
    learner.learn("a", features(), few.patch_labels(WHOLE, 3), {})
    learner.solve()
    assert learner.head is not None
    assert learner.head.classes.tolist() == [0, 1, 2]
