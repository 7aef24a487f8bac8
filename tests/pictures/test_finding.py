"""Which pictures files, folders and globs mean."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from datasets import picture
from plainmask.pictures.finding import find_images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_and_globs(folder: Path):
    for name in ("in/b.png", "in/a.jpg", "in/deep/c.png", "in/.hidden.png", "other/d.png"):
        picture(folder / name)
    picture(folder / "in/a.overlay.png")  # the result of an earlier run
    (folder / "in/readme.txt").write_text("")
    (folder / "empty").mkdir()
    found, problems = find_images(["in", "in/a.jpg", "o*/*.png", "empty", "*.tif"])
    assert [path.as_posix() for path in found] == ["in/a.jpg", "in/b.png", "other/d.png"]
    assert problems == {
        "empty": "there is no picture in this folder",
        "*.tif": "no picture matches this",
    }


@pytest.mark.parametrize("locked", ["in", "in/a.png"])
def test_what_may_not_be_read_fails_alone(folder: Path, locked: str):
    """In a process of another user, as root may read everything."""
    picture(folder / "in/a.png")
    picture(folder / "good.png")
    (folder / "in").chmod(0)
    program = (
        "import sys; from plainmask.pictures.finding import find_images; "
        "print(find_images(sys.argv[1:]))"
    )
    other = ["unshare", "-U", "--map-user=12345", "--map-group=12345"] if os.getuid() == 0 else []
    try:
        done = subprocess.run(
            [*other, sys.executable, "-c", program, locked, "good.png"],
            capture_output=True,
            text=True,
            cwd=folder,
        )
    finally:
        (folder / "in").chmod(0o755)
    if other and "unshare" in done.stderr:
        pytest.skip("this system lets nobody be another user")
    assert "PosixPath('good.png')" in done.stdout, done.stderr
    assert f"'{locked}': 'this may not be read; check its permissions'" in done.stdout
