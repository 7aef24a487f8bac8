"""What `plainmask segment` prints: the segments of a picture, all classes of several, failures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from plainmask.cli.console import complain, print_table

if TYPE_CHECKING:
    from plainmask.results import Result


class SavedPicture(NamedTuple):
    """What became of one picture."""

    path: Path
    found: Mapping[str, tuple[Result, list[Path]]]
    """By head the result and its files."""
    problem: str
    """Why there are none; empty where there are."""


def report_outcome(
    outcome: SavedPicture, totals: Mapping[str, Totals], *, as_json: bool, alone: bool
) -> None:
    """Print what one picture gave, or what is wrong with it."""
    if outcome.problem:
        report_failure(str(outcome.path), outcome.problem, as_json=as_json)
    for name, (result, files) in outcome.found.items():
        totals[name].add(result)
        report(outcome.path, name, result, files, as_json=as_json, alone=alone)


def report(
    path: Path, head: str, result: Result, files: Sequence[Path], *, as_json: bool, alone: bool
) -> None:
    """Print the segments of one picture, largest first, and where its files are.

    One of several pictures has a line.
    """
    height, width = result.image_size
    rows = sorted(result.rows(), key=lambda row: -row["area"])
    if as_json:
        shown: dict[str, Any] = {
            "image": str(path),
            "head": head,
            "image_size": [height, width],
            "segments": [{k: row[k] for k in row if k != "segmentation"} for row in rows],
            "files": [str(file) for file in files],
        }
        print(json.dumps(shown), flush=True)
        return
    title = f"{path} ({width} x {height}), {head}"
    if not alone:
        print(f"{title}: {result.summary()}", flush=True)
        return
    scored = all(row["score"] is not None for row in rows)
    table = [
        (row["label"], f"{100 * row['area'] / (height * width):.1f}")
        + ((f"{100 * row['score']:.0f}",) if scored else ())
        for row in rows
    ]
    columns = ("class", "pixels %", "score %") if scored else ("class", "pixels %")
    print_table(columns, table, title=f"{title}, results: {', '.join(map(str, files))}")


class Totals:
    """What was found in several pictures."""

    def __init__(self) -> None:
        self.pictures = 0
        self._seen_in: Counter[str] = Counter()
        self._segments: Counter[str] = Counter()
        self._area: Counter[str] = Counter()
        self._pixels = 0

    def add(self, result: Result) -> None:
        """Count one picture."""
        labels = Counter(segment.label for segment in result.segments)
        self.pictures += 1
        self._segments += labels
        self._pixels += result.image_size[0] * result.image_size[1]
        for segment in result.segments:
            self._area[segment.label] += segment.area
        self._seen_in.update(labels.keys())

    def print(self, title: str) -> None:
        """A row for each class, those in most pictures first."""
        rows = [
            (
                label,
                str(count),
                str(self._segments[label]),
                f"{100 * self._area[label] / self._pixels:.1f}",
            )
            for label, count in self._seen_in.most_common()
        ]
        print_table(("class", "in pictures", "segments", "pixels %"), rows, title=title)


def report_failure(name: str, message: str, *, as_json: bool) -> None:
    """Say which input failed and why; for programs on stdout as well."""
    complain("error", message)
    if as_json:
        print(json.dumps({"image": name, "error": message}), flush=True)
