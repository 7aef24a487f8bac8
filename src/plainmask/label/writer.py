"""Which of several open pages may write: one, so that two never undo each other's strokes."""

from __future__ import annotations

import secrets
import time

GONE = 10.0
"""Seconds after which a page that has shown no sign of life has left."""


class WritingPage:
    """Who writes. Used by one thread."""

    def __init__(self):
        self._token: str | None = None
        self._last = 0.0

    def claim(self, token: str | None, *, take: bool = False) -> str | None:
        """Ask to write.

        Args:
            token: what the page was given before, so that it stays the writer when it is loaded
                again.
            take: whether to write even where another page does, which then may no more.

        Returns:
            the token of the writer, for the page that is it now; None: another page writes.
        """
        if self.is_writer(token):
            return token
        if self._token is not None and not take and time.monotonic() - self._last < GONE:
            return None
        self._token, self._last = secrets.token_urlsafe(16), time.monotonic()
        return self._token

    def is_writer(self, token: str | None) -> bool:
        """Whether a token is the writer's; a sign of life."""
        if token is None or self._token is None:
            return False
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return False
        self._last = time.monotonic()
        return True

    def leave(self, token: str | None) -> None:
        """Let another page write."""
        if self.is_writer(token):
            self._token = None
