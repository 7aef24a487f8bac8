"""Objects while one labels: proposed, divided, accepted, merged, split, and written down."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelling import SIZE, on_object, session, things, waited_for
from plainmask.data.check import check_dataset
from plainmask.data.reader import read_dataset
from plainmask.errors import InputError
from plainmask.label.mind import HEAD
from plainmask.label.objects import FRESH
from plainmask.label.project import FOLDER
from plainmask.label.session import WHOLE, Session

INSTANCE: dict[str, Any] = {"task": "instance", "classes": ["cat", "dog"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return things(tmp_path / "in", "a.png", "b.png")


def proposed(made: Session, name: str, version: int) -> np.ndarray:
    made.show(name)
    found: Any = waited_for(lambda: made.proposal(name, version))
    return found.objects


def numbers(made: Session, name: str = "a.png") -> np.ndarray:
    objects = made.planes(name).objects
    assert objects is not None
    return objects


def begun(made: Session) -> int:
    """Background, and a stroke on each of two things that touch; the version after them."""
    for x, y in ((5, 5), (75, 55), (40, 5), (40, 55)):
        made.draw(on_object("a.png", x, 0, 0, y))
    made.draw(on_object("a.png", 25, 1))
    return made.draw(on_object("a.png", 55, 2))["version"]


def test_two_things_that_touch_come_apart(folder: Path):
    with session(folder, **INSTANCE) as made:
        objects = proposed(made, "a.png", begun(made))
        assert objects.shape == SIZE
        assert (objects[20:40, 15:35] == 1).mean() > 0.9
        assert (objects[20:40, 45:65] == 2).mean() > 0.9
        assert (objects[:10] == 0).mean() > 0.9
        others = proposed(made, "b.png", 6)
        assert (others[20:40, 15:65] > FRESH).mean() > 0.9


def test_an_object_is_accepted_and_taken_back(folder: Path):
    with session(folder, **INSTANCE) as made:
        version = begun(made)
        objects = proposed(made, "a.png", version)
        before = (numbers(made) == 2).sum()
        made.accept("a.png", "region", point=(55, 25))
        assert np.array_equal(numbers(made) == 2, objects == 2)
        assert (numbers(made) == 1).sum() == before
        made.undo()
        assert (numbers(made) == 2).sum() == before
        made.accept("a.png", "all")
        assert (made.labels("a.png") != 255).all()
        assert set(np.unique(numbers(made))) >= {0, 1, 2}
        made.accept("b.png", "class", 1)
        assert (numbers(made, "b.png") > 0).any()
        assert numbers(made, "b.png").max() < FRESH


def test_objects_are_merged_and_split_and_that_is_taken_back(folder: Path):
    with session(folder, **INSTANCE) as made:
        begun(made)
        before = numbers(made)
        merged = made.repair("a.png", "merge", [(25, 30), (55, 30)], 1)
        assert set(np.unique(numbers(made))) == {0, 1}
        objects = proposed(made, "a.png", merged["version"])
        assert (objects[20:40, 45:65] == 1).mean() > 0.9
        made.repair("a.png", "split", [(40, 0), (40, 59)], 1)
        found = numbers(made)
        assert set(np.unique(found)) == {0, 1, 2}
        assert len(np.unique(found[20:40, 15:38])) == len(np.unique(found[20:40, 42:65])) == 1
        made.undo()
        made.undo()
        assert np.array_equal(numbers(made), before)
        made.redo()
        made.redo()
        assert np.array_equal(numbers(made), found)
    with session(folder, **INSTANCE) as again:  # from the journal
        assert np.array_equal(numbers(again), found)


def test_labels_are_merged_before_there_is_a_proposal(folder: Path):
    with session(folder, **INSTANCE) as made:
        made.draw(on_object("a.png", 25, 1))
        made.draw(on_object("a.png", 55, 2))
        made.repair("a.png", "merge", [(25, 30), (55, 30)], 1)
        assert set(np.unique(numbers(made))) == {0, 1}


def test_repairs_that_cannot_be(folder: Path):
    with session(folder, **INSTANCE) as made:
        with pytest.raises(InputError, match="crosses fewer than two objects"):
            made.repair("a.png", "merge", [(25, 30), (55, 30)], 1)
        with pytest.raises(InputError, match="no picture is called"):
            made.repair("z.png", "split", [(1, 1)], 1)
    other = things(folder.parent / "other", "a.png")
    with session(other) as made, pytest.raises(InputError, match="does not tell objects apart"):
        made.repair("a.png", "split", [(1, 1)], 1)


def test_the_rest_is_labelled_as_a_data_set_of_objects(folder: Path):
    events: list[dict[str, Any]] = []
    with session(folder, events.append, **INSTANCE) as made:
        begun(made)
        waited_for(lambda: made.status()["shown_by"])
        made.label_rest()
        waited_for(lambda: made.status()["job"]["state"] == "done")
        job = made.status()["job"]
        assert job["head"] is None
        assert job["problems"] == []
        assert not (folder / FOLDER / HEAD).exists()
        whole = folder / FOLDER / WHOLE
        assert check_dataset(whole).all_problems == []
        records = read_dataset("voc_objects", whole, None)
        assert [record.id for record in records] == ["a", "b"]
        for record in records:
            found = record.annotation().index_map
            assert (found[20:40, 15:65] >= 0).mean() > 0.9
            assert (found[:10] < 0).mean() > 0.9
    assert check_dataset(folder / FOLDER).all_problems == []
    (own,) = read_dataset("voc_objects", folder / FOLDER, None)
    assert len(own.annotation()) == 2
