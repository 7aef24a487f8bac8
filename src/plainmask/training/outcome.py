"""What a run leaves behind: figures and pictures on the way, the head folders `head` and `best`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from plainmask.data.record import Record
from plainmask.encoder.vit import Encoder
from plainmask.errors import PlainmaskError
from plainmask.evaluation.images import evaluate
from plainmask.evaluation.videos import evaluate_videos
from plainmask.heads.head import Head, read_config
from plainmask.inference.segmenter import Segmenter
from plainmask.training.processes import say

NUM_OVERLAYS = 4
WATCHED = ("PQ", "VPQ", "AP", "mIoU", "mVC8", "J", "STQ", "IDF1")
"""Figures on the validation records that a run reports, those that its task has. The first of them
says which head is the best."""


def look(
    head: Head, encoder: Encoder, records: Sequence[Record], run_dir: Path, step: int
) -> dict[str, float]:
    """Evaluate on the validation records and draw a few of them into `run_dir/overlays`.

    A head that is better than all before it is kept in `run_dir/best`.
    """
    device = encoder.cls_token.device
    segmenter = Segmenter(encoder, {"trained": head}, device=device)["trained"]
    folder = run_dir / "overlays" / f"step_{step:06d}"
    for record in records[:: max(1, len(records) // NUM_OVERLAYS)][:NUM_OVERLAYS]:
        with suppress(PlainmaskError):  # the evaluation says what is wrong with it
            image = record.image()
            segmenter(image).save(folder, stem=record.id, image=image)
    if records[0].sequence is None:
        found = evaluate(segmenter, records)
    else:
        found = evaluate_videos(segmenter, records)
    for name, reason in found.failed.items():
        say(f"{name} is left out of the figures: {reason}")
    known = {name: found.figures.get(name) for name in WATCHED}
    figures = {f"val_{name}": float(value) for name, value in known.items() if value is not None}
    keep_best(head, figures, run_dir / "best")
    return figures


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
