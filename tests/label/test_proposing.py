"""How sure a head is of what it proposes."""

from pathlib import Path

import numpy as np
import pytest

from labelling import SIZE, dot, fields, tiny_taps
from plainmask.label.canvas import Canvas
from plainmask.label.features import seen
from plainmask.label.learner import Learner
from plainmask.label.linear import LinearHead, entropy
from plainmask.label.planes import PixelBox
from plainmask.label.project import ProjectPicture
from plainmask.label.proposing import SUREST, how_undecided


@pytest.fixture
def picture(tmp_path: Path) -> ProjectPicture:
    return ProjectPicture("a.png", fields(tmp_path, "a.png") / "a.png", SIZE)


def test_a_head_of_few_strokes_is_not_sure_everywhere(picture: ProjectPicture, tmp_path: Path):
    taps = tiny_taps(tmp_path)
    strokes = enumerate((dot("a.png", 15, 0), dot("a.png", 65, 1)), 1)
    canvas = Canvas.of(seen(SIZE, taps.patch), taps.patch, strokes)
    learner = Learner(taps.width)
    learner.learn("a.png", taps.of(picture), canvas.patch_labels(PixelBox(0, 0, *SIZE), 2), {})
    learner.solve()
    head = learner.head
    assert head is not None
    assert head.scale > 10 * SUREST
    assert entropy(head.scores(taps.of(picture))).max() < 1e-6  # two strokes, and no doubt
    assert how_undecided(head, picture, taps).max() > 0.1


def test_a_head_that_is_less_sure_stays_so(picture: ProjectPicture, tmp_path: Path):
    taps = tiny_taps(tmp_path)
    weights = np.random.default_rng(0).standard_normal((taps.width, 2)).astype(np.float32)
    head = LinearHead(np.arange(2), weights, np.zeros(2, np.float32), SUREST / 2)
    expected = entropy(head.scores(taps.of(picture)))
    np.testing.assert_array_equal(how_undecided(head, picture, taps), expected)
