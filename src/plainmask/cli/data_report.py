"""What `plainmask data check` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainmask.cli.console import complain, print_table

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
    counts = f"{found.images} images, {found.segments} segments"
    if found.labelled < found.images:
        counts += f", {found.images - found.labelled} images without annotation"
    if found.crowds:
        counts += f", {found.crowds} crowds"
    if found.overlapping:
        counts += f", {found.overlapping} images with overlaps"
    print(f"{counts}; {percentage(found.ignored, found.pixels):.1f} % of pixels in no segment")
    sizes = size_summary(found.sizes)
    if sizes["different"]:
        small, middle, large = (
            " x ".join(map(str, sizes[name])) for name in ("smallest", "median", "largest")
        )
        print(f"{sizes['different']} sizes (height x width): from {small} by {middle} to {large}")
    for note in found.notes:
        print(f"note: {note}")
    for problem in found.problems:
        complain("problem", problem)
