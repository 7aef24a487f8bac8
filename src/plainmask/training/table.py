"""A table of a run: a CSV file that grows by a row at a time, and survives a kill at any time."""

from __future__ import annotations

import csv
from pathlib import Path


class Table:
    """A CSV file that grows by a row at a time; the first column is the step."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, row: dict[str, float]) -> None:
        """Write one row, after the names of its columns where it is the first."""
        is_new = not self.path.exists() or self.path.stat().st_size == 0
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(row)
            writer.writerow(f"{v:.6g}" for v in row.values())

    def read(self) -> tuple[list[str], list[list[str]]]:
        """The names of the columns, and all rows but one that was not written to its end."""
        text = self.path.read_text() if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        names, *rows = list(csv.reader(whole.splitlines())) or [[]]
        return names, [row for row in rows if len(row) == len(names)]

    def forget_after(self, step: int) -> None:
        """Drop rows that a stopped run wrote after its last checkpoint, or an older run left."""
        names, rows = self.read()
        kept = [row for row in rows if int(row[0]) <= step]
        if kept:
            with self.path.open("w", newline="") as file:
                csv.writer(file).writerows([names, *kept])
        else:
            self.path.unlink(missing_ok=True)
