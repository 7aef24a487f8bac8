"""Tracks: one object through a video, a mask a frame, compressed.

Letters: T frames, H W image size.
"""

from __future__ import annotations

from dataclasses import dataclass

from plainmask.results.rle import Rle


@dataclass(frozen=True)
class Track:
    """One object of a result or of a target."""

    class_id: int
    """0..C-1."""
    rles: tuple[Rle | None, ...]
    """T masks (H, W); None, or an empty mask, where the object is not seen."""
    score: float = 1.0
    """How sure a result is, 0..1; targets are sure."""
    crowd: bool = False
    """Of a target: stands for a group of objects, which metrics forgive."""
    id: int | None = None
    """Number within the video, if it has one."""
