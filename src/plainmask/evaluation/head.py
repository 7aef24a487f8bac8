"""A head x a data set -> figures, on pictures or on videos, as `plainmask eval` does it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from plainmask.allocator import keep_freed_memory
from plainmask.data.guess import guess_format, image_format
from plainmask.data.reader import DataFormat, read_dataset
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.evaluation.images import evaluate, evaluate_in_processes, label_vocabulary
from plainmask.evaluation.measures import Rules
from plainmask.evaluation.page import write_page
from plainmask.evaluation.report import Evaluation, check_report
from plainmask.evaluation.videos import evaluate_videos
from plainmask.heads.head import HeadConfig
from plainmask.inference.loading import load
from plainmask.inference.segmenter import HeadSegmenter
from plainmask.inference.tracking import check_protocol
from plainmask.pictures.archive import is_file, is_folder
from plainmask.progress import stepper
from plainmask.result_files.images import ResultWriter


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
    _check_there(data)
    if out is not None:
        check_report(out, page=True)
    is_stride = protocol == "stride"
    segmenter = _open_segmenter(0, name, device, encoder, stride=is_stride)
    config = segmenter.head.config
    records = read_labelled(config, data, split, format)
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
            segmenter, records, protocol=rules_of_time, on_record=stepper("frame")
        )
    if protocol is not None and not is_stride:
        raise InputError(f"--protocol {protocol} is for videos; images know stride")
    writer = None if out is None else ResultWriter(out)
    if processes > 1:
        opener = partial(
            _open_in_process, name=name, device=device, encoder=encoder, stride=is_stride
        )
        found = evaluate_in_processes(
            opener,
            records,
            config,
            processes=processes,
            rules=rules,
            writer=writer,
            on_record=stepper("image"),
        )
    else:
        found = evaluate(segmenter, records, rules=rules, writer=writer, on_record=stepper("image"))
    if out is not None:
        title = f"{config.name} on {data} {split or ''}".rstrip()
        write_page(out, found, records, segmenter, title=title)
    return found


def read_labelled(
    config: HeadConfig, data: Path, split: str | None, format: DataFormat | None
) -> list[Record]:
    """The records of a data set for a head.

    Args:
        config: of the head: its task and classes.
        data: the folder.
        split: such as val; None: the data has none.
        format: of the data; None: guessed.

    Raises:
        InputError: there is no such folder, or it cannot be read as labels for this head.
    """
    _check_there(data)
    if format is None:
        is_image = config.decoder.propagation == "none"
        format = image_format(config.task, data) if is_image else guess_format(data)
    vocabulary = label_vocabulary(config.vocabulary, data, format, split)
    return read_dataset(format, data, split, vocabulary)


def _check_there(data: Path) -> None:
    if not is_folder(data) and not is_file(data):
        raise InputError(f"{data}: there is no such folder; check the path")


def _open_in_process(
    number: int, name: str, device: str, encoder: str | None, *, stride: bool
) -> HeadSegmenter[Any]:
    """As below, in a process that does nothing else."""
    keep_freed_memory()
    return _open_segmenter(number, name, device, encoder, stride=stride)


def _open_segmenter(
    number: int, name: str, device: str, encoder: str | None, *, stride: bool
) -> HeadSegmenter[Any]:
    """The head of process `number`; each takes a GPU of its own, if there are several."""
    if device in ("auto", "cuda") and torch.cuda.device_count() > 1:
        device = f"cuda:{number % torch.cuda.device_count()}"
    segmenter = load(name, device=device, encoder=encoder)
    return segmenter.seeing("stride") if stride else segmenter
