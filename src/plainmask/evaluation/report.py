"""What an evaluation says, of images or videos, of a head or of result files. No torch here."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from plainmask import __version__
from plainmask.atomic import CSV_MARK, check_replaceable, write_result
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.results.places import check_writable

SUMMARY, TABLE, PAGE = "summary.json", "per_class.csv", "index.html"
"""The files of a report."""


def check_report(folder: Path, *, page: bool) -> None:
    """See that a report can be written, before any work is done for it.

    Args:
        folder: where to.
        page: whether there will be a page.

    Raises:
        InputError: the folder cannot be written, or a file that is not ours would be lost.
    """
    check_writable(folder)
    for name in (SUMMARY, TABLE, PAGE) if page else (SUMMARY, TABLE):
        check_replaceable(folder / name)


def only_labelled(records: Sequence[Record]) -> list[Record]:
    """The records that results can be compared with.

    Raises:
        InputError: there are none.
    """
    found = [record for record in records if record.labelled]
    if not found:
        raise InputError(
            f"none of the {len(records)} pictures has an annotation, so there is nothing to "
            "compare with; choose a split with annotations"
            if records
            else "there are no pictures to evaluate on"
        )
    return found


def without_annotation(count: int, what: str) -> str:
    """The end of a protocol: how many images or frames could not be compared."""
    return f"; {count} {what} without annotation left out" if count else ""


@dataclass(frozen=True)
class Evaluation:
    """Figures in percent, where they are no numbers of things."""

    figures: dict[str, float | int | None]
    """By metric name, such as `mIoU` or `VPQ_2`; None where a figure is not defined."""
    per_class: dict[str, float | None]
    """By class name, of the metric that `protocol` says; None for a class that does not occur."""
    count: int
    """Images or videos that were looked at."""
    unit: Literal["images", "videos"]
    protocol: str
    """What was measured, on what, by which rules."""
    per_object: dict[str, float] = field(default_factory=dict)
    """By video and object, where objects have no classes."""
    per_image: dict[str, float | None] = field(default_factory=dict)
    """By record id, of images: the figure that is named first; None where it is not defined."""
    failed: dict[str, str] = field(default_factory=dict)
    """By record id, of images: why it could not be looked at. Figures are of the others."""

    @classmethod
    def of(
        cls,
        figures: Mapping[str, Any],
        count: int,
        unit: Literal["images", "videos"],
        protocol: str,
    ) -> Self:
        """From what a measure says, with `per_class` and `per_object` among it."""
        tables = {name: figures.get(name, {}) for name in ("per_class", "per_object")}
        plain = {name: value for name, value in figures.items() if name not in tables}
        return cls(plain, count=count, unit=unit, protocol=protocol, **tables)

    def to_json(self) -> dict[str, Any]:
        """One flat object for programs."""
        objects = {"per_object": self.per_object} if self.per_object else {}
        failed = {"failed": self.failed} if self.failed else {}
        return {
            **self.figures,
            "per_class": self.per_class,
            **objects,
            **failed,
            self.unit: self.count,
            "protocol": self.protocol,
        }

    def save(self, folder: Path) -> list[Path]:
        """Write `summary.json` (with the figure of each image) and `per_class.csv`.

        Raises:
            InputError: the folder cannot be written, or holds a file of this name that is not ours.
        """
        marked = {"plainmask": __version__, **self.to_json(), "per_image": self.per_image}
        table = io.StringIO(CSV_MARK)
        table.seek(0, io.SEEK_END)
        rows = csv.writer(table, lineterminator="\n")
        rows.writerows((name, "" if v is None else v) for name, v in self.per_class.items())
        return [
            write_result(folder / SUMMARY, json.dumps(marked, indent=1).encode()),
            write_result(folder / TABLE, table.getvalue().encode()),
        ]

    def worst_and_best(self, count: int) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
        """Ids and figures of the `count` worst images, the worst first, and of the best ones.

        No image is in both.
        """
        known = [(name, value) for name, value in self.per_image.items() if value is not None]
        ranked = sorted(known, key=lambda case: case[1])
        count = min(count, len(ranked) // 2)
        return ranked[:count], ranked[len(ranked) - count :][::-1]
