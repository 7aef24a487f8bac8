"""Look at a whole data set before training on it: what it holds, and all that is wrong with it.

Every picture and every annotation is decoded once.

Letters: H W image size.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from plainmask.data.files import shortened
from plainmask.data.guess import guess_format
from plainmask.data.label_folder import FOUND
from plainmask.data.reader import DataFormat, dataset_splits, dataset_vocabulary, read_dataset
from plainmask.data.record import NO_SEGMENT, Record
from plainmask.data.sheets import paint_segments
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary, builtin_names

SAMPLES = 12
"""Pictures on the contact sheet."""


@dataclass
class ClassCount:
    """How often a class occurs."""

    images: int = 0
    segments: int = 0
    pixels: int = 0


@dataclass
class SplitReport:
    """What one split holds. Pictures that cannot be read are counted as images only."""

    split: str | None
    vocabulary: Vocabulary | None = None
    images: int = 0
    labelled: int = 0
    empty: int = 0
    """Labelled images without a segment."""
    crowds: int = 0
    overlapping: int = 0
    """Images with segments that overlap."""
    pixels: int = 0
    """Of all labelled images."""
    ignored: int = 0
    """Pixels that belong to no segment."""
    classes: dict[str, ClassCount] = field(default_factory=dict[str, ClassCount])
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter[tuple[int, int]])
    """(H, W)."""
    problems: list[str] = field(default_factory=list[str])
    """What would keep training or evaluation from working, or would mislead them."""
    notes: list[str] = field(default_factory=list[str])
    """What is worth knowing."""

    @property
    def segments(self) -> int:
        """Number of segments, crowds included."""
        return sum(count.segments for count in self.classes.values())

    def to_json(self) -> dict[str, Any]:
        """For programs; shares in percent."""
        return {
            "images": self.images,
            "labelled": self.labelled,
            "without_segments": self.empty,
            "segments": self.segments,
            "crowds": self.crowds,
            "images_with_overlaps": self.overlapping,
            "ignored": percentage(self.ignored, self.pixels),
            "sizes": size_summary(self.sizes),
            "classes": {
                name: {
                    "images": count.images,
                    "segments": count.segments,
                    "pixels": percentage(count.pixels, self.pixels),
                }
                for name, count in self.classes.items()
            },
            "problems": self.problems,
            "notes": self.notes,
        }


@dataclass
class DataReport:
    """What a data set holds."""

    root: Path
    format: DataFormat
    splits: list[SplitReport] = field(default_factory=list[SplitReport])
    problems: list[str] = field(default_factory=list[str])
    """That concern several splits."""
    samples: list[tuple[str, Image.Image]] = field(default_factory=list[tuple[str, Image.Image]])
    """Titles and pictures with their segments, for a contact sheet."""

    @property
    def all_problems(self) -> list[str]:
        """Those of the splits, and of several."""
        return [*(line for split in self.splits for line in split.problems), *self.problems]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "format": self.format,
            "root": str(self.root),
            "splits": {split.split or "": split.to_json() for split in self.splits},
            "problems": self.all_problems,
        }


def check_dataset(
    root: str | Path,
    format: DataFormat | None = None,
    split: str | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    workers: int = 1,
    on_record: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Read all of a data set, and go on after what cannot be read.

    Args:
        root: its folder.
        format: its layout; None: guessed.
        split: which; None: all that are there.
        vocabulary: the classes; None: the data set's own.
        workers: how many processes decode.
        on_record: called with (records done, records of the split) after each.

    Raises:
        InputError: the format cannot be told. Everything else is in the report.
    """
    root = Path(root)
    format = guess_format(root) if format is None else format
    report = DataReport(root, format)
    splits = [split] if split is not None else dataset_splits(format, root)
    pictures: dict[bytes, str] = {}
    for name in splits:
        found = SplitReport(name)
        report.splits.append(found)
        try:
            found.vocabulary = vocabulary or dataset_vocabulary(format, root, name)
            records = read_dataset(format, root, name, vocabulary, problems=found.problems)
        except InputError as cause:
            found.problems.append(str(cause))
            continue
        found.classes = {entry: ClassCount() for entry in found.vocabulary.names}
        shown = _evenly(len(records), max(1, SAMPLES // len(splits)))
        twins: list[str] = []
        looks = _looks(records, found.vocabulary, shown, workers)
        for done, (record, seen) in enumerate(zip(records, looks, strict=True), 1):
            title = record.id if name is None else f"{name}/{record.id}"
            _count(record, seen, found, found.vocabulary.names)
            if seen.sample is not None:
                report.samples.append((title, seen.sample))
            if seen.digest and record.sequence is None:
                twin = pictures.setdefault(seen.digest, title)
                twins += [f"{title} = {twin}"] if twin != title else []
            if on_record:
                on_record(done, len(records))
        if vocabulary is None and found.vocabulary.name in (*builtin_names(), FOUND):
            found.notes.insert(0, f"classes: those of the table {found.vocabulary.name!r}")
        _conclude(found, twins)
    _compare(report)
    return report


def percentage(part: int, whole: int) -> float:
    """In percent; 0 of nothing."""
    return 100 * part / whole if whole else 0.0


def size_summary(sizes: Counter[tuple[int, int]]) -> dict[str, Any]:
    """The smallest, the middle and the largest size by area, and how many there are."""
    ordered = sorted(sizes.elements(), key=lambda size: (size[0] * size[1], size))
    if not ordered:
        return {"different": 0}
    return {
        "different": len(sizes),
        "smallest": list(ordered[0]),
        "median": list(ordered[len(ordered) // 2]),
        "largest": list(ordered[-1]),
    }


@dataclass(frozen=True)
class _Look:
    """What one record holds; small, since it comes from other processes."""

    size: tuple[int, int] | None = None
    digest: bytes = b""
    class_ids: tuple[int, ...] = ()
    areas: tuple[int, ...] = ()
    crowds: int = 0
    layers: int = 0
    """0: no annotation was read."""
    ignored: int = 0
    problem: str | None = None
    sample: Image.Image | None = None


def _look(job: tuple[Record, bool], vocabulary: Vocabulary) -> _Look:
    """Decode one record; and draw it, if that is wanted."""
    record, is_sample = job
    try:
        image = record.image()
    except InputError as cause:
        return _Look(problem=str(cause))
    height, width = image.shape[:2]
    digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
    seen = _Look((height, width), digest)
    if not record.labelled:
        return seen
    try:
        segments = record.annotation()
    except InputError as cause:
        return replace(seen, problem=str(cause))
    if segments.size != seen.size:
        problem = f"{record.id}: its annotation is {segments.size}, its picture {seen.size}"
        return replace(seen, problem=problem)
    return replace(
        seen,
        class_ids=tuple(segments.class_ids.tolist()),
        areas=tuple(segments.pixels().tolist()),
        crowds=int(segments.crowd.sum()),
        layers=len(segments.layers),
        ignored=int((segments.layers == NO_SEGMENT).all(0).sum()),
        sample=paint_segments(image, segments, vocabulary) if is_sample else None,
    )


def _looks(
    records: Sequence[Record], vocabulary: Vocabulary, samples: frozenset[int], workers: int
) -> Iterator[_Look]:
    """A look at each record, in their order."""
    look = partial(_look, vocabulary=vocabulary)
    jobs = ((record, place in samples) for place, record in enumerate(records))
    if workers <= 1:
        yield from map(look, jobs)
        return
    # Not forks: they would wait for ever for what another thread held when they were made.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(look, jobs, chunksize=8)


def _count(record: Record, seen: _Look, found: SplitReport, names: Sequence[str]) -> None:
    """Add one record to the report."""
    found.images += 1
    found.labelled += record.labelled
    if seen.size is not None:
        found.sizes[seen.size] += 1
    if seen.problem is not None:
        found.problems.append(seen.problem)
    if not seen.layers or seen.size is None:
        return
    for class_id, area in zip(seen.class_ids, seen.areas, strict=True):
        count = found.classes[names[class_id]]
        count.segments += 1
        count.pixels += area
    for class_id in set(seen.class_ids):
        found.classes[names[class_id]].images += 1
    found.empty += not seen.class_ids
    found.crowds += seen.crowds
    found.overlapping += seen.layers > 1
    found.pixels += seen.size[0] * seen.size[1]
    found.ignored += seen.ignored


def _conclude(found: SplitReport, twins: Sequence[str]) -> None:
    """What can be said when all of a split was seen."""
    where = "" if found.split is None else f"{found.split}: "
    if not found.images:
        found.problems.append(f"{where}no picture can be used")
    elif found.labelled and not found.segments and not found.problems:
        found.problems.append(f"{where}no picture has a segment")
    elif not found.labelled:
        found.notes.append("no picture is annotated")
    if found.segments and (
        absent := [name for name, count in found.classes.items() if not count.segments]
    ):
        found.notes.append(f"classes that never occur: {', '.join(absent)}")
    if found.empty and found.segments:
        found.notes.append(f"pictures without a segment: {found.empty}")
    if twins:
        found.notes.append(f"pictures that occur twice: {shortened(twins, ', ')}")


def _compare(report: DataReport) -> None:
    """Class lists have to be the same in all splits."""
    known = [split for split in report.splits if split.vocabulary is not None]
    for split in known[1:]:
        first, other = known[0].vocabulary, split.vocabulary
        assert first is not None
        assert other is not None
        one, two = first.names, other.names
        report.problems += [
            f"{known[0].split} has the class {name!r}, {split.split} has not"
            for name in one
            if name not in two
        ]
        report.problems += [
            f"{split.split} has the class {name!r}, {known[0].split} has not"
            for name in two
            if name not in one
        ]


def _evenly(count: int, wanted: int) -> frozenset[int]:
    """Up to so many places of a list, spread over it."""
    places: Sequence[float] = np.linspace(0, count - 1, min(count, wanted)).tolist()
    return frozenset(round(place) for place in places)
