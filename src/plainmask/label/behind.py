"""The decoder behind the linear head: when it learns, what it says, and whether it is shown.

It learns from more than strokes: the linear head labels pictures of the folder, and a decoder with
blocks that learns from those, in another process, comes to know objects whole, and finds more than
what taught it (benchmarks/RESULTS.md, "Labelling by strokes").

Letters: H W size of a picture, N patches, C classes.
"""

from __future__ import annotations

import shutil
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.errors import PlainmaskError
from plainmask.heads.head import Head
from plainmask.inference.images import segment_all
from plainmask.inference.shared_pass import SharedPass
from plainmask.label.canvas import PatchLabels
from plainmask.label.features import KeptTaps, seen
from plainmask.label.judging import Judged, Shown, better
from plainmask.label.planes import Planes
from plainmask.label.project import Project, ProjectPicture
from plainmask.label.proposing import ClassMap, class_ids, class_map
from plainmask.label.teaching import Teaching
from plainmask.label.whole_set import WholeSet
from plainmask.pictures.geometry import Size
from plainmask.results import SemanticResult

FOLDER = "decoder"
"""In the project: `head`, and what a training leaves."""
FIRST, MORE = 20, 20
"""Strokes before a decoder learns, and more of them before it learns again."""
PICTURES = 64
"""From how many pictures it learns, those that strokes are on first."""
MAPS = 16
"""Pictures whose maps are kept."""


class DecoderMap:
    """What a decoder says of pictures. Used by one thread."""

    def __init__(self, head: Head, shared: SharedPass):
        self.head, self.shared = head, shared
        self.ids = class_ids(head)
        self._kept: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()

    def __call__(self, picture: ProjectPicture, size: Size) -> NDArray[np.uint8]:
        """Class ids (H, W) of a picture in another size; errors as `read_image`."""
        found = self._kept.pop(picture.name, None)
        if found is None:
            (results,) = segment_all(self.shared, {"it": self.head}, [picture.path])
            result = results["it"]
            assert isinstance(result, SemanticResult)
            found = self.ids[result.label_map]
        self._kept[picture.name] = found
        if len(self._kept) > MAPS:
            self._kept.popitem(last=False)
        if found.shape == size:
            return found
        height, width = size
        return np.asarray(Image.fromarray(found).resize((width, height), Image.Resampling.NEAREST))


class Unjudged(NamedTuple):
    """A stroke of which the decoder has not said what it had thought."""

    number: int
    picture: str
    patches: NDArray[np.int64]
    """(N,) places in the grid, of what it labelled."""
    shares: NDArray[np.float32]
    """(N, C) of each class."""
    covered: NDArray[np.float32]
    """(N,) share of each patch that is labelled."""
    linear: float
    """The share of it that the linear head had right."""
    shown: Shown
    """What the person saw."""


class Behind:
    """Used by the thread of a session; `shown` and `about` by any.

    Args:
        project: open.
        shared: the encoder.
        judge: notes how much of a stroke the decoder had right, and which head was shown.
        learns: whether a decoder is to learn at all.
    """

    def __init__(
        self,
        project: Project,
        shared: SharedPass,
        judge: Callable[[int, float, Shown], None],
        *,
        learns: bool,
    ):
        self.project, self.shared, self.judge = project, shared, judge
        self.place = project.place / FOLDER
        self.map: DecoderMap | None = None
        self._learns = learns and find_spec("lightning_fabric") is not None
        self._lesson: WholeSet | None = None
        self._teaching: Teaching | None = None
        self._taught = len(project.history.applied)
        """Strokes that there were when the last lesson began, or the program."""
        self._told = 0
        """Steps that were told of."""
        self._learnt: int | None = None
        """Strokes that the decoder has learnt from; None: it is not known."""
        self._unjudged: deque[Unjudged] = deque(maxlen=100)
        self._problem: str | None = None
        self._shown: Shown = "linear"
        if (self.place / "head").is_dir():
            with suppress(PlainmaskError):  # of another encoder, or damaged: another will learn
                self.map = DecoderMap(Head.load(self.place / "head"), shared)
        self._judge()

    @property
    def shown(self) -> Shown:
        """Whose proposals are shown."""
        return self._shown if self._fits else "linear"

    @property
    def taken_over(self) -> DecoderMap | None:
        """The decoder, where its proposals are shown."""
        return self.map if self.shown == "decoder" else None

    def says(self, head: Head, taps: KeptTaps) -> ClassMap:
        """What is shown: the decoder's, or that of the linear head that is given."""
        return self.taken_over or class_map(head, taps)

    def keep(self, head: Head, taps: KeptTaps, place: Path) -> ClassMap:
        """Save the head that is shown; what it says to whoever loads it.

        Raises:
            InputError: the folder cannot be written.
        """
        if (decoder := self.taken_over) is not None:
            return DecoderMap(Head.load(decoder.head.save(place)), self.shared)
        return class_map(Head.load(head.save(place)), taps)

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
            "due": self._due,
            "problem": self._problem,
        }

    def note(self, number: int, picture: str, labels: PatchLabels, linear: float) -> None:
        """Remember a stroke for the decoder that is there, or the one that learns now.

        Args:
            number, picture: of it.
            labels: of the patches that it touches.
            linear: the share of it that the linear head had right.
        """
        if self.map is None and self._teaching is None:
            return
        new = (labels.newest == number) & (labels.covered > 0)
        parts = labels.patches[new], labels.shares[new], labels.covered[new]
        self._unjudged.append(Unjudged(number, picture, *parts, linear, self.shown))

    def work(
        self, linear: ClassMap, labelled: Collection[str], labels_of: Callable[[str], Planes]
    ) -> Callable[[], bool] | None:
        """What to do now that nobody waits; it says whether something is shown otherwise.

        Args:
            linear: what the linear head says of a picture.
            labelled: pictures with labels.
            labels_of: gives the labels (H, W) of a picture.

        Returns:
            None: nothing.
        """
        if self._teaching is not None and self._teaching.is_over:
            return self._take_over
        if self._teaching is not None and self._teaching.done != self._told:
            return self._tell
        if self.map is not None and self._unjudged:
            return self._judge_next
        if self._lesson is not None and self._lesson.waiting:
            lesson = self._lesson
            return lambda: self._label(lesson, labels_of)
        if self._lesson is not None:
            return self._teach
        strokes = len(self.project.history.applied)
        if self._learns and self._teaching is None and strokes >= self._due:
            return lambda: self._begin(linear, labelled)
        return None

    @property
    def _fits(self) -> bool:
        """Whether there is a decoder that knows no class that was given up."""
        gone = self.project.history.gone
        return self.map is not None and not any(one in gone for one in self.map.ids.tolist())

    @property
    def _due(self) -> int:
        """Strokes from which on the next one learns."""
        return self._taught + MORE if self._fits else FIRST

    def close(self) -> None:
        """End what learns."""
        if self._teaching is not None:
            self._teaching.stop()

    def _begin(self, linear: ClassMap, labelled: Collection[str]) -> bool:
        """Begin a data set to learn from."""
        shutil.rmtree(self.place / "data", ignore_errors=True)
        names = lesson_of(list(self.project.pictures), labelled)

        def propose(picture: ProjectPicture, labels: Planes) -> Planes:
            return Planes(linear(picture, picture.size), None)

        self._taught = len(self.project.history.applied)
        with self._giving_up():
            self._lesson = WholeSet(self.place / "data", self.project, names, propose)
        return False

    def _label(self, lesson: WholeSet, labels_of: Callable[[str], Planes]) -> bool:
        lesson.label_next(lambda name: Planes(labels_of(name).classes, None))
        return False

    def _teach(self) -> bool:
        start = self.place / "head"
        self._lesson, device = None, str(self.shared.device)
        encoder = self.project.config.encoder
        self._unjudged.clear()
        with self._giving_up():
            self._teaching = Teaching(self.place, encoder, device, start if self._fits else None)
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
            self.map = DecoderMap(Head.load(learnt.save(self.place / "head")), self.shared)
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
        one, patch = self._unjudged.popleft(), self.shared.encoder.config.patch_size
        assert self.map is not None
        picture = self.project.pictures[one.picture]
        grid = seen(picture.size, patch).grid(patch)
        found = self.map(picture, grid).ravel()[one.patches].astype(np.int64)
        known = np.pad(one.shares, ((0, 0), (0, 1)))
        right = np.take_along_axis(known, np.minimum(found, one.shares.shape[1])[:, None], 1)[:, 0]
        share = float(np.average(right, weights=one.covered))
        self.judge(one.number, share, one.shown)
        return self._judge()

    def _judge(self) -> bool:
        """Decide again; whether something else is shown now."""
        history, before = self.project.history, self._shown
        judged = [
            Judged(history.predicted[number], right, shown)
            for number, (right, shown) in history.judged.items()
            if number in history.predicted
        ]
        self._shown = better(judged)
        return self._shown != before


def lesson_of(names: Sequence[str], labelled: Collection[str]) -> list[str]:
    """Pictures to learn from: those with labels, and others evenly, `PICTURES` at most."""
    first = [name for name in names if name in labelled][-PICTURES:]
    others = [name for name in names if name not in labelled]
    count = min(len(others), PICTURES - len(first))
    return first + [others[place * len(others) // count] for place in range(count)]
