"""What a server holds, and what it does with a picture; no HTTP here."""

from __future__ import annotations

import asyncio
import difflib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from plainmask.heads.head import Head
from plainmask.inference.segmenter import Segmenter
from plainmask.pictures.images import read_image
from plainmask.pictures.opening import opened
from plainmask.serve.limits import Limits, RefusedError
from plainmask.serve.numbers import Numbers
from plainmask.serve.parts import Found
from plainmask.serve.passes import Passes
from plainmask.serve.streams import Following, Streams

R = TypeVar("R")

TRIAL = (64, 64)
"""Height and width of the blank picture that a new head is tried on."""


@dataclass(frozen=True, eq=False)
class Followed:
    """What became of a frame."""

    result: Any
    """Of its head, with `frame_index`, `track_ids`, `age` and `state`."""
    seconds: dict[str, float]
    """By what took them: decode, and frame, which is all that follows."""
    notice: dict[str, str]
    """What the client is to know besides, as {"notice": "..."}; empty: nothing."""


@dataclass(eq=False)
class Service:
    """One encoder and its heads, the queue before them, and the videos that they follow.

    Close it: what waits is worked off.
    """

    segmenter: Segmenter
    limits: Limits
    numbers: Numbers
    passes: Passes
    streams: Streams

    @classmethod
    def of(cls, segmenter: Segmenter, limits: Limits | None = None) -> Service:
        """Start serving the heads of a segmenter, which is not to be used otherwise meanwhile."""
        limits, numbers = limits or Limits(), Numbers(segmenter.encoder.name)
        passes = Passes(segmenter.shared, limits, numbers)
        return cls(segmenter, limits, numbers, passes, Streams(segmenter.shared, limits))

    def close(self) -> None:
        """Answer what waits, and take nothing more."""
        self.passes.close()

    def heads(self, names: Sequence[str]) -> Mapping[str, Head]:
        """The heads of these names, as they are now; all where none is named.

        Raises:
            RefusedError: there is none of a name, or none at all (404).
        """
        served = self.segmenter.heads
        if not served:
            raise RefusedError(404, "this server has no head; put one: PUT /v1/heads/NAME")
        for name in names:
            if name not in served:
                near = difflib.get_close_matches(name, served, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(served)}"
                raise RefusedError(404, f"there is no head {name!r}; {hint}")
        return {name: served[name] for name in (names or served)}

    def decode(self, picture: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture's file, or its pixels (H, W, 3), as pixels of our own.

        Raises:
            InputError: it is none.
            RefusedError: it has too many pixels (413).
        """
        if isinstance(picture, np.ndarray):
            height, width = picture.shape[:2]
        else:
            with opened(io.BytesIO(picture), "the picture") as file:
                width, height = file.size
        if width * height > 1e6 * self.limits.megapixels:
            raise RefusedError(
                413,
                f"the picture has {width} x {height} pixels; at most {self.limits.megapixels:g} "
                "million are taken here",
            )
        return read_image(picture)

    async def put(self, name: str, load: Callable[[], Head]) -> bool:
        """Serve a head under a name, instead of the one that has it; whether there was one.

        It is loaded, checked and tried beside the requests. Those under way end with the old one.

        Raises:
            PlainmaskError: it cannot be served; nothing has changed.
        """
        head = await asyncio.to_thread(lambda: self.segmenter.prepare(load()))
        height, width = TRIAL
        blank = np.zeros((height, width, 3), np.uint8)
        await asyncio.wrap_future(self.passes.submit(blank, {name: head}))
        known = name in self.segmenter.heads
        self.segmenter.add(name, head)
        return known

    def remove(self, name: str) -> None:
        """Serve a head no more.

        Raises:
            RefusedError: there is none of that name (404).
        """
        self.heads([name])
        self.segmenter.remove(name)

    async def segment(
        self, picture: bytes | NDArray[np.uint8], heads: Mapping[str, Head]
    ) -> tuple[NDArray[np.uint8], Found]:
        """Decode a picture, unless it is pixels (H, W, 3), and wait for its results.

        Raises:
            InputError: it is no picture.
            RefusedError: it is too large, the queue is full, or it took too long.
        """
        image, decoded = await self._decoded(picture)
        answer = await self._answer(self.passes.submit(image, heads))
        answer.seconds = {"decode": decoded, **answer.seconds}
        return image, answer

    async def features(self, picture: bytes, taps: Sequence[int], side: int) -> Found:
        """The features of blocks, of a picture whose shorter side is resized to `side` pixels.

        Raises:
            as `segment`.
        """
        image, decoded = await self._decoded(picture)
        answer = await self._answer(self.passes.features(image, taps, side))
        answer.seconds = {"decode": decoded, **answer.seconds}
        return answer

    async def follow(
        self, name: str, following: Following, picture: bytes | NDArray[np.uint8]
    ) -> Followed:
        """The next frame of a video, by the head that has this name now.

        Raises:
            as `segment`, or the head is served no more (404).
        """
        async with following.turn:
            image, decoded = await self._decoded(picture)
            notice = following.now_by(self.heads([name]))
            began = time.perf_counter()
            found = await self._answer(self.passes.follow(following.stream, image))
            following.last = time.monotonic()
        seconds = {"decode": decoded, "frame": time.perf_counter() - began}
        return Followed(found[name], seconds, {"notice": notice} if notice else {})

    async def _decoded(self, picture: bytes | NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
        """A picture, and the seconds that it took."""
        began = time.perf_counter()
        image = await asyncio.to_thread(self.decode, picture)
        seconds = time.perf_counter() - began
        self.numbers.took("decode", seconds)
        return image, seconds

    async def _answer(self, future: Future[R]) -> R:
        """Wait for what the queue gives, for as long as is allowed."""
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.seconds)
        except TimeoutError as error:
            raise RefusedError(
                504, f"no answer within {self.limits.seconds:g} s; try a smaller picture"
            ) from error
