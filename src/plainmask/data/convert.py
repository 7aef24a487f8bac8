"""Bring a data set of pictures from one format into another, whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from PIL import Image

from plainmask.data.guess import guess_format
from plainmask.data.reader import (
    FORMATS,
    DataFormat,
    Holds,
    dataset_splits,
    dataset_vocabulary,
    read_dataset,
)
from plainmask.data.record import Record
from plainmask.data.writers import (
    CocoInstancesWriter,
    CocoPanopticWriter,
    LabelFolderWriter,
    Writer,
    YoloWriter,
)
from plainmask.errors import InputError
from plainmask.options import one_of
from plainmask.pictures.archive import open_file
from plainmask.pictures.images import is_turned
from plainmask.vocabulary import Vocabulary

TargetFormat = Literal["label_folder", "coco_instances", "coco_panoptic", "yolo"]
"""Formats that can be written."""
_USUAL_SPLITS = {"training": "train", "validation": "val", "valid": "val"}


@dataclass
class Conversion:
    """What was written."""

    source: DataFormat
    target: TargetFormat
    out: Path
    images: dict[str, int] = field(default_factory=dict[str, int])
    """By split."""
    lost: dict[str, int] = field(default_factory=dict[str, int])
    """What the target cannot hold, and how often it occurred."""
    notes: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])
    """What was wrong in the source, and was left out."""

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "from": self.source,
            "to": self.target,
            "out": str(self.out),
            "images": self.images,
            "lost": self.lost,
            "notes": self.notes,
            "skipped": self.skipped,
        }


def convert_dataset(
    root: str | Path,
    target: TargetFormat,
    out: str | Path,
    *,
    format: DataFormat | None = None,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    skip_problems: bool = False,
    on_record: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Write a data set in another format. Pictures are copied as they are where they stand upright.

    Args:
        root: its folder.
        target: what to write.
        out: a folder that is not there yet; it appears when all is written.
        format: layout of the source; None: guessed.
        split: which; None: all that are there.
        vocabulary: the classes; None: the data set's own, those of the first split.
        skip_problems: leave out objects and pictures that are wrong, and list them, instead of an
            error.
        on_record: called with (records done, records of the split) after each.

    Raises:
        InputError: the source is no sound data set of pictures, the target cannot hold what it
            means, or `out` is there or cannot be written.
    """
    root, out = Path(root), Path(out)
    format = guess_format(root) if format is None else format
    content = _check_target(root, format, target)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; give a folder that is not, or is empty")
    splits = [split] if split is not None else dataset_splits(format, root)
    vocabulary = vocabulary or dataset_vocabulary(format, root, splits[0])
    found = Conversion(format, target, out, notes=_notes(content, target, vocabulary))
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        writer = _writer(target, content, temporary, vocabulary)
        for name in splits:
            problems = found.skipped if skip_problems else None
            records = read_dataset(format, root, name, vocabulary, problems=problems)
            place = _target_split(name, target)
            _write_split(writer, records, place, found, on_record, skips=skip_problems)
        writer.finish()
        found.lost = dict(writer.lost)
        temporary.replace(out)
    except OSError as cause:
        raise InputError(
            f"{out} cannot be written: {cause.strerror}; give a folder that is writable and has "
            "room on its disk"
        ) from cause
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return found


def check_target(name: str) -> TargetFormat:
    """The format of this name.

    Raises:
        InputError: it cannot be written; lists those that can.
    """
    return one_of(name, get_args(TargetFormat), f"the format {name!r} cannot be written")


def _check_target(root: Path, format: DataFormat, target: TargetFormat) -> Holds:
    if FORMATS[format].of_videos:
        raise InputError(
            f"{root}: {format} holds videos, and only pictures can be converted; frames with label "
            "files can be taken as pictures: --format label_folder"
        )
    content = FORMATS[format].holds
    if content == "classes" and target in ("coco_instances", "yolo"):
        raise InputError(
            f"{root}: {format} says of which class a pixel is, not of which object, so objects of "
            f"one class that touch cannot be told apart, as {target} needs it. Convert to "
            "label_folder or coco_panoptic, or start from annotations of objects"
        )
    return content


def _writer(target: TargetFormat, content: Holds, root: Path, vocabulary: Vocabulary) -> Writer:
    match target:
        case "label_folder":
            return LabelFolderWriter(root, vocabulary, with_background=content == "objects")
        case "coco_instances":
            return CocoInstancesWriter(root, vocabulary)
        case "coco_panoptic":
            return CocoPanopticWriter(root, vocabulary, all_stuff=content == "classes")
        case "yolo":
            return YoloWriter(root, vocabulary)


def _notes(content: Holds, target: TargetFormat, vocabulary: Vocabulary) -> list[str]:
    """What the target says otherwise than the source."""
    notes: list[str] = []
    if target == "label_folder" and content == "objects":
        notes.append("what belongs to no object has become a class of its own, background")
    if target == "coco_panoptic" and content == "objects":
        notes.append("what belongs to no object has become void")
    if (
        target == "coco_panoptic"
        and content == "classes"
        and len(vocabulary.stuff_ids) < len(vocabulary)
    ):
        notes.append("all classes are called stuff, since objects are not told apart")
    return notes


def _target_split(split: str | None, target: TargetFormat) -> str | None:
    """What the split is called in the target."""
    if split is None:
        return None
    name = _USUAL_SPLITS.get(split, split)
    if target == "yolo" and name not in ("train", "val", "test"):
        raise InputError(f"yolo knows the splits train, val and test, not {split}; name one")
    return name


def _write_split(
    writer: Writer,
    records: Sequence[Record],
    split: str | None,
    found: Conversion,
    on_record: Callable[[int, int], None] | None,
    *,
    skips: bool,
) -> None:
    labelled = [record for record in records if record.labelled]
    if len(labelled) < len(records):
        found.notes.append(f"pictures without annotation, left out: {len(records) - len(labelled)}")
    names = [record.id.replace("/", "_") for record in labelled]
    twice = [name for name, count in Counter(map(str.casefold, names)).items() if count > 1]
    if twice:
        raise InputError(
            f"several pictures would be called {', '.join(twice[:5])}; give them other names"
        )
    folder = writer.picture_folder(split)
    folder.mkdir(parents=True, exist_ok=True)
    keeps_ids = all(isinstance(record.image_id, int) for record in labelled)
    written = 0
    for place, (record, name) in enumerate(zip(labelled, names, strict=True), 1):
        try:
            segments = record.annotation()
            if skips:
                record.image()  # so that damage is found
            picture = _copy_picture(record, folder / name)
        except InputError as cause:
            if not skips:
                raise
            found.skipped.append(str(cause))
            continue
        number = record.image_id if keeps_ids and isinstance(record.image_id, int) else place
        writer.add(split, picture, number, segments)
        written += 1
        if on_record:
            on_record(place, len(labelled))
    if labelled and not written:
        raise InputError(f"no picture of the split {split or 'train'} can be used")
    found.images[split or "train"] = written


def _copy_picture(record: Record, place: Path) -> Path:
    """Copy the file of a picture; write a new one where it is turned, or where it is not known."""
    source = record.picture
    if source is None or is_turned(source):
        path = place.with_name(f"{place.name}.png")
        Image.fromarray(record.image()).save(path)
        return path
    path = place.with_name(f"{place.name}{source.suffix.lower()}")
    with open_file(source) as file, path.open("xb") as copy:
        shutil.copyfileobj(file, copy)
    return path
