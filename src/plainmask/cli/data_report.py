"""What `plainmask data check` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainmask.cli.console import complain, print_table
from plainmask.progress import counted

if TYPE_CHECKING:
    from plainmask.data.check import DataReport, SplitReport


def print_report(report: DataReport) -> None:
    """Print what every split holds on stdout, and problems on stderr."""
    print(f"{report.root}: {report.format}")
    for split in report.splits:
        _print_split(split)
    for problem in report.problems:
        complain("problem", problem)


def _print_split(found: SplitReport) -> None:
    from plainmask.data.check import percentage, size_summary

    rows = [
        (
            name,
            str(count.images),
            str(count.segments),
            f"{percentage(count.pixels, found.pixels):.2f}",
        )
        for name, count in found.classes.items()
        if count.segments
    ]
    if rows:
        columns = ("class", "images", "segments", "pixels %")
        print_table(columns, rows, title=found.split or "all pictures")
    counts = f"{counted(found.images, 'image')}, {counted(found.segments, 'segment')}"
    if found.labelled < found.images:
        counts += f", {counted(found.images - found.labelled, 'image')} without annotation"
    if found.crowds:
        counts += f", {counted(found.crowds, 'crowd')}"
    if found.overlapping:
        counts += f", {counted(found.overlapping, 'image')} with overlaps"
    print(f"{counts}; {percentage(found.ignored, found.pixels):.1f} % of pixels in no segment")
    sizes = size_summary(found.sizes)
    if sizes["different"]:
        small, middle, large = (
            " x ".join(map(str, sizes[name])) for name in ("smallest", "median", "largest")
        )
        count = counted(sizes["different"], "size")
        print(f"{count} (height x width): from {small} by {middle} to {large}")
    for note in found.notes:
        print(f"note: {note}")
    for problem in found.problems:
        complain("problem", problem)
