"""`plainmask eval`: a head and a labelled data set in, figures out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from plainmask.cli.console import Progress, print_table
from plainmask.cli.options import Device, EncoderSource, HeadName, Json

EXAMPLE = "Example:  plainmask eval street-semantic camvid --split test"


def evaluate(
    head: HeadName,
    data: Annotated[Path, typer.Argument(help="Folder with images/SPLIT and labels/SPLIT.")],
    split: Annotated[
        str | None,
        typer.Option(help="Sub-folder of images and labels; without it the files lie in these."),
    ] = None,
    device: Device = "auto",
    encoder: EncoderSource = None,
    as_json: Json = False,
) -> None:
    """Evaluate a head on labelled pictures: mean IoU of semantic heads, in percent.

    The classes are the head's. If DATA/classes.json is there, it says which number each class has
    in the label files, and which numbers do not count.
    """
    from plainmask.allocator import keep_freed_memory
    from plainmask.data.label_folder import read_label_folder
    from plainmask.evaluate import evaluate as evaluate_records
    from plainmask.evaluate import label_vocabulary
    from plainmask.segmenter import load

    keep_freed_memory()
    segmenter = load(head, device=device, encoder=encoder)
    (config,) = (loaded.config for loaded in segmenter.heads.values())
    records = read_label_folder(data, split, label_vocabulary(config.vocabulary, data))
    progress = Progress(len(records))
    found = evaluate_records(segmenter, records, on_record=lambda done, total: progress.step())
    if as_json:
        print(json.dumps(found.to_json()))
        return
    rows = [(k, "-" if v is None else f"{v:.2f}") for k, v in found.per_class.items()]
    rows += [(name, f"{value:.2f}") for name, value in found.figures.items()]
    print_table(("class", "IoU %"), rows, title=f"{config.name} on {data} {split or ''}".rstrip())
    print(f"{found.num_images} images; {found.protocol}")
