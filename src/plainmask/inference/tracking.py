"""A whole video through a stream: decoding, network and results overlap; online or offline.

Letters: K frames of a batch, N windows of a frame, Q queries.
"""

from __future__ import annotations

import queue
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.errors import InputError, PlainmaskError
from plainmask.heads.head import Head
from plainmask.inference.stream import Seen, Stream
from plainmask.pictures.geometry import Geometry
from plainmask.tasks import Result, Tracks, postprocess_video

Image: TypeAlias = NDArray[np.uint8]
Protocol: TypeAlias = Literal["online", "offline"]
T = TypeVar("T")

AHEAD = 8
"""Frames that are decoded and encoded together where a source can be read ahead."""


def online(
    stream: Stream, frames: Iterable[Image], *, ahead: int = AHEAD
) -> Iterator[tuple[Image, Any]]:
    """Follow a video, with a result for each frame that never needs the future.

    A thread reads frames while the network runs, another makes results of what it saw. The encoder
    takes up to `ahead` frames at once, since it never sees the queries.

    Args:
        stream: goes on from its state.
        frames: (H, W, 3) uint8 RGB; sizes may change.
        ahead: frames that may be read before the first result; 1 for live sources.

    Yields:
        Each frame and its result, in order; a dict of results where there are several heads.

    Raises:
        InputError: the source broke off; after the results of all frames before.
    """
    pending: deque[tuple[Image, Future[Any]]] = deque()
    broken = Broken()
    with ThreadPoolExecutor(1) as worker:
        # A live source has a thread of its own; another would only make it late.
        source = prefetched(frames, 2 * ahead) if ahead > 1 else frames
        for batch in batches(broken.before(source), ahead):
            for image, seen in zip(batch, stream.follow(batch), strict=True):
                pending.append((image, worker.submit(stream.results, seen)))
            while len(pending) > ahead or (pending and ahead == 1):
                image, result = pending.popleft()
                yield image, result.result()
        while pending:
            image, result = pending.popleft()
            yield image, result.result()
    broken.complain()


def offline(stream: Stream, frames: Iterable[Image], *, ahead: int = AHEAD) -> Iterator[Any]:
    """Follow a video by the published protocol: classes and scores over all of its frames.

    Mask logits of all frames wait on disk (in the folder for temporary files) for the end of the
    video: 4 bytes for each query and mask pixel. In memory stay the class logits.

    Args:
        stream: fresh; nothing of an earlier video belongs to this one.
        frames, ahead: as in `online`.

    Yields:
        The result of each frame, from after the last one; a dict where there are several heads.

    Raises:
        InputError: the source broke off; after the results of all frames before.
    """
    broken = Broken()
    with tempfile.TemporaryDirectory(prefix="plainmask-") as folder:
        spools = {name: _Spool(Path(folder) / str(k)) for k, name in enumerate(stream.heads)}
        for batch in batches(broken.before(prefetched(frames, 2 * ahead)), ahead):
            for seen in stream.follow(batch):
                for name, frame in seen.items():
                    spools[name].write(frame)
        results = {name: _judged(head, spools[name]) for name, head in stream.heads.items()}
        for found in zip(*results.values(), strict=True):
            yield found[0] if len(results) == 1 else dict(zip(results, found, strict=True))
    broken.complain()


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
    tracks = Tracks.none(config.decoder.num_queries, config.decoder.num_classes)
    for (predictions, geometry), logits in zip(spool.read(), spool.class_logits, strict=True):
        own = Predictions(predictions.mask_logits, logits)
        result, tracks = head.frame_result(own, logits, geometry, tracks)
        yield result


class _Spool:
    """Mask logits of one head for all frames of a video, on disk."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.geometries: list[Geometry] = []
        self.class_logits: list[Tensor] = []
        self.mean_logits = torch.empty(0)
        folder.mkdir()

    def write(self, frame: Seen) -> None:
        """Take the next frame; its mean of the class logits replaces that of the frame before."""
        path = self.folder / f"{len(self.geometries)}.npy"
        try:
            np.save(path, frame.predictions.mask_logits.cpu().numpy())
        except OSError as error:
            raise InputError(
                f"the disk is full after {len(self.geometries)} frames ({error}); the offline "
                "protocol keeps the masks of the whole video: give TMPDIR another folder, or use "
                "the online protocol"
            ) from error
        self.geometries.append(frame.geometry)
        self.class_logits.append(frame.predictions.class_logits.cpu())
        self.mean_logits = frame.mean_logits.cpu()

    def read(self) -> Iterator[tuple[Predictions, Geometry]]:
        """All frames in order, with the mean of the class logits over the whole video."""
        for index, geometry in enumerate(self.geometries):
            masks = torch.from_numpy(np.load(self.folder / f"{index}.npy"))
            yield Predictions(masks, self.mean_logits), geometry


def check_protocol(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        InputError: there is none.
    """
    if name == "online" or name == "offline":
        return name
    raise InputError(f"the protocol {name!r} is unknown; there are online and offline")


def batches(frames: Iterable[Image], limit: int) -> Iterator[list[Image]]:
    """Consecutive frames of one size, up to `limit` together."""
    batch: list[Image] = []
    for frame in frames:
        if batch and frame.shape != batch[0].shape:
            yield batch
            batch = []
        batch.append(frame)
        if len(batch) == limit:
            yield batch
            batch = []
    if batch:
        yield batch


def prefetched(items: Iterable[T], limit: int) -> Iterator[T]:
    """The same items, read by a thread that may be up to `limit` of them ahead."""
    waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(limit)
    stopped = threading.Event()

    def put(entry: tuple[bool, Any]) -> None:
        while not stopped.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for item in items:
                put((True, item))
                if stopped.is_set():
                    return
            put((False, None))
        except BaseException as error:  # raised again where the items are used
            put((False, error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while True:
            more, item = waiting.get()
            if more:
                yield item
            elif item is None:
                return
            else:
                raise item
    finally:
        stopped.set()
