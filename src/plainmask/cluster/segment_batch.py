"""A plain callable: rows that name pictures or videos in, rows of what heads find in them out.

It knows no engine. `plainmask cluster` runs it on Ray; Spark, Daft and Dask can (docs/scale.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from plainmask.cluster.reading import local_file, pictures_by_size
from plainmask.encoder.vit import Encoder
from plainmask.errors import HeadError, PlainmaskError
from plainmask.heads.fingerprint import head_fingerprint
from plainmask.inference.follow import follow
from plainmask.inference.images import segment_each
from plainmask.inference.loading import load_heads
from plainmask.inference.memory import is_out_of_memory
from plainmask.inference.segmenter import Segmenter, Weights
from plainmask.inference.shared_pass import Dtype
from plainmask.inference.stream import Stream
from plainmask.results import Result
from plainmask.video.sources import open_video

Rows: TypeAlias = dict[str, list[Any]]
"""Columns by name."""
Cells: TypeAlias = dict[str, Any]
"""What a head says of a picture or video: columns of one row."""


class SegmentBatch:
    """What heads find in pictures or videos, as rows; made once in a process, called with batches.

    Nothing is loaded before the first call, and what was loaded does not travel: it can be pickled
    and sent to wherever batches are.

    Args:
        heads: see `plainmask.inference.loading.load_heads`.
        encoder, device, dtype: see there.
        videos: whether paths are of videos: files, or folders of frames.
        fingerprints: by head, what `fingerprints` has to be; None: anything. For workers, whose
            files of that name may be other ones.
    """

    def __init__(
        self,
        heads: Sequence[str | Path],
        *,
        encoder: Encoder | Weights | None = None,
        device: str = "auto",
        dtype: Dtype = "auto",
        videos: bool = False,
        fingerprints: Mapping[str, str] | None = None,
    ):
        self.heads, self.videos, self.expected = list(heads), videos, fingerprints
        self._options: dict[str, Any] = {"encoder": encoder, "device": device, "dtype": dtype}

    def __getstate__(self) -> dict[str, Any]:
        return {key: self.__dict__[key] for key in ("heads", "videos", "expected", "_options")}

    @cached_property
    def segmenter(self) -> Segmenter:
        """The heads on their encoder, loaded when they are first needed.

        Raises:
            PlainmaskError: see `load_heads`.
        """
        return load_heads(self.heads, **self._options)

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """What ids of rows say of each head, by its name; see `head_fingerprint`.

        Raises:
            HeadError: these are other heads than expected.
        """
        found = {name: head_fingerprint(head) for name, head in self.segmenter.heads.items()}
        other = [name for name, mark in (self.expected or found).items() if found.get(name) != mark]
        if other:
            raise HeadError(
                f"the head {other[0]!r} is another one here than where the work was planned; give "
                "all machines the same folder, or a hub repository"
            )
        return found

    def __call__(self, batch: Mapping[str, Any]) -> Rows:
        """The rows of a batch.

        Args:
            batch: columns by name, as a dict of lists or arrays or a pandas table: `id` and `path`
                of each picture, a path or an address; `heads`, where it is there: names of those
                to ask of each, instead of all.

        Returns:
            `id` (that of the picture, "-", the head's fingerprint), `path`, `head`; `class`,
            `score`, `box` (x0, y0, x1, y1) and `rle` (as in COCO's files), each a list with an
            entry for each segment that `Result.keep` leaves; `error`, why there is none, or None.
            Of videos also `frame` and `track` (-1: none) of each entry; a video that breaks off has
            both an error and what was found up to there. One row for each picture and head.

        Raises:
            PlainmaskError: the heads cannot be loaded.
        """
        ids, paths = list(batch["id"]), [str(path) for path in batch["path"]]
        names = list(self.fingerprints)
        wanted = [list(one) for one in batch["heads"]] if "heads" in batch else [names] * len(ids)
        if self.videos:
            found = [self._video(path, heads) for path, heads in zip(paths, wanted, strict=True)]
        else:
            found = self._pictures(paths, wanted)
        rows = [
            {
                "id": f"{key}-{self.fingerprints[name]}",
                "path": path,
                "head": name,
                **cells,
            }
            for key, path, answer in zip(ids, paths, found, strict=True)
            for name, cells in answer.items()
        ]
        columns = ["id", "path", "head", *_cells([], None), *(_moments([]) if self.videos else ())]
        return {column: [row[column] for row in rows] for column in columns}

    def _pictures(
        self, paths: Sequence[str], wanted: Sequence[Sequence[str]]
    ) -> list[dict[str, Cells]]:
        """What each head says of each picture, by its name."""
        found: dict[int, dict[str, Cells]] = {}
        for heads in dict.fromkeys(map(tuple, wanted)):
            places = [place for place, names in enumerate(wanted) if tuple(names) == heads]
            alike = self._alike([paths[place] for place in places], heads)
            found |= {places[place]: cells for place, cells in alike}
        return [found[place] for place in range(len(paths))]

    def _alike(
        self, paths: Sequence[str], heads: Sequence[str]
    ) -> Iterator[tuple[int, dict[str, Cells]]]:
        """Pictures that are asked for the same heads, in the order in which they are done."""
        order: deque[int] = deque()
        failed: list[tuple[int, Exception]] = []

        def sound() -> Iterator[NDArray[np.uint8]]:
            for place, outcome in pictures_by_size(paths):
                if isinstance(outcome, Exception):
                    failed.append((place, outcome))
                else:
                    order.append(place)
                    yield outcome

        chosen = {name: self.segmenter.heads[name] for name in heads}
        for answer in segment_each(self.segmenter.shared, chosen, sound()):
            place = order.popleft()
            if answer.error is not None:
                failed.append((place, answer.error))
                continue
            yield (
                place,
                {name: _cells([one.keep()], None) for name, one in answer.results.items()},
            )
        for place, error in failed:
            yield place, dict.fromkeys(heads, _cells([], _said(error)))

    def _video(self, path: str, heads: Sequence[str]) -> dict[str, Cells]:
        """What each head says of a video, by its name."""
        stream = Stream(self.segmenter.shared, {n: self.segmenter.heads[n] for n in heads})
        seen: dict[str, list[Result]] = {name: [] for name in heads}
        error = None
        try:
            with local_file(path) as file, open_video(file) as video:
                for _, results in follow(stream, video):
                    for name, result in results.items():
                        seen[name].append(result.keep())
        except (PlainmaskError, MemoryError, RuntimeError) as cause:
            if isinstance(cause, RuntimeError) and not is_out_of_memory(cause):
                raise
            error = _said(cause)
        return {name: _cells(results, error) | _moments(results) for name, results in seen.items()}


def _said(error: Exception) -> str:
    """Why there is no result."""
    if isinstance(error, PlainmaskError) and str(error):
        return str(error)
    return "memory does not hold it"


def _cells(results: Sequence[Result], error: str | None) -> Cells:
    """What was found in a picture, or in all frames of a video."""
    segments = [(result, segment) for result in results for segment in result.segments]
    return {
        "class": [segment.label for _, segment in segments],
        "score": [segment.score for _, segment in segments],
        "box": [list(segment.box) for _, segment in segments],
        "rle": [result.rle_of(segment).to_coco() for result, segment in segments],
        "error": error,
    }


def _moments(results: Sequence[Result]) -> Cells:
    """Frame and track of each of these; -1 where a head tracks nothing."""
    frames: list[int] = []
    tracks: list[int] = []
    for frame, result in enumerate(results):
        frames += [frame] * len(result.segments)
        tracks += result.track_ids or [-1] * len(result.segments)
    return {"frame": frames, "track": tracks}
