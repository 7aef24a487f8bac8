"""`plainmask eval`: a head, or results of any model, and a labelled data set in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from plainmask.cli.console import Progress, print_evaluation
from plainmask.cli.options import Device, EncoderSource, Json
from plainmask.errors import InputError

EXAMPLE = (
    "Example:  plainmask eval street-semantic camvid --split test\n\n"
    "Example:  plainmask eval --results results.json ytvis_2019 --split valid"
)


def evaluate(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="HEAD|FILE... DATA",
            help="A shipped head, a head folder or a hub repository, or with --results the files "
            "of a result; last the folder of the data set.",
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(help="Such as val or test; without it pictures lie in images and labels."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Of the data, such as camvid_clips or youtube_vis.",
            show_default="images and labels for image heads, guessed for video heads",
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(help="Of video heads: offline, as published, or online, frame by frame."),
    ] = "offline",
    results: Annotated[
        bool,
        typer.Option(
            "--results",
            help="Evaluate result files, not a head: JSON (YouTube-VIS, OVIS), a folder with "
            "pred.json and pan_pred (VIPSeg), or one with VIDEO/FRAME.png (VSPW, DAVIS).",
        ),
    ] = False,
    unsupervised: Annotated[
        bool, typer.Option("--unsupervised", help="Results for DAVIS' unsupervised task.")
    ] = False,
    device: Device = "auto",
    encoder: EncoderSource = None,
    as_json: Json = False,
) -> None:
    """Evaluate a head on labelled pictures or videos, or results on a video benchmark.

    Figures are in percent.

    The classes are the head's. If DATA/classes.json is there, it says which number each class has
    in the label files, and which numbers do not count.
    """
    if len(names) < 2 or (len(names) > 2 and not results):
        what = "the files of a result" if results else "one head"
        raise InputError(f"give {what} and the folder of the data set, not {' '.join(names)!r}")
    *given, data = names
    if results:
        evaluate_files(given, data, split, unsupervised=unsupervised, as_json=as_json)
    else:
        evaluate_head(
            given[0],
            Path(data),
            split,
            format,
            protocol,
            device=device,
            encoder=encoder,
            as_json=as_json,
        )


def evaluate_head(
    name: str,
    data: Path,
    split: str | None,
    format: str | None,
    protocol: str,
    *,
    device: str,
    encoder: str | None,
    as_json: bool,
) -> None:
    """Print the figures of a head, on pictures or on videos."""
    from plainmask.allocator import keep_freed_memory
    from plainmask.data.reader import check_format, guess_format, read_dataset
    from plainmask.evaluate import evaluate as evaluate_records
    from plainmask.evaluate import label_vocabulary
    from plainmask.evaluate_videos import evaluate_videos
    from plainmask.loading import load
    from plainmask.tracking import check_protocol

    keep_freed_memory()
    segmenter = load(name, device=device, encoder=encoder)
    (config,) = (loaded.config for loaded in segmenter.heads.values())
    if format is None and config.decoder.propagation == "none":
        format = "label_folder"
    chosen = guess_format(data) if format is None else check_format(format)
    records = read_dataset(chosen, data, split, label_vocabulary(config.vocabulary, data))
    is_video = records[0].sequence is not None
    progress = Progress(len(records), "frames" if is_video else "images")

    def step(done: int, total: int) -> None:
        progress.step()

    if is_video:
        rules = check_protocol(protocol)
        found = evaluate_videos(segmenter, records, protocol=rules, on_record=step)
    else:
        found = evaluate_records(segmenter, records, on_record=step)
    print_evaluation(found, f"{config.name} on {data} {split or ''}".rstrip(), as_json=as_json)


def evaluate_files(
    files: Sequence[str], data: str, split: str | None, *, unsupervised: bool, as_json: bool
) -> None:
    """Print the figures of result files."""
    from plainmask.evaluate_results import evaluate_results

    progress: list[Progress] = []

    def step(done: int, total: int) -> None:
        if not progress:
            progress.append(Progress(total, "steps"))
        progress[0].step()

    found = evaluate_results(files, data, split, unsupervised=unsupervised, on_progress=step)
    print_evaluation(found, f"{', '.join(files)} on {data} {split or ''}".rstrip(), as_json=as_json)
