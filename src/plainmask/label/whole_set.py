"""A data set of pictures that are labelled whole: by the person, and by a head where nothing is.

Letters: H W size of the picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from plainmask.errors import InputError
from plainmask.label.dataset import write_class_table, write_pair
from plainmask.label.objects import settled
from plainmask.label.planes import Planes
from plainmask.label.project import Project, ProjectPicture


class WholeSet:
    """A set that is being written, a picture at a time.

    Args:
        root: its folder.
        project: what it is of.
        names: of the pictures.
        propose: what a head says of a picture (H, W) beside labels (H, W) that stand.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(
        self,
        root: Path,
        project: Project,
        names: Iterable[str],
        propose: Callable[[ProjectPicture, Planes], Planes],
    ):
        self.root, self.project, self.propose = root, project, propose
        self.waiting = deque(names)
        self.total = len(self.waiting)
        self.problems: list[str] = []
        """Pictures that could not be used, and why."""
        self._classes = project.present()
        write_class_table(root, self._classes)

    def about(self) -> dict[str, Any]:
        """How far it is, for a page."""
        return {
            "state": "running" if self.waiting else "done",
            "done": self.total - len(self.waiting),
            "total": self.total,
            "problems": [*self.problems],
            "folder": str(self.root),
        }

    def label_next(self, labels_of: Callable[[str], Planes]) -> None:
        """Label the next picture that waits.

        Args:
            labels_of: gives the labels (H, W) of a picture.
        """
        name = self.waiting.popleft()
        picture, labels = self.project.pictures[name], labels_of(name)
        try:
            if not labels.known.all():
                proposed = self.propose(picture, labels)
                labels = labels.over(proposed if proposed.objects is None else settled(proposed))
            write_pair(self.root, picture.path, labels)
        except InputError as error:
            self.problems.append(f"{name}: {error}")
        if not self.waiting:  # classes that came meanwhile are in it, and those that went
            before = [entry.id for entry in self._classes.classes]
            write_class_table(self.root, self.project.present(also=before))
