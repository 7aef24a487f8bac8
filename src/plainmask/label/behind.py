"""The decoder behind the linear head: when it learns, what it says, and whether it is shown.

It learns from more than strokes: the linear head labels pictures of the folder, and a decoder with
blocks that learns from those, in another process, comes to know objects whole, and finds more than
what taught it (benchmarks/RESULTS.md, "Labelling by strokes"). It is of classes, unless it begins
from a head of objects: what is then proposed are the objects that it finds. From nothing some
minutes are too few for these.

Letters: H W size of a picture.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from plainmask.errors import PlainmaskError
from plainmask.heads.head import Head
from plainmask.label.features import KeptTaps
from plainmask.label.foreseen import RightOf
from plainmask.label.judging import Judged, Shown, better
from plainmask.label.planes import Planes
from plainmask.label.project import Project, ProjectPicture
from plainmask.label.proposing import planes_of
from plainmask.label.saying import DecoderSays, Says, completed, linear_says, named
from plainmask.label.teaching import Start, Teaching
from plainmask.label.whole_set import WholeSet

FOLDER = "decoder"
"""In the project: `head`, and what a training leaves."""
FIRST, MORE = 20, 20
"""Strokes before a decoder learns, and more of them before it learns again."""
OBJECTS = 5
"""And so many objects, where it learns these."""
PICTURES = 64
"""From how many pictures it learns, those that strokes are on first."""


class Unjudged(NamedTuple):
    """A stroke of which the decoder has not said what it had thought."""

    number: int
    right_of: RightOf
    linear: float
    """The share of it that the linear head had right."""
    before: Head
    """The linear head that had not learnt it."""
    shown: Shown
    """What the person saw."""


class Behind:
    """Used by the thread of a session; `shown` and `about` by any.

    Args:
        project: open.
        taps: of its pictures.
        judge: notes how much of a stroke both heads had right, and which was shown.
        learns: whether a decoder is to learn at all.
        start: a head of the same encoder that the first one begins from; None: with nothing. If it
            knows objects, these are there at once, by the classes of the linear head.
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
        self.project, self.taps, self.judge = project, taps, judge
        self.shared, self._start = taps.shared, start
        self.place = project.place / FOLDER
        self.decoder: DecoderSays | None = None
        self._learns = learns and find_spec("lightning_fabric") is not None
        self._lesson: WholeSet | None = None
        self._from: Start | None = None
        """What the decoder begins from that this lesson is for."""
        self._teaching: Teaching | None = None
        self._taught = len(project.history.applied)
        """Strokes that there were when the last lesson began, or the program."""
        self._told = 0
        """Steps that were told of."""
        self._learnt: int | None = None
        """Strokes that the decoder has learnt from; None: it is not known."""
        self._unjudged: deque[Unjudged] = deque(maxlen=100)
        self._problem: str | None = None
        self._shown: dict[bool, Shown] = {}
        """By whether a picture is new."""
        if (self.place / "head").is_dir():
            with suppress(PlainmaskError):  # of another encoder, or damaged: another will learn
                head = Head.load(self.place / "head")
                if start is None or head.config.task == start.config.task:
                    self.decoder = DecoderSays(head, self.shared)
        if self.decoder is None and start is not None and start.knows_objects:
            with suppress(PlainmaskError):  # not there any more: told where it is learnt from
                borrowed = Head.load(start.place)
                self.decoder = DecoderSays(borrowed, self.shared, knows_classes=False)
        self._judge()

    def shown(self, picture: str | None = None) -> Shown:
        """Whose proposals are shown for a picture, or for one without strokes."""
        return self._shown_where(picture is None or self.project.history.is_new(picture))

    @property
    def taken_over(self) -> DecoderSays | None:
        """The decoder, where its proposals are shown for pictures without strokes."""
        return self.decoder if self.shown() == "decoder" else None

    def says(self, linear: Head) -> Says:
        """What is shown now: what the decoder says, or the linear head that is given."""
        saying: dict[bool, Says] = {}  # by whether a picture is new
        for is_new in (False, True):
            decoder = self.decoder if self._shown_where(is_new) == "decoder" else None
            saying[is_new] = self._with(decoder, linear)
        is_new_now = self.project.history.is_new
        return lambda picture, size: saying[is_new_now(picture.name)](picture, size)

    def keep(self, linear: Head, place: Path) -> Says:
        """Save the head that is shown for pictures without strokes; what it says when loaded.

        Raises:
            InputError: the folder cannot be written.
        """
        if (decoder := self.taken_over) is not None:
            kept = DecoderSays(Head.load(decoder.head.save(place)), self.shared)
            return self._with(kept, linear)
        return linear_says(Head.load(linear.save(place)), self.taps)

    def about(self) -> dict[str, Any]:
        """How far it is, for a page."""
        state, done, total = "waits", 0, 0
        if (lesson := self._lesson) is not None:
            state, done, total = "prepares", lesson.total - len(lesson.waiting), lesson.total
        elif (teaching := self._teaching) is not None:
            state, done, total = "learns", teaching.done, teaching.total
        elif self._fits:
            state = "ready"
        if not self._learns and not self._fits:
            state = "off"
        return {
            "state": state,
            "done": done,
            "total": total,
            "strokes": self._learnt,
            "due": self._due if self._learns else None,
            "objects": OBJECTS if self.knows_objects else 0,
            "borrowed": self._borrowed,
            "problem": self._problem,
        }

    @property
    def listens(self) -> bool:
        """Whether a decoder is there, or learns now, that is to be measured by strokes."""
        return self.decoder is not None or self._teaching is not None

    def note(self, number: int, right_of: RightOf, linear: float, before: Head) -> None:
        """Remember a stroke for the decoder that is there, or the one that learns now.

        Args:
            number: of it.
            right_of: gives the share of it that a head has right.
            linear: the share that the linear head had right.
            before: that head, which has not learnt it yet.
        """
        if self.listens:
            shown = self._shown_where(self.project.history.is_first(number))
            self._unjudged.append(Unjudged(number, right_of, linear, before, shown))

    def work(
        self, linear: Head, labelled: Collection[str], labels_of: Callable[[str], Planes]
    ) -> Callable[[], bool] | None:
        """What to do now that nobody waits; it says whether something is shown otherwise.

        Args:
            linear: the linear head as it is now.
            labelled: pictures with labels.
            labels_of: gives the labels (H, W) of a picture.

        Returns:
            None: nothing.
        """
        if self._teaching is not None and self._teaching.is_over:
            return self._take_over
        if self._teaching is not None and self._teaching.done != self._told:
            return self._tell
        if self.decoder is not None and self._unjudged:
            return self._judge_next
        if self._lesson is not None and self._lesson.waiting:
            lesson = self._lesson
            return lambda: self._label(lesson, labels_of)
        if self._lesson is not None:
            return self._teach
        if self._learns and self._teaching is None and self._is_due:
            return lambda: self._begin(linear, labelled)
        return None

    def _shown_where(self, is_new: bool) -> Shown:
        return self._shown[is_new] if self._fits else "linear"

    @property
    def _fits(self) -> bool:
        """Whether there is a decoder that knows no class that was given up."""
        gone = self.project.history.gone
        return self.decoder is not None and not any(
            one in gone for one in self.decoder.ids.tolist()
        )

    @property
    def _borrowed(self) -> str | None:
        """The head whose objects are taken until a decoder has learnt; None: of none."""
        decoder = self.decoder
        return None if decoder is None or decoder.knows_classes else decoder.head.config.name

    @property
    def _has_learnt(self) -> bool:
        """Whether there is a decoder, and it was learnt here."""
        return self.decoder is not None and self.decoder.knows_classes and self._fits

    @property
    def knows_objects(self) -> bool:
        """Whether the decoder that is there, or the one that will be, is of objects."""
        start = self._next_start
        return start is not None and start.knows_objects

    @property
    def _next_start(self) -> Start | None:
        """What the next one begins from."""
        if self.decoder is not None and self._has_learnt:
            return Start(self.place / "head", self.decoder.head.config)
        return self._start

    @property
    def _is_due(self) -> bool:
        """Whether there is enough to learn from."""
        history = self.project.history
        enough = not self.knows_objects or history.count_objects() >= OBJECTS
        return enough and len(history.applied) >= self._due

    @property
    def _due(self) -> int:
        """Strokes from which on the next one learns."""
        return self._taught + MORE if self._has_learnt else FIRST

    def close(self) -> None:
        """End what learns."""
        if self._teaching is not None:
            self._teaching.stop()

    def _begin(self, linear: Head, labelled: Collection[str]) -> bool:
        """Begin a data set to learn from."""
        shutil.rmtree(self.place / "data", ignore_errors=True)
        names = lesson_of(list(self.project.pictures), labelled)
        says, self._from = linear_says(linear, self.taps), self._next_start

        def propose(picture: ProjectPicture, labels: Planes) -> Planes:
            return planes_of(says, picture, self.taps, picture.size, labels)

        self._taught = len(self.project.history.applied)
        with self._giving_up():
            if self._from is not None and self._from.knows_objects:
                head = Head.load(self._from.place)
                says = named(DecoderSays(head, self.shared, knows_classes=False), says)
            self._lesson = WholeSet(self.place / "data", self.project, names, propose)
        return False

    def _label(self, lesson: WholeSet, labels_of: Callable[[str], Planes]) -> bool:
        """Label a picture, with objects if it is to learn these."""
        if self._from is not None and self._from.knows_objects:
            lesson.label_next(labels_of)
        else:
            lesson.label_next(lambda name: Planes(labels_of(name).classes, None))
        return False

    def _teach(self) -> bool:
        self._lesson, device = None, str(self.shared.device)
        self._unjudged.clear()
        with self._giving_up():
            encoder = self.project.config.encoder
            self._teaching = Teaching(self.place, encoder, device, self._from)
        return False

    def _tell(self) -> bool:
        """Have it told how far it is."""
        assert self._teaching is not None
        self._told = self._teaching.done
        return False

    def _take_over(self) -> bool:
        """Use what has learnt, or say why nothing has."""
        teaching, self._teaching = self._teaching, None
        assert teaching is not None
        with self._giving_up():
            learnt = Head.load(teaching.result())
            self.decoder = DecoderSays(Head.load(learnt.save(self.place / "head")), self.shared)
        self._learnt = self._taught
        self._judge()
        return True

    @contextmanager
    def _giving_up(self) -> Generator[None]:
        """Where something fails, remember why, and try it no more: it would fail again."""
        try:
            yield
        except PlainmaskError as error:
            self._problem, self._learns = str(error), False
            raise

    def _judge_next(self) -> bool:
        """Say what the decoder had thought of a stroke that it has not learnt."""
        one = self._unjudged.popleft()
        assert self.decoder is not None
        right = one.right_of(named(self.decoder, linear_says(one.before, self.taps)))
        if right is not None:
            self.judge(one.number, Judged(one.linear, right, one.shown))
        return self._judge()

    def _judge(self) -> bool:
        """Decide again; whether something else is shown now."""
        # Objects of a head that the person has named are what they expect to see.
        first: Shown = "decoder" if self.knows_objects else "linear"
        history, before = self.project.history, self._shown
        judged: dict[bool, list[Judged]] = {False: [], True: []}
        for number, one in history.judged.items():
            judged[history.is_first(number)].append(one)
        self._shown = {is_new: better(strokes, first) for is_new, strokes in judged.items()}
        return self._shown != before

    def _with(self, decoder: DecoderSays | None, linear: Head) -> Says:
        """What a decoder says beside the linear head, or that alone."""
        alone = linear_says(linear, self.taps)
        if decoder is None:
            return alone
        # Objects that are named have what the linear head says around them already.
        return completed(decoder, alone) if decoder.knows_classes else named(decoder, alone)


def lesson_of(names: Sequence[str], labelled: Collection[str]) -> list[str]:
    """Pictures to learn from: those with labels, and others evenly, `PICTURES` at most."""
    first = [name for name in names if name in labelled][-PICTURES:]
    others = [name for name in names if name not in labelled]
    count = min(len(others), PICTURES - len(first))
    return first + [others[place * len(others) // count] for place in range(count)]
