"""The journal: what was written is there, whatever happens; what is torn at the end is dropped."""

import os
from pathlib import Path
from typing import Any

import pytest

from plainmask.errors import InputError
from plainmask.label.journal import Entry, History, Journal
from plainmask.label.stroke import Join, Stroke


def dot(x: float = 1) -> Stroke:
    return Stroke.read(
        {"picture": "a.png", "kind": "brush", "points": [[x, 2]], "radius": 2, "class": 0}
    )


def draw(journal: Journal, x: float = 1) -> int:
    return add(journal, dot(x))


def add(journal: Journal, stroke: Stroke) -> int:
    entry = Entry(id=journal.next_id, do="stroke", stroke=stroke, size=(40, 60))
    return journal.append(entry).id


def say(journal: Journal, do: str, of: int) -> None:
    journal.append(Entry.model_validate({"id": journal.next_id, "do": do, "of": of}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "project" / "journal.jsonl"


def test_what_was_done_is_there_again(path: Path):
    journal = Journal.open(path)
    for x in (1, 2, 3):
        draw(journal, x)
    say(journal, "undo", 3)
    say(journal, "undo", 2)
    say(journal, "redo", 2)
    journal.append(Entry(id=7, do="predicted", of=1, right=0.5), wait=False)
    journal.close()
    again = Journal.open(path)
    assert again.history.applied == [1, 2]
    assert again.history.undone == [3]
    assert again.history.predicted == {1: 0.5}
    assert [stroke.points for _, stroke in again.history.of_picture("a.png")] == [
        ((1, 2),),
        ((2, 2),),
    ]
    assert again.history.pictures() == {"a.png": (40, 60)}
    assert again.next_id == 8
    again.close()


def test_how_both_heads_did_is_there_again(path: Path):
    """Where objects are told apart the linear head is measured otherwise than was predicted."""
    journal = Journal.open(path)
    for x in (1, 2, 3):
        draw(journal, x)
    said: list[dict[str, Any]] = [
        {"do": "predicted", "of": 1, "right": 0.5},
        {"do": "judged", "of": 1, "right": 0.25, "shown": "linear"},
        {"do": "judged", "of": 2, "right": 0.75, "linear": 0.0, "shown": "decoder"},
        {"do": "judged", "of": 3, "right": 0.75, "shown": "decoder"},  # of it nothing is known
    ]
    for entry in said:
        journal.append(Entry.model_validate({"id": journal.next_id} | entry), wait=False)
    journal.close()
    again = Journal.open(path)
    assert again.history.judged == {1: (0.5, 0.25, "linear"), 2: (0.0, 0.75, "decoder")}
    again.close()


def test_objects_are_counted_by_strokes(path: Path):
    journal = Journal.open(path)
    one: dict[str, Any] = {"kind": "brush", "class": 1, "points": [[1, 2]], "radius": 3}
    accepted = {"kind": "accept", "points": [[0, 0]], "mask": "", "objects": [[7, 1], [0, 0]]}
    for more in ({"object": 1}, {"object": 1}, {"object": 2}, {"object": 0, "class": 0}):
        add(journal, Stroke.read(one | more | {"picture": "a.png"}))
    add(journal, Stroke.read(one | {"object": 1, "picture": "b.png"}))
    add(journal, Stroke.read(accepted | {"picture": "b.png"}))
    assert journal.history.count_objects() == 4
    say(journal, "undo", journal.history.applied[-1])
    assert journal.history.count_objects() == 3
    journal.close()


def test_joins_are_there_again_and_taken_back(path: Path):
    journal = Journal.open(path)
    draw(journal)
    for join in (Join(0, 1), Join(1, 2), Join(3, None)):
        journal.append(Entry(id=journal.next_id, do="join", join=join))
    journal.close()
    again = Journal.open(path)
    history = again.history
    assert history.applied == [1, 2, 3, 4]
    assert [history.now(class_id) for class_id in range(4)] == [2, 2, 2, None]
    assert [join for _, join in history.of_picture("a.png")][1:] == [(0, 1), (1, 2), (3, None)]
    assert history.pictures() == {"a.png": (40, 60)}
    assert history.may_have("a.png", [2])
    assert not history.may_have("a.png", [0, 1])
    say(again, "undo", 4)
    say(again, "undo", 3)
    assert [history.now(class_id) for class_id in range(4)] == [1, 1, 2, 3]
    say(again, "redo", 3)
    assert history.gone == {0: 1, 1: 2}
    again.close()


def test_entries_are_found_by_their_keys_again(path: Path):
    journal = Journal.open(path)
    journal.append(Entry(id=1, do="stroke", stroke=dot(), size=(40, 60), key="one"))
    draw(journal)
    journal.append(Entry(id=3, do="undo", of=2, key="two"))
    journal.close()
    again = Journal.open(path)
    assert {key: entry.id for key, entry in again.history.by_key.items()} == {"one": 1, "two": 3}
    again.close()


def test_a_new_stroke_ends_what_could_be_done_again(path: Path):
    journal = Journal.open(path)
    draw(journal)
    say(journal, "undo", 1)
    draw(journal)
    assert journal.history.undone == []
    journal.close()


def test_a_torn_end_is_dropped_wherever_it_is_torn(path: Path):
    journal = Journal.open(path)
    draw(journal)
    draw(journal)
    journal.close()
    content = path.read_bytes()
    first = content.index(b"\n") + 1
    for length in range(first, len(content)):
        path.write_bytes(content[:length])
        again = Journal.open(path)
        assert again.history.applied == [1]
        assert draw(again, 5) == 2
        again.close()
        assert path.read_bytes().startswith(content[:first])
        assert path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("tail", [b"\0\0\0", b"\0\n\0\n", b"{}\n", b'{"id": 5, "do": "undo"}\n'])
def test_what_is_no_entry_at_the_end_is_dropped(path: Path, tail: bytes):
    journal = Journal.open(path)
    draw(journal)
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content + tail)
    journal = Journal.open(path)
    assert journal.history.applied == [1]
    journal.close()
    assert path.read_bytes() == content


def test_damage_before_something_whole_is_told(path: Path):
    journal = Journal.open(path)
    for _ in range(3):
        draw(journal)
    journal.close()
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], lines[1][:-4], *lines[2:]]))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"journal.jsonl, line 2, is damaged"):
        Journal.open(path)
    assert path.read_bytes() == before


def test_two_programs_cannot_write_one_journal(path: Path):
    journal = Journal.open(path)
    with pytest.raises(InputError, match="is open in another program"):
        Journal.open(path)
    journal.close()
    Journal.open(path).close()


def test_a_full_disk_leaves_the_journal_as_it_was():
    """/dev/full takes nothing, as a disk without room."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    journal = Journal(Path("/dev/full"), os.open("/dev/full", os.O_WRONLY), History(), 0, 0)
    with pytest.raises(InputError, match="/dev/full cannot be written: No space left"):
        draw(journal)
    assert journal.history.applied == []
    assert journal.next_id == 1
    journal.close()


def test_where_nothing_may_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Journal.open(tmp_path / "file" / "journal.jsonl")
