"""`plainmask segment`: pictures in; overlays, label maps and tables out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from plainmask.cli.console import complain
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
from plainmask.cli.segment_report import SavedPicture, Totals, report_failure, report_outcome
from plainmask.errors import InputError, PlainmaskError
from plainmask.progress import Progress, counted, pace, stepper

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from plainmask.heads.head import Head
    from plainmask.inference.images import Answer
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
    """Segment pictures and report each; how many failed.

    A thread reads ahead, another writes what the network is done with.
    """
    from plainmask.inference.images import CHUNK, segment_each
    from plainmask.inference.overlap import WAITING, behind
    from plainmask.results.places import output_places

    progress = Progress(len(paths), "picture", together=CHUNK)
    totals = {name: Totals() for name in segmenter.heads}
    places = dict(zip(paths, output_places(paths, out), strict=True))
    failed: list[bool] = []  # of all that are done, also of those that Ctrl-C leaves untold

    def save(answer: Answer) -> SavedPicture:
        outcome = save_answer(answer, places, selection)
        failed.append(bool(outcome.problem))
        return outcome

    answers = segment_each(segmenter.shared, segmenter.heads, paths, stepper("tile"))
    try:
        with closing(behind(save, answers, WAITING)) as saved:
            for outcome in saved:
                progress.clear()
                report_outcome(outcome, totals, as_json=as_json, alone=len(paths) == 1)
                progress.step()
    except KeyboardInterrupt:
        progress.clear()
        done = len(failed)
        complain("stopped", f"{done} of {counted(len(paths), 'picture')} are done, in {out}")
        raise typer.Exit(130) from None
    done = failed.count(False)
    if len(paths) > 1 and not as_json and done:
        title = f"{counted(done, 'picture')}, {pace(progress.seconds_each)}, results in {out}"
        for name, counts in totals.items():
            counts.print(title if len(totals) == 1 else f"{name}: {title}")
    return failed.count(True)


def save_answer(
    answer: Answer, places: Mapping[Path, tuple[Path, str]], selection: Selection
) -> SavedPicture:
    """Write the results of a picture into its place, a folder and a stem."""
    path = cast(Path, answer.image)
    if answer.error is not None:
        return SavedPicture(path, {}, named(path, answer.error))
    try:
        return SavedPicture(path, save_results(answer, *places[path], selection), "")
    except (PlainmaskError, MemoryError) as error:
        return SavedPicture(path, {}, named(path, error))


def named(path: Path, error: Exception) -> str:
    """What is wrong with a picture, beginning with its name."""
    reason = str(error) or "memory does not hold it"
    return reason if reason.startswith(str(path)) else f"{path}: {reason}"


def save_results(
    answer: Answer, folder: Path, stem: str, selection: Selection
) -> Mapping[str, tuple[Result, list[Path]]]:
    """Write the results of a picture: by head the result and its files.

    With several heads, their names are part of the files' names, and the last has the sheet, too.

    Raises:
        InputError: the results cannot be written; names the file.
    """
    kept = {
        name: one.keep(selection.score, selection.classes[name])
        for name, one in answer.results.items()
    }
    alone = len(kept) == 1
    written = {
        name: (
            result,
            result.save(
                folder,
                stem=stem if alone else f"{stem}.{name}",
                image=answer.pixels,
                forms=selection.forms,
            ),
        )
        for name, result in kept.items()
    }
    if not alone:
        last = written[next(reversed(written))]
        last[1].append(write_sheet(folder / f"{stem}.sheet.png", answer.pixels, kept))
    return written


def write_sheet(path: Path, image: NDArray[np.uint8], results: Mapping[str, Result]) -> Path:
    """Write the sheet of several results of a picture."""
    from plainmask.atomic import write_result
    from plainmask.results.formats import png_bytes
    from plainmask.results.sheet import sheet

    return write_result(path, png_bytes(sheet(image, results)))
