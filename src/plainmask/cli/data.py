"""`plainmask data`: look a labelled data set over before training; bring it into other forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from plainmask.cli.console import complain
from plainmask.cli.data_report import print_report
from plainmask.cli.options import Command, Group, Json
from plainmask.errors import PlainmaskError
from plainmask.progress import counted, stepper

if TYPE_CHECKING:
    from plainmask.vocabulary import Vocabulary

CHECK_EXAMPLE = "Example:  plainmask data check my-data --out sheet.png"
CONVERT_EXAMPLE = "Example:  plainmask data convert my-data --to coco_instances --out my-coco"

app = typer.Typer(cls=Group, no_args_is_help=True, epilog=CHECK_EXAMPLE)

Root: TypeAlias = Annotated[
    Path, typer.Argument(metavar="PATH", help="The folder of the data set.", show_default=False)
]
FormatName: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Such as label_folder or coco_panoptic.", show_default="guessed"),
]
Split: TypeAlias = Annotated[
    str | None, typer.Option(help="Such as train or val.", show_default="all that are there")
]
VocabularyName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--vocabulary",
        help="Class table: a built-in name or a JSON file.",
        show_default="the data set's own",
    ),
]


@app.callback()
def data() -> None:
    """Check a labelled data set, or convert it."""


@app.command("check", cls=Command, epilog=CHECK_EXAMPLE)
def check(
    path: Root,
    format: FormatName = None,
    split: Split = None,
    vocabulary: VocabularyName = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a contact sheet (PNG) with segments drawn.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many processes decode.")] = 1,
    as_json: Json = False,
) -> None:
    """Read every picture and annotation: what is there, and all that is wrong.

    Ends with exit code 1 if something is.
    """
    from plainmask.atomic import check_replaceable, write_result
    from plainmask.data.check import check_dataset
    from plainmask.data.reader import check_format
    from plainmask.data.sheets import contact_sheet
    from plainmask.results.formats import png_bytes
    from plainmask.results.places import check_writable

    if out is not None:
        check_writable(out.parent)
        check_replaceable(out)
    chosen = None if format is None else check_format(format)
    report = check_dataset(
        path,
        chosen,
        split,
        vocabulary=_vocabulary(vocabulary),
        workers=workers,
        on_record=stepper("image"),
    )
    if out is not None and report.samples:
        write_result(out, png_bytes(contact_sheet(report.samples)))
    if as_json:
        print(json.dumps(report.to_json()))
    else:
        print_report(report)
    if count := len(report.all_problems):
        what = "problem" if count == 1 else "problems"
        raise PlainmaskError(f"{count} {what} in {path}; correct the files that are named")


def _vocabulary(name: str | None) -> Vocabulary | None:
    from plainmask.vocabulary import Vocabulary

    return None if name is None else Vocabulary.load(name)


@app.command("convert", cls=Command, epilog=CONVERT_EXAMPLE)
def convert(
    path: Root,
    to: Annotated[str, typer.Option(help="label_folder, coco_instances, coco_panoptic or yolo.")],
    out: Annotated[Path, typer.Option(help="A folder that is not there yet.")],
    format: FormatName = None,
    split: Split = None,
    vocabulary: VocabularyName = None,
    skip_problems: Annotated[
        bool, typer.Option("--skip-problems", help="Leave out what is wrong, and list it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a data set of pictures in another format, and say what that cannot hold."""
    from plainmask.data.convert import check_target, convert_dataset
    from plainmask.data.reader import check_format

    found = convert_dataset(
        path,
        check_target(to),
        out,
        format=None if format is None else check_format(format),
        split=split,
        vocabulary=_vocabulary(vocabulary),
        skip_problems=skip_problems,
        on_record=stepper("image"),
    )
    if as_json:
        print(json.dumps(found.to_json()))
        return
    for problem in found.skipped:
        complain("left out", problem)
    images = ", ".join(
        f"{counted(count, 'image')} of {name}" for name, count in found.images.items()
    )
    print(f"{path} ({found.source}) -> {out} ({found.target}): {images}")
    for note in found.notes:
        print(f"note: {note}")
    for what, count in found.lost.items():
        print(f"lost: {count} {what}")
