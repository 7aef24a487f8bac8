"""The workspace of each test, and the command line run in this process."""

from pathlib import Path

import pytest

from commands import Outcome, Run, Workspace
from plainmask.cli import main
from tiny import save_tiny_encoder, tiny_encoder, tiny_head


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace, as the current folder."""
    monkeypatch.chdir(tmp_path)
    head = tiny_head("semantic", tiny_encoder()).save(tmp_path / "head")
    return Workspace(tmp_path, save_tiny_encoder(tmp_path), head)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process, as `plainmask ARGUMENTS` would."""
    monkeypatch.setenv("COLUMNS", "200")
    # The commands own their process and tune its allocator; the tests' process is not theirs.
    monkeypatch.setattr("plainmask.allocator.keep_freed_memory", lambda: None)

    def run_main(*arguments: object) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        code = end.value.code or 0
        assert isinstance(code, int)
        return Outcome(code, out, err)

    return run_main
