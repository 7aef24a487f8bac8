"""Video panoptic quality: panoptic quality of tubes in windows of a few frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from plainmask.metrics.panoptic_map import Overlap, PanopticMap, join
from plainmask.metrics.pq import PanopticTally
from plainmask.metrics.videos import Videos
from plainmask.vocabulary import Vocabulary

WINDOWS = (1, 2, 4, 6, 8)
"""Frames of the windows over which the published VIPSeg script averages (docs/model.md 8.4)."""
FOUR_WINDOWS = (1, 2, 4, 6)
"""The windows over which other projects average."""


class VideoPanopticQuality:
    """Video panoptic quality over all videos, whose frames are given to `update` in order.

    Every k frames in a row are one window, in which the segments of one id are one tube; tubes are
    matched as segments are in an image. A video of fewer than k frames has no such window. Kept
    are the counts of overlaps in the last frames, never their pixels.
    """

    def __init__(self, vocabulary: Vocabulary, *, windows: Sequence[int] = WINDOWS):
        self.windows = {length: PanopticTally(vocabulary) for length in windows}
        """What was counted so far, by number of frames in a window."""
        self._recent: Videos[deque[Overlap], None] = Videos(
            partial(deque, maxlen=max(windows)), _forget
        )

    def update(self, result: PanopticMap, target: PanopticMap, *, video: str) -> None:
        """Count the windows that end with this frame.

        Args:
            result: of the size of the target; ids are constant over the video.
            target: its ids are constant over the video.
            video: names the video; all its frames come in order before those of another.

        Raises:
            InputError: the sizes differ, the video was left before, or as `PanopticTally.add`.
        """
        self.add(Overlap.between(result, target), video=video)

    def add(self, overlap: Overlap, *, video: str) -> None:
        """As `update`, with what several metrics of one frame have in common."""
        recent = self._recent.at(video)
        recent.append(overlap)
        frames = list(recent)
        for length, tally in self.windows.items():
            if len(frames) >= length:
                tally.add(join(frames[-length:]))

    def merge(self, other: VideoPanopticQuality) -> None:
        """Add the videos of another one, after those so far."""
        self._recent.merge(other._recent)
        for length, tally in self.windows.items():
            tally.merge(other.windows[length])

    def figures(self) -> dict[str, Any]:
        """The figures so far, in percent; None where no window was long enough to have one.

        Returns:
            `VPQ`, `VPQ_th`, `VPQ_st`: all classes, things, stuff; the mean over all windows.
            `VPQ_1_2_4_6` …: the mean over these windows only, if they are among the windows.
            `VPQ_k`, `VPQ_k_th`, `VPQ_k_st`, `VSQ_k`, `VRQ_k`: of the windows of k frames.
            `per_class`: name -> mean over the windows in which the class occurs, None if there
            are none.
        """
        by_window = {length: tally.figures() for length, tally in self.windows.items()}
        figures: dict[str, Any] = _means(by_window, "VPQ", tuple(self.windows))
        if set(FOUR_WINDOWS) < self.windows.keys():
            figures |= _means(by_window, "VPQ_1_2_4_6", FOUR_WINDOWS)
        for length, of_window in by_window.items():
            for suffix in ("", "_th", "_st"):
                figures[f"VPQ_{length}{suffix}"] = of_window["PQ" + suffix]
        for length, of_window in by_window.items():
            figures |= {f"V{name}_{length}": of_window[name] for name in ("SQ", "RQ")}
        return {**figures, "per_class": self._per_class()}

    def _per_class(self) -> dict[str, float | None]:
        tallies = list(self.windows.values())
        values = np.array([tally.qualities()["PQ"] for tally in tallies])  # (windows, C)
        counted = np.sum([tally.counted for tally in tallies], axis=0)  # (C,)
        means = 100 * values.sum(0) / np.maximum(counted, 1)
        names = tallies[0].names
        return {
            name: float(mean) if windows else None
            for name, mean, windows in zip(names, means, counted.tolist(), strict=True)
        }


def _forget(recent: deque[Overlap]) -> None:
    """Windows count at once, so nothing is kept of a video."""


def _means(
    by_window: dict[int, dict[str, float | None]], name: str, windows: tuple[int, ...]
) -> dict[str, float | None]:
    """The mean over windows, for all classes, things and stuff; None if one is not defined."""
    means: dict[str, float | None] = {}
    for suffix in ("", "_th", "_st"):
        values = [by_window[length]["PQ" + suffix] for length in windows]
        known = [value for value in values if value is not None]
        means[name + suffix] = sum(known) / len(known) if len(known) == len(values) else None
    return means
