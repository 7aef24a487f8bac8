"""The decoder behind the linear head: it learns, is judged, takes over, and is there again."""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelling import dot, fields, on_object, session, things, waited_for
from plainmask.heads.head import Head
from plainmask.inference.segmenter import Segmenter
from plainmask.label import behind, judging, teaching
from plainmask.label.behind import PICTURES, lesson_of
from plainmask.label.judging import Judged
from plainmask.label.mind import HEAD
from plainmask.label.objects import FRESH
from plainmask.label.proposing import Proposal
from plainmask.label.saying import disjoint, linear_says
from plainmask.label.session import QUIET, Session
from plainmask.label.teaching import Start
from tiny import save_tiny_encoder, tiny_encoder, tiny_head


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures, and decoders that learn at once and little."""
    monkeypatch.setattr(behind, "FIRST", 2)
    monkeypatch.setattr(behind, "MORE", 100)
    monkeypatch.setattr(teaching, "FRESH", 3)
    save_tiny_encoder(tmp_path)
    return fields(tmp_path / "in", "a.png", "b.png", "c.png")


def at_work(folder: Path, **more: Any) -> Any:
    return session(folder, learns=True, encoder=str(folder.parent / "encoder.safetensors"), **more)


def state_of(made: Session) -> str:
    return made.status()["decoder"]["state"]


def drawn(made: Session) -> None:
    made.draw(dot("a.png", 15, 0))
    made.draw(dot("a.png", 65, 1))


def learnt(made: Session) -> None:
    drawn(made)
    waited_for(lambda: state_of(made) == "ready", 120)


@pytest.mark.slow
def test_it_learns_and_is_judged_and_is_there_again(folder: Path):
    with at_work(folder) as made:
        assert state_of(made) == "waits"
        learnt(made)
        assert made.status()["decoder"]["strokes"] == 2
        assert made.status()["shown_by"] == "linear"
        number = made.draw(dot("b.png", 15, 0))["id"]
        judged = waited_for(lambda: made.project.history.judged)
        assert 0 <= judged[number].decoder <= 1
        assert judged[number].linear == made.project.history.predicted[number]
        assert judged[number].shown == "linear"
    with at_work(folder) as made:
        assert state_of(made) == "ready"
        assert made.project.history.judged == judged


@pytest.mark.slow
def test_it_takes_over_what_is_proposed_and_what_labels_the_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(behind, "better", lambda *_: "decoder")
    with at_work(folder) as made:
        learnt(made)
        assert made.status()["shown_by"] == "decoder"
        assert made.head is not made.linear
        made.show("c.png")
        found = waited_for(lambda: made.proposal("c.png"))
        made.label_rest()
        job = waited_for(lambda: (now := made.status()["job"])["state"] == "done" and now)
    assert isinstance(found, Proposal)
    head = Head.load(folder / ".plainmask-label" / HEAD)
    assert job["head"] == str(folder / ".plainmask-label" / HEAD)
    assert head.config.decoder.num_blocks == 2
    alone = Segmenter(tiny_encoder(), {"it": head}, device="cpu", dtype="float32")["it"]
    assert np.array_equal(found.classes, alone(folder / "c.png").label_map)


@pytest.mark.slow
def test_what_labels_the_rest_stays_what_it_was_when_another_takes_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(behind, "better", lambda *_: "decoder")
    size = (60, 80)
    with at_work(folder) as made:
        drawn(made)
        waited_for(lambda: made.linear)
        mind, picture = made._mind, made.project.picture("c.png")  # pyright: ignore[reportPrivateUsage]
        begun = mind.behind.says(made.linear)
        by_linear = linear_says(made.linear, mind.taps)(picture, size)
        assert np.array_equal(begun(picture, size).classes, by_linear.classes)
        waited_for(lambda: made.status()["shown_by"] == "decoder", 120)
        assert np.array_equal(begun(picture, size).classes, by_linear.classes)


@pytest.mark.slow
def test_new_pictures_and_those_with_strokes_are_judged_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(judging, "LEAST", 1)
    with at_work(folder) as made:
        learnt(made)
        first = made.draw(dot("b.png", 15, 0))["id"]
        other = made.draw(dot("a.png", 40, 0))["id"]
        waited_for(lambda: {first, other} <= made.project.history.judged.keys())
    events: list[dict[str, Any]] = []
    with at_work(folder, tell=events.append) as made:
        made.project.note_judgement(first, Judged(0.1, 0.9, "linear"))
        made.project.note_judgement(other, Judged(0.9, 0.1, "linear"))
    events.clear()
    with at_work(folder, tell=events.append) as made:
        waited_for(lambda: made.head is not made.linear is not None)
        for name, by in (("c.png", "decoder"), ("a.png", "linear"), ("c.png", "decoder")):
            made.show(name)
            assert made.status()["shown_by"] == by
            waited_for(
                lambda by=by: [e["shown_by"] for e in events if "shown_by" in e][-1:] == [by]
            )
        number = made.draw(dot("c.png", 15, 0))["id"]
        assert waited_for(lambda: made.project.history.judged.get(number)).shown == "decoder"
        assert made.status()["shown_by"] == "linear"  # there are strokes now


@pytest.mark.slow
def test_one_that_knows_a_class_that_is_gone_gives_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(behind, "better", lambda *_: "decoder")

    def ids(made: Session) -> list[int]:
        assert made.head is not None
        return [entry.file_id for entry in made.head.config.vocabulary.classes]

    with at_work(folder, classes=["dark", "none", "edge", "bright"]) as made:
        made.join_class(1, None)
        for x, class_id in ((15, 0), (40, 2), (65, 3)):
            made.draw(dot("a.png", x, class_id))
        waited_for(lambda: state_of(made) == "ready", 120)
        assert made.status()["shown_by"] == "decoder"
        assert ids(made) == [0, 2, 3]
        made.show("b.png")
        assert set(np.unique(waited_for(lambda: made.proposal("b.png")).classes)) <= {0, 2, 3}
        made.join_class(2, 3)
        assert made.status()["shown_by"] == "linear"
        waited_for(lambda: made.status()["shown_by"] == "decoder", 120)
        assert ids(made) == [0, 3]


@pytest.mark.slow
def test_from_a_head_of_objects_it_learns_these_and_proposes_what_it_finds(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(behind, "better", lambda *_: "decoder")
    monkeypatch.setattr(behind, "OBJECTS", 2)
    monkeypatch.setattr(teaching, "OF_OBJECTS", 60)
    place = things(tmp_path / "things", "a.png", "b.png")
    encoder = tmp_path / "encoder.safetensors"
    kept = tiny_head("instance", tiny_encoder()).save(tmp_path / "start")
    start = Start.load(kept, "instance", tiny_encoder())
    known: dict[str, Any] = {"task": "instance", "classes": ["thing"], "encoder": str(encoder)}
    with session(place, learns=True, start=start, **known) as made:
        for x, y in ((5, 5), (75, 55)):
            made.draw(on_object("a.png", x, 0, 0, y))
        made.draw(on_object("a.png", 25, 1))
        assert made.status()["decoder"]["objects"] == 2
        made.draw(on_object("a.png", 55, 2))
        waited_for(lambda: made.status()["decoder"]["strokes"], 120)
        assert made.status()["shown_by"] == "decoder"
        made.show("b.png")
        found = waited_for(lambda: made.proposal("b.png"))
        own = made.show("a.png") or waited_for(lambda: made.proposal("a.png"))
        assert {1, 2} <= set(np.unique(own.objects))
        number = made.draw(on_object("b.png", 25, 1))["id"]
        judged = waited_for(lambda: made.project.history.judged)[number]
        assert 0 <= judged.linear <= 1
        made.label_rest()
        job = waited_for(lambda: (now := made.status()["job"])["state"] == "done" and now)
    assert job["head"] == str(place / ".plainmask-label" / HEAD)
    head = Head.load(Path(job["head"]))
    assert head.config.task == "instance"
    alone = Segmenter(tiny_encoder(), {"it": head}, device="cpu", dtype="float32")["it"]
    objects = disjoint(alone(place / "b.png"))
    assert objects.any()
    assert np.array_equal(found.objects > FRESH, objects > 0)
    assert np.array_equal(found.classes > 0, objects > 0)
    with session(place, **known) as again:
        assert waited_for(lambda: again.status()["shown_by"]) == "decoder"
    other = tiny_head("semantic", tiny_encoder()).save(tmp_path / "other")
    start = Start.load(other, "instance", tiny_encoder())
    with session(place, start=start, **known) as again:  # another is wanted than the one there
        assert waited_for(lambda: again.status()["shown_by"]) == "linear"


def test_it_waits_for_objects_to_learn_these_from(folder: Path, tmp_path: Path):
    place = things(tmp_path / "things", "a.png")
    kept = tiny_head("instance", tiny_encoder()).save(tmp_path / "start")
    start = Start.load(kept, "instance", tiny_encoder())
    events: list[dict[str, Any]] = []
    with session(place, events.append, learns=True, start=start, task="instance") as made:
        for x, number in ((5, 0), (25, 1), (55, 2)):
            made.draw(on_object("a.png", x, number, min(1, number)))
        waited_for(lambda: made.status()["shown_by"])
        time.sleep(QUIET + 0.5)
        assert state_of(made) == "ready"
        assert made.status()["decoder"]["borrowed"] == start.config.name
        assert made.status()["decoder"]["objects"] == behind.OBJECTS
    assert not [event for event in events if event["type"] == "problem"]


def test_the_objects_of_its_start_are_there_before_it_has_learnt(folder: Path, tmp_path: Path):
    place = things(tmp_path / "things", "a.png", "b.png")
    kept = tiny_head("instance", tiny_encoder()).save(tmp_path / "start")
    start = Start.load(kept, "instance", tiny_encoder())
    head = Head.load(kept)
    alone = Segmenter(tiny_encoder(), {"it": head}, device="cpu", dtype="float32")["it"]
    finds = disjoint(alone(place / "b.png"))
    with session(place, start=start, task="instance", classes=["thing"]) as made:
        for x, number in ((5, 0), (25, 1)):
            made.draw(on_object("a.png", x, number, min(1, number)))
        assert waited_for(lambda: made.status()["shown_by"]) == "decoder"
        number = made.draw(on_object("b.png", 25, 1))["id"]
        judged = waited_for(lambda: made.project.history.judged)[number]
        assert 0 <= judged.decoder <= 1
        assert judged.shown == "decoder"
        assert made.status()["decoder"]["due"] is None
        made.show("b.png")
        found = waited_for(lambda: made.proposal("b.png"))
        nameless = found.objects > FRESH
        assert (finds[nameless] > 0).all()
        assert set(np.unique(found.classes)) <= {0, 1}
        made.label_rest()
        job = waited_for(lambda: (now := made.status()["job"])["state"] == "done" and now)
    assert job["head"] is None


def test_a_start_that_is_not_there_any_more_is_told_once(folder: Path, tmp_path: Path):
    place = things(tmp_path / "things", "a.png")
    kept = tiny_head("instance", tiny_encoder()).save(tmp_path / "start")
    start = Start.load(kept, "instance", tiny_encoder())
    shutil.rmtree(kept)
    events: list[dict[str, Any]] = []
    with session(place, events.append, learns=True, start=start, task="instance") as made:
        for x, number in ((5, 0), *((x, x) for x in (15, 25, 35, 45, 55))):
            made.draw(on_object("a.png", x, number, min(1, number)))
        waited_for(lambda: state_of(made) == "off", 60)
    told = [event["message"] for event in events if event["type"] == "problem"]
    assert len(told) == 1
    assert "config.json is missing" in told[0]


def test_a_failure_is_told_and_not_tried_again(folder: Path):
    events: list[dict[str, Any]] = []
    with session(folder, events.append, learns=True, encoder="nonsense") as made:
        drawn(made)
        waited_for(lambda: state_of(made) == "off", 60)
        assert "nonsense" in made.status()["decoder"]["problem"]
    told = [event["message"] for event in events if event["type"] == "problem"]
    assert len(told) == 1
    assert told[0].startswith("no decoder was learnt: ")


def test_a_folder_that_takes_nothing_is_told_once(folder: Path):
    events: list[dict[str, Any]] = []
    with session(folder, events.append, learns=True) as made:
        (folder / ".plainmask-label" / behind.FOLDER).write_text("in the way")
        drawn(made)
        waited_for(lambda: state_of(made) == "off", 60)
    told = [event["message"] for event in events if event["type"] == "problem"]
    assert len(told) == 1
    assert "cannot be written" in told[0]


def test_none_learns_where_none_is_to(folder: Path):
    with session(folder) as made:
        drawn(made)
        assert state_of(made) == "off"


def test_it_learns_from_pictures_with_labels_and_others_evenly():
    names = [str(number) for number in range(1000)]
    found = lesson_of(names, {"7", "500"})
    assert found[:2] == ["7", "500"]
    assert len(found) == len(set(found)) == PICTURES
    assert found[-1] > "9"
    assert lesson_of(names[:3], {"1"}) == ["1", "0", "2"]
    assert lesson_of(names, set(names)) == names[-PICTURES:]
