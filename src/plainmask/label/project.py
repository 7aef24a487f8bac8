"""A labelling project: pictures in a folder, and beside them all that people did with them.

    PROJECT/project.json     classes, task, and the encoder (FOLDER/.plainmask-label by default)
    PROJECT/journal.jsonl    every stroke; see `journal`
    PROJECT/labels/STEM.png  class ids, 255 where nobody has labelled
    PROJECT/images/          links to the pictures that have labels
    PROJECT/classes.json     the class table

The last three are a data set (`label_folder`), made from the journal again whenever it is opened.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plainmask.atomic import cannot_write, write_atomically
from plainmask.errors import InputError
from plainmask.label.journal import Entry, History, Journal
from plainmask.label.stroke import MOST_CLASSES, NO_LABEL, Stroke
from plainmask.options import hint
from plainmask.pictures.finding import find_images
from plainmask.pictures.geometry import Size
from plainmask.pictures.images import image_size
from plainmask.results.formats import png_bytes
from plainmask.vocabulary import Color, generated_color

FOLDER = ".plainmask-label"
"""Where a project lies in the folder of its pictures."""
COLORS: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Of the first classes: Okabe and Ito's, which people who see colours differently tell apart."""

Channel8 = Annotated[int, Field(ge=0, le=255)]


class LabelClass(BaseModel):
    """A class; its id is its place, and what label files hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    name: str = Field(min_length=1, max_length=100)
    color: tuple[Channel8, Channel8, Channel8]


class ProjectConfig(BaseModel):
    """project.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    task: Literal["semantic"] = "semantic"
    encoder: str
    """As it was given: a preset, or a path."""
    fingerprint: str
    classes: tuple[LabelClass, ...] = Field(default=(), max_length=MOST_CLASSES)


@dataclass(frozen=True)
class ProjectPicture:
    """A picture of the folder."""

    name: str
    """Its file's."""
    path: Path
    size: Size
    """(H, W), upright."""


class Project:
    """A project that is open for writing; close it. Not to be used by two threads at once."""

    def __init__(
        self,
        place: Path,
        config: ProjectConfig,
        pictures: Mapping[str, ProjectPicture],
        journal: Journal,
        skipped: Mapping[str, str],
    ):
        self.place, self.config, self.pictures = place, config, dict(pictures)
        self.journal = journal
        self.skipped = skipped
        """What is not used, and why: files of the folder, and labels without their picture."""

    @classmethod
    def open(
        cls,
        folder: Path,
        place: Path,
        *,
        encoder: str,
        fingerprint: str,
        classes: Sequence[str] = (),
    ) -> Self:
        """Open the project of a folder, or begin one.

        Args:
            folder: with pictures; they stay as they are.
            place: of the project.
            encoder, fingerprint: what gives the features.
            classes: names; those that the project lacks are added.

        Raises:
            InputError: there is no picture, two have one name, the project was begun with another
                encoder, is damaged, in use, or cannot be written.
        """
        pictures, skipped = find_pictures(folder)
        config = read_config(place) or ProjectConfig(encoder=encoder, fingerprint=fingerprint)
        if config.fingerprint != fingerprint:
            raise InputError(
                f"{place} was begun with the encoder {config.encoder} (fingerprint "
                f"{config.fingerprint}), not with {encoder} ({fingerprint}); give --encoder "
                f"{config.encoder}, or another --project for a new one"
            )
        journal = Journal.open(place / "journal.jsonl")
        try:
            for name, size in journal.history.pictures().items():
                if name not in pictures:
                    skipped[name] = "it has labels, but is not there any more; put it back"
                elif pictures[name].size != size:
                    now = pictures.pop(name).size
                    skipped[name] = (
                        f"it was labelled at {size[1]} x {size[0]} pixels, and has "
                        f"{now[1]} x {now[0]} now; put the old one back, or rename the new one"
                    )
            project = cls(place, config, pictures, journal, skipped)
            project.add_classes([name for name in classes if name not in project.class_names])
            project._remove_strays()
        except BaseException:
            journal.close()
            raise
        return project

    def close(self) -> None:
        """Let others open it."""
        self.journal.close()

    @property
    def history(self) -> History:
        """Which strokes count."""
        return self.journal.history

    @property
    def class_names(self) -> list[str]:
        """By id."""
        return [entry.name for entry in self.config.classes]

    def picture(self, name: str) -> ProjectPicture:
        """The picture of a name.

        Raises:
            InputError: there is none.
        """
        if name not in self.pictures:
            raise InputError(f"no picture is called {name!r}; {hint(name, list(self.pictures))}")
        return self.pictures[name]

    def add_stroke(self, stroke: Stroke) -> int:
        """Write a stroke down; its number. On the disk when this returns.

        Raises:
            InputError: there is no such picture or class, or it cannot be written.
        """
        picture = self.picture(stroke.picture)
        if stroke.class_id is not None and stroke.class_id >= len(self.config.classes):
            raise InputError(f"there is no class {stroke.class_id}; add it first")
        entry = Entry(id=self.journal.next_id, do="stroke", stroke=stroke, size=picture.size)
        return self.journal.append(entry).id

    def undo(self) -> str | None:
        """Take the last stroke back; the picture that it was on, None: there is none left.

        Raises:
            InputError: it cannot be written.
        """
        return self._back_or_forth("undo", self.history.applied)

    def redo(self) -> str | None:
        """Draw the stroke again that was taken back last; as `undo`."""
        return self._back_or_forth("redo", self.history.undone)

    def _back_or_forth(self, do: Literal["undo", "redo"], strokes: list[int]) -> str | None:
        if not strokes:
            return None
        number = strokes[-1]
        self.journal.append(Entry(id=self.journal.next_id, do=do, of=number))
        stroke = self.history.strokes[number].stroke
        assert stroke is not None
        return stroke.picture

    def note_prediction(self, stroke: int, right: float) -> None:
        """Remember which share of a stroke was predicted right before it was learnt."""
        entry = Entry(id=self.journal.next_id, do="predicted", of=stroke, right=right)
        self.journal.append(entry, wait=False)

    def add_classes(self, names: Sequence[str], color: Color | None = None) -> None:
        """Add classes at the end.

        Args:
            names: of them.
            color: of one; None: each has its own.

        Raises:
            InputError: one is there already, has no name, or there are too many.
        """
        classes = list(self.config.classes)
        for name in names:
            place = len(classes)
            own = COLORS[place] if place < len(COLORS) else generated_color(place)
            classes.append(_class(place, name, color or own))
        self._change_classes(classes)

    def change_class(
        self, class_id: int, *, name: str | None = None, color: Color | None = None
    ) -> None:
        """Give a class another name or colour; labels stay as they are.

        Raises:
            InputError: there is no such class, or another one has the name.
        """
        classes = list(self.config.classes)
        if not 0 <= class_id < len(classes):
            raise InputError(f"there is no class {class_id}; add it first")
        old = classes[class_id]
        classes[class_id] = _class(class_id, name or old.name, color or old.color)
        self._change_classes(classes)

    def _change_classes(self, classes: Sequence[LabelClass]) -> None:
        names = [entry.name.casefold() for entry in classes]
        for place, entry in enumerate(classes):
            if names.index(entry.name.casefold()) != place:
                raise InputError(f"there is a class {entry.name!r} already; take another name")
        if len(classes) > MOST_CLASSES:
            raise InputError(f"a project has at most {MOST_CLASSES} classes")
        config = self.config.model_copy(update={"classes": tuple(classes)})
        write_atomically(
            self.place / "project.json", config.model_dump_json(indent=1).encode() + b"\n"
        )
        self.config = config
        write_class_table(self.place, config)

    def write_labels(self, name: str, labels: NDArray[np.uint8]) -> None:
        """Write the label file of a picture where it differs; none where nothing is labelled.

        Raises:
            InputError: it cannot be written.
        """
        write_pair(self.place, self.picture(name), labels)

    def _remove_strays(self) -> None:
        """Delete label files and links of pictures that are not used, or have no stroke."""
        used = {Path(name).stem for name in self.history.pictures() if name in self.pictures}
        for folder in ("images", "labels"):
            for path in (self.place / folder).glob("*"):
                if path.stem not in used:
                    with suppress(OSError):
                        path.unlink()


def read_config(place: Path) -> ProjectConfig | None:
    """What stands in project.json; None: there is no project.

    Raises:
        InputError: it cannot be read.
    """
    path = place / "project.json"
    try:
        return ProjectConfig.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(
            f"{path} cannot be read ({reason}); put back a copy, or name another --project"
        ) from error


def class_table(config: ProjectConfig) -> dict[str, Any]:
    """What classes.json of a data set holds; see `data.class_table`."""
    classes = [
        {"id": entry.id, "name": entry.name, "color": list(entry.color)} for entry in config.classes
    ]
    return {"name": "labels", "classes": classes, "ignore_values": [NO_LABEL]}


def write_class_table(root: Path, config: ProjectConfig) -> None:
    """Write classes.json of a data set."""
    if config.classes:
        text = json.dumps(class_table(config), indent=1)
        write_atomically(root / "classes.json", text.encode() + b"\n")


def write_pair(root: Path, picture: ProjectPicture, labels: NDArray[np.uint8]) -> None:
    """Put a picture and its labels into a data set; take it out where nothing is labelled.

    Args:
        root: of the data set.
        picture: linked to, or copied where there are no links.
        labels: (H, W), class ids, 255 for none.

    Raises:
        InputError: it cannot be written.
    """
    link = root / "images" / picture.name
    file = root / "labels" / f"{picture.path.stem}.png"
    if (labels == NO_LABEL).all():
        link.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        return
    content = png_bytes(Image.fromarray(labels))
    if not file.is_file() or file.read_bytes() != content:
        write_atomically(file, content)
    if not link.exists():
        link.unlink(missing_ok=True)  # one that leads nowhere
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            _link(picture.path, link)
        except OSError as error:
            raise cannot_write(link, error) from error


def _link(source: Path, link: Path) -> None:
    """A link that still holds where the folder and what is in it are moved together."""
    try:
        link.symlink_to(os.path.relpath(source.resolve(), link.parent.resolve()))
    except (OSError, NotImplementedError, ValueError):  # Windows, or another drive
        shutil.copyfile(source, link)


def _class(place: int, name: str, color: Color) -> LabelClass:
    try:
        return LabelClass(id=place, name=name.strip(), color=color)
    except ValidationError as error:
        first = error.errors()[0]
        where = first["loc"][0] if first["loc"] else "class"
        raise InputError(f"the {where} of a class cannot be used: {first['msg']}") from error


def find_pictures(folder: Path) -> tuple[dict[str, ProjectPicture], dict[str, str]]:
    """The pictures in a folder by name, and what is left out and why.

    Raises:
        InputError: it is no folder, holds no picture, or two of one name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the folder that holds the pictures")
    paths, problems = find_images([str(folder)])
    if not paths:
        raise InputError(f"{folder}: {next(iter(problems.values()))}; put some there")
    found: dict[str, ProjectPicture] = {}
    skipped: dict[str, str] = {}
    by_stem: dict[str, str] = {}
    for path in paths:
        try:
            found[path.name] = ProjectPicture(path.name, path, image_size(path))
        except InputError as error:
            skipped[path.name] = str(error)
            continue
        other = by_stem.setdefault(path.stem.casefold(), path.name)
        if other != path.name:
            raise InputError(
                f"{folder} holds {other} and {path.name}, whose labels would have one name; "
                "rename one of them"
            )
    if not found:
        name, reason = next(iter(skipped.items()))
        raise InputError(f"{folder} holds no picture that can be read; {name}: {reason}")
    return found, skipped
