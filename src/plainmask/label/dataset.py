"""The labels of a project as a data set, which `train`, `eval` and `data` read.

Classes of pixels are a `label_folder`: images/, labels/STEM.png and classes.json. Objects have the
form of PASCAL VOC: JPEGImages/, SegmentationClass/STEM.png, SegmentationObject/STEM.png and
classes.json, where 0 is background. In all of them 255 is what nobody has labelled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.atomic import cannot_write, write_atomically
from plainmask.label.config import BACKGROUND, LabelTask, ProjectConfig
from plainmask.label.planes import Planes
from plainmask.label.stroke import MOST_OBJECTS, NO_LABEL
from plainmask.results.formats import png_bytes

PLACES: dict[LabelTask, tuple[str, ...]] = {
    "semantic": ("images", "labels"),
    "instance": ("JPEGImages", "SegmentationClass", "SegmentationObject"),
}
"""By task, the folders of pictures and of what is known of them."""


def class_table(config: ProjectConfig) -> dict[str, Any]:
    """What classes.json of a data set holds; see `data.class_table`.

    Where a class was given up, those after it have other ids than numbers in files.
    """
    rows: list[dict[str, Any]] = []
    for place, entry in enumerate(config.classes):
        row = entry.model_dump(mode="json")
        row |= {} if entry.id == place else {"id": place, "file_id": entry.id}
        row |= {"thing": entry.id != BACKGROUND} if config.tells_objects else {}
        rows.append(row)
    return {"name": "labels", "classes": rows, "ignore_values": [NO_LABEL]}


def write_class_table(root: Path, config: ProjectConfig) -> None:
    """Write classes.json of a data set; none where there is no class."""
    if not config.classes:
        (root / "classes.json").unlink(missing_ok=True)
    else:
        text = json.dumps(class_table(config), indent=1)
        write_atomically(root / "classes.json", text.encode() + b"\n")


def write_pair(root: Path, picture: Path, labels: Planes) -> None:
    """Put a picture and its labels into a data set; take it out where nothing is labelled.

    Args:
        root: of the data set.
        picture: linked to, or copied where there are no links.
        labels: (H, W).

    Raises:
        InputError: it cannot be written.
    """
    images, *folders = PLACES["semantic" if labels.objects is None else "instance"]
    maps = [labels.classes] if labels.objects is None else [labels.classes, _numbered(labels)]
    link = root / images / picture.name
    files = [root / folder / f"{picture.stem}.png" for folder in folders]
    if not labels.known.any():
        for path in (link, *files):
            path.unlink(missing_ok=True)
        return
    for file, values in zip(files, maps, strict=True):
        content = png_bytes(Image.fromarray(values))
        if not file.is_file() or file.read_bytes() != content:
            write_atomically(file, content)
    if not link.exists():
        link.unlink(missing_ok=True)  # one that leads nowhere
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            _link(picture, link)
        except OSError as error:
            raise cannot_write(link, error) from error


def remove_strays(root: Path, task: LabelTask, used: Collection[str]) -> None:
    """Delete label files and links whose stem is none of those that are used."""
    for folder in PLACES[task]:
        for path in (root / folder).glob("*"):
            if path.stem not in used:
                with suppress(OSError):
                    path.unlink()


def _numbered(labels: Planes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """What a file of objects holds: numbers from 1 without 255, which, as for classes, is void."""
    assert labels.objects is not None
    numbers = np.unique(labels.objects[labels.objects > 0])
    table, places = np.zeros(MOST_OBJECTS + 1, np.uint16), np.arange(1, len(numbers) + 1)
    table[numbers] = places + (places >= NO_LABEL)
    values = np.where(labels.known, table[labels.objects], np.uint16(NO_LABEL))
    return values.astype(np.uint8) if len(numbers) < NO_LABEL else values


def _link(source: Path, link: Path) -> None:
    """A link that still holds where the folder and what is in it are moved together."""
    try:
        link.symlink_to(os.path.relpath(source.resolve(), link.parent.resolve()))
    except (OSError, NotImplementedError, ValueError):  # Windows, or another drive
        shutil.copyfile(source, link)
