"""Objects out of classes: regions, whose they are, and what is none."""

import numpy as np
import pytest

from plainmask.label.division import Ground
from plainmask.label.objects import FRESH, MOST_FRESH, settled, shrunk, told_apart
from plainmask.label.planes import Planes
from plainmask.pictures.geometry import Geometry, Size

SIZE = (40, 60)


def ground(size: Size = SIZE) -> Ground:
    """4 x 6 patches, all alike."""
    geometry = Geometry(size, (40, 60), (40, 60), ((0, 0),))
    return Ground.of(np.ones((24, 3), np.float16), geometry, 10)


def proposed() -> np.ndarray:
    """Two regions of class 1, and one of class 2 that touches the second."""
    classes = np.zeros(SIZE, np.uint8)
    classes[10:30, 5:20] = 1
    classes[10:30, 30:40] = 1
    classes[10:30, 40:55] = 2
    return classes


def labelled(*strokes: tuple[int, int, int, int]) -> Planes:
    """Small squares: row, column, class, object."""
    found = Planes.blank(SIZE, with_objects=True)
    assert found.objects is not None
    for row, column, class_id, number in strokes:
        found.classes[row : row + 2, column : column + 2] = class_id
        found.objects[row : row + 2, column : column + 2] = number
    return found


def told(labels: Planes, classes: np.ndarray | None = None, objects: np.ndarray | None = None):
    says = Planes(proposed() if classes is None else classes, objects)
    found = told_apart(says, labels, ground())
    assert found.objects is not None
    return found.classes, found.objects


def test_regions_without_strokes_are_objects_that_have_no_name_yet():
    classes, objects = told(labelled())
    assert np.array_equal(classes, proposed())
    assert [objects[20, x] for x in (0, 10, 35, 45)] == [0, FRESH | 1, FRESH | 2, FRESH | 3]
    assert settled(Planes(classes, objects)).objects.max() == 3


def test_a_region_with_strokes_of_one_object_is_that_one():
    _, objects = told(labelled((20, 10, 1, 7), (20, 35, 1, 7), (2, 2, 0, 0)))
    assert (objects[10:30, 5:20] == 7).all()
    assert (objects[10:30, 30:40] == 7).all()
    assert (objects[10:30, 40:55] == FRESH | 1).all()


def test_a_region_with_strokes_of_two_objects_is_divided():
    classes = np.zeros(SIZE, np.uint8)
    classes[10:30, 5:55] = 1
    _, objects = told(labelled((20, 10, 1, 1), (20, 48, 1, 2)), classes)
    assert (objects[10:30, 5:25] == 1).all()
    assert (objects[10:30, 35:55] == 2).all()
    assert (objects[classes == 0] == 0).all()


def test_labels_stand_whatever_is_proposed():
    labels = labelled((20, 10, 2, 5), (20, 12, 0, 0))
    classes, objects = told(labels)
    assert classes[20, 10] == 2
    assert objects[20, 10] == 5
    assert classes[20, 12] == 0
    assert objects[20, 12] == 0
    assert objects[20, 6] == FRESH | 1


def test_a_line_of_background_parts_a_region():
    labels = labelled(*((y, 12, 0, 0) for y in range(8, 32, 2)))
    _, objects = told(labels)
    assert objects[20, 8] != objects[20, 16]
    assert min(objects[20, 8], objects[20, 16]) > FRESH


def test_specks_are_no_objects():
    classes = np.zeros(SIZE, np.uint8)
    classes[20, 20] = 1
    classes[30:34, 30:34] = 1
    found, objects = told(labelled(), classes)
    assert found[20, 20] == 0
    assert objects[20, 20] == 0
    assert objects[31, 31] == FRESH | 1


def test_of_very_many_regions_the_largest_are_objects():
    classes = np.zeros((200, 200), np.uint8)
    classes[::4, ::4] = classes[1::4, ::4] = classes[::4, 1::4] = classes[1::4, 1::4] = 1
    classes[100:105, 100:105] = 1
    large = np.kron(classes, np.ones((3, 3), np.uint8))
    labels = Planes.blank(large.shape, with_objects=True)
    found = told_apart(Planes(large, None), labels, ground(large.shape))
    assert found.objects is not None
    assert len(np.unique(found.objects[found.objects > 0])) <= MOST_FRESH
    assert found.objects[305, 305] > FRESH


def queries() -> np.ndarray:
    """Two objects of what is one region by its classes; at the right nothing is known."""
    objects = np.zeros(SIZE, np.uint16)
    objects[10:30, 5:12] = 4
    objects[10:30, 12:20] = 2
    return objects


def test_objects_that_a_head_knows_are_objects_and_no_region_is():
    found, objects = told(labelled(), None, queries())
    assert [objects[20, x] for x in (8, 15, 35, 45)] == [FRESH | 2, FRESH | 1, 0, 0]
    assert np.array_equal(found > 0, objects > 0)


def test_a_known_object_that_is_small_is_no_speck():
    objects = np.zeros(SIZE, np.uint16)
    objects[20, 20] = 1
    assert told(labelled(), (objects > 0).astype(np.uint8), objects)[1][20, 20] == FRESH | 1


def test_a_known_object_with_strokes_of_one_is_that_one_and_of_its_class():
    found, objects = told(labelled((20, 8, 2, 7), (12, 15, 0, 0)), None, queries())
    assert (objects[10:30, 5:12] == 7).all()
    assert (found[10:30, 5:12] == 2).all()
    assert objects[20, 15] == FRESH | 1
    assert objects[12, 15] == 0


def test_a_known_object_with_strokes_of_two_is_divided():
    objects = np.where(proposed() == 1, np.uint16(1), np.uint16(0))
    objects[:, 20:] = 0
    found, divided = told(labelled((20, 6, 1, 1), (20, 17, 2, 2)), None, objects)
    assert (divided[10:30, 5:10] == 1).all()
    assert (divided[10:30, 15:20] == 2).all()
    assert (found[10:30, 15:20] == 2).all()


def test_a_neighbour_that_reaches_into_what_is_labelled_stays_one_of_its_own():
    labels = Planes.blank(SIZE, with_objects=True)
    assert labels.objects is not None
    labels.classes[10:30, 5:13] = 1
    labels.objects[10:30, 5:13] = 7
    _, objects = told(labels, None, queries())
    assert (objects[10:30, 5:13] == 7).all()
    assert (objects[10:30, 13:20] == FRESH | 1).all()


def test_what_is_begun_where_no_object_is_known_grows_to_its_region():
    found, objects = told(labelled((20, 35, 1, 9)), None, queries())
    assert (objects[10:30, 30:40] == 9).all()
    assert (objects[10:30, 40:55] == 0).all()
    assert (found[10:30, 40:55] == 0).all()


@pytest.mark.parametrize("size", [(20, 30), (80, 120), (13, 7)])
def test_planes_at_another_size(size: Size):
    found = shrunk(Planes(proposed(), proposed().astype(np.uint16)), size)
    assert found.classes.shape == size
    assert found.objects is not None
    assert set(np.unique(found.objects)) == {0, 1, 2}
