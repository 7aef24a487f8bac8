"""What pixels are: classes and objects side by side."""

import numpy as np

from plainmask.label.planes import PixelBox, Planes, box_of, free_numbers


def planes() -> Planes:
    found = Planes.blank((4, 6), with_objects=True)
    assert found.objects is not None
    found.classes[:, :2] = 1
    found.objects[:, 0], found.objects[:, 1] = 3, 4
    return found


def test_regions_are_of_one_class_and_one_object():
    found = planes().region_at(0.5, 2)
    assert found is not None
    assert found[0] == PixelBox(0, 0, 4, 1)
    assert found[1].all()
    alike = Planes(planes().classes, None).region_at(0.5, 2)
    assert alike is not None
    assert alike[0] == PixelBox(0, 0, 4, 2)
    assert planes().region_at(6, 0) is None


def test_one_above_the_other():
    below = Planes(np.zeros((4, 6), np.uint8), np.full((4, 6), 9, np.uint16))
    found = planes().over(below)
    assert found.objects is not None
    assert found.objects[0].tolist() == [3, 4, 9, 9, 9, 9]
    assert found.classes[0].tolist() == [1, 1, 0, 0, 0, 0]
    part = found.where(found.classes == 0)
    assert part.objects is not None
    assert part.objects[0].tolist() == [0, 0, 9, 9, 9, 9]
    assert not part.known[:, :2].any()


def test_a_copy_changes_alone():
    first = planes()
    second = first.copy()
    second.put(Planes.blank((4, 6), with_objects=True), np.ones((4, 6), np.bool_))
    assert first.known.sum() == 8
    assert not second.known.any()


def test_boxes():
    mask = np.zeros((4, 6), np.bool_)
    assert box_of(mask) is None
    mask[1, 2] = mask[2, 4] = True
    assert box_of(mask) == PixelBox(1, 2, 3, 5)
    assert PixelBox(1, 2, 3, 5).around(PixelBox(0, 4, 2, 6)) == PixelBox(0, 2, 3, 6)


def test_numbers_that_no_object_has():
    assert free_numbers(np.array([0, 2, 5], np.uint16), 4).tolist() == [1, 3, 4, 6]
    full = np.arange(32_768, dtype=np.uint16)
    assert len(free_numbers(full, 4)) == 0
