from pathlib import Path

import pytest

from plainmask.data.files import (
    file_problem,
    find_file,
    find_folder,
    natural_key,
    pictures_by_stem,
    refuse,
    subfolders,
)
from plainmask.errors import InputError


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_natural_order():
    names = ["10", "a2", "2", "a10", "a", "1b", "a02x"]
    assert sorted(names, key=natural_key) == ["1b", "2", "10", "a", "a2", "a02x", "a10"]
    assert natural_key("img_007") == natural_key("img_7") != natural_key("img_70")


def test_pictures_and_folders(tmp_path: Path):
    for name in ("b.JPG", "a.png", "a.jpg", "._a.png", "notes.txt", "v10/x", "v9/x", ".git/x"):
        touch(tmp_path / name)
    found = pictures_by_stem(tmp_path)
    assert {stem: [path.name for path in paths] for stem, paths in found.items()} == {
        "a": ["a.jpg", "a.png"],
        "b": ["b.JPG"],
    }
    assert [path.name for path in subfolders(tmp_path)] == ["v9", "v10"]
    assert pictures_by_stem(tmp_path / "nowhere") == {}
    assert subfolders(tmp_path / "nowhere") == []


def test_file_problems(tmp_path: Path):
    assert file_problem(touch(tmp_path / "a")) is None
    assert "the file is empty" in str(file_problem(touch(tmp_path / "b", b"")))
    assert "there is no file" in str(file_problem(tmp_path / "c"))


def test_problems_come_in_one_error():
    refuse(Path("set"), "all is well", [])
    with pytest.raises(InputError) as refusal:
        refuse(Path("set"), "numbers are even", [f"{n} is odd" for n in range(1, 31, 2)])
    lines = str(refusal.value).splitlines()
    assert lines[:2] == ["set: numbers are even:", "  1 is odd"]
    assert lines[-1] == "  and 5 more"
    assert len(lines) == 12


class TestFinding:
    def test_the_first_that_is_there(self, tmp_path: Path):
        touch(tmp_path / "b" / "x.json")
        touch(tmp_path / "c" / "x.json")
        places = ["a/x.json", "b/x.json", "c/x.json"]
        assert find_file(tmp_path, places, "annotations") == tmp_path / "b" / "x.json"
        assert find_folder(tmp_path, ["a", "c", "b"], ["x.json"], "files") == tmp_path / "c"

    def test_a_folder_is_found_by_any_of_its_files(self, tmp_path: Path):
        touch(tmp_path / "a" / "notes.txt")
        touch(tmp_path / "b" / "999.jpg")
        names = [f"{number}.jpg" for number in range(1000)]
        touch(tmp_path / "b" / names[51])
        assert find_folder(tmp_path, ["a", "b"], names, "pictures") == tmp_path / "b"

    def test_what_is_not_there(self, tmp_path: Path):
        touch(tmp_path / "a" / "y.json")
        with pytest.raises(
            InputError, match=r"no annotations, looked for as a/x.json; .*a/y\.json"
        ):
            find_file(tmp_path, ["a/x.json"], "annotations")
        with pytest.raises(InputError, match="no such JSON file at all"):
            find_file(tmp_path, ["b/x.json"], "annotations")
        with pytest.raises(InputError, match="nowhere is expected to be the folder of a data set"):
            find_file(tmp_path / "nowhere", ["x.json"], "annotations")
        with pytest.raises(InputError, match=r"no folder of pictures with files such as 1\.jpg"):
            find_folder(tmp_path, ["a"], ["1.jpg"], "pictures")
