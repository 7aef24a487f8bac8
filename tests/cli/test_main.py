"""The program as a whole, started as a person would start it."""

import io
import json
import os
import subprocess
import sys
import warnings

import pytest

import plainmask
from commands import Run, Workspace
from plainmask.cli import console

COMMANDS = [
    ["segment"],
    ["track"],
    ["train"],
    ["eval"],
    ["heads"],
    ["heads", "list"],
    ["heads", "show"],
    ["data"],
    ["data", "check"],
    ["data", "convert"],
    ["doctor"],
    [],
]


def start(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_help_comes_without_torch():
    done = start(
        "-c",
        "import sys, time; began = time.perf_counter()\n"
        "from plainmask.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(time.perf_counter() - began)\n"
        "assert not {'torch', 'numpy', 'pydantic', 'PIL'} & sys.modules.keys()",
    )
    assert done.returncode == 0, done.stderr
    assert "segment" in done.stdout
    assert float(done.stdout.splitlines()[-1]) < 1


def test_importing_is_quick():
    done = start("-c", "import time; t = time.time(); import plainmask; print(time.time() - t)")
    assert float(done.stdout) < 2


def test_the_module_runs_and_reports_by_exit_code(work: Workspace):
    photo, text = work.picture("photo.png"), work.folder / "text.png"
    text.write_text("not a picture")
    done = start("-m", "plainmask", "segment", photo, text, *work.model, "--json")
    assert done.returncode == 1
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["segments"]
    assert "not a picture" in second["error"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_shows_an_example(run: Run, command: list[str]):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "Example:  plainmask" in out
    assert "<bool>" not in out  # flags take no value
    assert run(*command, "-h") == (0, out, "")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("plainmask tra", ["track", "train"]),
        ("plainmask data c", ["check", "convert"]),
        ("plainmask train --res", ["--resume"]),
        ("plainmask eval --proc", ["--processes"]),
    ],
)
def test_shells_complete_all_commands(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: str, completed: list[str]
):
    monkeypatch.setenv("_PLAINMASK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    code, out, err = run()
    assert (code, out.split(), err) == (0, completed, "")


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("segment",), ("segment", "a.png", "--nonsense"), ()]
)
def test_wrong_usage_has_exit_code_2(run: Run, arguments: tuple[str, ...]):
    code, _, _ = run(*arguments)
    assert code == 2


def test_version(run: Run):
    assert run("--version") == (0, f"plainmask {plainmask.__version__}\n", "")


def test_warnings_are_one_line(run: Run, monkeypatch: pytest.MonkeyPatch):
    def warning_heads() -> dict[str, object]:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("mind the gap", stacklevel=1)
        return {}

    monkeypatch.setattr("plainmask.heads.head.shipped_heads", warning_heads)
    code, _, err = run("heads")
    assert (code, err) == (0, "warning: mind the gap\n")


def printed_to(encoding: str, text: str) -> str:
    """What a stream of an encoding gets."""
    buffer = io.BytesIO()
    stream = console.Patient(io.TextIOWrapper(buffer, encoding))
    stream.write(text)
    stream.flush()
    return buffer.getvalue().decode(encoding)


def test_what_an_encoding_lacks_is_written_otherwise():
    assert printed_to("cp1252", "é 日.jpg") == "é \\u65e5.jpg"
    assert printed_to("utf-8", "é 日.jpg") == "é 日.jpg"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_pipe_of_a_narrow_encoding_stops_nothing(work: Workspace, encoding: str):
    pictures = [work.picture(name) for name in ("a.png", "日本語.png", "z.png")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "plainmask", "segment", *pictures, *work.model]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"\u65e5\u672c\u8a9e.png" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")  # noqa: PTH110
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_behind_stdout_stops_nothing_and_is_told(
    work: Workspace, options: tuple[str, ...]
):
    pictures = [work.picture("a.png"), work.picture("b.png")]
    command = [sys.executable, "-m", "plainmask", "segment", *pictures, *work.model, *options]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: not all could be printed (No space left on device); files are complete\n"
    )
    assert len(list((work.folder / "out").iterdir())) == 6


def test_a_reader_that_goes_stops_nothing(work: Workspace):
    pictures = [work.picture("a.png"), work.picture("b.png")]
    command = [sys.executable, "-m", "plainmask", "segment", *pictures, *work.model, "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((work.folder / "out").iterdir())) == 6


def test_without_a_console_all_is_done(work: Workspace, monkeypatch: pytest.MonkeyPatch):
    """As in a service, or with pythonw."""
    from plainmask.cli import main

    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as end:
        main(["segment", str(work.picture("a.png")), *work.model])
    assert end.value.code == 0
    assert len(list((work.folder / "out").iterdir())) == 3
