"""What the JSON files of the COCO family have in common: parsing, categories, file names.

The family is COCO, YouTube-VIS, OVIS and VIPSeg. Keys that are not needed are not looked at;
numbers written as text are accepted.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from plainmask.data.files import refuse
from plainmask.errors import InputError
from plainmask.pictures.archive import open_file
from plainmask.vocabulary import Vocabulary

IMAGE_PLACES = (
    "{split}",
    "{split}2017",
    "{split}2017.zip/{split}2017",
    "images/{split}",
    "images/{split}2017",
    "images",
)
"""Where the pictures of COCO's splits lie, unpacked or not."""

Form = TypeVar("Form")


@dataclass(frozen=True, slots=True)
class Category:
    """One entry of `categories`."""

    id: int
    name: str = ""
    isthing: bool = True
    color: tuple[int, int, int] | None = None


def read_json(path: Path, form: type[Form]) -> Form:
    """Read a JSON file, plain or gzipped, into a dataclass.

    Raises:
        InputError: it cannot be read, is no JSON, or lacks something; lists what.
    """
    try:
        with open_file(path) as file:
            content = file.read()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError) as cause:
        raise InputError(f"{path} cannot be read ({cause}); get it again") from cause
    try:
        return TypeAdapter(form).validate_json(content)
    except ValidationError as cause:
        problems = [
            f"{'.'.join(map(str, error['loc']))}: {error['msg']}".removeprefix(": ")
            for error in cause.errors()
        ]
        refuse(path, "its contents are not those of a file of this kind", problems)
        raise


def category_vocabulary(categories: Sequence[Category], path: Path) -> Vocabulary:
    """The classes that a file states, by ascending category id.

    Raises:
        InputError: it states none, or two of one name or id.
    """
    if not categories:
        raise InputError(f"{path} states no categories; give a vocabulary")
    rows = [
        {
            "id": place,
            "file_id": category.id,
            "name": category.name or f"category_{category.id}",
            "thing": category.isthing,
            **({} if category.color is None else {"color": category.color}),
        }
        for place, category in enumerate(sorted(categories, key=lambda category: category.id))
    ]
    try:
        return Vocabulary.load({"name": path.stem, "classes": rows})
    except InputError as cause:
        raise InputError(f"{path}, categories: {cause}") from cause


def class_of_category(categories: Sequence[Category], vocabulary: Vocabulary) -> dict[int, int]:
    """Class id of each category id that the vocabulary knows.

    Names decide, since two data sets may number the same classes differently; numbers do for
    categories without a name.
    """
    by_name = {_plain(entry.name): entry.id for entry in vocabulary.classes}
    by_file_id = vocabulary.by_file_id
    if not categories:
        return by_file_id
    found = {
        category.id: by_name.get(_plain(category.name))
        if category.name
        else by_file_id.get(category.id)
        for category in categories
    }
    return {category: own for category, own in found.items() if own is not None}


def category_problems(
    used: Counter[int],
    class_of: Mapping[int, int],
    categories: Sequence[Category],
    vocabulary: Vocabulary,
) -> list[str]:
    """One line per category that annotations use and the vocabulary does not know."""
    names = {category.id: category.name for category in categories}
    return [
        f"category {category} {names.get(category, '')!r} of {count} annotations is no class of "
        f"the vocabulary {vocabulary.name!r}"
        for category, count in sorted(used.items())
        if category not in class_of
    ]


def repeated(values: Sequence[int | str], what: str) -> list[str]:
    """One line per value that occurs more than once."""
    counts = Counter(map(str, values))
    return [f"{what} {value} occurs {count} times" for value, count in counts.items() if count > 1]


def file_path(name: str) -> str:
    """A file name of the JSON as a relative path; some tools write backslashes."""
    return name.replace("\\", "/")


def _plain(name: str) -> str:
    """A class name without differences of spelling that mean nothing."""
    return re.sub(r"[\s_-]+", " ", name.strip().casefold())
