"""The one queue: pictures of any client, for any heads, share passes of the encoder.

A picture that several heads see in several ways is several parts. A thread takes the part that has
waited longest, and with it all that wait and come to the encoder in the same size: they are one
batch, whose features every head reads for its own rows. Nothing waits for company: while a pass
runs, the next ones gather.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from plainmask.decoder.decoder import Predictions
from plainmask.encoder.vit import Features
from plainmask.heads.head import Head
from plainmask.inference.images import PIXELS_AT_A_TIME
from plainmask.inference.segmenter import HeadSegmenter
from plainmask.inference.shared_pass import SharedPass, by_protocol
from plainmask.pictures.geometry import Geometry
from plainmask.results import Result
from plainmask.serve.features import KeptFeatures, Taps, key_of
from plainmask.serve.limits import Limits, RefusedError
from plainmask.serve.numbers import Numbers

T = TypeVar("T")


@dataclass(eq=False)
class Found:
    """What became of a picture."""

    results: dict[str, Result]
    """By head, in the order asked for."""
    seconds: dict[str, float]
    """By what took them: queue, encoder, decoder, results."""


@dataclass(eq=False)
class _Job:
    image: NDArray[np.uint8]
    names: tuple[str, ...]
    left: int
    future: Future[Found] = field(default_factory=Future)
    asked: float = field(default_factory=time.perf_counter)
    found: dict[str, Result] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class _Part:
    """A picture for the heads that see it in one way."""

    job: _Job
    heads: dict[str, Head]
    geometry: Geometry | None
    """None: in tiles, by itself."""
    found: dict[str, Result] = field(default_factory=dict)

    @property
    def size(self) -> tuple[object, ...]:
        """Parts for which this is equal go together."""
        if self.geometry is None:
            return (id(self),)
        return (*self.geometry.model_size, self.geometry.zero_padding)

    @property
    def pixels(self) -> int:
        """Of the model."""
        if self.geometry is None:
            return PIXELS_AT_A_TIME
        height, width = self.geometry.model_size
        return height * width * len(self.geometry.windows)


@dataclass(eq=False)
class _Deed:
    """Something else that needs the encoder: a frame of a video, whose state is its own."""

    act: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


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
        self._waiting: deque[_Part | _Deed] = deque()
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
        patch, size = self.shared.encoder.config.patch_size, (image.shape[0], image.shape[1])
        groups = by_protocol(heads)
        job = _Job(image, tuple(heads), len(groups))
        parts: list[_Part] = []
        for protocol, group in groups.items():
            way = protocol.for_image(size, patch)
            geometry = None if way.kind == "tiles" else Geometry.plan(size, way, patch)
            parts.append(_Part(job, group, geometry))
        self._put(parts)
        return job.future

    def do(self, act: Callable[[], T]) -> Future[T]:
        """Call this in its turn, where nothing else uses the encoder.

        Raises:
            RefusedError: as `submit`.
        """
        deed = _Deed(act)
        self._put([deed])
        return deed.future

    def _put(self, new: Sequence[_Part | _Deed]) -> None:
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

    def close(self) -> None:
        """Work off what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while parts := self._next():
            began = time.perf_counter()
            if isinstance(parts, _Deed):
                _do(parts)
                continue
            for part in parts:
                part.job.seconds.setdefault("queue", began - part.job.asked)
                self.numbers.took("queue", began - part.job.asked)
            try:
                self._run(parts)
            except Exception as error:  # those of a batch that fails are tried one by one
                for part in parts:
                    if len(parts) == 1:
                        _fail(part.job, error)
                    else:
                        self._alone(part)
            took = (time.perf_counter() - began) / len(parts)
            self._pace = 0.8 * self._pace + 0.2 * took if self._pace else took

    def _alone(self, part: _Part) -> None:
        try:
            self._run([part])
        except Exception as error:
            _fail(part.job, error)

    def _next(self) -> list[_Part] | _Deed:
        """The parts of the next pass, or what else is to be done; none at the end."""
        with self._changed:
            while True:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return []
                chosen = self._take()
                self.numbers.waiting.set(len(self._waiting))
                if isinstance(chosen, _Deed):
                    return chosen
                # Who went away does not need an answer.
                live = [part for part in chosen if not part.job.future.cancelled()]
                if live:
                    return live

    def _take(self) -> list[_Part] | _Deed:
        first = self._waiting.popleft()
        if isinstance(first, _Deed):
            return first
        chosen, room = [first], PIXELS_AT_A_TIME - first.pixels
        for part in list(self._waiting):
            if isinstance(part, _Part) and part.size == first.size and part.pixels <= room:
                self._waiting.remove(part)
                chosen.append(part)
                room -= part.pixels
        return chosen

    def _run(self, parts: Sequence[_Part]) -> None:
        """One pass, and the results of all its pictures."""
        if parts[0].geometry is None:
            (part,) = parts
            for name, head in part.heads.items():
                alone: HeadSegmenter[Result] = HeadSegmenter(self.shared, name, head)
                part.found[name] = alone(part.job.image)
            self._done(part)
            return
        heads = {id(head): (name, head) for part in parts for name, head in part.heads.items()}
        began = time.perf_counter()
        features = self._encode(parts, [head for _, head in heads.values()])
        spent = {"encoder": time.perf_counter() - began, "decoder": 0.0, "results": 0.0}
        for name, head in heads.values():
            rows = [k for k, part in enumerate(parts) if part.heads.get(name) is head]
            began = time.perf_counter()
            predictions = self._decode(head, [features[k] for k in rows])
            decoded = time.perf_counter()
            for k, own in zip(rows, predictions, strict=True):
                geometry = parts[k].geometry
                assert geometry is not None
                parts[k].found[name] = head.result(own, geometry)
            both = decoded - began, time.perf_counter() - decoded
            spent["decoder"] += both[0]
            spent["results"] += both[1]
            self.numbers.decoded(name, len(rows), *both)
        for part in parts:
            for what, seconds in spent.items():
                part.job.seconds[what] = part.job.seconds.get(what, 0.0) + seconds
            self._done(part)

    def _encode(self, parts: Sequence[_Part], heads: Sequence[Head]) -> list[tuple[Taps, Features]]:
        """Every part's taps, with what they belong to: from the cache, or of one batch."""
        wanted = sorted({tap for head in heads for tap in head.config.encoder.taps})
        windows = [part.geometry.fit(part.job.image) for part in parts if part.geometry]
        contents = [part.geometry.content for part in parts if part.geometry]
        keys = [key_of(own, content) for own, content in zip(windows, contents, strict=True)]
        found = {key: taps for key in keys if (taps := self.kept.find(key, wanted))}
        fresh = {key: k for k, key in enumerate(keys) if key not in found}
        self.numbers.looked_up(hits=len(keys) - len(fresh), misses=len(fresh))
        patch = self.shared.encoder.config.patch_size
        grid = (windows[0].shape[2] // patch, windows[0].shape[3] // patch)
        if fresh:
            pixels = torch.from_numpy(np.concatenate([windows[k] for k in fresh.values()]))
            content = [size for k in fresh.values() for size in contents[k] or ()] or None
            began = time.perf_counter()
            with self.shared.computing():
                pass_ = self.shared.computing_encoder(
                    pixels.to(self.shared.device), taps=wanted, content=content
                )
            self.numbers.passed(len(fresh), time.perf_counter() - began)
            by_picture = [
                tap.split([len(windows[k]) for k in fresh.values()]) for tap in pass_.taps
            ]
            for place, key in enumerate(fresh):
                own = {t: tap[place] for t, tap in zip(wanted, by_picture, strict=True)}
                found[key] = own
                # A copy: a row would keep the whole batch in memory.
                self.kept.keep(key, {tap: value.clone() for tap, value in own.items()})
        prefix = self.shared.encoder.config.prefix
        return [(found[key], Features((), grid, prefix)) for key in keys]

    def _decode(self, head: Head, features: Sequence[tuple[Taps, Features]]) -> list[Predictions]:
        """What a head says of each of several pictures, in one batch."""
        counts = [len(next(iter(taps.values()))) for taps, _ in features]
        joint = features[0][1]._replace(
            taps=tuple(
                torch.cat([taps[tap] for taps, _ in features]) for tap in head.config.encoder.taps
            )
        )
        with self.shared.computing():
            both = head.decoder(joint).float()
        masks, classes = (part.split(counts) for part in both)
        return [Predictions(*own) for own in zip(masks, classes, strict=True)]

    def _done(self, part: _Part) -> None:
        job = part.job
        job.left -= 1
        job.found |= part.found
        if not job.left and not job.future.done() and job.future.set_running_or_notify_cancel():
            results = {name: job.found[name] for name in job.names}
            job.future.set_result(Found(results, job.seconds))


def _do(deed: _Deed) -> None:
    if not deed.future.set_running_or_notify_cancel():
        return
    try:
        deed.future.set_result(deed.act())
    except Exception as error:
        deed.future.set_exception(error)


def _fail(job: _Job, error: Exception) -> None:
    if not job.future.done() and job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
