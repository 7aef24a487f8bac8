"""A result in a notebook or in a window."""

from __future__ import annotations

import base64
import io
import sys
from html import escape
from typing import TYPE_CHECKING, Any

from PIL import Image

from plainmask.errors import InputError

if TYPE_CHECKING:
    from plainmask.results.base import Result

_SIDE = 1024
"""Longest side of a picture in a notebook: large enough to look at, small enough to be stored."""
_ROWS = 20
"""Most segments that a notebook lists."""


def show(picture: Image.Image) -> None:
    """In a notebook as the output of its cell, elsewhere in the viewer of the system."""
    shell: Any = sys.modules.get("IPython")
    running = shell and shell.get_ipython()
    if running and hasattr(running, "kernel"):
        shell.display.display(picture)
    else:
        picture.show()


def as_html(result: Result) -> str:
    """The picture, where it is known and can still be read, and a table of the segments."""
    kept = result.keep()
    segments = sorted(kept.rows(), key=lambda row: -row["area"])
    height, width = kept.image_size
    rows = "".join(
        f"<tr><td>{escape(row['label'])}</td><td>{100 * row['area'] / (height * width):.1f}</td>"
        f"<td>{_percent(row['score'])}</td></tr>"
        for row in segments[:_ROWS]
    )
    more = f"<p>and {len(segments) - _ROWS} more</p>" if len(segments) > _ROWS else ""
    head = "<tr><th>class</th><th>pixels %</th><th>score %</th></tr>"
    title = f"<p>{escape(repr(result))}</p>"
    return f"{title}{_picture(kept)}<table>{head}{rows}</table>{more}"


def _picture(kept: Result) -> str:
    if kept.source is None:
        return ""
    try:
        picture = kept.draw(legend=True)
    except InputError as error:  # the file may be gone by now
        return f"<p>{escape(str(error))}</p>"
    picture.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    picture.save(content, "PNG")
    return f'<img src="data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}">'


def _percent(score: float | None) -> str:
    return "-" if score is None else f"{100 * score:.0f}"
