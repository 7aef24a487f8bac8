"""`plainmask segment`: pictures in; overlays, label maps and tables out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plainmask.cli.console import Progress, complain, print_table, stepper
from plainmask.cli.files import check_writable, find_images, output_places
from plainmask.cli.options import Device, EncoderSource, Json
from plainmask.errors import InputError, PlainmaskError

if TYPE_CHECKING:
    from plainmask.inference.segmenter import HeadSegmenter
    from plainmask.results import Result

EXAMPLE = 'Example:  plainmask segment street.jpg holiday/ "more/*.png" --out out'


def segment(
    images: Annotated[list[str], typer.Argument(help="Files, folders or quoted globs.")],
    head: Annotated[
        str, typer.Option(help="A shipped head, a head folder, or a hub repository (user/name).")
    ] = "street-semantic",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out"),
    tiles: Annotated[
        float | None,
        typer.Option(
            metavar="FACTOR",
            help="See pictures in overlapping tiles, after resizing them by this factor: 1 for all "
            "the detail of a large picture, in memory that does not grow with it.",
            show_default="as the head says",
        ),
    ] = None,
    device: Device = "auto",
    encoder: EncoderSource = None,
    as_json: Json = False,
) -> None:
    """Segment pictures: an overlay PNG, a label PNG and a JSON table for each.

    A picture that cannot be used is reported, the others go on, and the exit code is 1. With
    --json there is one object a line for each picture, as soon as it is done.
    """
    from plainmask.allocator import keep_freed_memory
    from plainmask.inference.loading import load

    paths, problems = find_images(images)
    if not paths:
        raise InputError("; ".join(f"{name}: {reason}" for name, reason in problems.items()))
    check_writable(out)
    keep_freed_memory()
    segmenter = load(head, device=device, encoder=encoder)
    if tiles is not None:
        if not 0 < tiles <= 16:
            raise InputError(
                f"--tiles is a factor on the size, such as 1 or 0.5, at most 16, not {tiles:g}"
            )
        segmenter = segmenter.seeing("tiles", tiles)
    for name, reason in problems.items():
        report_failure(name, f"{name}: {reason}", as_json=as_json)
    failed = len(problems)
    progress = Progress(len(paths), "pictures")
    try:
        for path, (folder, stem) in zip(paths, output_places(paths, out), strict=True):
            try:
                result, files = segment_file(segmenter, path, folder, stem)
            except PlainmaskError as error:
                failed += 1
                progress.clear()
                report_failure(str(path), str(error), as_json=as_json)
            else:
                progress.clear()
                report(path, result, files, as_json=as_json)
            progress.step()
    except KeyboardInterrupt:
        progress.clear()
        complain("stopped", f"{progress.done} of {len(paths)} pictures are done, in {out}")
        raise typer.Exit(130) from None
    if failed:
        complain("error", f"{failed} of {len(paths) + len(problems)} inputs failed")
        raise typer.Exit(1)


def segment_file(
    segmenter: HeadSegmenter[Any], path: Path, folder: Path, stem: str
) -> tuple[Result, list[Path]]:
    """Segment one file with the only head and write its results.

    Raises:
        PlainmaskError: the picture cannot be used, or the results cannot be written; names both.
    """
    from plainmask.pictures.images import read_image

    image = read_image(path)
    try:
        result: Result = segmenter(image, on_tile=stepper("tiles"))
    except (PlainmaskError, MemoryError, RuntimeError) as error:  # torch's out of memory is one
        raise PlainmaskError(f"{path}: {error}") from error
    return result, result.save(folder, stem=stem, image=image)


def report(path: Path, result: Result, files: Sequence[Path], *, as_json: bool) -> None:
    """Print the segments of one picture, largest first, and where its files are."""
    height, width = result.image_size
    segments = sorted(confident(result).segments, key=lambda segment: -segment.area)
    if as_json:
        row: dict[str, Any] = {
            "image": str(path),
            "image_size": [height, width],
            "segments": [asdict(segment) for segment in segments],
            "files": [str(file) for file in files],
        }
        print(json.dumps(row), flush=True)
        return
    print_table(
        ("class", "pixels %", "score %"),
        [
            (s.label, f"{100 * s.area / (height * width):.1f}", f"{100 * s.score:.0f}")
            for s in segments
        ],
        title=f"{path} ({width} x {height}), results: {', '.join(map(str, files))}",
    )


def confident(result: Result) -> Result:
    """The result without the doubtful candidates that instance results carry along."""
    from plainmask.results import InstanceResult

    return result.above(result.confident) if isinstance(result, InstanceResult) else result


def report_failure(name: str, message: str, *, as_json: bool) -> None:
    """Say which input failed and why; for programs on stdout as well."""
    complain("error", message)
    if as_json:
        print(json.dumps({"image": name, "error": message}), flush=True)
