"""What an evaluation says, of images or videos, of a head or of result files. No torch here."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from plainmask.atomic import write_atomically


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

    def to_json(self) -> dict[str, Any]:
        """One flat object for programs."""
        objects = {"per_object": self.per_object} if self.per_object else {}
        return {
            **self.figures,
            "per_class": self.per_class,
            **objects,
            self.unit: self.count,
            "protocol": self.protocol,
        }

    def save(self, folder: Path) -> list[Path]:
        """Write `summary.json` (with the figure of each image) and `per_class.csv`.

        Raises:
            InputError: the folder cannot be written.
        """
        summary = self.to_json() | {"per_image": self.per_image}
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(("class", "percent"))
        rows.writerows((name, "" if v is None else v) for name, v in self.per_class.items())
        return [
            write_atomically(folder / "summary.json", json.dumps(summary, indent=1).encode()),
            write_atomically(folder / "per_class.csv", table.getvalue().encode()),
        ]

    def worst_and_best(self, count: int) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
        """Ids and figures of the `count` worst images, the worst first, and of the best ones.

        No image is in both.
        """
        known = [(name, value) for name, value in self.per_image.items() if value is not None]
        ranked = sorted(known, key=lambda case: case[1])
        count = min(count, len(ranked) // 2)
        return ranked[:count], ranked[len(ranked) - count :][::-1]
