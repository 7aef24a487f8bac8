"""What is to be done: manifests and folders, and each thing that can be wrong with them."""

import os
from pathlib import Path

import pytest

from plainmask.cluster.manifest import read_manifest
from plainmask.errors import InputError
from rows import photographs, table
from videos import pictures, write_video


def test_a_manifest_gives_its_ids_and_paths_from_its_folder(tmp_path: Path):
    made = table(
        tmp_path / "list.parquet", id=["x", "y", "z"], path=["in/a.jpg", "/b.jpg", "s3://c/d.jpg"]
    )
    found = read_manifest(str(made))
    assert found.ids == ["x", "y", "z"]
    assert found.paths == [f"{tmp_path}/in/a.jpg", "/b.jpg", "s3://c/d.jpg"]


def test_numbers_are_ids_too(tmp_path: Path):
    assert read_manifest(str(table(tmp_path / "m", id=[7, 8], path=["a", "b"]))).ids == ["7", "8"]


def test_a_relative_manifest_and_an_address_of_a_file_mean_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = table(tmp_path / "m.parquet", id=["x"], path=["a.jpg"])
    monkeypatch.chdir(tmp_path)
    assert read_manifest("m.parquet").paths == [f"{tmp_path}/a.jpg"]
    assert read_manifest(f"file://{made}").paths == [f"file://{tmp_path}/a.jpg"]


def test_a_folder_gives_all_pictures_in_it(tmp_path: Path):
    photographs(tmp_path / "deep/er", 2)
    for name in ("a.JPG", ".hidden.png", "a.overlay.png", "notes.txt"):
        (tmp_path / name).touch()
    found = read_manifest(str(tmp_path))
    assert found.paths == [
        f"{tmp_path}/{name}" for name in ("a.JPG", "deep/er/000.png", "deep/er/001.png")
    ]
    assert len({*found.ids}) == 3


def test_ids_of_a_folder_change_with_the_picture_alone(tmp_path: Path):
    folder = photographs(tmp_path / "in", 3)
    before = read_manifest(str(folder))
    (folder / "001.png").write_bytes((folder / "002.png").read_bytes())
    (folder / "003.png").write_bytes((folder / "002.png").read_bytes())
    after = read_manifest(str(folder.rename(tmp_path / "moved")))
    assert [one == other for one, other in zip(before.ids, after.ids, strict=False)] == [
        True,
        False,
        True,
    ]
    assert after.ids[3] not in before.ids


def test_a_picture_that_was_replaced_by_one_of_its_size_has_another_id(tmp_path: Path):
    folder = photographs(tmp_path / "in", 1)
    (before,) = read_manifest(str(folder)).ids
    os.utime(folder / "000.png", ns=(0, 1))
    assert read_manifest(str(folder)).ids != [before]


def test_videos_are_files_and_folders_of_frames(tmp_path: Path):
    write_video(tmp_path / "b.mp4", pictures(2))
    photographs(tmp_path / "frames", 2)
    (tmp_path / "notes.txt").touch()
    found = read_manifest(str(tmp_path), videos=True)
    assert found.paths == [f"{tmp_path}/b.mp4", f"{tmp_path}/frames"]
    only = read_manifest(str(tmp_path / "frames"), videos=True)
    assert only.paths == [f"{tmp_path}/frames"]
    photographs(tmp_path / "frames", 3)
    assert read_manifest(str(tmp_path), videos=True).ids[0] == found.ids[0]
    assert read_manifest(str(tmp_path), videos=True).ids[1] != found.ids[1]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"path": ["a"]}, "m has no column 'id', only path; name each picture by an id of its own"),
        ({"id": ["a"], "file": ["b"]}, "m has no column 'path', only id, file; "),
        ({"id": ["a", None], "path": ["b", "c"]}, "m: 1 row of 2 without id; give each one"),
        ({"id": ["a"], "path": [None]}, "m: 1 row of 1 without path; give each one"),
        (
            {"id": ["a", "b", "a"], "path": ["x", "y", "z"]},
            "m: 1 id of several rows, such as 'a'; give each picture one of its own",
        ),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(
    columns: dict[str, list[str | None]], said: str, tmp_path: Path
):
    with pytest.raises(InputError) as error:
        read_manifest(str(table(tmp_path / "m", **columns)))
    assert said in str(error.value)


def test_a_manifest_without_rows_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="m has no pictures; --videos takes videos"):
        read_manifest(str(table(tmp_path / "m", id=[], path=[])))


def test_another_file_is_no_manifest(tmp_path: Path):
    (tmp_path / "list.csv").write_text("id,path\n1,a.jpg\n")
    with pytest.raises(InputError, match=r"list\.csv is no Parquet file that can be read"):
        read_manifest(str(tmp_path / "list.csv"))


def test_a_missing_manifest_is_told_as_that(tmp_path: Path):
    with pytest.raises(
        InputError, match="nowhere: there is no such file or folder; check the path"
    ):
        read_manifest(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("videos", [False, True])
def test_an_empty_folder_is_told_as_that(videos: bool, tmp_path: Path):
    things = "no videos" if videos else "no pictures; --videos takes videos"
    with pytest.raises(InputError, match=f"has {things}"):
        read_manifest(str(tmp_path), videos=videos)


def test_an_address_of_no_store_is_refused():
    with pytest.raises(InputError, match=r"web://x/y: .*give a path, or an address in s3://"):
        read_manifest("web://x/y")
