"""Vocabularies: what the classes of a model or a data set are called, in their order.

The built-in ones are package data (`vocabularies/*.json`), facts copied from the sources that each
file names. No torch here.
"""

from __future__ import annotations

import colorsys
import difflib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import hexdigits
from typing import Annotated, Any, Self, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plainmask.errors import InputError
from plainmask.options import hint

Channel = Annotated[int, Field(ge=0, le=255)]
Color: TypeAlias = tuple[int, int, int]
"""RGB, each 0..255."""

_NOTES = frozenset(
    {
        "source",
        "file_id_meaning",
        "missing_file_ids",
        "ordering",
        "ignored_labels",
        "from_coco",
        "from_coco_meaning",
        "ignore",
        "ignore_value",
        "ignore_colors",
    }
)
"""Keys of a vocabulary file that explain it, or that are read into another field."""
_CLASS_NOTES = frozenset({"supercategory", "synonyms", "instance_file_id", "colour"})
_IGNORE_LISTS = ("pixel_values", "label_ids")
"""Entries of `ignore` that are numbers of the same kind as `file_id`; others explain."""
_WORDS = {
    "tuple_type": 'should be a list; a colour is [R, G, B] or "#rrggbb"',
    "model_type": 'should be a name, or {"id": number, "name": text}',
}
"""What pydantic says in terms of Python, in terms of the file."""


class VocabularyClass(BaseModel):
    """One class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=0)
    """Place in the model's class logits, counted from 0 without gaps."""
    name: str = Field(min_length=1)
    thing: bool
    """True: objects that can be counted; False: stuff, of which an image has one segment."""
    color: tuple[Channel, Channel, Channel]
    """RGB, 0..255."""
    file_id: int = Field(ge=0, lt=2**63)
    """The number of the class in the data set's files (category id or pixel value)."""
    joins: tuple[str, ...] = ()
    """Names of finer categories that all count as this class, where a data set's files state names.
    """


class Vocabulary(BaseModel):
    """The classes of a head or a data set, in the order of the model's logits.

    A frozen value that is also its own file format inside a head's config.json; `load` reads the
    looser forms that people write.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    task: str
    """What the labels were made for, in the words of their source; only informs."""
    classes: tuple[VocabularyClass, ...] = Field(min_length=1)
    ignore_values: tuple[int, ...] = ()
    """Numbers of the same kind as `file_id` that stand for "no class": never targets or counted."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for place, entry in enumerate(self.classes):
            if entry.id != place:
                raise ValueError(
                    f"class ids must count up from 0 without gaps, but class {place} "
                    f"({entry.name!r}) has id {entry.id}"
                )
        values_of: dict[str, list[Any]] = {
            field: [getattr(entry, field) for entry in self.classes]
            for field in ("name", "file_id")
        }
        values_of["joined category"] = [name for entry in self.classes for name in entry.joins]
        for field, values in values_of.items():
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"every class needs its own {field}; used twice: {twice}")
        both = sorted(set(self.ignore_values) & {entry.file_id for entry in self.classes})
        if both:
            raise ValueError(f"these numbers are to be ignored and file_ids of classes: {both}")
        return self

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any] | list[Any] | tuple[Any, ...]) -> Self:
        """Read a vocabulary.

        Args:
            source: the name of a built-in one (`builtin_names()`), the path of a JSON file, or what
                such a file holds. Its form is that of the built-in files; `classes` is enough, each
                with `id` and `name`. `thing` is False where it is not given, `file_id` is the id,
                and a missing `color` (also spelt `colour`, [R, G, B] or "#rrggbb") is generated.
                Values to ignore stand under `ignore_values`, `ignore_value` or `ignore`. Classes
                may also be names alone, in their order, or names by their numbers: ["sky", "road"],
                {"0": "sky", "7": "road"}; such a list or object may be all that the file holds.

        Raises:
            InputError: no such name or file, or its contents are wrong; the message says where.
        """
        if isinstance(source, Mapping | list | tuple):
            form = _table(source, "the vocabulary")
            return cls._read(form, "the vocabulary", default_name="custom")
        if isinstance(source, str) and source in builtin_names():
            text = (_builtin_folder() / f"{source}.json").read_text(encoding="utf-8")
            return cls._read(json.loads(text), source, default_name=source)
        path = Path(source)
        if isinstance(source, str) and not path.suffix and not path.exists():
            raise InputError(_unknown_name(source))
        return cls._read(read_table(path), str(path), default_name=path.stem)

    @classmethod
    def numbered(cls, count: int) -> Self:
        """Vocabulary for weights that come without one: class_0, class_1, …

        All are things, so that no two segments are merged; colours are distinct.

        Raises:
            InputError: `count` is less than 1.
        """
        if count < 1:
            raise InputError(f"a vocabulary needs at least one class, not {count}")
        classes = [{"id": i, "name": f"class_{i}", "thing": True} for i in range(count)]
        return cls.load({"name": "numbered", "classes": classes})

    def __len__(self) -> int:
        """C, the number of classes."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of the ids."""
        return tuple(entry.name for entry in self.classes)

    @property
    def stuff_ids(self) -> frozenset[int]:
        """Ids of the classes that are no things."""
        return frozenset(entry.id for entry in self.classes if not entry.thing)

    @property
    def by_file_id(self) -> dict[int, int]:
        """File id -> id, as a new dict; build it once per data set, not per image."""
        return {entry.file_id: entry.id for entry in self.classes}

    def ids_of(self, classes: Sequence[int | str] | None) -> list[int]:
        """The ids of classes that are given as ids or names, whatever the case; None: of all.

        Raises:
            InputError: there is no such class; the message says which there are.
        """
        if classes is None:
            return list(range(len(self)))
        by_name = {entry.name.casefold(): entry.id for entry in self.classes}
        ids: list[int] = []
        for given in [classes] if isinstance(classes, str) else classes:
            found = by_name.get(given.casefold().strip()) if isinstance(given, str) else int(given)
            if found is None or not 0 <= found < len(self):
                raise InputError(self._unknown_class(given))
            ids.append(found)
        return ids

    def _unknown_class(self, given: int | str) -> str:
        """Message for a class that is not in it."""
        if not isinstance(given, str):
            return f"there is no class {given}; ids are 0 to {len(self) - 1}"
        return f"no class is called {given!r}; {hint(given, self.names)}"

    @classmethod
    def _read(cls, content: Mapping[str, Any], where: str, default_name: str) -> Self:
        """Validate one of the forms that `load` takes; `where` names it in errors."""
        form = {key: value for key, value in content.items() if key not in _NOTES}
        form.setdefault("name", default_name)
        form.setdefault("task", "any")
        form.setdefault("ignore_values", _ignore_values(content))
        rows = _class_rows(form.get("classes"))
        if isinstance(rows, list | tuple):
            form["classes"] = [_class_form(row) for row in cast(list[Any], rows)]
        try:
            return cls.model_validate(form)
        except ValidationError as cause:
            first = cause.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            reason = _WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
            raise InputError(f"{where}: {place + ': ' if place else ''}{reason}") from cause


def read_table(path: Path) -> dict[str, Any]:
    """What the JSON file of a class table holds, in its form as an object with "classes".

    Raises:
        InputError: it cannot be read, or is no JSON or neither an object nor a list.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as cause:
        raise InputError(f"the vocabulary {path} cannot be read: {cause.strerror}") from cause
    except (ValueError, RecursionError) as cause:
        raise InputError(f"the vocabulary {path} is not valid JSON: {cause}") from cause
    return _table(content, f"the vocabulary {path}")


def color_of(value: Any) -> Color | None:
    """RGB of a colour as files write it: [R, G, B], [R, G, B, A], "#rrggbb" or "#rgb".

    None where it is none of these.
    """
    if isinstance(value, str):
        digits = value.strip().removeprefix("#")
        digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
        if len(digits) not in (6, 8) or not set(digits) <= set(hexdigits):
            return None
        red, green, blue = bytes.fromhex(digits[:6])
        return red, green, blue
    match value:
        case [int(red), int(green), int(blue), *rest] if len(rest) < 2:
            return (red, green, blue) if all(0 <= c <= 255 for c in (red, green, blue)) else None
        case _:
            return None


def from_coco(name: str | None) -> dict[int, int]:
    """Which COCO category counts as which class of a built-in video vocabulary (docs/model.md 7.6).

    Returns:
        COCO's category id -> the class's file_id.

    Raises:
        InputError: there is no such table.
    """
    table: dict[str, int] | None = None
    if name in builtin_names():
        text = (_builtin_folder() / f"{name}.json").read_text(encoding="utf-8")
        table = json.loads(text).get("from_coco")
    if table is None:
        raise InputError(
            f"the vocabulary {name!r} has no table of COCO's categories; ytvis2019, ytvis2021, "
            "ytvis2022 and ovis have one"
        )
    return {int(old): new for old, new in table.items()}


def ade20k_instance_ids() -> dict[int, int]:
    """The file_id of each class number in ADE20K's instance files."""
    text = (_builtin_folder() / "ade20k_panoptic.json").read_text(encoding="utf-8")
    classes = json.loads(text)["classes"]
    return {row["instance_file_id"]: row["file_id"] for row in classes if row["thing"]}


def builtin_names() -> list[str]:
    """Names of the vocabularies that come with the package, sorted."""
    files = (Path(entry.name) for entry in _builtin_folder().iterdir())
    return sorted(file.stem for file in files if file.suffix == ".json")


def generated_color(index: int) -> Color:
    """RGB colour number `index`, far from its neighbours in the sequence."""
    # Golden-ratio steps around the colour wheel never repeat; brightness changes with each turn.
    hue = index * 0.6180339887 % 1
    saturation, value = ((0.75, 0.9), (0.5, 0.95), (0.9, 0.65))[index % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _builtin_folder() -> Traversable:
    return resources.files("plainmask") / "vocabularies"


def _unknown_name(name: str) -> str:
    """Message for a name that is neither built in nor a file."""
    near = difflib.get_close_matches(name, builtin_names(), n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}?" if near else f"built in are {', '.join(builtin_names())}."
    return f"no vocabulary is called {name!r}; {guess} The path of a JSON file works, too"


def _ignore_values(content: Mapping[str, Any]) -> list[int]:
    """The values to ignore that a vocabulary file states, in whichever of the two loose forms."""
    if content.get("ignore_value") is not None:
        stated = content["ignore_value"]
        return cast(list[int], stated) if isinstance(stated, list) else [stated]
    stated = content.get("ignore")
    if not isinstance(stated, Mapping):
        return []
    values: list[Any] = []
    for key in _IGNORE_LISTS:
        found = cast(Mapping[str, Any], stated).get(key)
        values += [] if found is None else found if isinstance(found, list) else [found]
    return values


def _table(content: Any, where: str) -> dict[str, Any]:
    """The object with "classes" that a list of names, or names by numbers, stands for."""
    if isinstance(content, list | tuple):
        return {"classes": content}
    if not isinstance(content, Mapping):
        raise InputError(f'{where} must be an object with "classes", or a list of names')
    table = cast(Mapping[str, Any], content)
    is_numbered = table and all(
        _number(key) is not None and isinstance(name, str) for key, name in table.items()
    )
    return {"classes": table} if is_numbered else dict(table)


def _number(text: Any) -> int | None:
    """The whole number that something is, or is the text of."""
    is_text = isinstance(text, str) and text.strip().isdecimal() and len(text) < 19
    if is_text:
        return int(text)
    return text if isinstance(text, int) and not isinstance(text, bool) else None


def _class_rows(rows: Any) -> Any:
    """Class entries in the form of objects; anything odd is left to the validation."""
    if isinstance(rows, Mapping):
        numbered = cast(Mapping[Any, Any], rows)
        pairs = [(_number(key), name) for key, name in numbered.items()]
        if any(number is None for number, _ in pairs):
            return numbered
        ordered = sorted(cast(list[tuple[int, Any]], pairs), key=lambda pair: pair[0])
        rows = [{"file_id": number, "name": name} for number, name in ordered]
        return [{"id": place, **row} for place, row in enumerate(rows)]
    if not isinstance(rows, list | tuple):
        return rows
    return [
        {"id": place, "name": row} if isinstance(row, str) else row
        for place, row in enumerate(cast(Sequence[Any], rows))
    ]


def _class_form(row: Any) -> Any:
    """One class entry of a vocabulary file, completed; anything odd is left to the validation."""
    if not isinstance(row, Mapping):
        return row
    entry = cast(Mapping[str, Any], row)
    form = {key: value for key, value in entry.items() if key not in _CLASS_NOTES}
    index = _number(form.get("id"))
    form.setdefault("thing", False)
    form.setdefault("file_id", form.get("id"))
    color = form.get("color", entry.get("colour"))
    if color is not None:
        form["color"] = color_of(color) or color
    elif "id" in form:  # where that is no number, it is what the error is about
        form["color"] = generated_color(index or 0)
    return form
