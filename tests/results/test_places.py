"""Where results go."""

from pathlib import Path

import pytest

from plainmask.errors import InputError
from plainmask.results.places import check_writable, output_places


@pytest.mark.parametrize(
    ("paths", "places"),
    [
        (["a/x.jpg", "b/y.jpg"], ["out/x", "out/y"]),
        (["a/x.jpg", "b/x.jpg"], ["out/a/x", "out/b/x"]),
        (["a/x.jpg", "b/X.jpg", "a/y.jpg"], ["out/a/x", "out/b/X", "out/a/y"]),
        (["a/x.jpg", "a/x.png"], ["out/x.jpg", "out/x.png"]),
        (["x.jpg", "a/x.jpg"], ["out/x", "out/a/x"]),
    ],
)
def test_no_two_results_share_a_place(paths: list[str], places: list[str]):
    found = output_places([Path(path) for path in paths], Path("out"))
    assert [(folder / stem).as_posix() for folder, stem in found] == places


def test_a_folder_that_takes_no_files(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"the output folder .*file cannot be written: .*--out"):
        check_writable(tmp_path / "file")


def test_looking_whether_a_folder_can_be_written_leaves_nothing(tmp_path: Path):
    (tmp_path / "there").mkdir()
    for folder in ("made/anew", "there", "there/new"):
        check_writable(tmp_path / folder)
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]
