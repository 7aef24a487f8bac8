"""Labelling as a command: it prints where it is, ends by SIGTERM, and says what it cannot use."""

import os
import re
import signal
import socket
import subprocess
import sys
from typing import Any, NamedTuple

import httpx
import pytest

from commands import Run, Workspace
from plainmask.data.check import check_dataset
from tiny import tiny_encoder, tiny_head
from videos import pictures, write_video


def arguments(work: Workspace, source: str = "in") -> list[str]:
    return ["label", source, "--encoder", str(work.encoder), "--no-browser", "--port", "0"]


class Walk(NamedTuple):
    """What was seen of one call of the command."""

    line: str
    """The first that it printed."""
    said: str
    """On stderr."""
    project: dict[str, Any]
    """What a page gets, before it was ended."""


def labelled(work: Workspace, strokes: int, *more: str, known: int = 2, source: str = "in") -> Walk:
    """Start it, draw so many strokes, so that as many are known, and end it."""
    command = [sys.executable, "-m", "plainmask", *arguments(work, source), *more]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(2)]
        with httpx.Client(base_url=lines[1].split()[0]) as client:
            client.headers["x-writer"] = client.post("/api/writer").json()["writer"]
            first = client.get("/api/project").json()["pictures"][0]["name"]
            for number in range(strokes):
                stroke = {"kind": "brush", "class": number % 2, "points": [[9 * number, 9]]}
                path = f"/api/pictures/{first}/strokes"
                assert client.post(path, json=stroke | {"radius": 4}).status_code == 200
            found = client.get("/api/project").json()
            assert found["status"]["strokes"] == known
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=60)
    assert server.returncode in (0, 143, -signal.SIGTERM)
    assert "Traceback" not in said
    return Walk(lines[0], said, found)


@pytest.mark.slow
def test_it_goes_on_where_it_was_ended(work: Workspace):
    work.picture("in/a.png")
    work.picture("in/b.png")
    assert labelled(work, 2, "--classes", "cat, dog").line.startswith(
        "2 pictures, 2 classes, encoder "
    )
    assert "2 pictures, 2 classes" in labelled(work, 0).line
    assert check_dataset(work.folder / "in" / ".plainmask-label").all_problems == []


@pytest.mark.slow
def test_a_video_goes_on_where_it_was_ended(work: Workspace):
    write_video(work.folder / "street.mp4", pictures(12))
    options: dict[str, Any] = {"known": 2, "source": "street.mp4"}
    told = labelled(work, 2, "--classes", "cat,dog", "--every", "4", **options).line
    assert told.startswith("3 pictures, 2 classes, encoder ")
    assert told.endswith("everything is kept in street.plainmask-label\n")
    assert labelled(work, 0, **options).line == told
    assert check_dataset(work.folder / "street.plainmask-label").all_problems == []


def test_a_video_that_cannot_be_read(work: Workspace, run: Run):
    (work.folder / "street.mp4").write_bytes(b"")
    found = run(*arguments(work, "street.mp4"))
    assert found.code == 2
    assert found.err == "error: street.mp4 is empty; get or export it again\n"
    assert not (work.folder / "street.plainmask-label").exists()


def test_every_is_for_videos(work: Workspace, run: Run):
    work.picture("in/a.png")
    found = run(*arguments(work), "--every", "2")
    assert found.code == 2
    assert found.err == "error: --every chooses frames of a video, and in is none; leave it out\n"
    assert not (work.folder / "in" / ".plainmask-label").exists()


def test_heads_to_begin_from_that_cannot_be(work: Workspace, run: Run):
    work.picture("in/a.png")
    found = run(*arguments(work), "--head", str(work.head), "--no-decoder")
    assert found.code == 2
    assert found.err == (
        "error: --head is what a decoder begins from; leave it or --no-decoder out\n"
    )
    found = run(*arguments(work), "--head", "nuclei-instance", "--task", "instance")
    assert found.code == 2
    assert "the head 'nuclei-instance' is for the encoder dinov2-small, and this" in found.err
    assert "Traceback" not in found.err
    found = run(*arguments(work), "--head", "nothing-of-that-name", "--task", "instance")
    assert found.code == 2
    assert "there is no head 'nothing-of-that-name'" in found.err
    assert not (work.folder / "in" / ".plainmask-label").exists()


@pytest.mark.slow
def test_the_head_to_begin_from_is_kept(work: Workspace):
    work.picture("in/a.png")
    head = tiny_head("instance", tiny_encoder()).save(work.folder / "start")

    def begins_from(*more: str) -> tuple[str | None, str]:
        walk = labelled(work, 0, *more, known=0)
        return walk.project["status"]["decoder"]["borrowed"], walk.said

    begun = begins_from("--task", "instance", "--head", "start")
    assert begun == ("tiny-instance", "")
    assert begins_from() == begun
    assert begins_from("--no-decoder")[0] is None
    head.rename(work.folder / "elsewhere")
    by, said = begins_from()
    assert by is None
    assert f"going on without --head: there is no head '{head.resolve()}'" in said
    assert begins_from("--head", "elsewhere") == begun
    assert begins_from() == begun


def test_a_port_that_is_taken(work: Workspace, run: Run):
    work.picture("in/a.png")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = run(*arguments(work)[:-1], port)
    assert found.code == 2
    assert re.search(rf"port {port} of 127.0.0.1 cannot be used", found.err)
    assert not (work.folder / "in" / ".plainmask-label").exists()


def test_a_folder_that_is_not_there(work: Workspace, run: Run):
    found = run(*arguments(work))
    assert found.code == 2
    assert found.err == (
        "error: in is no folder; give the folder that holds the pictures, or a video\n"
    )


def test_a_folder_without_pictures(work: Workspace, run: Run):
    (work.folder / "in").mkdir()
    found = run(*arguments(work))
    assert found.code == 2
    assert found.err == "error: in: there is no picture in this folder; put some there\n"


def test_a_task_that_cannot_be_labelled(work: Workspace, run: Run):
    work.picture("in/a.png")
    found = run(*arguments(work), "--task", "panoptic")
    assert found.code == 2
    assert found.err.startswith("error: 'panoptic' cannot be labelled")
    assert not (work.folder / "in" / ".plainmask-label").exists()


def test_a_project_of_another_encoder(work: Workspace, run: Run):
    work.picture("in/a.png")
    place = work.folder / "in" / ".plainmask-label"
    place.mkdir()
    (place / "project.json").write_text('{"encoder": "dinov2-small", "fingerprint": "abc"}')
    found = run(*arguments(work))
    assert found.code == 2
    assert "was begun with the encoder dinov2-small" in found.err
    assert len(found.err.splitlines()) == 1


@pytest.mark.slow
def test_a_project_goes_on_with_its_task(work: Workspace, run: Run):
    work.picture("in/a.png")
    begun = labelled(work, 0, "--task", "instance", "--classes", "cat,dog", known=0)
    assert "3 classes" in begun.line
    assert "3 classes" in labelled(work, 0, known=0).line
    found = run(*arguments(work), "--task", "semantic")
    assert found.code == 2
    assert "was begun with --task instance, not semantic" in found.err
    assert len(found.err.splitlines()) == 1


def test_a_project_that_cannot_be_written(work: Workspace, run: Run):
    work.picture("in/a.png")
    (work.folder / "file").write_text("")
    found = run(*arguments(work), "--project", "file/project")
    assert found.code == 2
    assert "file/project/journal.jsonl cannot be written" in found.err
