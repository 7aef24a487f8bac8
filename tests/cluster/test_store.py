"""The folder of rows: what is done is what rows say, and each file is whole and has one name."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plainmask.cluster.manifest import Manifest
from plainmask.cluster.parts import parts_of
from plainmask.cluster.store import Store
from plainmask.errors import InputError
from rows import alone, contents, photographs, tiny_heads, written

MANIFEST = Manifest(list("abcdefg"), [f"{name}.png" for name in "abcdefg"])


def test_parts_are_cut_by_places_in_the_manifest_whatever_is_done():
    every = list(parts_of(MANIFEST, {"x": "1", "y": "2"}, set(), 3))
    assert [part.ids for part in every] == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert every[0].heads == [["x", "y"]] * 3
    done = {"a-1", "a-2", "b-1", "b-2", "c-1", "c-2", "d-1", "f-2"}
    left = list(parts_of(MANIFEST, {"x": "1", "y": "2"}, done, 3))
    assert [part.ids for part in left] == [["d", "e", "f"], ["g"]]
    assert left[0].heads == [["y"], ["x", "y"], ["x"]]
    assert left[1] == every[2]


def test_what_was_done_once_is_not_done_again(tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 6, broken=[4]), tiny_heads(tmp_path)
    alone(heads, folder, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert len(written(tmp_path / "out")) == 12
    work = alone(heads, folder, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert "segmenter" in vars(work.segment)


def test_a_new_head_is_asked_alone_and_a_changed_picture_anew(tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 6), tiny_heads(tmp_path)
    alone(heads[:1], folder, tmp_path / "out")
    first = written(tmp_path / "out")
    alone(heads, folder, tmp_path / "out")
    both = written(tmp_path / "out")
    assert [row for row in both if row["head"] == "first"] == first
    assert len(both) == 12
    (folder / "003.png").write_bytes((folder / "001.png").read_bytes())
    alone(heads, folder, tmp_path / "out")
    after = written(tmp_path / "out")
    assert len(after) == 14
    new = [row for row in after if row not in both]
    assert [row["path"] for row in new] == [str(folder / "003.png")] * 2
    # A reader takes those of the pictures that there are now.
    pictures = pq.read_table(tmp_path / "out/manifest.parquet")["id"].to_pylist()
    assert sum(row["id"].rpartition("-")[0] in pictures for row in after) == 12


def test_a_part_that_is_written_twice_is_there_once(tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 4), tiny_heads(tmp_path)
    work = alone(heads, folder, tmp_path / "out")
    before = contents(tmp_path / "out")
    for path in sorted((tmp_path / "out/rows").iterdir()):
        rows = pq.read_table(path).to_pydict()
        work.store.write(rows)
    assert contents(tmp_path / "out") == before


def test_a_file_that_was_begun_does_not_count(tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 4), tiny_heads(tmp_path)
    work = alone(heads, folder, tmp_path / "out")
    (path,) = (tmp_path / "out/rows").iterdir()
    (tmp_path / "out/rows/.1234abcd.part").write_bytes(path.read_bytes()[:500])
    path.rename(tmp_path / "out/rows/mine.parquet")
    assert work.store.done() == set()


def test_what_failed_is_done_again_when_it_is_asked_for(tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 8, broken=[5]), tiny_heads(tmp_path)
    work = alone(heads, folder, tmp_path / "out")
    (folder / "005.png").write_bytes((folder / "001.png").read_bytes())
    work.store.forget_failed()
    assert len(written(tmp_path / "out")) == 8
    alone(heads, folder, tmp_path / "out")
    assert [row["error"] for row in written(tmp_path / "out")] == [None] * 16


def test_rows_have_the_types_that_are_described(tmp_path: Path):
    alone(tiny_heads(tmp_path), photographs(tmp_path / "in", 2), tmp_path / "out")
    schema = pq.read_table(tmp_path / "out/rows").schema
    assert schema.names == ["id", "path", "head", "class", "score", "box", "rle", "error"]
    assert schema.field("box").type == pa.list_(pa.list_(pa.float32(), 4))
    assert schema.field("error").type == pa.string()


def test_a_manifest_of_somebody_else_is_not_replaced(tmp_path: Path):
    (tmp_path / "manifest.parquet").write_text("mine")
    with pytest.raises(
        InputError, match=r"manifest\.parquet is there already and not of plainmask"
    ):
        Store(str(tmp_path)).begin(MANIFEST)
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "manifest.parquet")
    with pytest.raises(InputError, match="is there already and not of plainmask"):
        Store(str(tmp_path)).begin(MANIFEST)


def test_a_store_that_cannot_be_written_is_told_before_any_work(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file.* cannot be written: .*give a folder"):
        Store(str(tmp_path / "file/out")).begin(MANIFEST)


def test_a_damaged_file_of_rows_is_named_with_what_to_do(tmp_path: Path):
    work = alone(tiny_heads(tmp_path), photographs(tmp_path / "in", 2), tmp_path / "out")
    (path,) = (tmp_path / "out/rows").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="a file of results is damaged") as error:
        work.store.done()
    assert path.name in str(error.value)
