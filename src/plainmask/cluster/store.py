"""Where the rows go: a folder of Parquet files, each whole or absent, and named by what it holds.

There is no list of what is done beside the rows themselves, so the two cannot disagree. A part that
is written twice, as by a worker that was given up and still lives, is one file with one content.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from plainmask import __version__
from plainmask.cluster.manifest import Manifest
from plainmask.cluster.parts import part_name
from plainmask.cluster.places import Place, place_of, reason
from plainmask.errors import InputError

ROWS, MANIFEST = "rows", "manifest.parquet"
"""Within the folder: results, and the pictures that the last run was asked for."""

_MARK = {b"plainmask": __version__.encode()}
_RLE = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])
_MANIFEST = pa.schema({"id": pa.string(), "path": pa.string()}, metadata=_MARK)
COLUMNS = pa.schema(
    {
        "id": pa.string(),
        "path": pa.string(),
        "head": pa.string(),
        "class": pa.list_(pa.string()),
        "score": pa.list_(pa.float32()),
        "box": pa.list_(pa.list_(pa.float32(), 4)),
        "rle": pa.list_(_RLE),
        "error": pa.string(),
    },
    metadata=_MARK,
)
"""Of a picture; lists have an entry for each segment."""
VIDEO_COLUMNS = pa.schema(
    [*COLUMNS, pa.field("frame", pa.list_(pa.int32())), pa.field("track", pa.list_(pa.int32()))],
    metadata=_MARK,
)
"""Of a video, whose lists have an entry for each segment of each frame."""


class Store:
    """The folder of a run's results, on a disk or in an object store.

    Args:
        out: path or address.
        videos: whether rows are of videos.
    """

    def __init__(self, out: str, *, videos: bool = False):
        self.place: Place = place_of(out)
        self.columns = VIDEO_COLUMNS if videos else COLUMNS

    def begin(self, manifest: Manifest) -> None:
        """Write down what is to be done, which also shows that the folder takes files.

        Raises:
            InputError: it does not, or something else of that name is there.
        """
        place = self.place.below(MANIFEST)
        if place.kind() != "nothing":
            try:
                before = pq.read_schema(io.BytesIO(place.read())).metadata or {}
            except pa.ArrowException:
                before = {}
            if b"plainmask" not in before:
                raise InputError(
                    f"{place.name} is there already and not of plainmask, so it is not replaced; "
                    "give another folder with --out"
                )
        place.write(_file({"id": manifest.ids, "path": manifest.paths}, _MANIFEST))

    def done(self) -> set[str]:
        """The ids of all rows.

        Raises:
            InputError: a file cannot be read.
        """
        return set(self._read("id")["id"].to_pylist())

    def forget_failed(self) -> None:
        """Delete every file with an error in it, so that its pictures are done again.

        Raises:
            InputError: a file cannot be read or deleted.
        """
        rows = self._read("error", "__filename")
        failed = rows.filter(rows["error"].is_valid())["__filename"].unique()
        for path in failed.to_pylist():
            try:
                self.place.files.delete_file(path)
            except OSError as cause:
                raise InputError(f"{path} cannot be deleted: {reason(cause)}") from cause

    def _read(self, *columns: str) -> Any:
        folder = self.place.below(ROWS)
        paths = [
            f"{folder.path}/{one.path}"
            for one in folder.inside()
            if re.fullmatch(r"part-[0-9a-f]{32}\.parquet", one.path)
        ]
        rows = ds.FileSystemDataset.from_paths(
            paths, schema=self.columns, format=ds.ParquetFileFormat(), filesystem=folder.files
        )
        try:
            return rows.to_table(columns=list(columns))
        except (OSError, pa.ArrowException) as cause:
            raise InputError(
                f"{folder.name}: a file of results is damaged ({reason(cause)}); delete it, and "
                "its pictures are done again"
            ) from cause

    def write(self, rows: Mapping[str, list[Any]]) -> None:
        """Add the rows of a part.

        Raises:
            InputError: they cannot be written.
        """
        name = f"{ROWS}/part-{part_name(rows['id'])}.parquet"
        self.place.below(name).write(_file(rows, self.columns))


def _file(rows: Mapping[str, list[Any]], columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(dict(rows), schema=columns), file, compression="zstd")
    return file.getvalue()
