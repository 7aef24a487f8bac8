"""`plainmask segment`: pictures in; overlays, label maps and tables out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plainmask.cli.console import complain, print_table
from plainmask.cli.options import (
    Classes,
    Compile,
    Device,
    EncoderSource,
    Json,
    Score,
    check_score,
    class_ids,
    head_names,
    words,
)
from plainmask.errors import InputError, PlainmaskError
from plainmask.progress import Progress, counted, pace, stepper

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from plainmask.heads.head import Head
    from plainmask.inference.segmenter import Segmenter
    from plainmask.results import Result
    from plainmask.results.saving import Form

EXAMPLE = (
    'Example:  plainmask segment street.jpg holiday/ "more/*.png" --out out\n\n'
    "Example:  plainmask segment photo.jpg --heads scenes,person-parts"
)


@dataclass(frozen=True)
class Selection:
    """What is kept of each result, and how."""

    score: float | None
    classes: Mapping[str, list[int] | None]
    """By head."""
    forms: list[Form]


def segment(
    images: Annotated[list[str], typer.Argument(help="Files, folders or quoted globs.")],
    heads: Annotated[
        str,
        typer.Option(
            "--head",
            "--heads",
            metavar="NAME[,NAME...]",
            help="A shipped head, a head folder, or a hub repository (user/name); several, with "
            "commas between, share one encoder, and there is a sheet of all of them, too.",
        ),
    ] = "scenes",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out"),
    save: Annotated[
        str, typer.Option(help="Some of overlay, labels, segments, crops, yolo, with commas.")
    ] = "overlay,labels,segments",
    score: Score = None,
    classes: Classes = None,
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
    compiled: Compile = False,
    encoder: EncoderSource = None,
    as_json: Json = False,
) -> None:
    """Segment pictures: an overlay PNG, a label PNG and a JSON table for each.

    A picture that cannot be used is reported, the others go on, and the exit code is 1. With
    --json there is one object a line for each picture and head, as soon as it is done.
    """
    from plainmask.allocator import keep_freed_memory
    from plainmask.inference.loading import load_heads
    from plainmask.pictures.finding import find_images
    from plainmask.results.places import check_writable
    from plainmask.results.saving import forms_of

    forms = forms_of(words(save))
    check_score(score)
    paths, problems = find_images(images)
    if not paths:
        raise InputError("; ".join(f"{name}: {reason}" for name, reason in problems.items()))
    check_writable(out)
    keep_freed_memory()
    segmenter = load_heads(head_names(heads), device=device, compile=compiled, encoder=encoder)
    if tiles is not None:
        in_tiles(segmenter, tiles)
    selection = Selection(score, classes_by_head(classes, segmenter.heads), forms)
    for name, reason in problems.items():
        report_failure(name, f"{name}: {reason}", as_json=as_json)
    failed = len(problems) + segment_all(segmenter, paths, out, selection, as_json=as_json)
    if failed:
        complain("error", f"{failed} of {counted(len(paths) + len(problems), 'input')} failed")
        raise typer.Exit(1)


def in_tiles(segmenter: Segmenter, factor: float) -> None:
    """Have all heads see pictures in tiles."""
    if not 0 < factor <= 16:
        raise InputError(
            f"--tiles is a factor on the size, such as 1 or 0.5, at most 16, not {factor:g}"
        )
    for name, head in [*segmenter.heads.items()]:
        segmenter.add(name, head.seeing("tiles", factor))


def classes_by_head(
    given: list[str] | None, heads: Mapping[str, Head]
) -> dict[str, list[int] | None]:
    """The ids of the classes that --classes names, by head; None: of all.

    Raises:
        InputError: no head has one of them.
    """
    if len(heads) == 1 or not given:
        return {name: class_ids(given, head.config.vocabulary) for name, head in heads.items()}
    found: dict[str, list[int]] = {name: [] for name in heads}
    for word in (word for value in given for word in words(value)):
        problems: list[InputError] = []
        for name, head in heads.items():
            try:
                found[name] += class_ids([word], head.config.vocabulary) or []
            except InputError as error:
                problems.append(error)
        if len(problems) == len(heads):
            raise problems[0]
    return dict(found)


def segment_all(
    segmenter: Segmenter, paths: Sequence[Path], out: Path, selection: Selection, *, as_json: bool
) -> int:
    """Segment pictures and report each; how many failed."""
    from plainmask.results.places import output_places

    failed = 0
    progress = Progress(len(paths), "picture")
    totals = {name: Totals() for name in segmenter.heads}
    alone = len(paths) == 1
    try:
        for path, (folder, stem) in zip(paths, output_places(paths, out), strict=True):
            try:
                found = segment_file(segmenter, path, folder, stem, selection)
            except PlainmaskError as error:
                failed += 1
                progress.clear()
                report_failure(str(path), str(error), as_json=as_json)
            else:
                progress.clear()
                for name, (result, files) in found.items():
                    totals[name].add(result)
                    report(path, name, result, files, as_json=as_json, alone=alone)
            progress.step()
    except KeyboardInterrupt:
        progress.clear()
        complain(
            "stopped", f"{progress.done} of {counted(len(paths), 'picture')} are done, in {out}"
        )
        raise typer.Exit(130) from None
    done = len(paths) - failed
    if not alone and not as_json and done:
        title = f"{counted(done, 'picture')}, {pace(progress.seconds_each)}, results in {out}"
        for name, counts in totals.items():
            counts.print(title if len(totals) == 1 else f"{name}: {title}")
    return failed


def segment_file(
    segmenter: Segmenter, path: Path, folder: Path, stem: str, selection: Selection
) -> dict[str, tuple[Result, list[Path]]]:
    """Segment one file and write its results: by head the result and its files.

    With several heads, their names are part of the files' names, and the last has the sheet, too.

    Raises:
        PlainmaskError: the picture cannot be used, or the results cannot be written; names both.
    """
    from plainmask.pictures.images import read_image

    image = read_image(path)
    try:
        found = segmenter(image, on_tile=stepper("tile"))
    except (PlainmaskError, MemoryError, RuntimeError) as error:  # torch's out of memory is one
        raise PlainmaskError(f"{path}: {error}") from error
    kept = {name: one.keep(selection.score, selection.classes[name]) for name, one in found.items()}
    alone = len(kept) == 1
    written = {
        name: (
            result,
            result.save(
                folder,
                stem=stem if alone else f"{stem}.{name}",
                image=image,
                forms=selection.forms,
            ),
        )
        for name, result in kept.items()
    }
    if not alone:
        last = written[next(reversed(written))]
        last[1].append(write_sheet(folder / f"{stem}.sheet.png", image, kept))
    return written


def write_sheet(path: Path, image: NDArray[np.uint8], results: Mapping[str, Result]) -> Path:
    """Write the sheet of several results of a picture."""
    from plainmask.atomic import write_result
    from plainmask.results.formats import png_bytes
    from plainmask.results.sheet import sheet

    return write_result(path, png_bytes(sheet(image, results)))


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
