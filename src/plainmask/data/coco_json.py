"""What the JSON files of the COCO family have in common: parsing, categories, file names.

The family is COCO, YouTube-VIS, OVIS and VIPSeg. Keys that are not needed are not looked at, and
null says that a thing is not stated; numbers written as text are accepted.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from plainmask.data.files import refuse
from plainmask.errors import InputError
from plainmask.pictures.archive import open_file
from plainmask.vocabulary import Color, Vocabulary, color_of

IMAGE_PLACES = (
    "{split}",
    "{split}2017",
    "{split}2017.zip/{split}2017",
    "images/{split}",
    "images/{split}2017",
    "images",
)
"""Where the pictures of COCO's splits lie, unpacked or not."""

Parsed = TypeVar("Parsed")

Flag = Annotated[bool, BeforeValidator(lambda value: False if value is None else value)]
"""False where null stands."""
ImageSide = Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)]
"""0 where null stands."""
Text = Annotated[
    str, BeforeValidator(lambda value: f"{value}" if isinstance(value, int | float) else value)
]
"""A number is the text that it is written as."""


@dataclass(frozen=True, slots=True)
class Category:
    """One entry of `categories`."""

    id: int
    name: Text = ""
    isthing: bool = True
    color: Annotated[Color | None, BeforeValidator(color_of)] = None
    """None: not stated, or in a form that is no colour."""
    supercategory: Any = None


_KNOWN: ContextVar[dict[Any, Any] | None] = ContextVar("_KNOWN", default=None)


@contextmanager
def json_once() -> Generator[None]:
    """Inside, each JSON file is parsed once: a large one takes a minute, and is asked for its
    splits, its classes and its records. Nothing is kept beyond the block.
    """
    if _KNOWN.get() is not None:
        yield
        return
    token = _KNOWN.set({})
    try:
        yield
    finally:
        _KNOWN.reset(token)


def read_json(path: Path, form: type[Parsed]) -> Parsed:
    """As `parse_json`, but inside `json_once` a file that was read before is not read again."""
    known = _KNOWN.get()
    if known is None:
        return parse_json(path, form)
    if (path, form) not in known:
        known[path, form] = parse_json(path, form)
    return known[path, form]


def parse_json(path: Path, form: type[Parsed]) -> Parsed:
    """Read a JSON file, plain or gzipped, UTF-8 or UTF-16, into a dataclass.

    Raises:
        InputError: it cannot be read, is no JSON, or lacks something; lists what.
    """
    try:
        with open_file(path) as file:
            content = file.read()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        text = _decoded(content)
    except (OSError, EOFError, UnicodeDecodeError) as cause:
        raise InputError(f"{path} cannot be read ({cause}); get it again") from cause
    try:
        return TypeAdapter(form).validate_json(text)
    except ValidationError as cause:
        first = cause.errors()[0]
        if first["type"] == "json_invalid":
            raise InputError(f"{path}: {first['msg']}; get or export it again") from cause
        places = _places(cause, text)
        problems = [
            f"{place}: {error['msg']}".removeprefix(": ")
            for place, error in zip(places, cause.errors(), strict=True)
        ]
        refuse(path, "its contents are not those of a file of this kind", problems)
        raise


def _decoded(content: bytes) -> bytes | str:
    """Without a byte order mark, and as text where it is not UTF-8."""
    encoding = json.detect_encoding(content)
    if encoding == "utf-8-sig":
        return content[3:]
    return content if encoding == "utf-8" else content.decode(encoding)


def _places(cause: ValidationError, text: bytes | str) -> list[str]:
    """Where each error lies: the place in the file, and the id of the entry, where it has one."""
    content: Any = json.loads(text)
    places: list[str] = []
    for error in cause.errors():
        inside: Any = content
        words: list[str] = []
        for step in error["loc"]:
            words.append(str(step))
            try:
                inside = inside[step]
            except (LookupError, TypeError):
                inside = None
            if isinstance(step, int) and isinstance(inside, dict) and error["loc"][-1] != "id":
                entry: dict[str, Any] = inside
                words[-1] += f" (id {entry['id']})" if "id" in entry else ""
        places.append(".".join(words))
    return places


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


def own_categories(categories: Sequence[Category], used: Collection[int]) -> tuple[Category, ...]:
    """The categories of a file, each once, without the root that Roboflow puts above all others.

    Args:
        categories: as the file lists them.
        used: the categories that annotations have.
    """
    once = {(category.id, category.name): category for category in categories}
    above = {str(category.supercategory) for category in once.values()}
    return tuple(
        category
        for category in once.values()
        # The root is above others, has nothing above itself, and no annotation is of it.
        if category.id in used
        or category.supercategory != "none"
        or category.name not in above
        or len(once) == 1
    )


def class_of_category(categories: Iterable[Category], vocabulary: Vocabulary) -> dict[int, int]:
    """Class id of each category id that the vocabulary knows; no two have one class,
    unless it joins them.

    Names decide, of classes and of what they join, since two data sets may number the same classes
    differently; numbers do for categories without a name. A name that no class has exactly is that
    of the only class that is spelt alike ("traffic_light", "Traffic light"), if no other category
    is.
    """
    categories = list(categories)
    if not categories:
        return vocabulary.by_file_id
    joined = {name: entry.id for entry in vocabulary.classes for name in entry.joins}
    by_name = joined | {entry.name: entry.id for entry in vocabulary.classes}
    found = {
        category.id: by_name.get(category.name)
        if category.name
        else vocabulary.by_file_id.get(category.id)
        for category in categories
    }
    exact = set(found.values())
    rest = [c for c in categories if found[c.id] is None and c.name]
    alike = Counter(_plain(category.name) for category in rest)
    free: dict[str, list[int]] = {}
    for entry in vocabulary.classes:
        if entry.id not in exact:
            free.setdefault(_plain(entry.name), []).append(entry.id)
        for name in entry.joins:
            free.setdefault(_plain(name), []).append(entry.id)
    for category in rest:
        classes = free.get(_plain(category.name), [])
        if len(classes) == alike[_plain(category.name)] == 1:
            found[category.id] = classes[0]
    return {category: own for category, own in found.items() if own is not None}


def category_problems(
    used: Counter[int],
    class_of: Mapping[int, int],
    categories: Sequence[Category],
    vocabulary: Vocabulary,
) -> list[str]:
    """One line per category that annotations use and the vocabulary does not know.

    Also one per class that several categories would become, unless it joins them.
    """
    names = {category.id: category.name for category in categories}
    plain = {_plain(name): name for name in vocabulary.names}
    problems = [
        f"category {category} {names.get(category, '')!r} of {count} annotations is no class of "
        f"the vocabulary {vocabulary.name!r}" + _alike(names.get(category, ""), plain)
        for category, count in sorted(used.items())
        if category not in class_of
    ]
    single = {entry.id for entry in vocabulary.classes if not entry.joins}
    counts = Counter(own for category in names if (own := class_of.get(category)) in single)
    return problems + [
        f"{count} categories are called {vocabulary.names[own]!r}; give each its own name"
        for own, count in counts.items()
        if count > 1
    ]


def repeated(values: Sequence[int | str], what: str) -> list[str]:
    """One line per value that occurs more than once."""
    counts = Counter(map(str, values))
    return [f"{what} {value} occurs {count} times" for value, count in counts.items() if count > 1]


def file_path(name: str) -> str:
    """A file name of the JSON as a relative path; some tools write backslashes."""
    return name.replace("\\", "/")


def _alike(name: str, plain: Mapping[str, str]) -> str:
    """What a person may have meant by a name that is no class."""
    own = plain.get(_plain(name)) if name else None
    return f" ({own!r} is spelt alike, but other categories are, too)" if own else ""


def _plain(name: str) -> str:
    """A class name without differences of spelling that mean nothing between two data sets."""
    return re.sub(r"[\s_-]+", " ", name.strip().casefold())
