"""What is learnt of a project, and what it says of pictures.

Letters: H W size of a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainmask.encoder.vit import Encoder
from plainmask.errors import InputError
from plainmask.heads.head import Head
from plainmask.label.behind import Behind
from plainmask.label.canvas import PatchLabels
from plainmask.label.closed_form import head_of
from plainmask.label.dataset import class_table
from plainmask.label.features import KeptTaps
from plainmask.label.foreseen import of_classes, of_objects
from plainmask.label.judging import Judged, Shown
from plainmask.label.learner import Learner
from plainmask.label.planes import Planes
from plainmask.label.project import Project, ProjectPicture
from plainmask.label.proposing import Proposal, how_undecided, planes_of, propose
from plainmask.label.ranking import Ranking
from plainmask.label.saying import linear_says
from plainmask.label.teaching import Start
from plainmask.vocabulary import Vocabulary

HEAD = "head"
"""Folder in the project, of the head that labels the rest."""
NOTHING_YET = "there is no proposal before two classes have labels"


class Mind:
    """A linear head, the decoder behind it, and what they think of pictures.

    Used by the thread of a session; others may look at `linear`, `head` and `behind`.

    Args:
        project: open.
        taps: of its pictures.
        judge: notes how much of a stroke both heads had right, and which was shown.
        learns, start: see `Behind`.
    """

    def __init__(
        self,
        project: Project,
        taps: KeptTaps,
        judge: Callable[[int, Judged], None],
        *,
        learns: bool,
        start: Start | None = None,
    ):
        self.project, self.taps = project, taps
        self.ranking = Ranking()
        self.linear: Head | None = None
        """The linear head as it is now; None: there is none before two classes have labels."""
        self.behind = Behind(project, taps, judge, learns=learns, start=start)
        self._learner = Learner(taps.width)

    @property
    def head(self) -> Head | None:
        """The head whose proposals are shown for pictures without strokes: the linear one, or the
        decoder behind it."""
        decoder = self.behind.taken_over
        return decoder.head if self.linear is not None and decoder is not None else self.linear

    def shown_by(self, picture: str | None) -> Shown | None:
        """Whose proposals are shown for a picture, or a new one; None: there is none yet."""
        return None if self.linear is None else self.behind.shown(picture)

    def predicted(self, picture: str, labels: PatchLabels, stroke: int) -> float | None:
        """The share of a new stroke that the linear head has right; see `Learner.right`."""
        return self._learner.right(self._features(picture), labels, stroke)

    def note(self, stroke: int, labels: PatchLabels, right: float) -> None:
        """Have the decoder behind measured by a new stroke, before that is learnt.

        Args:
            stroke: its number.
            labels: of the patches that it touches.
            right: the share of it that the linear head has right, by classes.
        """
        if not self.behind.listens:
            return
        assert self.linear is not None  # it has predicted the stroke
        if not self.project.tells_objects:
            right_of = of_classes(self.project, stroke, labels, self.taps.patch)
            self.behind.note(stroke, right_of, right, self.linear)
            return
        right_of = of_objects(self.project, stroke, self.taps)
        linear = right_of(linear_says(self.linear, self.taps))
        if linear is not None:
            self.behind.note(stroke, right_of, linear, self.linear)

    def learn(self, picture: str, labels: PatchLabels) -> None:
        """Learn what labels say of patches of a picture; `settle` after the last ones."""
        features = self._features(picture)
        self._learner.learn(picture, features, labels, self.project.history.predicted)
        self.ranking.see(picture, features)

    def settle(self) -> None:
        """Bring the head up to what is learnt."""
        self._learner.solve()
        found, encoder = self._learner.head, self.taps.shared.encoder
        assert isinstance(encoder, Encoder)
        made = None
        if found is not None:
            # Classes that were given up meanwhile are in it until that is learnt.
            config = self.project.present(also=found.classes.tolist())
            vocabulary = Vocabulary.load(class_table(config))
            places = np.searchsorted([entry.id for entry in config.classes], found.classes)
            made = head_of(found._replace(classes=places), encoder, vocabulary, HEAD)
        self.linear = made  # at once: others look at it

    def proposal(self, picture: ProjectPicture, labels: Planes, version: int) -> Proposal:
        """What is shown of a picture with labels (H, W), for a head that learnt so much."""
        assert self.linear is not None
        assert self._learner.head is not None
        says = self.behind.says(self.linear)
        found = propose(says, self._learner.head, version, picture, self.taps, labels)
        self.ranking.judge(picture.name, found.undecided, version)
        return found

    def whole(self, picture: ProjectPicture, labels: Planes) -> Planes:
        """What is proposed for a picture with labels (H, W), at its own size.

        Raises:
            InputError: nothing is, yet; or the picture cannot be read.
        """
        if self.linear is None:
            raise InputError(NOTHING_YET)
        says = self.behind.says(self.linear)
        return planes_of(says, picture, self.taps, picture.size, labels)

    def seen(self, picture: ProjectPicture, labels: Planes) -> Planes:
        """The same, or only the labels where nothing is proposed yet."""
        return labels if self.linear is None else self.whole(picture, labels)

    def kept(self) -> tuple[Path | None, Callable[[ProjectPicture, Planes], Planes]]:
        """The head as it is now, whatever is learnt afterwards: where it is kept, and what it says.

        Where objects are told apart, a head of classes is not kept, as it cannot do that.

        Raises:
            InputError: there is none yet, or it cannot be written.
        """
        if self.linear is None:
            raise InputError(NOTHING_YET)
        decoder = self.behind.taken_over
        task = "semantic" if decoder is None else decoder.head.config.task
        of_project = task == self.project.config.task and (decoder is None or decoder.knows_classes)
        place = self.project.place / HEAD if of_project else None
        says = (
            self.behind.says(self.linear) if place is None else self.behind.keep(self.linear, place)
        )
        return place, lambda picture, labels: planes_of(
            says, picture, self.taps, picture.size, labels
        )

    def look_at(self, picture: ProjectPicture, version: int) -> None:
        """See what the encoder and the head think of a picture that is not shown."""
        self.ranking.see(picture.name, self.taps.of(picture))
        if self._learner.head is not None:
            undecided = how_undecided(self._learner.head, picture, self.taps)
            self.ranking.judge(picture.name, float(undecided.mean()), version)

    def work_behind(
        self, labelled: set[str], labels_of: Callable[[str], Planes]
    ) -> Callable[[], bool] | None:
        """What the decoder is to do next; see `Behind.work`."""
        if self.linear is None:
            return None
        return self.behind.work(self.linear, labelled, labels_of)

    def _features(self, picture: str) -> NDArray[np.float16]:
        return self.taps.of(self.project.pictures[picture])
