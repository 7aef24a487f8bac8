"""The decoder behind the linear head: it learns, is judged, takes over, and is there again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelling import dot, fields, session, waited_for
from plainmask.heads.head import Head
from plainmask.inference.segmenter import Segmenter
from plainmask.label import behind, teaching
from plainmask.label.behind import PICTURES, lesson_of
from plainmask.label.mind import HEAD
from plainmask.label.proposing import Proposal
from plainmask.label.session import Session
from tiny import save_tiny_encoder, tiny_encoder


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
        right, shown = judged[number]
        assert 0 <= right <= 1
        assert shown == "linear"
    with at_work(folder) as made:
        assert state_of(made) == "ready"
        assert made.project.history.judged == {number: (right, shown)}


@pytest.mark.slow
def test_it_takes_over_what_is_proposed_and_what_labels_the_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(behind, "better", lambda _: "decoder")
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
def test_one_that_knows_a_class_that_is_gone_gives_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(behind, "better", lambda _: "decoder")

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
