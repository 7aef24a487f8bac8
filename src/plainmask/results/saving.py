"""A result as files, in the forms that `Result.save` names.

Letters: H W image size.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
from PIL import Image

from plainmask import __version__
from plainmask.atomic import check_replaceable, write_result
from plainmask.errors import InputError
from plainmask.options import one_of
from plainmask.pictures.images import ImageSource
from plainmask.results.formats import png_bytes
from plainmask.results.regions import window_of
from plainmask.results.trace import trace_polygon

if TYPE_CHECKING:
    from plainmask.results.base import Result

Form: TypeAlias = Literal["labels", "segments", "overlay", "crops", "yolo"]
"""What a result can be saved as."""
Way = TypeVar("Way", bound=str)


def save(
    result: Result,
    folder: Path,
    stem: str | None,
    image: ImageSource | None,
    forms: Sequence[Form] | None,
) -> list[Path]:
    """Write a result as files; see `Result.save`."""
    source = result.source if image is None else image
    if stem is None:
        stem = Path(source).stem if isinstance(source, str | os.PathLike) else "result"
    if forms is None:
        forms = ["labels", "segments"] if source is None else ["labels", "segments", "overlay"]
    kept = result.keep()
    files: dict[Path, bytes] = {}
    left: list[Path] = []
    for form in forms_of(forms):
        made = _files(kept, form, folder, stem, source)
        files |= made
        left += [folder / f"{stem}.crops"] if form == "crops" else made
    for path, content in files.items():  # nothing is written where one of them cannot be
        check_replaceable(path, content)
    for path, content in files.items():
        write_result(path, content)
    return left


def forms_of(names: Sequence[str]) -> list[Form]:
    """The forms of these names, each once.

    Raises:
        InputError: there is no name, or none of such a form.
    """
    return sorted(known_ways(names, get_args(Form)), key=get_args(Form).index)


def known_ways(names: Sequence[str], known: Sequence[Way]) -> list[Way]:
    """The ways of saving of these names, each once.

    Raises:
        InputError: there is no name, or none of such a way.
    """
    if not names:
        raise InputError(f"results are saved as nothing; there are {', '.join(known)}")
    ways = (one_of(name, known, f"results cannot be saved as {name!r}") for name in names)
    return list(dict.fromkeys(ways))


def _files(
    kept: Result, form: Form, folder: Path, stem: str, source: ImageSource | None
) -> dict[Path, bytes]:
    """The files of one form."""
    match form:
        case "labels":
            return {folder / f"{stem}.labels.png": png_bytes(kept.label_picture())}
        case "segments":
            return {folder / f"{stem}.segments.json": _table(kept)}
        case "overlay":
            drawn = kept.draw(source, legend=True)
            return {folder / f"{stem}.overlay.png": png_bytes(drawn)}
        case "crops":
            return _crops(kept, folder / f"{stem}.crops", source)
        case "yolo":
            return {folder / "yolo" / f"{stem}.txt": _polygons(kept)}


def _table(kept: Result) -> bytes:
    table: dict[str, Any] = {
        "plainmask": __version__,
        "kind": kept.kind,
        "image_size": list(kept.image_size),
        "vocabulary": kept.vocabulary.name,
        "segments": kept.rows(),
    }
    if kept.moment is not None:
        table["frame_index"] = kept.moment.frame_index
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()


def _crops(kept: Result, folder: Path, source: ImageSource | None) -> dict[Path, bytes]:
    """Each segment cut out of the picture, transparent where it is not."""
    pixels = kept.picture(source)
    if pixels.shape[:2] != kept.image_size:
        raise InputError(
            f"crops are cut from the picture that was segmented, of shape {(*kept.image_size, 3)}, "
            f"not {pixels.shape}"
        )
    files: dict[Path, bytes] = {}
    for segment in kept.segments:
        place = window_of(segment.box, kept.image_size)
        if place is None:
            continue
        alpha = np.where(kept.mask_of(segment)[place], np.uint8(255), np.uint8(0))
        name = re.sub(r"[^\w-]+", "-", segment.label)
        cut = Image.fromarray(np.dstack([pixels[place], alpha]))
        files[folder / f"{segment.id:03d}-{name}.png"] = png_bytes(cut)
    return files


def _polygons(kept: Result) -> bytes:
    """A line for each object: its class id, then x and y of the corners as shares of the sides."""
    height, width = kept.image_size
    lines: list[str] = []
    for segment in kept.segments:
        if segment.thing:
            points = (trace_polygon(kept.mask_of(segment)) / [width, height]).ravel().tolist()
            lines.append(" ".join([str(segment.class_id), *(f"{value:.7g}" for value in points)]))
    return "".join(f"{line}\n" for line in lines).encode()
