"""What tests of clusters share: pictures, tiny heads with their encoder, rows that were made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from plainmask.cluster.manifest import Manifest, read_manifest
from plainmask.cluster.parts import WorkPart, parts_of
from plainmask.cluster.segment_batch import SegmentBatch
from plainmask.cluster.store import Store
from plainmask.cluster.work import Work
from tiny import save_with_encoder, tiny_encoder, tiny_head


def photographs(folder: Path, count: int, *, broken: Sequence[int] = ()) -> Path:
    """Pictures of two sizes; those with these numbers are none."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:03d}.png"
        size = (50, 70, 3) if number % 3 else (70, 50, 3)
        if number in broken:
            path.write_bytes(b"no picture")
        else:
            pixels = np.random.default_rng(number).integers(0, 256, size, np.uint8)
            Image.fromarray(pixels).save(path)
    return folder


def tiny_heads(folder: Path) -> list[str]:
    """Folders of two heads on one encoder, which the first brings."""
    encoder = tiny_encoder()
    first = save_with_encoder(tiny_head("semantic", encoder), encoder, folder / "first")
    return [str(first), str(tiny_head("instance", encoder).save(folder / "second"))]


def table(file: Path, /, **columns: Sequence[Any]) -> Path:
    """A Parquet file."""
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), file)
    return file


def written(out: Path) -> list[dict[str, Any]]:
    """All rows of a run, by their ids."""
    files = sorted((out / "rows").glob("*.parquet"))
    return sorted(
        (row for file in files for row in pq.read_table(file).to_pylist()),
        key=lambda row: row["id"],
    )


def contents(out: Path) -> dict[str, bytes]:
    """The files of rows."""
    return {path.name: path.read_bytes() for path in (out / "rows").iterdir()}


def planned(work: Work, source: Path, size: int) -> list[WorkPart]:
    """What is to be done of a folder or manifest."""
    return missing(work, read_manifest(str(source), videos=work.segment.videos), size)


def missing(work: Work, manifest: Manifest, size: int) -> list[WorkPart]:
    """What is to be done of a manifest."""
    work.store.begin(manifest)
    return list(parts_of(manifest, work.segment.fingerprints, work.store.done(), size))


def alone(
    heads: list[str], source: Path, out: Path, size: int = 4, *, videos: bool = False
) -> Work:
    """Do all that is missing in this process."""
    work = Work(SegmentBatch(heads, device="cpu", videos=videos), Store(str(out), videos=videos))
    for part in planned(work, source, size):
        work(part)
    return work
