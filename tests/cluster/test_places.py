"""Object stores: pictures, manifests and rows at addresses, as on a disk."""

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object_store import object_store
from plainmask.cluster import places
from plainmask.cluster.manifest import Manifest, read_manifest
from plainmask.cluster.places import place_of
from plainmask.cluster.segment_batch import SegmentBatch
from plainmask.cluster.store import Store
from plainmask.errors import InputError
from rows import alone, photographs, tiny_heads


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """What is in the bucket at s3://bucket."""
    there: dict[str, bytes] = {}
    with object_store(there) as address:
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, value)
        places._store.cache_clear()
        yield there
    places._store.cache_clear()


def test_pictures_of_a_store_become_rows_in_it_once(objects: dict[str, bytes], tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 6, broken=[1]), tiny_heads(tmp_path)
    objects |= {f"in/deep er/{path.name}": path.read_bytes() for path in folder.iterdir()}
    found = read_manifest("s3://bucket/in")
    assert found.paths[:2] == ["s3://bucket/in/deep er/000.png", "s3://bucket/in/deep er/001.png"]
    store = Store("s3://bucket/out/deep")
    assert store.done() == set()
    rows = SegmentBatch(heads, device="cpu")({"id": found.ids, "path": found.paths})
    near = alone(heads, folder, tmp_path / "out").segment(
        {"id": found.ids, "path": sorted(map(str, folder.iterdir()))}
    )
    assert rows["rle"] == near["rle"]
    assert rows["error"][2].startswith("s3://bucket/in/deep er/001.png: this is not a picture")
    store.begin(found)
    store.write(rows)
    store.write(rows)
    assert store.done() == {*rows["id"]}
    (name,) = (key for key in objects if key.startswith("out/deep/rows/part-"))
    assert pq.read_table(io.BytesIO(objects[name])).num_rows == 12
    store.forget_failed()
    assert name not in objects


def test_a_manifest_in_a_store_names_what_is_beside_it(objects: dict[str, bytes]):
    file = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b"], "path": ["in/a.png", "s3://other/b.png"]}), file)
    objects["lists/m.parquet"] = file.getvalue()
    assert read_manifest("s3://bucket/lists/m.parquet") == Manifest(
        ["a", "b"], ["s3://bucket/lists/in/a.png", "s3://other/b.png"]
    )


def test_what_is_not_in_a_store_is_said(objects: dict[str, bytes]):
    with pytest.raises(InputError, match="s3://bucket/nowhere: there is no such file or folder"):
        read_manifest("s3://bucket/nowhere")
    with pytest.raises(InputError, match=r"s3://bucket/a\.png: there is no such file"):
        place_of("s3://bucket/a.png").read()
    with pytest.raises(InputError, match=r"s3://nobody/out/manifest\.parquet cannot be written: "):
        Store("s3://nobody/out").begin(Manifest(["a"], ["a.png"]))
