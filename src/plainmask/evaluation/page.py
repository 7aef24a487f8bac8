"""A page with the best and worst images of an evaluation: picture, annotation and result."""

from __future__ import annotations

import html
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from plainmask.atomic import COMMENT_MARK, PAGE_MARK, write_result
from plainmask.data.record import Record
from plainmask.data.sheets import paint_segments
from plainmask.evaluation.report import PAGE, Evaluation
from plainmask.inference.segmenter import HeadSegmenter

COUNT = 6
"""Images of each kind."""
_STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:80em}"
    "figure{margin:0 0 2em}img{width:32%;margin-right:1%}"
    "table{border-collapse:collapse}td{padding:.1em 1em .1em 0}"
)


def write_page(
    folder: Path,
    found: Evaluation,
    records: Sequence[Record],
    segmenter: HeadSegmenter[Any],
    *,
    title: str,
) -> Path:
    """Write `FOLDER/index.html` and the pictures that it shows.

    Args:
        folder: made if missing.
        found: the evaluation of these records.
        records: those that were evaluated.
        segmenter: with the head that was; it segments the images that are shown once more.
        title: above the page.

    Returns:
        the path of the page.

    Raises:
        InputError: the folder cannot be written, or holds a file of such a name that is not ours.
    """
    by_id = {record.id: record for record in records}
    name, value = next(iter(found.figures.items()))
    parts = [
        f"<h1>{html.escape(title)}</h1><p>{html.escape(found.protocol)}</p>",
        _table(found),
    ]
    worst, best = found.worst_and_best(COUNT)
    for heading, cases in (("Worst", worst), ("Best", best)):
        parts.append(f"<h2>{heading} images</h2><p>Picture, annotation, result.</p>")
        for record_id, figure in cases:
            names = _pictures(folder, by_id[record_id], segmenter)
            shown = "".join(f'<img src="{quote(name)}">' for name in names)
            caption = f"{html.escape(record_id)}: {name} {figure:.1f}"
            parts.append(f"<figure>{shown}<figcaption>{caption}</figcaption></figure>")
    summary = f"{name} {value:.2f}" if value is not None else name
    page = (
        f"{PAGE_MARK}<title>{html.escape(title)}: {summary}</title>"
        f"<style>{_STYLE}</style>{''.join(parts)}\n"
    )
    return write_result(folder / PAGE, page.encode())


def _pictures(folder: Path, record: Record, segmenter: HeadSegmenter[Any]) -> list[str]:
    """Write the pictures of one record; their names, relative to the page."""
    image = record.image()
    pictures = {
        "image": Image.fromarray(image),
        "annotation": paint_segments(
            image, record.annotation(), segmenter.head.config.vocabulary, side=max(image.shape[:2])
        ),
        "result": segmenter(image).draw(image),
    }
    names: list[str] = []
    for kind, picture in pictures.items():
        names.append(f"cases/{record.id.replace('/', '%2F')}.{kind}.jpg")
        buffer = BytesIO()
        picture.save(buffer, format="JPEG", quality=88, comment=COMMENT_MARK)
        write_result(folder / names[-1], buffer.getvalue())
    return names


def _table(found: Evaluation) -> str:
    rows = [*found.figures.items(), *found.per_class.items()]
    cells = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{'-' if value is None else f'{value:.2f}'}</td></tr>"
        for name, value in rows
    )
    return f"<table>{cells}</table>"
