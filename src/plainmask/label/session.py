"""A person at work on a project: strokes come in, proposals go out, and a thread learns between.

What a person waits for comes first: strokes are written down and drawn by whoever brings them; the
thread learns them in order, proposes for the picture that is shown, then writes label files, and
only while nobody draws it looks at pictures ahead.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError, PlainmaskError
from plainmask.heads.head import Head
from plainmask.label.course import CoursePoint, course
from plainmask.label.desk import Change, Desk
from plainmask.label.drawing import masked_stroke
from plainmask.label.features import KeptTaps
from plainmask.label.judging import Judged
from plainmask.label.mind import NOTHING_YET, Mind
from plainmask.label.planes import Planes
from plainmask.label.project import Project
from plainmask.label.proposing import Proposal
from plainmask.label.repair import LinePoints, Repair, What, accepted, repaired
from plainmask.label.stroke import Stroke
from plainmask.label.teaching import Start
from plainmask.label.whole_set import WholeSet
from plainmask.threads import Promise

log = logging.getLogger("plainmask.label")
PROPOSALS = 4
"""Pictures whose proposals are kept."""
QUIET = 1.0
"""Seconds after a stroke before anything is done that nobody waits for."""
WHOLE = "whole/data"
"""Folder in the project, of a data set in which all pictures are labelled. Not at its top, where it
would be taken for a part of the person's own."""

Event: TypeAlias = dict[str, Any]


class Session:
    """A project with proposals; close it. Its methods may be called from any thread.

    Args:
        project: open; the session closes it.
        taps: of its pictures.
        tell: takes events, from the thread of the session.
        learns, start: whether a decoder learns behind the linear head, and what it begins from.
    """

    def __init__(
        self,
        project: Project,
        taps: KeptTaps,
        tell: Callable[[Event], None] = lambda event: None,
        *,
        learns: bool = False,
        start: Start | None = None,
    ):
        self.project, self.tell = project, tell
        self._desk = Desk(project, taps.patch)
        self._mind = Mind(project, taps, self._judged, learns=learns, start=start)
        self._changed = threading.Condition()
        self._asked: deque[Promise[Any]] = deque()
        self._proposals: OrderedDict[str, Proposal] = OrderedDict()
        self._shown: str | None = None
        self._broken: dict[str, str] = {}
        self._rest: WholeSet | None = None
        self._job: dict[str, Any] | None = None
        self._learnt, self._renamed, self._closing, self._told_by = 0, False, False, None
        self._touched = time.monotonic() - QUIET
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def summary(self) -> dict[str, Any]:
        """The project for a page: task, classes, pictures and status."""
        with self._changed:
            return self._desk.about() | {"status": self.status()}

    def status(self) -> dict[str, Any]:
        """What is shown, and how good it was: shares of new strokes that were predicted right."""
        with self._changed:
            points = course(self.project.history)
            return {
                "shown_by": self._mind.shown_by(self._shown),
                "decoder": self._mind.behind.about(),
                "figure": points[-1].together if points else None,
                "per_class": {point.class_id: point.of_class for point in points},
                "strokes": len(self.project.history.applied),
                "version": self._learnt,
                "job": self._job,
            }

    def course(self) -> list[CoursePoint]:
        """How that came to be, stroke by stroke."""
        with self._changed:
            return course(self.project.history)

    @property
    def linear(self) -> Head | None:
        """The linear head as it is now; None: there is none before two classes have labels."""
        return self._mind.linear

    @property
    def head(self) -> Head | None:
        """The head whose proposals are shown for new pictures: that one, or the decoder."""
        return self._mind.head

    def labels(self, name: str) -> NDArray[np.uint8]:
        """The class (H, W) of each pixel of a picture, 255 for none; errors as `planes`."""
        return self.planes(name).classes

    def planes(self, name: str) -> Planes:
        """The labels (H, W) of a picture.

        Raises:
            InputError: there is no such picture.
        """
        with self._changed:
            return self._desk.labels(name)

    def answered(self, key: str) -> dict[str, Any] | None:
        """What was answered to the request of a key; see `Desk.answered`."""
        with self._changed:
            return self._desk.answered(key)

    def draw(self, stroke: Stroke, key: str | None = None) -> dict[str, Any]:
        """Write a stroke down, draw it, and have it learnt; on the disk when this returns.

        Args:
            stroke: on a picture of the project.
            key: of the request that brings it, which `answered` knows it by, here and below.

        Raises:
            InputError: see `Project.add_stroke`.
        """
        with self._touching():
            return self._desk.draw(stroke, key)

    def undo(self, key: str | None = None) -> dict[str, Any] | None:
        """Take the last stroke back; None: there is none."""
        with self._touching():
            return self._desk.undo(key)

    def redo(self, key: str | None = None) -> dict[str, Any] | None:
        """Draw the stroke again that was taken back last; None: there is none."""
        with self._touching():
            return self._desk.redo(key)

    def accept(
        self,
        name: str,
        what: What,
        class_id: int | None = None,
        point: tuple[float, float] | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Make the proposal of a picture its labels, where it has none.

        Args:
            name: of the picture.
            what: all of it, the class `class_id`, or the object, or region of one class, around
                `point`.
            class_id, point: see `what`.
            key: see `draw`.

        Raises:
            InputError: there is no proposal, or nothing in it to accept.
        """
        with self._changed:
            picture = self.project.picture(name)
        proposed: Planes = self._ask(self._mind.whole, picture, self.planes(name))
        chosen = accepted(self.planes(name), proposed, what, class_id, point)
        if not chosen.known.any():
            raise InputError(
                f"there is nothing to accept in {name}: it is not proposed, or labelled already"
            )
        return self.draw(masked_stroke("accept", name, chosen), key)

    def repair(
        self, name: str, do: Repair, points: LinePoints, radius: float, key: str | None = None
    ) -> dict[str, Any]:
        """Make objects one, or one two, by a line across what is seen; see `repaired`."""
        with self._changed:
            picture = self.project.picture(name)
        seen: Planes = self._ask(self._mind.seen, picture, self.planes(name))
        new = repaired(do, self.planes(name), seen, points, radius)
        return self.draw(masked_stroke(do, name, new), key)

    def change_classes(self, change: Callable[[Project], None]) -> None:
        """Add classes, or change one."""
        with self._touching():
            change(self.project)
            self._renamed = True

    def join_class(self, class_id: int, into: int | None, key: str | None = None) -> dict[str, Any]:
        """Give up a class, whose labels join another's; see `Desk.join_class`."""
        with self._touching():
            self._renamed = True
            return self._desk.join_class(class_id, into, key)

    def show(self, name: str) -> None:
        """Say which picture a person looks at: its proposals come first.

        Raises:
            InputError: there is no such picture.
        """
        with self._changed:
            self.project.picture(name)
            if name != self._shown:
                self._broken.pop(name, None)
            self._shown = name
            self._changed.notify_all()

    def proposal(self, name: str, version: int = 0) -> Proposal | str | None:
        """A proposal that has learnt so much at least. `show` the picture first.

        Returns:
            it; why there will be none; or None: not yet.
        """
        with self._changed:
            if name in self._broken:
                return self._broken[name]
            if self._mind.linear is None and not self._desk.pending and self._learnt >= version:
                return NOTHING_YET
            found = self._proposals.get(name)
            wanted = min(max(version, self._learnt), self._desk.version)
            return found if found is not None and found.version >= wanted else None

    def next_picture(self) -> str | None:
        """The picture that is worth labelling most; None: all others have labels."""
        with self._changed:
            labelled = self._desk.labelled
            waiting = [n for n in self.project.pictures if n not in labelled | {self._shown}]
            return self._mind.ranking.first(waiting, labelled)

    def label_rest(self) -> dict[str, Any]:
        """Begin to write a data set of all pictures, wholly labelled, in the project (`WHOLE`).

        Labels of people stay; where there are none, a head decides: the one that is there now,
        whatever is learnt meanwhile. It is kept, too (`HEAD`), unless objects are told apart and it
        is the linear one, which cannot. How far it is is told in events.

        Raises:
            InputError: there is no proposal yet, or it cannot be written.
        """
        return self._ask(self._begin_rest)

    def close(self) -> None:
        """Learn and write what waits, and let others open the project."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._mind.behind.close()
        self.project.close()

    def _ask(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Have the thread do something, and wait for what it gives."""
        promise = Promise(work, arguments)
        with self._changed:
            if self._closing:
                raise InputError("the labelling ends; start plainmask label again")
            self._asked.append(promise)
            self._changed.notify_all()
        return promise.result()

    @contextmanager
    def _touching(self) -> Generator[None]:
        """With the lock, for what a person does."""
        with self._changed:
            yield
            self._touched = time.monotonic()
            self._changed.notify_all()

    # From here on in the thread.

    def _run(self) -> None:
        while True:
            with self._changed:
                work = self._work()
                if work is None:
                    if self._closing:
                        return
                    self._changed.wait(QUIET)
                    continue
            try:
                work()
            except PlainmaskError as error:
                self.tell({"type": "problem", "message": str(error)})
            except Exception:  # the person's strokes are on the disk: go on with the next
                log.exception("something failed between strokes")
                self.tell({"type": "problem", "message": "something failed; the log has more"})

    def _work(self) -> Callable[[], None] | None:
        """What to do next; None: nothing now."""
        if self._desk.pending or self._renamed:
            return self._learn
        if self._mind.shown_by(self._shown) != self._told_by:  # another picture is looked at
            return self._tell_status
        if self._asked:
            return self._asked.popleft().keep
        shown, has_head = self._shown, self._mind.linear is not None
        if shown is not None and shown not in self._broken:
            if not has_head and not self._mind.ranking.has_seen(shown):
                return lambda: self._look_at(shown)  # so the first stroke is answered at once
            if has_head and self._version_of(shown) < self._learnt:
                return lambda: self._propose(shown)
        is_quiet = time.monotonic() - self._touched >= QUIET
        if self._desk.unwritten and (self._closing or is_quiet):
            return self._write
        if self._closing:
            return None
        if self._rest is not None:
            return self._label_one
        if is_quiet and (behind := self._work_behind()) is not None:
            return behind
        due = self._mind.ranking.due(
            [name for name in self.project.pictures if name not in self._broken],
            self._learnt if has_head else None,
        )
        return (lambda: self._look_at(due)) if due is not None and is_quiet else None

    def _learn(self) -> None:
        with self._changed:
            batch, version = list(self._desk.pending), self._desk.version
            self._renamed = False
        try:
            for change in batch:
                with self._telling(change.picture):
                    self._learn_one(change)
            self._mind.settle()
        finally:
            with self._changed:
                del self._desk.pending[: len(batch)]
                self._learnt = version
                if self._mind.linear is None:
                    self._proposals.clear()
        self._tell_status()

    def _tell_status(self) -> None:
        status = self.status()
        self._told_by = status["shown_by"]
        self.tell({"type": "status"} | status)

    def _learn_one(self, change: Change) -> None:
        with self._changed:
            labels = self._desk.patch_labels(change)
        if change.stroke is not None:
            right = self._mind.predicted(change.picture, labels, change.stroke)
            if self._predicted(change.stroke, right) and right is not None:
                self._mind.note(change.stroke, labels, right)
        self._mind.learn(change.picture, labels)

    def _predicted(self, number: int, right: float | None) -> bool:
        """Note how well a stroke that a person drew by hand was predicted; whether it was one."""
        with self._changed, suppress(InputError):  # on a full disk a figure is lost, no stroke
            stroke = self.project.history.strokes[number].stroke
            if right is not None and stroke is not None and stroke.class_id is not None:
                self.project.note_prediction(number, right)
                return True
        return False

    def _judged(self, number: int, judged: Judged) -> None:
        """Note how well both heads would have predicted a stroke."""
        with self._changed, suppress(InputError):
            self.project.note_judgement(number, judged)

    def _propose(self, name: str) -> None:
        version = self._learnt
        with self._telling(name):
            found = self._mind.proposal(self.project.pictures[name], self.planes(name), version)
            with self._changed:
                self._proposals[name] = found
                self._proposals.move_to_end(name)
                if len(self._proposals) > PROPOSALS:
                    self._proposals.popitem(last=False)
            self.tell({"type": "proposal", "picture": name, "version": version})

    def _work_behind(self) -> Callable[[], None] | None:
        """What the decoder behind the linear head is to do next."""
        work = self._mind.work_behind(self._desk.labelled, self.planes)
        if work is None:
            return None

        def do() -> None:
            shows = work()
            with self._changed:
                if shows:
                    self._proposals.clear()
            self._tell_status()

        return do

    def _version_of(self, name: str) -> int:
        return self._proposals[name].version if name in self._proposals else -1

    def _write(self) -> None:
        with self._changed:
            name = self._desk.unwritten.pop()
            labels = self._desk.labels(name)
        self.project.write_labels(name, labels)

    def _begin_rest(self) -> dict[str, Any]:
        """See `label_rest`; in the thread, so after all strokes that were drawn are learnt."""
        with self._changed:
            if self._rest is None:
                head, says = self._mind.kept()
                folder, names = self.project.place / WHOLE, self.project.pictures
                self._rest = WholeSet(folder, self.project, names, says)
                self._job = self._rest.about() | {"head": head and str(head)}
            assert self._job is not None
            return self._job

    def _label_one(self) -> None:
        rest = self._rest
        assert rest is not None
        rest.label_next(self.planes)
        with self._changed:
            assert self._job is not None
            self._job = self._job | rest.about()
            if not rest.waiting:
                self._rest = None
        self.tell({"type": "job"} | self._job)

    def _look_at(self, name: str) -> None:
        """See what the encoder and the head say of a picture that is not shown."""
        with self._telling(name):
            self._mind.look_at(self.project.pictures[name], self._learnt)

    @contextmanager
    def _telling(self, name: str) -> Generator[None]:
        """Where a picture cannot be used, remember and tell it."""
        try:
            yield
        except PlainmaskError as error:
            with self._changed:
                self._broken[name] = str(error)
            self.tell({"type": "problem", "picture": name, "message": str(error)})
