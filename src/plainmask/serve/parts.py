"""What waits in the queue: pictures, each as the parts that heads see in one way, and frames."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from plainmask.heads.head import Head
from plainmask.inference.images import PIXELS_AT_A_TIME
from plainmask.inference.shared_pass import by_protocol
from plainmask.inference.stream import Stream
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.results import Result

Taps: TypeAlias = dict[int, Tensor]
"""By block: (N, R + h*w, D) of the N windows of a picture."""


@dataclass(eq=False)
class Found:
    """What became of a picture."""

    results: dict[str, Result]
    """By head, in the order asked for."""
    seconds: dict[str, float]
    """By what took them: queue, encoder, decoder, results."""
    taps: Taps
    """Where features were asked for."""
    grid: tuple[int, int]
    """Patches of theirs."""


@dataclass(eq=False)
class Job:
    """A picture (H, W, 3) and what is asked of it."""

    image: NDArray[np.uint8]
    names: tuple[str, ...]
    left: int
    """Parts that are not done."""
    future: Future[Found] = field(default_factory=Future)
    asked: float = field(default_factory=time.perf_counter)
    found: dict[str, Result] = field(default_factory=dict)
    taps: Taps = field(default_factory=dict)
    grid: tuple[int, int] = (0, 0)
    seconds: dict[str, float] = field(default_factory=dict)

    def done(self, part: Part) -> None:
        """Answer, if this was the last part."""
        self.left -= 1
        self.found |= part.found
        if not self.left and not self.future.done() and self.future.set_running_or_notify_cancel():
            results = {name: self.found[name] for name in self.names}
            self.future.set_result(Found(results, self.seconds, self.taps, self.grid))

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


@dataclass(eq=False)
class Part:
    """A picture for the heads that see it in one way, or for its features."""

    job: Job
    heads: Mapping[str, Head]
    taps: tuple[int, ...]
    """Blocks whose features are the answer."""
    geometry: Geometry | None
    """None: in tiles, by itself."""
    found: dict[str, Result] = field(default_factory=dict)

    @property
    def kind(self) -> tuple[object, ...]:
        """Parts for which this is equal go together."""
        if self.geometry is None:
            return (id(self),)
        return (*self.geometry.model_size, self.geometry.zero_padding)

    @property
    def pixels(self) -> int:
        """Of the model."""
        return PIXELS_AT_A_TIME if self.geometry is None else _pixels(self.geometry)

    @property
    def asked(self) -> float:
        """When it came, as `time.perf_counter` tells it."""
        return self.job.asked

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.job.future.cancelled()

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        self.job.fail(error)


@dataclass(eq=False)
class NextFrame:
    """The next frame of a video, (H, W, 3)."""

    stream: Stream
    image: NDArray[np.uint8]
    pixels: int
    """Of the model."""
    future: Future[dict[str, Any]] = field(default_factory=Future)
    asked: float = field(default_factory=time.perf_counter)

    @property
    def kind(self) -> tuple[object, ...]:
        """Frames for which this is equal go together, one of each video."""
        return (self.image.shape, *((name, id(head)) for name, head in self.stream.heads.items()))

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.cancelled()

    def answer(self, results: dict[str, Any]) -> None:
        """Give what `Stream.step` gives."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(results)

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


def parts_of(
    image: NDArray[np.uint8], heads: Mapping[str, Head], patch: int
) -> tuple[Job, list[Part]]:
    """A picture for heads, as they are now: a part for each way in which they see it."""
    size = (image.shape[0], image.shape[1])
    groups = by_protocol(heads)
    job = Job(image, tuple(heads), len(groups))
    return job, [
        Part(job, group, (), _plan(size, protocol, patch)) for protocol, group in groups.items()
    ]


def part_of_features(
    image: NDArray[np.uint8], taps: Sequence[int], side: int, patch: int
) -> tuple[Job, Part]:
    """A picture for the features of blocks, its shorter side resized to `side` pixels.

    Raises:
        InputError: it is so long and thin that it would need too many patches.
    """
    job, size = Job(image, (), 1), (image.shape[0], image.shape[1])
    whole = Geometry.plan(size, InputProtocol(kind="stride", size=side), patch)
    return job, Part(job, {}, tuple(taps), whole)


def next_frame(stream: Stream, image: NDArray[np.uint8]) -> NextFrame:
    """A frame for the heads of a stream."""
    patch = stream.shared.encoder.config.patch_size
    size = (image.shape[0], image.shape[1])
    ways = [Geometry.plan(size, protocol, patch) for protocol in by_protocol(stream.heads)]
    return NextFrame(stream, image, max(_pixels(way) for way in ways))


def _plan(size: tuple[int, int], protocol: InputProtocol, patch: int) -> Geometry | None:
    way = protocol.for_image(size, patch)
    return None if way.kind == "tiles" else Geometry.plan(size, way, patch)


def _pixels(geometry: Geometry) -> int:
    height, width = geometry.model_size
    return height * width * len(geometry.windows)
