"""Strokes in, proposals out: order, undo, figures, and what happens when something is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelling import SIZE, dot, fields, session, waited_for
from plainmask.data.check import check_dataset
from plainmask.errors import InputError
from plainmask.heads.head import Head
from plainmask.inference.segmenter import Segmenter
from plainmask.label.mind import NOTHING_YET
from plainmask.label.project import FOLDER
from plainmask.label.proposing import Proposal
from plainmask.label.session import WHOLE, Session
from tiny import tiny_encoder

HALF = SIZE[1] // 2


def proposal(made: Session, name: str, version: int) -> Any:
    made.show(name)
    return waited_for(lambda: made.proposal(name, version))


def drawn(made: Session, picture: str = "a.png") -> int:
    """Both classes, a stroke each; the version after them."""
    made.draw(dot(picture, 15, 0))
    return made.draw(dot(picture, 65, 1))["version"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fields(tmp_path / "in", "a.png", "b.png", "c.png")


def test_strokes_are_answered_by_a_proposal(folder: Path):
    events: list[dict[str, Any]] = []
    with session(folder, events.append) as made:
        first = made.draw(dot("a.png", 15, 0))
        assert first == {"id": 1, "picture": "a.png", "version": 1} | {
            "labelled_share": first["labelled_share"]
        }
        assert 0 < first["labelled_share"] < 0.1
        assert proposal(made, "a.png", 1) == NOTHING_YET
        second = made.draw(dot("a.png", 65, 1))
        found = proposal(made, "a.png", second["version"])
        assert isinstance(found, Proposal)
        assert found.classes.shape == found.uncertainty.shape == SIZE
        assert (found.classes[:, : HALF - 10] == 0).mean() > 0.95
        assert (found.classes[:, HALF + 10 :] == 1).mean() > 0.95
        other = proposal(made, "b.png", second["version"])
        assert (other.classes[:, HALF + 10 :] == 1).mean() > 0.95
    assert {"type": "proposal", "picture": "a.png", "version": 2} in events
    assert [event["shown_by"] for event in events if event["type"] == "status"][-1] == "linear"


def test_the_rest_can_be_labelled_before_the_last_strokes_are_learnt(folder: Path):
    with session(folder) as made:
        drawn(made)
        assert made.label_rest()["total"] == 3


def test_undo_and_redo_change_labels_and_proposals(folder: Path):
    with session(folder) as made:
        version = drawn(made)
        before = proposal(made, "a.png", version)
        labels = made.labels("a.png")
        third = made.draw(dot("a.png", 15, 1))
        assert not np.array_equal(made.labels("a.png"), labels)
        undone = made.undo()
        assert undone is not None
        assert undone["picture"] == "a.png"
        assert undone["version"] > third["version"]
        assert np.array_equal(made.labels("a.png"), labels)
        again = proposal(made, "a.png", undone["version"])
        assert np.array_equal(again.classes, before.classes)
        assert made.redo() is not None
        assert (made.labels("a.png")[28:32, 13:17] == 1).all()
        assert made.redo() is None
        for _ in range(3):
            last = made.undo()
        assert last is not None
        assert last["labelled_share"] == 0
        assert made.undo() is None
        assert proposal(made, "a.png", last["version"]) == NOTHING_YET


def test_labels_are_a_data_set_beside_the_pictures(folder: Path):
    with session(folder) as made:
        drawn(made)
        labels = made.labels("a.png")
    report = check_dataset(folder / FOLDER)
    assert report.all_problems == []
    from plainmask.pictures.images import read_label

    assert np.array_equal(read_label(folder / FOLDER / "labels" / "a.png"), labels)


def test_a_project_goes_on_with_the_same_head(folder: Path):
    with session(folder) as made:
        proposal(made, "a.png", drawn(made))
        version = made.draw(dot("b.png", 60, 1, 10))["version"]
        before = proposal(made, "b.png", version)
        status = made.status()
        assert status["per_class"].keys() == {1}
    with session(folder) as made:
        after = proposal(made, "b.png", version)
        assert np.array_equal(after.classes, before.classes)
        assert made.status()["per_class"] == status["per_class"]
        about = {row["name"]: row for row in made.summary()["pictures"]}
        assert about["b.png"]["labelled_share"] > 0
        assert about["c.png"]["labelled_share"] == 0


def test_each_stroke_is_predicted_before_it_is_learnt(folder: Path):
    with session(folder) as made:
        version = drawn(made)
        proposal(made, "a.png", version)
        right = made.draw(dot("b.png", 15, 0))["version"]
        waited_for(lambda: made.status()["version"] >= right)
        assert made.status()["per_class"] == {0: pytest.approx(1)}
        wrong = made.draw(dot("b.png", 65, 0))["version"]
        waited_for(lambda: made.status()["version"] >= wrong)
        status = made.status()
        assert status["per_class"][0] < 0.7
        assert status["figure"] == status["per_class"][0]
        assert status["strokes"] == 4


def test_proposals_are_accepted_where_nothing_is_labelled(folder: Path):
    with session(folder) as made:
        drawn(made)
        made.draw(dot("b.png", 65, 0))
        one = made.accept("b.png", "class", 1)
        labels = made.labels("b.png")
        assert (labels[28:32, 63:67] == 0).all()
        assert (labels == 1).any()
        assert (labels[:, :20] == 255).all()
        region = made.accept("b.png", "region", point=(5.0, 5.0))
        assert made.labels("b.png")[5, 5] == 0
        assert region["labelled_share"] > one["labelled_share"]
        made.accept("a.png", "all")
        assert {row["name"]: row["done"] for row in made.summary()["pictures"]}["a.png"]
        with pytest.raises(InputError, match=r"nothing to accept in a\.png"):
            made.accept("a.png", "all")
        undone = made.undo()
        assert undone is not None
        assert undone["labelled_share"] < 0.2


def test_nothing_can_be_accepted_before_there_is_a_proposal(folder: Path):
    with session(folder) as made:
        with pytest.raises(InputError, match="before two classes have labels"):
            made.accept("a.png", "all")
        with pytest.raises(InputError, match="before two classes have labels"):
            made.label_rest()


def test_the_rest_is_labelled_into_a_data_set(folder: Path):
    events: list[dict[str, Any]] = []
    with session(folder, events.append) as made:
        drawn(made)
        labels = made.labels("a.png")
        waited_for(lambda: made.status()["shown_by"])
        assert made.label_rest()["total"] == 3
        waited_for(lambda: (made.status()["job"] or {}).get("state") == "done")
    jobs = [event for event in events if event["type"] == "job"]
    assert [event["done"] for event in jobs] == [1, 2, 3]
    assert jobs[-1]["problems"] == []
    whole = folder / FOLDER / WHOLE
    assert jobs[-1]["folder"] == str(whole)
    report = check_dataset(whole)
    assert report.all_problems == []
    from plainmask.pictures.images import read_label

    found = read_label(whole / "labels" / "a.png")
    assert not (found == 255).any()
    assert np.array_equal(found[labels != 255], labels[labels != 255])
    assert len(list((whole / "labels").iterdir())) == 3
    assert len(list((folder / FOLDER / "labels").iterdir())) == 1
    head = Head.load(jobs[-1]["head"])
    assert head.config.vocabulary.names == ("dark", "bright")
    segmenter = Segmenter(tiny_encoder(), {"it": head}, device="cpu", dtype="float32")["it"]
    for name in ("b", "c"):  # but for rounding: features are kept in float16
        same = segmenter(folder / f"{name}.png").label_map == read_label(
            whole / "labels" / f"{name}.png"
        )
        assert same.mean() > 0.999
    (own,) = check_dataset(folder / FOLDER).splits  # what is proposed is no part of it
    assert own.images == 1


def test_the_next_picture_is_one_without_labels(folder: Path):
    with session(folder) as made:
        assert made.next_picture() == "a.png"
        drawn(made)
        made.show("b.png")
        assert made.next_picture() == "c.png"
        drawn(made, "c.png")
        assert made.next_picture() is None


def test_a_picture_that_goes_meanwhile_is_told_and_all_else_works(folder: Path):
    events: list[dict[str, Any]] = []
    with session(folder, events.append) as made:
        version = drawn(made)
        (folder / "b.png").unlink()
        assert "b.png cannot be read any more" in proposal(made, "b.png", version)
        assert isinstance(proposal(made, "a.png", version), Proposal)
        made.draw(dot("b.png", 15, 0))
        last = made.draw(dot("a.png", 30, 0))["version"]
        assert isinstance(proposal(made, "a.png", last), Proposal)
        with pytest.raises(InputError, match="cannot be read any more"):
            made.accept("b.png", "all")
    problems = {event["picture"] for event in events if event["type"] == "problem"}
    assert problems == {"b.png"}


def test_what_no_picture_or_class_is(folder: Path):
    with session(folder) as made:
        for wrong in (dot("z.png", 1, 0), dot("a.png", 1, 7)):
            with pytest.raises(InputError, match=r"there is no class|no picture is called"):
                made.draw(wrong)
        with pytest.raises(InputError, match="no picture is called"):
            made.show("z.png")
        with pytest.raises(InputError, match="no picture is called"):
            made.labels("z.png")
        assert made.status()["strokes"] == 0


def test_classes_may_be_added_while_one_labels(folder: Path):
    with session(folder) as made:
        drawn(made)
        made.change_classes(lambda project: project.add_classes(["edge"]))
        version = made.draw(dot("a.png", 40, 2))["version"]
        found = proposal(made, "a.png", version)
        assert 2 in found.classes


def test_a_class_that_has_labels_joins_another(folder: Path):
    with session(folder, classes=["dark", "bright", "edge"]) as made:
        drawn(made)
        version = made.draw(dot("a.png", 40, 2))["version"]
        waited_for(lambda: made.status()["version"] >= version)
        version = made.draw(dot("b.png", 40, 2))["version"]
        waited_for(lambda: made.status()["version"] >= version)
        before, labels = made.status()["per_class"], made.labels("a.png")
        assert before.keys() == {2}
        with pytest.raises(
            InputError, match=r"2 pictures have labels of 'edge' \(a.png, …\); take"
        ):
            made.join_class(2, None)
        joined = made.join_class(2, 1)
        assert [entry["id"] for entry in joined["classes"]] == [0, 1]
        assert np.array_equal(made.labels("a.png"), np.where(labels == 2, 1, labels))
        found = proposal(made, "b.png", joined["version"])
        assert set(np.unique(found.classes)) == {0, 1}
        assert made.status()["per_class"] == {1: before[2]}
        assert made.head is not None
        assert made.head.config.vocabulary.names == ("dark", "bright")
        undone = made.undo()
        assert undone is not None
        assert len(undone["classes"]) == 3
        assert np.array_equal(made.labels("a.png"), labels)
        assert 2 in proposal(made, "b.png", undone["version"]).classes
        made.redo()
    with session(folder) as made:
        assert np.array_equal(made.labels("a.png"), np.where(labels == 2, 1, labels))


def test_a_class_without_labels_goes_at_once_and_others_keep_their_numbers(folder: Path):
    with session(folder, classes=["dark", "edge", "bright"]) as made:
        made.draw(dot("a.png", 15, 0))
        made.draw(dot("a.png", 40, 1))
        made.undo()
        made.draw(dot("a.png", 65, 2))
        made.join_class(1, None)
        waited_for(lambda: made.head and len(made.head.config.vocabulary) == 2)
        made.label_rest()
        made.change_classes(lambda project: project.add_classes(["late"]))
        made.draw(dot("c.png", 40, 3))
        waited_for(lambda: (made.status()["job"] or {}).get("state") == "done")
    whole = folder / FOLDER / WHOLE
    assert check_dataset(whole).all_problems == []
    from plainmask.pictures.images import read_label

    found = read_label(whole / "labels" / "b.png")
    assert set(np.unique(found)) == {0, 2}
    head = Head.load(folder / FOLDER / "head")
    assert head.config.vocabulary.names == ("dark", "bright")
    segmenter = Segmenter(tiny_encoder(), {"it": head}, device="cpu", dtype="float32")["it"]
    same = segmenter(folder / "b.png").label_map * 2 == found
    assert same.mean() > 0.999


def test_a_picture_that_is_not_there_keeps_a_class(folder: Path):
    with session(folder) as made:
        made.draw(dot("b.png", 65, 1))
    (folder / "b.png").rename(folder.parent / "b.png")
    with session(folder) as made:
        with pytest.raises(InputError, match=r"1 picture has labels of 'bright' \(b.png\)"):
            made.join_class(1, None)
        made.join_class(1, 0)
    (folder.parent / "b.png").rename(folder / "b.png")
    with session(folder) as made:
        assert set(np.unique(made.labels("b.png"))) == {0, 255}


def test_a_large_picture_is_proposed_small_and_accepted_whole(tmp_path: Path):
    from images import png

    (tmp_path / "large.png").write_bytes(png(np.zeros((1200, 1800, 3), np.uint8)))
    with session(tmp_path) as made:
        made.draw(dot("large.png", 100, 0))
        version = made.draw(dot("large.png", 1700, 1))["version"]
        assert proposal(made, "large.png", version).classes.shape == (683, 1024)
        made.accept("large.png", "all")
        assert not (made.labels("large.png") == 255).any()
