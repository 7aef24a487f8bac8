"""`plainmask eval`: a head, or results of any model, and a labelled data set in, figures out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from plainmask.cli.console import complain, print_evaluation
from plainmask.cli.options import Device, EncoderSource, Json
from plainmask.errors import InputError, PlainmaskError
from plainmask.progress import counted, stepper

EXAMPLE = (
    "Example:  plainmask eval street-semantic camvid --split test\n\n"
    "Example:  plainmask eval my-head coco --split val --out report\n\n"
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
            help="Of the data, such as coco_panoptic or youtube_vis.", show_default="guessed"
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Of video heads: offline, as published, or online, frame by frame. Of image "
            "heads: stride, one pass at native aspect.",
            show_default="as published",
        ),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(help="Rules of figures of images: official, or pmt, as published for PMT."),
    ] = "official",
    max_detections: Annotated[
        int,
        typer.Option(min=1, help="Instances in images: how many count for AP; COCO says 100."),
    ] = 100,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the result files in official formats, summary.json, per_class.csv "
            "and a page (index.html) of the best and worst images."
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Share images out among so many processes.")
    ] = 1,
    results: Annotated[
        bool,
        typer.Option(
            "--results",
            help="Evaluate result files, not a head: JSON (COCO, YouTube-VIS, OVIS), JSON and a "
            "folder of PNGs (COCO panoptic, VIPSeg), or PNGs (semantic, VSPW, DAVIS).",
        ),
    ] = False,
    unsupervised: Annotated[
        bool, typer.Option("--unsupervised", help="Results for DAVIS' unsupervised task.")
    ] = False,
    device: Device = "auto",
    encoder: EncoderSource = None,
    as_json: Json = False,
) -> None:
    """Evaluate a head on labelled pictures or videos, or results in the formats of benchmarks.

    Figures are in percent.

    The classes are the head's. If DATA/classes.json is there, it says which number each class has
    in the label files, and which numbers do not count.
    """
    from plainmask.allocator import keep_freed_memory
    from plainmask.data.reader import check_format
    from plainmask.evaluation.head import evaluate_head
    from plainmask.evaluation.measures import check_rules
    from plainmask.evaluation.report import check_report
    from plainmask.evaluation.result_files import evaluate_results

    if len(names) < 2 or (len(names) > 2 and not results):
        what = "the files of a result" if results else "one head"
        raise InputError(f"give {what} and the folder of the data set, not {' '.join(names)!r}")
    *given, data = names
    rules = check_rules(metrics, max_detections)
    data_format = None if format is None else check_format(format)
    if results and (protocol is not None or processes > 1):
        raise InputError("--protocol and --processes are for heads; results are there already")
    if results:
        if out is not None:
            check_report(out, page=False)
        found = evaluate_results(
            given,
            data,
            split,
            data_format=data_format,
            rules=rules,
            unsupervised=unsupervised,
            on_progress=stepper("step"),
        )
    else:
        keep_freed_memory()
        found = evaluate_head(
            given[0],
            Path(data),
            split,
            data_format,
            protocol,
            rules,
            out=out,
            processes=processes,
            device=device,
            encoder=encoder,
        )
    title = f"{', '.join(given)} on {data} {split or ''}".rstrip()
    print_evaluation(found, title, as_json=as_json)
    if out is not None:
        found.save(out)
        print(f"wrote {out}", file=sys.stderr)
    if found.failed:
        for name, reason in found.failed.items():
            complain("problem", f"{name}: {reason}")
        count, total = len(found.failed), len(found.failed) + found.count
        raise PlainmaskError(
            f"{count} of {counted(total, 'image')} failed; the figures are of the others"
        )
