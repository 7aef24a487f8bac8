"""What heads say of pictures: classes, objects, and both together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelling import SIZE, fields, tiny_taps
from plainmask.heads.head import Head
from plainmask.label.planes import Planes
from plainmask.label.project import ProjectPicture
from plainmask.label.saying import DecoderSays, Says, completed, disjoint, named
from plainmask.pictures.geometry import Size
from plainmask.results import InstanceResult
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary
from tiny import tiny_encoder, tiny_head


@pytest.fixture
def picture(tmp_path: Path) -> ProjectPicture:
    return ProjectPicture("a.png", fields(tmp_path, "a.png") / "a.png", SIZE)


@pytest.fixture
def objects_head() -> Head:
    """One that is sure of some objects, whatever it sees."""
    head = tiny_head("instance", tiny_encoder())
    sure = head.config.thresholds.model_copy(update={"confident": 0.01})
    return Head(head.config.model_copy(update={"thresholds": sure}), head.decoder)


def test_of_objects_that_overlap_the_surest_has_the_pixels():
    masks = np.zeros((4, 4, 12), np.bool_)
    masks[0, :, 0:6] = True
    masks[1, :, 4:9] = True  # most of it is left
    masks[2, :, 1:5] = True  # a part of the first
    masks[3, :, 0:12] = True  # more than half of it is taken
    found = InstanceResult(
        (4, 12),
        tuple(Rle.encode(mask) for mask in masks),
        np.zeros(4, np.int64),
        np.array([0.9, 0.7, 0.8, 0.6], np.float32),
        Vocabulary.numbered(1),
    )
    assert disjoint(found)[0].tolist() == [1] * 6 + [2] * 3 + [0] * 3


def halves(left: int, right: int) -> Says:
    """A linear head that says one class left, and another right."""

    def says(picture: ProjectPicture, size: Size) -> Planes:
        classes = np.full(size, left, np.uint8)
        classes[:, size[1] // 2 :] = right
        return Planes(classes, None)

    return says


def test_a_head_of_objects_says_which_and_of_which_class(
    picture: ProjectPicture, objects_head: Head, tmp_path: Path
):
    shared = tiny_taps(tmp_path).shared
    says = DecoderSays(objects_head, shared)
    says.ids = np.array([7, 8, 9], np.uint8)
    found = says(picture, SIZE)
    assert found.objects is not None
    assert found.objects.any()
    assert set(np.unique(found.classes[found.objects > 0])) <= {7, 8, 9}
    assert (found.classes[found.objects == 0] == 0).all()
    for number in np.unique(found.objects[found.objects > 0]):
        assert len(np.unique(found.classes[found.objects == number])) == 1
    small = says(picture, (30, 40))
    assert small.classes.shape == (30, 40)
    assert set(np.unique(small.objects)) <= set(np.unique(found.objects))


def test_where_no_object_is_known_classes_are_the_linear_heads(
    picture: ProjectPicture, objects_head: Head, tmp_path: Path
):
    queries = DecoderSays(objects_head, tiny_taps(tmp_path).shared)
    queries.ids = np.full(3, 9, np.uint8)
    found = completed(queries, halves(1, 2))(picture, SIZE)
    objects: Any = found.objects
    assert (found.classes[objects > 0] == 9).all()
    none = objects == 0
    assert np.array_equal(found.classes[none], halves(1, 2)(picture, SIZE).classes[none])


def test_objects_of_another_head_are_of_the_class_that_most_of_them_is(
    picture: ProjectPicture, objects_head: Head, tmp_path: Path
):
    linear = halves(0, 5)
    shared = tiny_taps(tmp_path).shared
    queries = DecoderSays(objects_head, shared, knows_classes=False)
    assert (queries(picture, SIZE).classes == 0).all()
    found = named(queries, linear)(picture, SIZE)
    objects: Any = found.objects
    classes = linear(picture, SIZE).classes
    for number in np.unique(objects[objects > 0]):
        its = objects == number
        most = int(np.bincount(classes[its]).argmax())
        assert (found.classes[its] == most).all()
    assert np.array_equal(found.classes[objects == 0], classes[objects == 0])
