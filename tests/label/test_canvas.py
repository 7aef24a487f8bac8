"""What labels say of patches."""

import numpy as np

from plainmask.label.canvas import Canvas
from plainmask.label.planes import PixelBox
from plainmask.label.stroke import Stroke
from plainmask.pictures.geometry import Geometry, Size


def dot(x: float, y: float, radius: float, class_id: int) -> Stroke:
    return Stroke.read(
        {"picture": "a", "kind": "brush", "points": [[x, y]], "radius": radius, "class": class_id}
    )


def seen(size: Size) -> tuple[Geometry, int]:
    """As 4 x 6 patches of 10 pixels."""
    return Geometry(size, (40, 60), (40, 60), ((0, 0),)), 10


def test_shares_are_those_of_the_labelled_pixels_of_a_patch():
    canvas = Canvas(*seen((40, 60)))
    canvas.labels[:10, :5] = 0
    canvas.labels[:10, 5:7] = 2
    found = canvas.patch_labels(PixelBox(0, 0, 40, 60), 3)
    assert found.patches.tolist() == list(range(24))
    assert np.allclose(found.shares[0], [50 / 70, 0, 20 / 70])
    assert np.isclose(found.covered[0], 0.7)
    assert not found.shares[1:].any()
    assert not found.covered[1:].any()


def test_a_box_means_the_patches_that_it_touches():
    canvas = Canvas(*seen((41, 59)))
    canvas.labels[:] = np.random.default_rng(0).integers(0, 4, (41, 59))
    whole = canvas.patch_labels(PixelBox(0, 0, 41, 59), 4)
    part = canvas.patch_labels(PixelBox(12, 21, 13, 41), 4)
    assert set(part.patches.tolist()) == {8, 9, 10}
    assert np.array_equal(part.shares, whole.shares[part.patches])
    assert np.array_equal(part.covered, whole.covered[part.patches])


def test_each_patch_knows_the_stroke_that_changed_it_last():
    canvas = Canvas(*seen((40, 60)))
    assert canvas.draw(7, dot(15, 15, 4, 0)) == PixelBox(11, 11, 19, 19)
    assert canvas.draw(9, dot(45, 15, 4, 1)) is not None
    assert canvas.draw(11, dot(15, 15, 2, 0)) is None
    newest = canvas.patch_labels(PixelBox(0, 0, 40, 60), 2).newest.reshape(4, 6)
    assert newest[1].tolist() == [0, 7, 0, 0, 9, 0]


def test_a_canvas_is_what_its_strokes_make_it():
    strokes = [(1, dot(15, 15, 8, 0)), (2, dot(20, 15, 8, 1))]
    canvas = Canvas(*seen((40, 60)))
    for number, stroke in strokes:
        canvas.draw(number, stroke)
    again = Canvas.of(*seen((40, 60)), strokes)
    assert np.array_equal(again.labels, canvas.labels)
    assert again.labelled_share == (canvas.labels != 255).mean()


def test_a_picture_smaller_than_its_grid_has_patches_without_pixels():
    canvas = Canvas(*seen((2, 3)))
    canvas.labels[:] = 1
    found = canvas.patch_labels(PixelBox(0, 0, 2, 3), 2)
    assert (found.covered > 0).sum() == 6


def test_what_is_padding_belongs_to_no_pixel():
    canvas = Canvas(Geometry((70, 100), (40, 60), (35, 50), ((0, 0),)), 10)
    canvas.labels[:] = 1
    found = canvas.patch_labels(PixelBox(0, 0, 70, 100), 2)
    assert (found.covered.reshape(-1, 5) == 1).all()
    assert found.patches.reshape(4, 5)[1].tolist() == [6, 7, 8, 9, 10]
