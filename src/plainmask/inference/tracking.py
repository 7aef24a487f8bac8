"""A whole video through a stream: decoding, network and results overlap; online or offline.

Letters: K frames of a batch, N windows of a frame, Q queries.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.decoder.propagation import State
from plainmask.errors import InputError, PlainmaskError
from plainmask.heads.head import Head
from plainmask.inference.memory import Fits
from plainmask.inference.overlap import behind
from plainmask.inference.stream import Seen, Stream, follow_frames, states_after, tell
from plainmask.options import one_of
from plainmask.pictures.geometry import Geometry
from plainmask.results import Result
from plainmask.tasks import postprocess_video
from plainmask.threads import prefetched
from plainmask.video.frames import Frame, Video
from plainmask.video.sources import VideoSource, open_video

TrackingProtocol: TypeAlias = Literal["online", "offline"]
T = TypeVar("T")
_Told: TypeAlias = "tuple[dict[str, Any], dict[str, State]]"
"""The results of a frame and what it left, by head."""

AHEAD = 8
"""Frames that are decoded and encoded together where a source can be read ahead."""


def track(
    stream: Stream,
    source: VideoSource,
    *,
    protocol: TrackingProtocol = "online",
    ahead: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The results of each frame of a source; see `Segmenter.track`.

    What is opened here is closed at the end, also where the iterator is left early. A `Video` that
    was handed in stays open.

    Raises:
        InputError: at once, the source cannot be opened or there is no such protocol; later, it
            holds no frame or breaks off.
    """
    check_protocol(protocol)
    video = open_video(source)
    limit = ahead or (1 if video.live else AHEAD)
    if protocol == "offline":
        results = offline(stream, video.frames(), ahead=limit)
    else:
        results = (found for _, found in online(stream, video.frames(), ahead=limit))
    return results if video is source else _closing(video, results)


def _closing(video: Video, results: Iterator[T]) -> Iterator[T]:
    with video:
        yield from results


def online(
    stream: Stream, frames: Iterable[Frame], *, ahead: int = AHEAD
) -> Iterator[tuple[Frame, dict[str, Any]]]:
    """Follow a video, with a result for each frame that never needs the future.

    A thread reads frames while the network runs, another makes results of what it saw. The encoder
    takes up to `ahead` frames at once, since it never sees the queries. The stream's state is that
    of the result given last.

    Args:
        stream: goes on from its state.
        frames: in order; sizes may change.
        ahead: frames that may be read before the first result; 1 for live sources.

    Yields:
        Each frame and its results by head, in order.

    Raises:
        InputError: the source broke off; after the results of all frames before.
    """
    told = dict(stream.state or {})

    def results_of(pair: tuple[Frame, dict[str, Seen]]) -> tuple[Frame, _Told]:
        nonlocal told  # in order: each knows what the last was called
        frame, seen = pair
        results = tell(stream.heads, seen, told)
        told = states_after(seen, results)
        return frame, (results, told)

    broken = Broken()
    # A live source has a thread of its own; another would only make it late.
    source = prefetched(frames, 2 * ahead) if ahead > 1 else frames
    seen = _seen(stream, broken.before(source), ahead)
    for frame, (results, left) in behind(results_of, seen, ahead if ahead > 1 else 0):
        stream.state = left
        yield frame, results
    broken.complain()


def offline(
    stream: Stream,
    frames: Iterable[Frame],
    *,
    ahead: int = AHEAD,
    on_seen: Callable[[], object] = lambda: None,
) -> Iterator[dict[str, Any]]:
    """Follow a video by the published protocol: classes and scores over all of its frames.

    Mask logits of all frames, and what the network left after each, wait on disk (in the folder
    for temporary files) for the end of the video: 4 bytes for each query and mask pixel.

    Args:
        stream: fresh; nothing of an earlier video belongs to this one.
        frames, ahead: as in `online`.
        on_seen: called for each frame that the network has seen.

    Yields:
        The results of each frame by head, from after the last one.

    Raises:
        InputError: the source broke off; after the results of all frames before.
    """
    broken = Broken()
    with tempfile.TemporaryDirectory(prefix="plainmask-") as folder:
        spools = {name: _Spool(Path(folder) / str(k)) for k, name in enumerate(stream.heads)}
        source = broken.before(prefetched(frames, 2 * ahead))
        for _, seen in _seen(stream, source, ahead, cuts=False):
            for name, frame in seen.items():
                spools[name].write(frame)
            on_seen()
        judged = [_judged(head, spools[name]) for name, head in stream.heads.items()]
        for found in zip(*judged, strict=True):
            results = dict(zip(stream.heads, found, strict=True))
            stream.state = {name: result.state for name, result in results.items()}
            yield results
    broken.complain()


def _seen(
    stream: Stream, frames: Iterable[Frame], ahead: int, *, cuts: bool = True
) -> Iterator[tuple[Frame, dict[str, Seen]]]:
    """Each frame with what the heads saw in it, going on from the stream's state.

    The encoder takes up to `ahead` frames at once, fewer where memory does not hold as many.
    """
    states = dict(stream.state or {})
    heads = stream.heads if cuts else {name: one.uncut() for name, one in stream.heads.items()}
    fits = Fits()

    def see(batch: Sequence[Frame]) -> list[dict[str, Seen]]:
        nonlocal states
        images = [frame.image for frame in batch]
        found = follow_frames(stream.shared, heads, states, images)
        states = {name: one.state for name, one in found[-1].items()}
        return found

    for batch in batches(frames, ahead, _size):
        yield from zip(batch, fits.run(see, batch, "frame"), strict=True)


class Broken:
    """Holds back the error of a source until what came before it is done."""

    def __init__(self) -> None:
        self.error: PlainmaskError | None = None

    def before(self, items: Iterable[T]) -> Iterator[T]:
        """The items up to the error."""
        try:
            yield from items
        except PlainmaskError as error:
            self.error = error

    def complain(self) -> None:
        """Raise the error, if there was one."""
        if self.error is not None:
            raise self.error


def _judged(head: Head, spool: _Spool) -> Iterator[Result]:
    """The results of all frames; of a head without propagation, each frame by itself."""
    config = head.config
    if config.decoder.propagation != "none":
        yield from postprocess_video(config.task, spool.read, config.vocabulary, config.thresholds)
        return
    told: State | None = None
    for (predictions, geometry, left), logits in zip(spool.read(), spool.class_logits, strict=True):
        own = Predictions(predictions.mask_logits, logits)
        state = left if told is None else left.with_tracks_of(told)
        result = head.frame_result(own, geometry, state)
        told = result.state
        yield result


class _Spool:
    """What one head saw in all frames of a video, on disk."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.geometries: list[Geometry] = []
        self.class_logits: list[Tensor] = []
        self.mean_logits = torch.empty(0)
        folder.mkdir()

    def write(self, frame: Seen) -> None:
        """Take the next frame; its mean of the class logits replaces that of the frame before."""
        place = len(self.geometries)
        try:
            np.save(self.folder / f"{place}.npy", frame.predictions.mask_logits.cpu().numpy())
            frame.state.save(self.folder / f"{place}.safetensors")
        except (OSError, InputError) as error:
            raise InputError(
                f"the disk is full after {place} frames ({error}); the offline protocol keeps the "
                "masks of the whole video: give TMPDIR another folder, or use the online protocol"
            ) from error
        self.geometries.append(frame.geometry)
        self.class_logits.append(frame.predictions.class_logits.cpu())
        self.mean_logits = frame.state.class_logits.cpu()

    def read(self) -> Iterator[tuple[Predictions, Geometry, State]]:
        """All frames in order, with the mean of the class logits over the whole video."""
        for place, geometry in enumerate(self.geometries):
            masks = torch.from_numpy(np.load(self.folder / f"{place}.npy"))
            state = State.load(self.folder / f"{place}.safetensors")
            yield Predictions(masks, self.mean_logits), geometry, state


def check_protocol(name: str) -> TrackingProtocol:
    """The protocol of this name.

    Raises:
        InputError: there is none.
    """
    return one_of(name, get_args(TrackingProtocol), f"the protocol {name!r} is unknown")


def batches(frames: Iterable[T], limit: int, size_of: Callable[[T], object]) -> Iterator[list[T]]:
    """Consecutive frames of one size, up to `limit` together."""
    batch: list[T] = []
    for frame in frames:
        if batch and size_of(frame) != size_of(batch[0]):
            yield batch
            batch = []
        batch.append(frame)
        if len(batch) == limit:
            yield batch
            batch = []
    if batch:
        yield batch


def _size(frame: Frame) -> tuple[int, ...]:
    return frame.image.shape
