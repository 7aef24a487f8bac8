"""The pictures of a project with what is drawn on them, and what of it is yet to be learnt."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

from plainmask.errors import InputError
from plainmask.label.canvas import Canvas, PatchLabels
from plainmask.label.features import seen
from plainmask.label.planes import PixelBox, Planes
from plainmask.label.project import Project, ProjectPicture
from plainmask.label.stroke import Stroke

CANVASES = 16
"""Pictures whose labels are kept in memory."""


class Change(NamedTuple):
    """What has changed and is to be learnt."""

    picture: str
    box: PixelBox
    stroke: int | None
    """None: strokes were taken back, or drawn again."""


class Desk:
    """A project and its canvases. Not to be used by two threads at once.

    Args:
        project: open.
        patch: side of the encoder's patches, in pixels as it sees them.
    """

    def __init__(self, project: Project, patch: int):
        self.project = project
        self.pending: list[Change] = []
        """In order."""
        self.unwritten: set[str] = set()
        """Pictures whose label files may be old."""
        self._patch = patch
        self._canvases: OrderedDict[str, Canvas] = OrderedDict()
        self._shares: dict[str, float] = {}
        for name in project.history.pictures():
            self._redraw(name)

    @property
    def version(self) -> int:
        """The last entry of the journal."""
        return self.project.journal.next_id - 1

    @property
    def labelled(self) -> set[str]:
        """Pictures with labels."""
        return {name for name, share in self._shares.items() if share > 0}

    def labels(self, name: str) -> Planes:
        """The labels (H, W) of a picture, to be kept.

        Raises:
            InputError: there is no such picture.
        """
        return self._canvas(self.project.picture(name)).planes.copy()

    def patch_labels(self, change: Change) -> PatchLabels:
        """What the labels say now of the patches where something was change."""
        canvas = self._canvas(self.project.pictures[change.picture])
        return canvas.patch_labels(change.box, len(self.project.config.classes))

    def draw(self, stroke: Stroke, key: str | None = None) -> dict[str, Any]:
        """Write a stroke down, and draw it; see `Project.add_stroke` for errors."""
        canvas = self._canvas(self.project.picture(stroke.picture))
        number = self.project.add_stroke(stroke, key)
        box = canvas.draw(number, stroke)
        if box is not None:
            self._note(stroke.picture, canvas, Change(stroke.picture, box, number))
        return {"id": number} | self._answer(number, number)

    def join_class(self, class_id: int, into: int | None, key: str | None = None) -> dict[str, Any]:
        """Give up a class, whose labels join another's; errors as `Project.join_class`.

        Raises:
            InputError: it has labels, and there is no other to join.
        """
        holders = self._holders(class_id)
        if holders and into is None:
            name, one = self.project.config.classes[class_id].name, len(holders) == 1
            raise InputError(
                f"{len(holders)} {'picture has' if one else 'pictures have'} labels of {name!r} "
                f"({holders[0]}{'' if one else ', …'}); take them away, or join it into another"
            )
        number = self.project.join_class(class_id, into, key)
        for name in holders:
            self._redraw(name)
        return {"id": number} | self._answer(number, number)

    def undo(self, key: str | None = None) -> dict[str, Any] | None:
        """Take the last stroke back; None: there is none. Errors as `Project.undo`."""
        return self._redrawn(self.project.undo(key))

    def redo(self, key: str | None = None) -> dict[str, Any] | None:
        """Draw the stroke again that was taken back last, likewise."""
        return self._redrawn(self.project.redo(key))

    def answered(self, key: str) -> dict[str, Any] | None:
        """What was answered to the request of a key, with shares as they are now; None: nothing."""
        history = self.project.history
        entry = history.by_key.get(key)
        if entry is None:
            return None
        said = self._answer(entry.of or entry.id, entry.id)
        return {"id": entry.id} | said if entry.of is None else said

    def about(self) -> dict[str, Any]:
        """Task, classes, pictures, and the video that these are of, for a page."""
        config, history, video = self.project.config, self.project.history, self.project.video
        return {
            "place": str(self.project.place),
            "task": config.task,
            "classes": self._classes(),
            "pictures": [self._about(picture) for picture in self.project.pictures.values()],
            "video": None if video is None else {"name": video.name, "seconds": video.seconds},
            "skipped": dict(self.project.skipped),
            "can_undo": bool(history.applied),
            "can_redo": bool(history.undone),
        }

    def _about(self, picture: ProjectPicture) -> dict[str, Any]:
        share = self._shares.get(picture.name, 0.0)
        height, width = picture.size
        return {
            "name": picture.name,
            "width": width,
            "height": height,
            "labelled_share": share,
            "done": share == 1,
        }

    def _answer(self, number: int, version: int) -> dict[str, Any]:
        """What is said of a stroke or a join, as of an entry of the journal."""
        entry = self.project.history.strokes.get(number)
        if entry is None:
            return {"classes": self._classes(), "version": version}
        assert entry.stroke is not None
        name = entry.stroke.picture
        share = self._shares.get(name, 0.0)
        return {"picture": name, "version": version, "labelled_share": share}

    def _classes(self) -> list[dict[str, Any]]:
        return [entry.model_dump() for entry in self.project.present().classes]

    def _redrawn(self, number: int | None) -> dict[str, Any] | None:
        """What is said when something was taken back, or done again."""
        if number is None:
            return None
        history = self.project.history
        if number in history.joins:
            # Those of the class that is there no more, or again, are drawn otherwise now.
            class_id, into = history.joins[number]
            its = [class_id, into] if into is not None else [class_id]
            names = [name for name in history.pictures() if history.may_have(name, its)]
        else:
            stroke = history.strokes[number].stroke
            assert stroke is not None
            names = [stroke.picture]
        for name in names:
            self._redraw(name)
        return self._answer(number, self.version)

    def _holders(self, class_id: int) -> list[str]:
        """Pictures with labels of a class, also such as are not there any more."""
        history = self.project.history
        return [
            name
            for name, size in history.pictures().items()
            if history.may_have(name, [class_id])
            and (self._canvas(ProjectPicture(name, Path(name), size)).labels == class_id).any()
        ]

    def _redraw(self, name: str) -> None:
        self._canvases.pop(name, None)
        if name in self.project.pictures:  # else it is not there any more
            canvas = self._canvas(self.project.pictures[name])
            self._note(name, canvas, Change(name, PixelBox(0, 0, *canvas.size), None))

    def _canvas(self, picture: ProjectPicture) -> Canvas:
        found = self._canvases.pop(picture.name, None)
        if found is None:
            strokes = self.project.history.of_picture(picture.name)
            geometry, is_instance = seen(picture.size, self._patch), self.project.tells_objects
            found = Canvas.of(geometry, self._patch, strokes, with_objects=is_instance)
        self._canvases[picture.name] = found
        if len(self._canvases) > CANVASES:
            self._canvases.popitem(last=False)
        return found

    def _note(self, name: str, canvas: Canvas, change: Change) -> None:
        self._shares[name] = canvas.labelled_share
        self.pending.append(change)
        self.unwritten.add(name)
