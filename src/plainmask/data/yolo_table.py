"""The YAML file of a YOLO data set: what its classes are called, where the images of a split lie.

path: .                      optional
train: images/train          a folder, a list of images (train.txt), or several of these
val: images/val              also spelt valid or validation
names: [cat, dog]            or {0: cat, 1: dog}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml

from plainmask.data.coco_pictures import readings
from plainmask.data.files import existing, pictures_below, read_lines, read_text
from plainmask.errors import InputError
from plainmask.pictures.archive import is_file, is_folder
from plainmask.pictures.images import IMAGE_SUFFIXES
from plainmask.vocabulary import Vocabulary

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml")
_SPELLINGS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_NOTHING = ("", "~", "null", "Null", "NULL", None)


class YoloTable(NamedTuple):
    """What the YAML file says."""

    path: Path
    content: Mapping[str, Any]
    names: dict[int, str]

    @property
    def splits(self) -> dict[str, list[str]]:
        """The places of each split that is there."""
        found: dict[str, list[str]] = {}
        for split, spellings in _SPELLINGS.items():
            stated = (self.content.get(key) for key in spellings)
            for entry in (entry for entry in stated if entry not in _NOTHING):
                places = cast(list[Any], entry if isinstance(entry, list) else [entry])
                found[split] = [str(place) for place in places]
                break
        return found

    @property
    def home(self) -> Path:
        """The folder that `path` says, where there is one."""
        stated = self.content.get("path")
        return self.path.parent / ("." if stated in _NOTHING else str(stated))

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes by their numbers; all are things.

        Raises:
            InputError: two have one name, or one has none.
        """
        rows = [
            {"id": place, "file_id": number, "name": name, "thing": True}
            for place, (number, name) in enumerate(self.names.items())
        ]
        try:
            return Vocabulary.load({"name": self.path.parent.name or "yolo", "classes": rows})
        except InputError as cause:
            raise InputError(f"{self.path}, names: {cause}") from cause


class YoloImage(NamedTuple):
    """An image of a split."""

    path: Path
    place: Path
    """The folder or the list that it was found in."""


def read_yolo_table(root: Path) -> YoloTable:
    """Read the YAML file of a data set.

    Raises:
        InputError: there is none, or it is wrong.
    """
    path = find_yaml(root)
    if path is None:
        raise InputError(f"{root} holds no data.yaml, which says where images are and classes")
    try:
        # All that is written stays text: names such as yes, no and null are no other values.
        content = yaml.load(read_text(path), yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as cause:
        raise InputError(f"{path} cannot be read as YAML: {cause}") from cause
    if not isinstance(content, dict):
        raise InputError(f'{path} should state "train", "val" and "names"')
    table = cast(dict[str, Any], content)
    names = _names(table.get("names"), path)
    count = table.get("nc")
    if count not in _NOTHING and str(count).strip() != str(len(names)):
        raise InputError(
            f"{path}: nc is {count}, but there are {len(names)} names; correct one of them"
        )
    return YoloTable(path, table, names)


def find_yaml(root: Path) -> Path | None:
    """The YAML file of a data set; None where there is none, or several that it could be."""
    if root.suffix in (".yaml", ".yml"):
        return root
    for name in YAML_NAMES:
        if (root / name).is_file():
            return root / name
    others = [*root.glob("*.yaml"), *root.glob("*.yml")]
    return others[0] if len(others) == 1 else None


def split_images(table: YoloTable, split: str | None) -> list[YoloImage]:
    """The images of a split, in the order of its folders and lists; folders within count.

    Raises:
        InputError: there is no such split, or it has no images.
    """
    plain = next((name for name, spelt in _SPELLINGS.items() if split in spelt), "")
    entry = table.splits.get(plain)
    if not entry:
        raise InputError(
            f"{table.path} has no split {split!r}; there are {', '.join(table.splits) or 'none'}"
        )
    images: list[YoloImage] = []
    for text in entry:
        place = _place(table, text)
        found = _listed(table, place) if place.suffix == ".txt" else _below(place)
        images += [YoloImage(path, place) for path in found]
    if not images:
        raise InputError(f"{table.path}: the split {split} has no images in {', '.join(entry)}")
    return list({image.path: image for image in images}.values())


def _names(stated: Any, path: Path) -> dict[int, str]:
    """The names of the classes by their numbers."""
    if stated in _NOTHING or not stated:
        raise InputError(f"{path} states no names of classes")
    if isinstance(stated, str):
        stated = [stated]
    pairs = stated.items() if isinstance(stated, dict) else enumerate(stated)
    names: dict[int, str] = {}
    for number, name in cast(Any, pairs):
        if not isinstance(name, str) or not str(number).strip().isdecimal():
            raise InputError(
                f"{path}: names is a list, or numbers and names, but there is {number}: {name}"
            )
        names[int(number)] = name
    return dict(sorted(names.items()))


def _place(table: YoloTable, text: str) -> Path:
    """A folder or list of the YAML file; many exports write paths that were right elsewhere."""
    inside = text.replace("\\", "/")
    while inside.startswith("../"):
        inside = inside.removeprefix("../")
    home, root = table.path.parent, table.home
    candidates = [root / text, home / text, root / inside, home / inside]
    for candidate in candidates:
        if is_folder(candidate) or is_file(candidate):
            return candidate
    tried = ", ".join(map(str, dict.fromkeys(candidates)))
    raise InputError(f"{table.path}: there is no {text}; looked for as {tried}")


def _below(folder: Path) -> list[Path]:
    return [path for paths in pictures_below(folder).values() for path in paths]


def _listed(table: YoloTable, listing: Path) -> list[Path]:
    """The images that a text file lists: relative to its folder, to the root, or by their end."""
    images: list[Path] = []
    for name in read_lines(listing):
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES:
            continue
        places = [listing.parent / name, table.home / name, table.path.parent / name]
        path = next((path for path in places if is_file(path)), None)
        if path is None:  # CVAT writes data/images/…, others paths of their machine
            path = existing(table.path.parent, readings(f"/{name}"))
        images.append(path)
    return images
