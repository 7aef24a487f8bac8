"""The part of `plainmask eval` that runs a head."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainmask.cli.console import stepper
from plainmask.errors import InputError

if TYPE_CHECKING:
    from plainmask.data.reader import DataFormat
    from plainmask.evaluation.measures import Rules
    from plainmask.evaluation.report import Evaluation
    from plainmask.inference.segmenter import HeadSegmenter


def evaluate_head(
    name: str,
    data: Path,
    split: str | None,
    format: DataFormat | None,
    protocol: str | None,
    rules: Rules,
    *,
    out: Path | None,
    processes: int,
    device: str,
    encoder: str | None,
) -> Evaluation:
    """The figures of a head, on pictures or on videos; result files and a page if asked for."""
    from plainmask.cli.files import check_writable
    from plainmask.data.guess import guess_format, image_format
    from plainmask.data.reader import read_dataset
    from plainmask.evaluation.images import evaluate, evaluate_in_processes, label_vocabulary
    from plainmask.evaluation.measures import Rules
    from plainmask.evaluation.page import write_page
    from plainmask.evaluation.videos import evaluate_videos
    from plainmask.inference.tracking import check_protocol
    from plainmask.pictures.archive import is_file, is_folder
    from plainmask.result_files.images import ResultWriter

    if not is_folder(data) and not is_file(data):
        raise InputError(f"{data}: there is no such folder; check the path")
    if out is not None:
        check_writable(out)
    is_stride = protocol == "stride"
    segmenter = open_segmenter(0, name, device, encoder, stride=is_stride)
    config = segmenter.head.config
    if format is None:
        is_image = config.decoder.propagation == "none"
        format = image_format(config.task, data) if is_image else guess_format(data)
    vocabulary = label_vocabulary(config.vocabulary, data, format, split)
    records = read_dataset(format, data, split, vocabulary)
    if records[0].sequence is not None:
        if out is not None or processes > 1:
            raise InputError(
                "--out and --processes are for images; plainmask track --save writes result files "
                "of videos"
            )
        if rules != Rules():
            raise InputError("--metrics and --max-detections are for images, not for videos")
        rules_of_time = check_protocol(protocol or "offline")
        return evaluate_videos(
            segmenter, records, protocol=rules_of_time, on_record=stepper("frames")
        )
    if protocol is not None and not is_stride:
        raise InputError(f"--protocol {protocol} is for videos; images know stride")
    writer = None if out is None else ResultWriter(out)
    if processes > 1:
        opener = partial(
            open_segmenter, name=name, device=device, encoder=encoder, stride=is_stride
        )
        found = evaluate_in_processes(
            opener,
            records,
            config,
            processes=processes,
            rules=rules,
            writer=writer,
            on_record=stepper("images"),
        )
    else:
        found = evaluate(
            segmenter, records, rules=rules, writer=writer, on_record=stepper("images")
        )
    if out is not None:
        title = f"{config.name} on {data} {split or ''}".rstrip()
        write_page(out, found, records, segmenter, title=title)
    return found


def open_segmenter(
    number: int, name: str, device: str, encoder: str | None, *, stride: bool
) -> HeadSegmenter[Any]:
    """The head of process `number`; each takes a GPU of its own, if there are several."""
    import torch

    from plainmask.allocator import keep_freed_memory
    from plainmask.inference.loading import load

    keep_freed_memory()
    if device in ("auto", "cuda") and torch.cuda.device_count() > 1:
        device = f"cuda:{number % torch.cuda.device_count()}"
    segmenter = load(name, device=device, encoder=encoder)
    return segmenter.seeing("stride") if stride else segmenter
