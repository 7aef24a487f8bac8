"""What happens, told to every page that listens, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

WAIT = 0.5
"""Seconds between looks at whether the server ends."""
SIGN = 5.0
"""Seconds without an event after which a sign of life is sent."""


class Events:
    """Pages that listen."""

    def __init__(self):
        self._listening: set[asyncio.Queue[str]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event to all pages; from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the server has ended
                self._loop.call_soon_threadsafe(self._send, _as_sent(event))

    async def listen(
        self, first: Callable[[], dict[str, Any]], is_over: Callable[[], bool]
    ) -> AsyncGenerator[str]:
        """The events from now on, as they are sent, until it is over.

        Args:
            first: what comes first, as it is now.
            is_over: asked twice a second.
        """
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._listening.add(queue)
        quiet = 0.0
        try:
            yield _as_sent(await asyncio.to_thread(first))
            while not is_over():
                try:
                    text = await asyncio.wait_for(queue.get(), WAIT)
                except TimeoutError:
                    quiet += WAIT
                    if quiet < SIGN:
                        continue
                    text = ": here\n\n"
                quiet = 0.0
                yield text
        finally:
            self._listening.discard(queue)

    def _send(self, text: str) -> None:
        for queue in self._listening:
            queue.put_nowait(text)


def _as_sent(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\n"
