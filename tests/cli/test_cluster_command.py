"""`plainmask cluster`: what it says, what it leaves behind, and that it goes on after anything."""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmarks import cluster_kills

from commands import Run, Workspace, wait_until
from rows import alone, contents, photographs, table, tiny_heads, written

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra cluster is missing")
ON_CPU = ("--device", "cpu", "--part", 4)


def ray_processes(*, of: int | None = None) -> list[str]:
    """The processes of Rays, or of the one that a process began."""
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True)
    return [
        line
        for line in listed.stdout.splitlines()
        if "/ray/session_" in line and (of is None or f"_{of}/" in line)
    ]


@pytest.mark.slow
@needs_ray
def test_a_folder_becomes_rows_and_the_same_command_does_what_is_missing(run: Run, work: Workspace):
    folder, heads = photographs(work.folder / "in", 9, broken=[2]), tiny_heads(work.folder)
    both = ("cluster", "in", "--heads", "first,second", "--out", "out", *ON_CPU)
    code, out, err = run(*both, "--max-failures", 0.5)
    assert code == 1
    assert out.startswith("9 of 9 pictures, 2 heads\n9 pictures, ")
    assert out.endswith("rows in out\n")
    assert err.splitlines()[-1] == "error: 1 of 9 pictures failed; their rows say why"
    alone(heads, folder, work.folder / "one")
    assert contents(work.folder / "out") == contents(work.folder / "one")
    assert run(*both) == (0, "all of 9 pictures are done, in out\n", "")
    work.picture("in/002.png")
    code, out, _ = run(*both, "--retry-failed")
    assert (code, out.splitlines()[0]) == (0, "4 of 9 pictures, 2 heads")
    assert [row["error"] for row in written(work.folder / "out")] == [None] * 18
    assert ray_processes(of=os.getpid()) == []


@pytest.mark.slow
@needs_ray
def test_too_many_failures_stop_the_command_and_say_one_reason(run: Run, work: Workspace):
    photographs(work.folder / "in", 4, broken=[0, 1])
    tiny_heads(work.folder)
    code, _, err = run("cluster", "in", "--head", "first", *ON_CPU)
    assert code == 1
    assert "error: 2 of 4 pictures failed, more than --max-failures 0.1 allows; one of the " in err
    assert "this is not a picture that can be read" in err
    assert len(written(work.folder / "out")) == 4


@pytest.mark.slow
@needs_ray
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_whole_files_and_no_process(number: signal.Signals, work: Workspace):
    heads = tiny_heads(work.folder)
    folder = photographs(work.folder / "in", 400)
    call = ["cluster", "in", "--heads", ",".join(heads), "--part", "2", "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-m", "plainmask", *call],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        rows = work.folder / "out/rows"
        wait_until(lambda: rows.is_dir() and len([*rows.glob("*.parquet")]) > 2, command, 120)
        command.send_signal(number)
        _, err = command.communicate(timeout=60)
    assert command.returncode == 128 + number, err
    last = err.splitlines()[-1]  # how far it is may have been told before
    assert last.startswith("stopped: "), err
    assert last.endswith("of 400 pictures are done, in out; the same command goes on")
    assert "Traceback" not in err
    deadline = time.monotonic() + 10
    while ray_processes(of=command.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ray_processes(of=command.pid) == []
    alone(heads, folder, work.folder / "out", 2)
    assert len(written(work.folder / "out")) == 800


@pytest.mark.slow
@needs_ray
def test_rows_are_written_once_whoever_is_killed(tmp_path: Path):
    pictures = cluster_kills.make_pictures(tmp_path / "in", 160)
    heads, part = cluster_kills.make_heads(tmp_path), 2  # so small that none ends before its kill
    cluster_kills.alone(pictures, heads, tmp_path / "single", part)
    killed = cluster_kills.kill_at_random(
        pictures, heads, tmp_path / "many", kills=2, seed=0, part_size=part, longest=0
    )
    assert (killed["driver"], killed["worker"]) == (1, 1)
    found = cluster_kills.compare(tmp_path / "many", tmp_path / "single", 160, len(heads))
    assert found["rows"] == found["expected"] == 320
    assert found["doubles"] == 0
    assert found["byte for byte the same"]


def test_a_head_of_another_encoder_is_refused_before_anything_starts(run: Run, work: Workspace):
    photographs(work.folder / "in", 1)
    tiny_heads(work.folder)
    other = work.folder / "other"
    (work.folder / "second").rename(other)
    config = other / "config.json"
    text = config.read_text()
    start = text.index('"fingerprint"')
    config.write_text(text[:start] + text[start:].replace(text[start + 16 : start + 20], "0000", 1))
    code, out, err = run("cluster", "in", "--heads", f"first,{other}", *ON_CPU)
    assert (code, out) == (2, "")
    assert "the head 'tiny-instance' was trained on" in err
    assert not (work.folder / "out").exists()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"path": ["a"]}, "has no column 'id'"),
        ({"id": [1, 1], "path": ["a", "b"]}, "1 id of several"),
    ],
)
def test_a_manifest_without_ids_or_with_doubles_is_refused(
    columns: dict[str, list[str]], said: str, run: Run, work: Workspace
):
    table(work.folder / "list.parquet", **columns)
    code, _, err = run("cluster", "list.parquet")
    assert code == 2
    assert said in err


def test_a_store_that_cannot_be_written_is_told_before_anything_starts(run: Run, work: Workspace):
    photographs(work.folder / "in", 1)
    tiny_heads(work.folder)
    (work.folder / "file").touch()
    code, out, err = run("cluster", "in", "--head", "first", "--out", "file/rows")
    assert (code, out) == (2, "")
    assert "cannot be written" in err


def test_a_missing_package_is_named_with_how_to_get_it(
    run: Run, work: Workspace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(sys.modules, "plainmask.cluster.run", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delattr("plainmask.cluster.run", raising=False)
    code, _, err = run("cluster", "in")
    assert (code, err) == (
        2,
        "error: cluster needs the package ray; pip install 'plainmask[cluster]'\n",
    )
