"""What a server takes on, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass

from plainmask.errors import PlainmaskError


@dataclass(frozen=True)
class Limits:
    """Bounds of a server; what exceeds one is refused with a message that names it."""

    body_megabytes: float = 32.0
    """Of a request."""
    megapixels: float = 50.0
    """Of a picture; looked at before it is decoded."""
    waiting: int = 64
    """Pictures in the queue."""
    seconds: float = 60.0
    """From a request's arrival to its answer."""
    streams: int = 16
    """Videos that are followed at a time."""
    idle: float = 300.0
    """Seconds until a stream that sends no frame is ended."""
    cache_megabytes: float = 256.0
    """Features of the last pictures."""


class RefusedError(PlainmaskError):
    """A request that is not served, with the HTTP status that says so."""

    def __init__(self, status: int, message: str, *, retry_after: float | None = None):
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        """Seconds."""
