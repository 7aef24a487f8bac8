"""What a run leaves behind: figures and pictures on the way, the head folders `head` and `best`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from plainmask.data.record import Record
from plainmask.encoder.vit import Encoder
from plainmask.errors import PlainmaskError
from plainmask.evaluation.images import evaluate
from plainmask.evaluation.sharing import Share
from plainmask.evaluation.videos import evaluate_videos
from plainmask.heads.head import Head, read_config
from plainmask.inference.segmenter import HeadSegmenter, Segmenter
from plainmask.training import processes

NUM_OVERLAYS = 4
WATCHED = ("PQ", "VPQ", "AP", "mIoU", "mVC8", "J", "STQ", "IDF1")
"""Figures on the validation records that a run reports, those that its task has. The first of them
says which head is the best."""


def measure(
    head: Head,
    encoder: Encoder,
    records: Sequence[Record],
    share: Share,
    on_record: Callable[[int, int], None],
) -> dict[str, float]:
    """The figures on the validation records; all processes ask, and all get them.

    The pictures, or whole videos, are shared out to the processes.

    Args:
        head, encoder: as they are now.
        records: of the validation split.
        share: of the processes.
        on_record: called with what this process has done, and what it has in all.

    Raises:
        PlainmaskError: the evaluation failed, in this process or in another.
    """
    segmenter = _segmenter(head, encoder)
    if records[0].sequence is None:
        found = evaluate(segmenter, records, on_record=on_record, share=share)
    else:
        found = evaluate_videos(segmenter, records, on_record=on_record, share=share)
    for name, reason in found.failed.items():
        processes.say(f"{name} is left out of the figures: {reason}")
    known = {name: found.figures.get(name) for name in WATCHED}
    return {f"val_{name}": float(value) for name, value in known.items() if value is not None}


def draw_overlays(head: Head, encoder: Encoder, records: Sequence[Record], folder: Path) -> None:
    """Draw results of a few validation records."""
    segmenter = _segmenter(head, encoder)
    for record in records[:: max(1, len(records) // NUM_OVERLAYS)][:NUM_OVERLAYS]:
        with suppress(PlainmaskError):  # the evaluation says what is wrong with it
            image = record.image()
            segmenter(image).save(folder, stem=record.id, image=image)


def _segmenter(head: Head, encoder: Encoder) -> HeadSegmenter[Any]:
    return Segmenter(encoder, {"trained": head}, device=encoder.cls_token.device)["trained"]


def keep_best(head: Head, figures: dict[str, float], folder: Path) -> None:
    """Save the head if the first of its figures is higher than that of the one in the folder."""
    if not figures:
        return
    name = next(iter(figures))
    if folder.exists():
        before = read_config(folder).provenance.figures.get(name)
        if before is not None and float(before) >= figures[name]:
            return
    with_figures(head, figures).save(folder)


def with_figures(head: Head, figures: dict[str, float]) -> Head:
    """The same head, which says how good it is."""
    measured = head.config.provenance.model_copy(update={"figures": figures})
    return Head(head.config.model_copy(update={"provenance": measured}), head.decoder)
