import io
import json
import os
import pickle
import zipfile
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.errors import InputError
from plainmask.pictures.archive import entries, file_size, is_file, is_folder, open_file
from plainmask.pictures.images import image_size, read_image, read_label


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def read(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.zip"
    members = {"x/1.txt": b"one", "x/y/2.txt": b"two", "x/z/": b"", "3.txt": b""}
    path.write_bytes(zipped(members))
    return path


class TestMembers:
    def test_like_files_in_folders(self, archive: Path):
        with zipfile.ZipFile(archive) as file:
            file.extractall(archive.parent / "plain")
        for root in (archive / "x", archive.parent / "plain/x"):
            assert is_file(root / "1.txt")
            assert not is_file(root / "y")
            assert not is_file(root / "4.txt")
            assert is_folder(root / "y")
            assert not is_folder(root / "1.txt")
            assert read(root / "y/2.txt") == b"two"
            assert file_size(root / "y/2.txt") == 3
            assert entries(root)[:2] == [root / "1.txt", root / "y"]
            assert entries(root / "nowhere") == []
            for call in (file_size, open_file):
                with pytest.raises(FileNotFoundError):
                    call(root / "4.txt")

    def test_an_archive_that_changes_is_read_anew(self, archive: Path):
        assert read(archive / "x/1.txt") == b"one"
        archive.write_bytes(zipped({"x/1.txt": b"another"}))
        assert read(archive / "x/1.txt") == b"another"

    def test_a_folder_may_be_called_like_an_archive(self, tmp_path: Path):
        (tmp_path / "b.zip").mkdir()
        (tmp_path / "b.zip/1.txt").write_bytes(b"one")
        assert read(tmp_path / "b.zip/1.txt") == b"one"

    @pytest.mark.parametrize("outer", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_archives_in_archives(self, tmp_path: Path, outer: int):
        deep = zipped({"d/3.txt": b"three"}, zipfile.ZIP_DEFLATED)
        inner = zipped({"b/1.txt": b"one" * 999, "b/2.txt": b"two", "c.zip": deep})
        path = tmp_path / "a.zip"
        path.write_bytes(zipped({"x/in.zip": inner, "x/other.txt": b"?"}, outer))
        assert [entry.name for entry in entries(path / "x/in.zip/b")] == ["1.txt", "2.txt"]
        assert read(path / "x/in.zip/b/1.txt") == b"one" * 999
        assert read(path / "x/in.zip/b/2.txt") == b"two"
        assert read(path / "x/in.zip/c.zip/d/3.txt") == b"three"


def test_pictures(tmp_path: Path):
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "png")
    (tmp_path / "a.zip").write_bytes(zipped({"l.png": file.getvalue(), "bad.png": b"no"}))
    path = tmp_path / "a.zip/l.png"
    assert image_size(path) == (2, 3)
    np.testing.assert_array_equal(read_label(path), values)
    assert read_image(path).shape == (2, 3, 3)
    with pytest.raises(InputError, match=r"a\.zip.m\.png: there is no such file"):
        read_image(tmp_path / "a.zip/m.png")
    with pytest.raises(InputError, match=r"a\.zip.bad\.png: this is not a picture"):
        read_image(tmp_path / "a.zip/bad.png")


def _read_many(paths: list[Path]) -> list[bytes]:
    return [read(path) for path in paths]


def test_forked_processes_do_not_share_their_place(tmp_path: Path):
    contents = {f"{number}.txt": os.urandom(20_000) for number in range(30)}
    (tmp_path / "a.zip").write_bytes(zipped(contents))
    paths = [tmp_path / "a.zip" / name for name in contents]
    assert _read_many(paths) == list(contents.values())  # open here, before they are forked
    with get_context("fork").Pool(3) as pool:
        for found in pool.map(_read_many, [pickle.loads(pickle.dumps(paths))] * 12):
            assert found == list(contents.values())


class TestDamage:
    @pytest.mark.parametrize("kept", [0.6, 0.0])
    def test_an_archive_that_is_cut_off(self, archive: Path, kept: float):
        content = archive.read_bytes()
        archive.write_bytes(content[: int(len(content) * kept)])
        with pytest.raises(InputError, match=r"a\.zip is damaged, not complete.*get it again"):
            is_file(archive / "x/1.txt")

    def test_an_inner_archive_that_is_cut_off(self, tmp_path: Path):
        inner = zipped({"b.txt": b"b"})[:-9]
        (tmp_path / "a.zip").write_bytes(zipped({"in.zip": inner}))
        with pytest.raises(InputError, match=r"a\.zip.in\.zip is damaged"):
            is_file(tmp_path / "a.zip/in.zip/b.txt")

    def test_a_member_with_wrong_bytes(self, tmp_path: Path):
        content = zipped({"a.json": json.dumps({"a": 1}).encode()})
        (tmp_path / "a.zip").write_bytes(content.replace(b'"a": 1', b'"b": 1', 1))
        with pytest.raises(InputError, match=r"a\.zip.a\.json is damaged.*CRC"):
            read(tmp_path / "a.zip/a.json")
