"""What a server holds, and what it does with a picture; no HTTP here."""

from __future__ import annotations

import asyncio
import difflib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plainmask.heads.head import Head
from plainmask.inference.segmenter import Segmenter
from plainmask.pictures.images import read_image
from plainmask.pictures.opening import opened
from plainmask.serve.limits import Limits, RefusedError
from plainmask.serve.numbers import Numbers
from plainmask.serve.passes import Found, Passes

TRIAL = (64, 64)
"""Height and width of the blank picture that a new head is tried on."""


@dataclass(eq=False)
class Service:
    """One encoder and its heads, and the queue before them.

    Close it: what waits is worked off.
    """

    segmenter: Segmenter
    limits: Limits
    numbers: Numbers
    passes: Passes

    @classmethod
    def of(cls, segmenter: Segmenter, limits: Limits | None = None) -> Service:
        """Start serving the heads of a segmenter, which is not to be used otherwise meanwhile."""
        limits, numbers = limits or Limits(), Numbers(segmenter.encoder.name)
        return cls(segmenter, limits, numbers, Passes(segmenter.shared, limits, numbers))

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
        began = time.perf_counter()
        image = await asyncio.to_thread(self.decode, picture)
        decoded = time.perf_counter() - began
        self.numbers.took("decode", decoded)
        waiting = asyncio.wrap_future(self.passes.submit(image, heads))
        try:
            answer = await asyncio.wait_for(waiting, self.limits.seconds)
        except TimeoutError as error:
            raise RefusedError(
                504, f"no answer within {self.limits.seconds:g} s; try a smaller picture"
            ) from error
        answer.seconds = {"decode": decoded, **answer.seconds}
        return image, answer
