"""YOLO segmentation labels: one text file per image, one object per line, outlined by a polygon.

    data.yaml                     path, train, val, test, names
    images/SPLIT/NAME.jpg
    labels/SPLIT/NAME.txt         "CLASS x1 y1 x2 y2 …", as fractions of width and height

An image without a text file has no objects. Objects may overlap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml

from plainmask.data.coco_masks import Outline, read_outlines
from plainmask.data.files import file_problem, pictures_by_stem, refuse
from plainmask.data.record import Record, Segments
from plainmask.errors import InputError
from plainmask.pictures.images import IMAGE_SUFFIXES, image_size, read_image
from plainmask.vocabulary import Vocabulary

_SLACK = 0.05
"""Coordinates may lie this far outside of the picture, whose sides are 1; they are cut off."""
_SPLITS = ("train", "val", "test")


class Polygon(NamedTuple):
    """One line of a label file."""

    number: int
    """The class, as the file has it."""
    points: tuple[float, ...]
    """x1, y1, x2, y2, …, in 0..1."""


class _Table(NamedTuple):
    path: Path
    content: Mapping[str, Any]
    names: dict[int, str]


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
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: the YAML file, images or lines of labels are missing or wrong (one error for
            all of it).
    """
    table = _read_table(Path(root))
    own = _vocabulary(table)
    class_of = {entry.file_id: entry.id for entry in own.classes}
    if vocabulary is not None:
        by_name = {entry.name: entry.id for entry in vocabulary.classes}
        class_of = {
            entry.file_id: by_name[entry.name] for entry in own.classes if entry.name in by_name
        }
    found: list[str] = []
    records: list[Record] = []
    folders: dict[Path, set[str]] = {}
    for image in _images(table, split):
        label = _label_of(image)
        folders.setdefault(label.parent, set()).add(label.stem)
        polygons, wrong = _polygons(label, class_of) if label.is_file() else ([], [])
        found += wrong
        if (problem := file_problem(image)) is not None:
            found.append(problem)
            continue
        records.append(
            Record(
                id=image.stem,
                load_image=partial(read_image, image),
                load_segments=partial(
                    read_polygons, label, image, class_of, strict=problems is not None
                ),
                classes=frozenset(class_of[polygon.number] for polygon in polygons),
                picture=image,
            )
        )
    for folder, stems in folders.items():
        surplus = (path for path in sorted(folder.glob("*.txt")) if path.stem not in stems)
        found += [f"labels without an image: {path}" for path in surplus]
    found += _repeated_names(records)
    refuse(table.path, "these files are wrong; correct or delete them", found, into=problems)
    return records


def read_polygons(
    label_path: Path, image_path: Path, class_of: Mapping[int, int], *, strict: bool = False
) -> Segments:
    """Read the objects of an image; lines that are not sound were reported before and are left out.

    Args:
        label_path: the text file; it need not be there.
        image_path: its image.
        class_of: class id of each number in the file.
        strict: whether objects without pixels are errors.

    Raises:
        InputError: the image cannot be read.
    """
    polygons, _ = _polygons(label_path, class_of) if label_path.is_file() else ([], [])
    height, width = image_size(image_path)
    outlines: list[Outline] = []
    for place, polygon in enumerate(polygons):
        points = [
            value * (height if odd % 2 else width) for odd, value in enumerate(polygon.points)
        ]
        outlines.append(Outline([points], class_of[polygon.number], False, place))
    return read_outlines(outlines, None, image_path, strict=strict)


def yolo_vocabulary(root: str | Path) -> Vocabulary:
    """The classes that the YAML file names, by their numbers; all are things.

    Raises:
        InputError: it is missing or wrong.
    """
    return _vocabulary(_read_table(Path(root)))


def yolo_splits(root: Path) -> list[str]:
    """The splits that the YAML file names."""
    content = _read_table(root).content
    return [split for split in _SPLITS if content.get(split)]


def looks_like_yolo(root: Path) -> bool:
    """Whether there is a YAML file that names classes and splits."""
    try:
        content = _read_table(root).content
    except InputError:
        return False
    return any(content.get(split) for split in _SPLITS)


def find_yaml(root: Path) -> Path | None:
    """The YAML file of a data set; None where there is none, or several that it could be."""
    if root.suffix in (".yaml", ".yml"):
        return root
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (root / name).is_file():
            return root / name
    others = [*root.glob("*.yaml"), *root.glob("*.yml")]
    return others[0] if len(others) == 1 else None


def _read_table(root: Path) -> _Table:
    path = find_yaml(root)
    if path is None:
        raise InputError(f"{root} holds no data.yaml, which says where images are and classes")
    try:
        content = yaml.safe_load(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as cause:
        raise InputError(f"{path} cannot be read as YAML: {cause}") from cause
    if not isinstance(content, dict):
        raise InputError(f'{path} should state "train", "val" and "names"')
    table = cast(dict[str, Any], content)
    names = table.get("names")
    pairs = cast(Any, names.items() if isinstance(names, dict) else enumerate(names or ()))
    try:
        numbered = {int(number): str(name) for number, name in pairs}
    except (TypeError, ValueError) as cause:
        raise InputError(f"{path}: names is a list, or numbers and names ({cause})") from cause
    if not numbered:
        raise InputError(f"{path} states no names of classes")
    if table.get("nc") not in (None, len(numbered)):
        raise InputError(
            f"{path}: nc is {table['nc']}, but there are {len(numbered)} names; correct one of them"
        )
    return _Table(path, table, dict(sorted(numbered.items())))


def _vocabulary(table: _Table) -> Vocabulary:
    rows = [
        {"id": place, "file_id": number, "name": name, "thing": True}
        for place, (number, name) in enumerate(table.names.items())
    ]
    try:
        return Vocabulary.load({"name": table.path.parent.name or "yolo", "classes": rows})
    except InputError as cause:
        raise InputError(f"{table.path}, names: {cause}") from cause


def _images(table: _Table, split: str | None) -> list[Path]:
    """The images of a split, in the order of its folders and lists."""
    entry = table.content.get(split or "")
    if not entry:
        there = ", ".join(name for name in _SPLITS if table.content.get(name)) or "none"
        raise InputError(f"{table.path} has no split {split!r}; there are {there}")
    images: list[Path] = []
    for text in cast(list[Any], entry if isinstance(entry, list) else [entry]):
        place = _place(table, str(text))
        if place.suffix == ".txt":
            images += _listed(table, place)
        else:
            images += [path for paths in pictures_by_stem(place).values() for path in paths]
    if not images:
        raise InputError(f"{table.path}: the split {split} has no images in {entry}")
    return list(dict.fromkeys(images))


def _place(table: _Table, text: str) -> Path:
    """A folder or list of the YAML file; many exports write paths that were right elsewhere."""
    home = table.path.parent
    root = home / str(table.content.get("path") or ".")
    inside = text.replace("\\", "/")
    while inside.startswith("../"):
        inside = inside.removeprefix("../")
    candidates = [root / text, home / text, root / inside, home / inside]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    tried = ", ".join(map(str, dict.fromkeys(candidates)))
    raise InputError(f"{table.path}: there is no {text}; looked for as {tried}")


def _listed(table: _Table, listing: Path) -> list[Path]:
    """The images that a text file lists, relative to its folder or to the root."""
    root = table.path.parent / str(table.content.get("path") or ".")
    images: list[Path] = []
    for line in listing.read_text("utf-8-sig").splitlines():
        if (name := line.strip()) and Path(name).suffix.lower() in IMAGE_SUFFIXES:
            places = [listing.parent / name, root / name, table.path.parent / name]
            images.append(next((path for path in places if path.is_file()), places[0]))
    return images


def _label_of(image: Path) -> Path:
    """The label file of an image: in `labels` instead of the last `images` of its path."""
    parts = list(image.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts) / f"{image.stem}.txt"


def _polygons(path: Path, class_of: Mapping[int, int]) -> tuple[list[Polygon], list[str]]:
    """The objects of a label file, equal lines once, and what is wrong with other lines."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        return [], [f"{path} cannot be read ({cause})"]
    polygons: dict[Polygon, None] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            polygons[_polygon(line, class_of)] = None
        except ValueError as cause:
            problems.append(f"{path}, line {number}: {cause}")
    return list(polygons), problems


def _polygon(line: str, class_of: Mapping[int, int]) -> Polygon:
    """One line, understood; ValueError says why it is not."""
    try:
        label, *points = (float(word) for word in line.split())
    except ValueError:
        raise ValueError("something that is no number") from None
    if not all(map(math.isfinite, (label, *points))):
        raise ValueError("a number that is not finite")
    if len(points) == 4:
        raise ValueError("a box, not a polygon; outline the object, or delete the line")
    if len(points) < 6 or len(points) % 2:
        raise ValueError(f"{len(points)} coordinates; a polygon has three points or more")
    if label != int(label) or int(label) not in class_of:
        raise ValueError(f"class {label:g}, which is none of the classes {_few(class_of)}")
    if min(points) < -_SLACK or max(points) > 1 + _SLACK:
        raise ValueError(
            f"coordinates {min(points):g}..{max(points):g}; they are fractions of width and "
            "height, 0..1, not pixels"
        )
    return Polygon(int(label), tuple(min(1.0, max(0.0, value)) for value in points))


def _few(class_of: Mapping[int, int]) -> str:
    numbers = sorted(class_of)
    return f"{numbers[0]}..{numbers[-1]}" if len(numbers) > 3 else ", ".join(map(str, numbers))


def _repeated_names(records: list[Record]) -> list[str]:
    seen: dict[str, Path | None] = {}
    problems: list[str] = []
    for record in records:
        if record.id in seen:
            problems.append(f"two images of one name: {seen[record.id]} and {record.picture}")
        seen[record.id] = record.picture
    return problems
