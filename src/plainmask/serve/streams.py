"""Videos that the server remembers: one head follows each, frame by frame. No HTTP here.

How many there are, and for how long one may send nothing, is bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from plainmask.decoder.propagation import State
from plainmask.errors import InputError
from plainmask.heads.head import Head
from plainmask.inference.shared_pass import SharedPass
from plainmask.inference.stream import Stream
from plainmask.serve.limits import Limits, RefusedError

ANEW = "the head was replaced, and what was remembered does not fit the new one: this is frame 0"


class Following:
    """A video and the head that follows it; frames are taken one after the other."""

    def __init__(self, shared: SharedPass, heads: Mapping[str, Head]):
        self.stream = Stream(shared, heads)
        self.turn = asyncio.Lock()
        self.last = time.monotonic()
        """When it was last asked."""

    def now_by(self, heads: Mapping[str, Head]) -> str:
        """Go on with these heads; what there is to tell of it, else nothing.

        What the old ones remembered is kept where it fits.
        """
        if all(self.stream.heads[name] is head for name, head in heads.items()):
            return ""
        state = self.stream.state
        self.stream = Stream(self.stream.shared, heads)
        try:
            self.stream.state = state
        except InputError:
            return ANEW
        return ""

    def packed(self) -> bytes:
        """What is remembered, as `State.save` writes it; nothing before the first frame."""
        if self.stream.state is None:
            return b""
        (state,) = self.stream.state.values()
        with TemporaryDirectory() as folder:
            return state.save(Path(folder) / "state.safetensors").read_bytes()

    def go_on_from(self, content: bytes) -> None:
        """Remember what another stream of this head did.

        Raises:
            InputError: it is no state, or one of another head.
        """
        with TemporaryDirectory() as folder:
            path = Path(folder) / "state.safetensors"
            path.write_bytes(content)
            try:
                state = State.load(path)
            except InputError as error:
                reason = str(error).replace(str(path), "what was sent")
                raise InputError(f"the state cannot be used: {reason}") from error
        self.stream.state = dict.fromkeys(self.stream.heads, state)


class Streams:
    """All videos that are followed; used in one event loop.

    Args:
        shared: the encoder.
        limits: how many, and for how long one may be idle.
    """

    def __init__(self, shared: SharedPass, limits: Limits):
        self.shared, self.limits = shared, limits
        self._all: dict[Any, Following] = {}

    def __len__(self) -> int:
        return len(self._all)

    def open(self, key: object, heads: Mapping[str, Head]) -> Following:
        """Begin one, or begin it anew.

        Raises:
            RefusedError: there are as many as are allowed (429).
        """
        self._forget_idle()
        if key not in self._all and len(self._all) >= self.limits.streams:
            raise RefusedError(
                429,
                f"{len(self._all)} streams are open, as many as are allowed; end one, or try again "
                "later",
                retry_after=self.limits.idle,
            )
        self._all[key] = Following(self.shared, heads)
        return self._all[key]

    def find(self, key: object) -> Following | None:
        """One that is open."""
        self._forget_idle()
        return self._all.get(key)

    def close(self, key: object) -> None:
        """Forget it; nothing where there is none."""
        self._all.pop(key, None)

    def _forget_idle(self) -> None:
        since = time.monotonic() - self.limits.idle
        for key in [key for key, one in self._all.items() if one.last < since]:
            del self._all[key]
