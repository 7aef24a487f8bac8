"""YOLO segmentation labels: one text file per image, one object per line, outlined by a polygon.

    data.yaml                     path, train, val, test, names; see `yolo_table`
    images/SPLIT/NAME.jpg         folders within are read, too
    labels/SPLIT/NAME.txt         "CLASS x1 y1 x2 y2 …", as fractions of width and height

Where there is none in `labels`, the text file beside the image counts. An image without a text file
has no objects. Objects may overlap. Predictions, whose lines end with a score, can be read, too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from plainmask.data.coco_masks import Outline, read_outlines
from plainmask.data.files import (
    composed,
    existing,
    file_problem,
    folders_below,
    pictures_by_stem,
    read_text,
    refuse,
    shortened,
)
from plainmask.data.record import Annotation, Record
from plainmask.data.yolo_table import YoloImage, find_yaml, read_yolo_table, split_images
from plainmask.errors import InputError
from plainmask.pictures.archive import entries, is_file
from plainmask.pictures.images import image_size, read_image
from plainmask.vocabulary import Vocabulary

_SLACK = 0.05
"""Coordinates may lie this far outside of the picture, whose sides are 1; they are cut off."""


class Polygon(NamedTuple):
    """One line of a label file."""

    line: int
    """Counted from 1."""
    number: int
    """The class, as the file has it."""
    points: tuple[float, ...]
    """x1, y1, x2, y2, …, in 0..1."""
    scored: bool
    """Whether another number, a score, stands at its end."""


@dataclass
class _Lines:
    """The lines of label files, sorted by what they are."""

    polygons: list[Polygon] = field(default_factory=list[Polygon])
    boxes: list[str] = field(default_factory=list[str])
    """Places of lines that hold a box."""
    repeated: list[str] = field(default_factory=list[str])
    """Places of lines that are equal to an earlier one."""
    wrong: list[str] = field(default_factory=list[str])
    """What is wrong with others."""


def read_yolo(
    root: str | Path,
    split: str | None,
    vocabulary: Vocabulary | None = None,
    *,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the images of a split; label files are looked through, no picture is decoded yet.

    Args:
        root: the folder of the YAML file, or that file.
        split: train, val or test, as the file names them.
        vocabulary: the classes, by the names that the file gives them. None: those of the file.
        problems: takes what is wrong instead of an error; see `read_dataset`. Lines that occur
            twice are one object in training, and problems here.

    Raises:
        InputError: the YAML file, images or lines of labels are missing or wrong (one error for
            all of it).
    """
    table = read_yolo_table(Path(root))
    own = table.vocabulary
    class_of = {entry.file_id: entry.id for entry in own.classes}
    if vocabulary is not None:
        by_name = {entry.name: entry.id for entry in vocabulary.classes}
        class_of = {
            entry.file_id: by_name[entry.name] for entry in own.classes if entry.name in by_name
        }
    images = split_images(table, split)
    names = _names(images)
    labels = {image.path: _label_of(image.path) for image in images}
    lines = {path: _read_lines(label, class_of) for path, label in labels.items()}
    scored = all(p.scored for found in lines.values() for p in found.polygons)
    strict = problems is not None
    found = _line_problems(labels, lines, scored=scored, strict=strict)
    broken = {path: problem for path in labels if (problem := file_problem(path))}
    found += [*broken.values(), *_surplus(images, labels), *_repeated_names(names)]
    refuse(table.path, "these files are wrong; correct or delete them", found, into=problems)
    return [
        Record(
            id=names[path],
            load_image=partial(read_image, path),
            load_annotation=partial(
                read_polygons, label, path, class_of, scored=scored, strict=strict
            ),
            classes=frozenset(
                class_of[p.number] for p in lines[path].polygons if p.scored == scored
            ),
            picture=path,
        )
        for path, label in labels.items()
        if path not in broken
    ]


def read_polygons(
    label_path: Path,
    image_path: Path,
    class_of: Mapping[int, int],
    *,
    scored: bool = False,
    strict: bool = False,
) -> Annotation:
    """Read the objects of an image; lines that are not sound were reported before and are left out.

    Args:
        label_path: the text file; it need not be there.
        image_path: its image.
        class_of: class id of each number in the file.
        scored: whether a score stands at the end of lines.
        strict: whether objects without pixels are errors.

    Raises:
        InputError: the image cannot be read.
    """
    height, width = image_size(image_path)
    outlines: list[Outline] = []
    polygons = _read_lines(label_path, class_of).polygons
    for place, polygon in enumerate(p for p in polygons if p.scored == scored):
        points = [
            value * (height if odd % 2 else width) for odd, value in enumerate(polygon.points)
        ]
        class_id = class_of[polygon.number]
        outlines.append(Outline([points], class_id, False, place, number=polygon.line))
    return read_outlines(outlines, None, image_path, strict=strict, what=f"{label_path}, line")


def yolo_vocabulary(root: str | Path) -> Vocabulary:
    """The classes that the YAML file names, by their numbers; all are things.

    Raises:
        InputError: it is missing or wrong.
    """
    return read_yolo_table(Path(root)).vocabulary


def yolo_splits(root: Path) -> list[str]:
    """The splits that the YAML file names."""
    return [*read_yolo_table(root).splits]


def looks_like_yolo(root: Path) -> bool:
    """Whether there is a YAML file that names classes and splits.

    Raises:
        InputError: there is one, but it is wrong.
    """
    return find_yaml(root) is not None and bool(read_yolo_table(root).splits)


def _names(images: Sequence[YoloImage]) -> dict[Path, str]:
    """What each image is called: by its place in its folder, or in all if that is not enough."""
    names = {
        image.path: image.path.stem
        if image.place.suffix == ".txt"
        else image.path.relative_to(image.place).with_suffix("").as_posix()
        for image in images
    }
    if len({*names.values()}) < len(names):
        base = os.path.commonpath([path.parent for path in names])
        names = {path: path.relative_to(base).with_suffix("").as_posix() for path in names}
    return names


def _label_of(image: Path) -> Path:
    """The label file of an image, see the top; it need not be there."""
    label = existing(_label_folder(image.parent), [f"{image.stem}.txt"])
    beside = existing(image.parent, [f"{image.stem}.txt"])
    return beside if not is_file(label) and is_file(beside) else label


def _label_folder(folder: Path) -> Path:
    """Where labels lie: in `labels` instead of the last `images` of the path."""
    parts = list(folder.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _read_lines(path: Path, class_of: Mapping[int, int]) -> _Lines:
    """The lines of a label file, which need not be there; equal ones are one polygon."""
    found = _Lines()
    if not is_file(path):
        return found
    try:
        lines = read_text(path).splitlines()
    except InputError as cause:
        found.wrong.append(str(cause))
        return found
    seen: set[tuple[int, tuple[float, ...]]] = set()
    for number, line in enumerate(lines, 1):
        place = f"{path}, line {number}"
        if not line.strip():
            continue
        if _is_box(line):
            found.boxes.append(place)
            continue
        try:
            polygon = _polygon(number, line, class_of)
        except ValueError as cause:
            found.wrong.append(f"{place}: {cause}")
            continue
        if (polygon.number, polygon.points) in seen:
            found.repeated.append(place)
            continue
        seen.add((polygon.number, polygon.points))
        found.polygons.append(polygon)
    return found


def _is_box(line: str) -> bool:
    """Whether a line is a class and a box, maybe with a score."""
    return len(_numbers(line)) in (5, 6)


def _numbers(line: str) -> list[float]:
    """The numbers in a line; none where it holds something else."""
    try:
        return [float(word) for word in line.split()]
    except ValueError:
        return []


def _polygon(place: int, line: str, class_of: Mapping[int, int]) -> Polygon:
    """One line, understood; ValueError says why it is not."""
    if not (numbers := _numbers(line)):
        raise ValueError("something that is no number")
    label, *points = numbers
    if not all(map(math.isfinite, (label, *points))):
        raise ValueError("a number that is not finite")
    scored = len(points) % 2 == 1
    points = points[:-1] if scored else points
    if len(points) < 6:
        raise ValueError(f"{len(points) + scored} coordinates; a polygon has three points or more")
    if label != int(label) or int(label) not in class_of:
        raise ValueError(f"class {label:g}, which is none of the classes {_few(class_of)}")
    if min(points) < -_SLACK or max(points) > 1 + _SLACK:
        raise ValueError(
            f"coordinates {min(points):g}..{max(points):g}; they are fractions of width and "
            "height, 0..1, not pixels"
        )
    inside = tuple(min(1.0, max(0.0, value)) for value in points)
    return Polygon(place, int(label), inside, scored)


def _few(class_of: Mapping[int, int]) -> str:
    numbers = sorted(class_of)
    return f"{numbers[0]}..{numbers[-1]}" if len(numbers) > 3 else ", ".join(map(str, numbers))


def _line_problems(
    labels: Mapping[Path, Path], lines: Mapping[Path, _Lines], *, scored: bool, strict: bool
) -> list[str]:
    """What is wrong with lines; boxes, of which there may be many, in one."""
    problems = [problem for found in lines.values() for problem in found.wrong]
    problems += [
        f"{labels[path]}, line {polygon.line}: {len(polygon.points) + 1} coordinates; a polygon "
        "has three points or more, of two numbers each"
        for path, found in lines.items()
        for polygon in found.polygons
        if polygon.scored != scored
    ]
    if boxes := [place for found in lines.values() for place in found.boxes]:
        what = (
            "line is a box, not a polygon" if len(boxes) == 1 else "lines are boxes, not polygons"
        )
        problems.append(
            f"{len(boxes)} {what}, whose object would be learnt as background: "
            f"{shortened(boxes, '; ')}; outline the objects, or delete the lines, or go on "
            "without: plainmask data convert … --skip-problems"
        )
    if strict:
        repeated = [place for found in lines.values() for place in found.repeated]
        problems += [f"{place}: the same object as in an earlier line" for place in repeated]
    return problems


def _surplus(images: Sequence[YoloImage], labels: Mapping[Path, Path]) -> Iterator[str]:
    """Label files that no image has, in the folders of labels and those within."""
    used = {*labels.values()}
    places = {i.path.parent if i.place.suffix == ".txt" else i.place for i in images}
    for place in sorted(places):
        home = _label_folder(place)
        for folder in folders_below(home):
            stems = pictures_by_stem(place / folder.relative_to(home))
            for path in entries(folder):
                is_own = path.suffix == ".txt" and not path.name.startswith(".")
                is_free = path not in used and composed(path.stem) not in stems
                if is_own and is_free and _is_label(path):
                    yield f"labels without an image: {path}"


def _is_label(path: Path) -> bool:
    """Whether a text file is one of labels, maybe empty, and no list of classes or notes."""
    try:
        lines = [line for line in read_text(path).splitlines() if line.strip()]
    except InputError:
        return False
    return not lines or any(len(_numbers(line)) > 4 for line in lines)


def _repeated_names(names: Mapping[Path, str]) -> list[str]:
    seen: dict[str, Path] = {}
    problems: list[str] = []
    for path, name in names.items():
        if name in seen:
            problems.append(f"two images of one name: {seen[name]} and {path}")
        seen[name] = path
    return problems
