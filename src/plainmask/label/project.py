"""A labelling project: pictures in a folder, and beside them all that people did with them.

    PROJECT/project.json     classes, task, and the encoder (FOLDER/.plainmask-label by default)
    PROJECT/journal.jsonl    every stroke; see `journal`
    PROJECT/frames           the pictures, where they are of a video; see `frames`
    PROJECT/…                labels as a data set; see `dataset`

The last is made from the journal again whenever the project is opened.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from plainmask.atomic import write_atomically
from plainmask.errors import InputError
from plainmask.label.config import (
    BACKGROUND,
    COLORS,
    LabelClass,
    LabelTask,
    ProjectConfig,
    checked_class,
    read_config,
)
from plainmask.label.dataset import remove_strays, write_class_table, write_pair
from plainmask.label.frames import read_note
from plainmask.label.journal import Entry, History, Journal
from plainmask.label.judging import Judged
from plainmask.label.planes import Planes
from plainmask.label.stroke import MOST_CLASSES, Join, Stroke
from plainmask.options import hint
from plainmask.pictures.finding import find_images
from plainmask.pictures.geometry import Size
from plainmask.pictures.images import image_size
from plainmask.vocabulary import Color, generated_color

FOLDER = ".plainmask-label"
"""Where a project lies in the folder of its pictures."""


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
        self.video = read_note(place)
        """What the pictures are frames of."""

    @classmethod
    def open(
        cls,
        folder: Path,
        place: Path,
        *,
        encoder: str,
        fingerprint: str,
        classes: Sequence[str] = (),
        task: LabelTask | None = None,
        head: str | None = None,
    ) -> Self:
        """Open the project of a folder, or begin one.

        Args:
            folder: with pictures; they stay as they are.
            place: of the project.
            encoder, fingerprint: what gives the features.
            classes: names; those that the project lacks are added.
            task: what is labelled; None: the project's, or, in a new one, semantic.
            head: what a decoder begins from, from now on; None: as before.

        Raises:
            InputError: there is no picture, two have one name, the project was begun with another
                encoder or task, is damaged, in use, or cannot be written.
        """
        pictures, skipped = find_pictures(folder)
        config = read_config(place) or ProjectConfig.begun(task or "semantic", encoder, fingerprint)
        if config.fingerprint != fingerprint:
            raise InputError(
                f"{place} was begun with the encoder {config.encoder} (fingerprint "
                f"{config.fingerprint}), not with {encoder} ({fingerprint}); give --encoder "
                f"{config.encoder}, or another --project for a new one"
            )
        if task not in (None, config.task):
            raise InputError(
                f"{place} was begun with --task {config.task}, not {task}; leave --task out to go "
                "on, or give another --project for a new one"
            )
        config = config.model_copy(update={"head": head or config.head})
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
            known = [entry.name for entry in config.classes]  # those that were given up, too
            project.add_classes([name for name in classes if name not in known])
            used = {Path(name).stem for name in journal.history.pictures() if name in pictures}
            remove_strays(place, config.task, used)
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
    def tells_objects(self) -> bool:
        """Whether pixels belong to objects, or are background."""
        return self.config.tells_objects

    @property
    def class_names(self) -> list[str]:
        """Of the classes that there are now."""
        return [entry.name for entry in self.present().classes]

    def present(self, also: Collection[int] = ()) -> ProjectConfig:
        """The project with those classes only that were not given up, and some others.

        Args:
            also: ids of classes that are in it all the same.
        """
        gone = self.history.gone.keys() - set(also)
        classes = tuple(entry for entry in self.config.classes if entry.id not in gone)
        return self.config.model_copy(update={"classes": classes})

    def picture(self, name: str) -> ProjectPicture:
        """The picture of a name.

        Raises:
            InputError: there is none.
        """
        if name not in self.pictures:
            raise InputError(f"no picture is called {name!r}; {hint(name, list(self.pictures))}")
        return self.pictures[name]

    def add_stroke(self, stroke: Stroke, key: str | None = None) -> int:
        """Write a stroke down; its number. On the disk when this returns.

        Args:
            stroke: of this project.
            key: of the request that brought it, which `history.by_key` finds it by.

        Raises:
            InputError: there is no such picture or class, it does not say which object it is of
                where it should, or the other way round, or it cannot be written.
        """
        picture = self.picture(stroke.picture)
        if stroke.class_id is not None:
            self._class(stroke.class_id)
        self._check_object(stroke)
        number, size = self.journal.next_id, picture.size
        entry = Entry(id=number, do="stroke", stroke=stroke, size=size, key=key)
        return self.journal.append(entry).id

    def _check_object(self, stroke: Stroke) -> None:
        if not self.tells_objects:
            if stroke.object is not None or stroke.objects or stroke.kind in ("merge", "split"):
                raise InputError("this project does not tell objects apart; leave object out")
        elif stroke.class_id is not None:
            is_thing = stroke.class_id != BACKGROUND
            if stroke.object is None or (stroke.object > 0) != is_thing:
                wanted = "the number of its object, from 1" if is_thing else "the object 0"
                name = self._class(stroke.class_id).name
                raise InputError(f"a stroke of the class {name} says {wanted}; add object to it")

    def join_class(self, class_id: int, into: int | None, key: str | None = None) -> int:
        """Give up a class; its labels are those of another from here on. The number of the entry.

        Args:
            class_id: of the class.
            into: id of the other; None: labels are taken away, so see first that there are none.
            key: see `add_stroke`.

        Raises:
            InputError: there is no such class, it is the background, or it cannot be written.
        """
        if self.tells_objects and class_id == BACKGROUND:
            raise InputError("the background cannot be deleted; it is all that is no object")
        if class_id == into:
            raise InputError("a class cannot join itself; name another")
        for one in (class_id, into):
            if one is not None:
                self._class(one)
        number = self.journal.next_id
        self.journal.append(Entry(id=number, do="join", join=Join(class_id, into), key=key))
        write_class_table(self.place, self.present())
        return number

    def undo(self, key: str | None = None) -> int | None:
        """Take the last stroke or join back; its number, None: there is none left.

        Raises:
            InputError: it cannot be written, or would bring a class back whose name another has.
        """
        last = self.history.joins.get(self.history.applied[-1]) if self.history.applied else None
        name = self.config.classes[last.class_id].name if last else ""
        if name.casefold() in map(str.casefold, self.class_names):
            raise InputError(f"another class is called {name!r} by now; rename it, then undo")
        return self._back_or_forth("undo", self.history.applied, key)

    def redo(self, key: str | None = None) -> int | None:
        """Do again what was taken back last; as `undo`."""
        return self._back_or_forth("redo", self.history.undone, key)

    def _back_or_forth(
        self, do: Literal["undo", "redo"], numbers: list[int], key: str | None
    ) -> int | None:
        if not numbers:
            return None
        number = numbers[-1]
        self.journal.append(Entry(id=self.journal.next_id, do=do, of=number, key=key))
        if number in self.history.joins:
            write_class_table(self.place, self.present())
        return number

    def note_prediction(self, stroke: int, right: float) -> None:
        """Remember which share of a stroke was predicted right before it was learnt."""
        entry = Entry(id=self.journal.next_id, do="predicted", of=stroke, right=right)
        self.journal.append(entry, wait=False)

    def note_judgement(self, stroke: int, judged: Judged) -> None:
        """Likewise of both heads, and which of the two was shown."""
        linear, right, shown = judged
        entry = Entry(
            id=self.journal.next_id, do="judged", of=stroke, right=right, linear=linear, shown=shown
        )
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
            things = place - self.tells_objects  # the background has a colour of its own
            own = COLORS[things] if things < len(COLORS) else generated_color(place)
            classes.append(checked_class(place, name, color or own))
        self._change_classes(classes)

    def change_class(
        self, class_id: int, *, name: str | None = None, color: Color | None = None
    ) -> None:
        """Give a class another name or colour; labels stay as they are.

        Raises:
            InputError: there is no such class, or another one has the name.
        """
        classes, old = list(self.config.classes), self._class(class_id)
        classes[class_id] = checked_class(class_id, name or old.name, color or old.color)
        self._change_classes(classes)

    def _class(self, class_id: int) -> LabelClass:
        """The class of an id.

        Raises:
            InputError: there is none, or it was given up.
        """
        if not 0 <= class_id < len(self.config.classes):
            raise InputError(f"there is no class {class_id}; add it first")
        found = self.config.classes[class_id]
        if class_id in self.history.gone:
            raise InputError(f"the class {found.name!r} was deleted; choose another, or undo that")
        return found

    def _change_classes(self, classes: Sequence[LabelClass]) -> None:
        there = [entry for entry in classes if entry.id not in self.history.gone]
        names = [entry.name.casefold() for entry in there]
        for place, entry in enumerate(there):
            if names.index(entry.name.casefold()) != place:
                raise InputError(f"there is a class {entry.name!r} already; take another name")
        if len(classes) > MOST_CLASSES:
            raise InputError(f"a project has at most {MOST_CLASSES} classes")
        config = self.config.model_copy(update={"classes": tuple(classes)})
        write_atomically(
            self.place / "project.json", config.model_dump_json(indent=1).encode() + b"\n"
        )
        self.config = config
        write_class_table(self.place, self.present())

    def write_labels(self, name: str, labels: Planes) -> None:
        """Write the label files of a picture where they differ; none where nothing is labelled.

        Raises:
            InputError: it cannot be written.
        """
        write_pair(self.place, self.picture(name).path, labels)


def find_pictures(folder: Path) -> tuple[dict[str, ProjectPicture], dict[str, str]]:
    """The pictures in a folder by name, and what is left out and why.

    Raises:
        InputError: it is no folder, holds no picture, or two of one name.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder; give the folder that holds the pictures, or a video"
        )
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
