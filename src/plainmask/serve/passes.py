"""The one queue: pictures and frames of any client, for any heads, share passes of the encoder.

A picture that several heads see in several ways is several parts. A thread takes what has waited
longest, and with it all that wait and come to the encoder in the same size: they are one batch,
whose features every head reads for its own rows. Nothing waits for company: while a pass runs, the
next ones gather.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from plainmask.heads.head import Head
from plainmask.inference.images import PIXELS_AT_A_TIME
from plainmask.inference.shared_pass import SharedPass
from plainmask.inference.stream import Stream
from plainmask.serve.batch import Batches
from plainmask.serve.features import KeptFeatures
from plainmask.serve.limits import Limits, RefusedError
from plainmask.serve.numbers import Numbers
from plainmask.serve.parts import Found, NextFrame, Part, next_frame, part_of_features, parts_of

_Batch: TypeAlias = Sequence[Part] | Sequence[NextFrame]


class Passes:
    """A queue and the thread that works on it.

    Args:
        shared: the encoder; nobody else uses it while this is open.
        limits: how many may wait, and how large the cache is.
        numbers: what is counted.
    """

    def __init__(self, shared: SharedPass, limits: Limits, numbers: Numbers):
        self.shared, self.limits, self.numbers = shared, limits, numbers
        self.kept = KeptFeatures(int(limits.cache_megabytes * 1e6))
        self._batches = Batches(shared, self.kept, numbers)
        self._waiting: deque[Part | NextFrame] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._pace = 0.0  # seconds a part, lately
        self._thread = threading.Thread(target=self._work, name="plainmask-passes", daemon=True)
        self._thread.start()

    def submit(self, image: NDArray[np.uint8], heads: Mapping[str, Head]) -> Future[Found]:
        """Put a picture (H, W, 3) into the queue; heads are used as they are now.

        Raises:
            RefusedError: the queue is full (429), or the server ends (503).
        """
        job, parts = parts_of(image, heads, self.shared.encoder.config.patch_size)
        self._put(parts)
        return job.future

    def features(self, image: NDArray[np.uint8], taps: Sequence[int], side: int) -> Future[Found]:
        """The same for the features of blocks, its shorter side resized to `side` pixels."""
        job, part = part_of_features(image, taps, side, self.shared.encoder.config.patch_size)
        self._put([part])
        return job.future

    def follow(self, stream: Stream, image: NDArray[np.uint8]) -> Future[dict[str, Any]]:
        """The same for the next frame of a video: what `Stream.step` gives."""
        frame = next_frame(stream, image)
        self._put([frame])
        return frame.future

    def close(self) -> None:
        """Work off what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _put(self, new: Sequence[Part | NextFrame]) -> None:
        with self._changed:
            if self._closed:
                raise RefusedError(503, "the server is shutting down")
            if len(self._waiting) + len(new) > self.limits.waiting:
                raise RefusedError(
                    429,
                    f"{len(self._waiting)} pictures are waiting, of at most {self.limits.waiting}; "
                    "try again later",
                    retry_after=max(1.0, self._pace * len(self._waiting)),
                )
            self._waiting.extend(new)
            self.numbers.waiting.set(len(self._waiting))
            self._changed.notify()

    def _work(self) -> None:
        while batch := self._next():
            began = time.perf_counter()
            for one in batch:
                self.numbers.took("queue", began - one.asked)
            try:
                self._run(batch)
            except Exception as error:  # those of a batch that fails are tried one by one
                if len(batch) == 1:
                    batch[0].fail(error)
                else:
                    for one in batch:
                        self._alone(one)
            took = (time.perf_counter() - began) / len(batch)
            self._pace = 0.8 * self._pace + 0.2 * took if self._pace else took

    def _run(self, batch: Sequence[Part | NextFrame]) -> None:
        parts = [one for one in batch if isinstance(one, Part)]
        if parts:
            self._batches.see(parts)
        else:
            self._batches.follow([one for one in batch if isinstance(one, NextFrame)])

    def _alone(self, one: Part | NextFrame) -> None:
        try:
            self._run([one])
        except Exception as error:
            one.fail(error)

    def _next(self) -> list[Part | NextFrame]:
        """What the next pass is of; nothing at the end."""
        with self._changed:
            while True:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return []
                chosen = self._take()
                self.numbers.waiting.set(len(self._waiting))
                # Who went away does not need an answer.
                live = [one for one in chosen if not one.cancelled]
                if live:
                    return live

    def _take(self) -> list[Part | NextFrame]:
        """What has waited longest, and what may go with it."""
        first = self._waiting.popleft()
        chosen, room = [first], PIXELS_AT_A_TIME - first.pixels
        for one in list(self._waiting):
            if type(one) is type(first) and one.kind == first.kind and one.pixels <= room:
                self._waiting.remove(one)
                chosen.append(one)
                room -= one.pixels
        return chosen
