"""Where results go: files that grow with the video and are valid whenever it ends."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias, get_args

from plainmask.errors import InputError, PlainmaskError
from plainmask.progress import counted
from plainmask.results import Result
from plainmask.results.saving import known_ways
from plainmask.results.task import TASKS
from plainmask.threads import Promise, Worker
from plainmask.video.extra import need_pyav
from plainmask.video.frames import Frame
from plainmask.video.pictures import LabelPictures, VipsegPictures, VspwPictures
from plainmask.video.summary import Summary
from plainmask.video.tables import JsonLines, YoutubeVis

if TYPE_CHECKING:
    from plainmask.heads.head import HeadConfig

Kind: TypeAlias = Literal["mp4", "png", "jsonl", "ytvis", "vipseg", "vspw"]
"""What results can be saved as."""

_ANY = "choose mp4, png or jsonl"

_WAITING = 4
"""Frames that may wait for the sinks while the next are computed."""


class Sink(Protocol):
    """One form of results; in memory it holds nothing that grows with the video."""

    def write(self, frame: Frame, result: Result) -> None:
        """Add a frame, all of it or nothing.

        Raises:
            InputError: it cannot be written.
        """
        ...

    def close(self) -> list[Path]:
        """Finish with the frames so far; called once, also after an error.

        Returns:
            The files and folders that it leaves.

        Raises:
            InputError: they cannot be written.
        """
        ...


class Sinks:
    """Several sinks of one video, which write in a thread of their own.

    A context manager that closes them however its block ends, so that what was written is kept. All
    of them then hold the same frames; where one fails, those before it may hold one frame more.
    """

    def __init__(self, sinks: Sequence[Sink]):
        self._sinks = sinks
        self._worker = Worker()
        self._pending: deque[Promise[None]] = deque()
        self._failed = False
        self.frames = 0
        """Frames that all sinks hold."""
        self.summary = Summary()
        """Of these frames."""
        self.paths: list[Path] = []
        """After the end: the files and folders that are there."""

    def write(self, frame: Frame, result: Result) -> None:
        """Add a frame; it is written while the caller goes on.

        Raises:
            InputError: this frame or one shortly before cannot be written; says what is kept.
        """
        while len(self._pending) >= _WAITING:
            self._pending.popleft().result()
        self._pending.append(self._worker.submit(self._write, frame, result))

    def close(self) -> None:
        """Write what waits, and finish all files.

        Raises:
            InputError: frames or files cannot be written.
        """
        self._worker.close()
        errors: list[BaseException] = []
        for promise in self._pending:
            try:
                promise.result()
            except BaseException as error:
                errors.append(error)
        for sink in self._sinks:
            try:
                self.paths += sink.close()
            except PlainmaskError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except PlainmaskError as other:
            if error is None:
                raise
            if str(other) not in str(error):
                warnings.warn(str(other), stacklevel=2)

    def _write(self, frame: Frame, result: Result) -> None:
        if self._failed:  # the files end with the frame before the one that failed
            return
        try:
            for sink in self._sinks:
                sink.write(frame, result)
        except PlainmaskError as error:
            self._failed = True
            raise InputError(
                f"{error}. What was written of {counted(self.frames, 'frame')} is kept"
            ) from error
        except BaseException:
            self._failed = True
            raise
        self.summary.update(result)
        self.frames += 1


def open_sinks(kinds: Sequence[str], folder: str | Path, stem: str, config: HeadConfig) -> Sinks:
    """Begin the files of a video.

    mp4     FOLDER/STEM.overlay.mp4           the video with its results painted over it
    jsonl   FOLDER/STEM.segments.jsonl        a line a frame, segments with run-length masks
    png     FOLDER/STEM.labels/FRAME.png      what `Result.label_picture` gives
    ytvis   FOLDER/STEM.ytvis.json            instances as YouTube-VIS and OVIS take them
    vipseg  FOLDER/vipseg/pred.json and pan_pred/STEM/FRAME.png
    vspw    FOLDER/vspw/STEM/FRAME.png

    Args:
        kinds: of these names.
        folder: made where it is missing.
        stem: what the video is called.
        config: of the head whose results they are.

    Raises:
        InputError: as `known_kinds` and `check_kinds`, or the folder cannot be written.
    """
    place = Path(folder)
    chosen = known_kinds(kinds)
    check_kinds(chosen, config)
    opened: list[Sink] = []
    try:
        for kind in chosen:
            opened.append(_open(kind, place, stem))
    except PlainmaskError:
        Sinks(opened).close()
        raise
    return Sinks(opened)


def known_kinds(names: Sequence[str]) -> list[Kind]:
    """The kinds of these names, each once.

    Raises:
        InputError: there is none, or none of such a name.
    """
    return known_ways(names, get_args(Kind))


def check_kinds(kinds: Sequence[Kind], config: HeadConfig) -> None:
    """See that results of a head can be saved as these.

    Raises:
        InputError: a kind is for another task, needs tracks where segments are not followed, or
            the classes have no numbers that fit.
    """
    task_of = {traits.video_results: task for task, traits in TASKS.items()}
    for kind in kinds:
        if task_of.get(kind, config.task) != config.task:
            raise InputError(
                f"{kind} is for {task_of[kind]} results, and the head {config.name!r} is "
                f"{config.task}; {_ANY}"
            )
        follows = kind in task_of and TASKS[config.task].objects
        if follows and config.decoder.propagation == "none":
            raise InputError(
                f"{kind} needs objects that are followed, and the head {config.name!r} sees each "
                f"frame alone; give a video head, or {_ANY}"
            )
    odd = [c for c in config.vocabulary.classes if not 1 <= c.file_id <= 254]
    if "vspw" in kinds and odd:
        raise InputError(
            f"vspw files hold numbers of classes from 1 to 254, and {odd[0].name!r} of the head "
            f"{config.name!r} has the number {odd[0].file_id}; {_ANY}"
        )


def _open(kind: Kind, folder: Path, stem: str) -> Sink:
    match kind:
        case "mp4":
            need_pyav("an MP4 file")
            from plainmask.video.mp4 import OverlayVideo

            return OverlayVideo(folder / f"{stem}.overlay.mp4")
        case "png":
            return LabelPictures(folder / f"{stem}.labels")
        case "jsonl":
            return JsonLines(folder / f"{stem}.segments.jsonl")
        case "ytvis":
            return YoutubeVis(folder / f"{stem}.ytvis.json", stem)
        case "vipseg":
            return VipsegPictures(folder / "vipseg", stem)
        case "vspw":
            return VspwPictures(folder / "vspw", stem)
