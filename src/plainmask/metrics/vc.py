"""Video consistency of label maps: how much of what stays the same is predicted as staying.

Letters: H W image size, k frames of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError
from plainmask.metrics.videos import Videos

WINDOWS = (8, 16)
"""Frames of the windows of the published VSPW script."""


@dataclass(frozen=True, eq=False)
class _Runs:
    """The labels of the last frame, and since how many frames each pixel has had its label."""

    labels: NDArray[Any]
    """(H, W)."""
    lengths: NDArray[np.int32]
    """(H, W), at least 1."""

    def next(self, labels: NDArray[Any]) -> _Runs:
        """The runs after one more frame."""
        return _Runs(labels, np.where(labels == self.labels, self.lengths + 1, 1))


@dataclass(eq=False)
class _Video:
    """What is known of one video."""

    frames: int = 0
    target: _Runs | None = None
    result: _Runs | None = None
    values: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    """By frames of a window: the shares of its windows, where it has any."""
    waiting: dict[int, float] = field(default_factory=dict[int, float])
    """Shares of the windows that end with the last frame: they count once another follows."""


class VideoConsistency:
    """VC over all videos, whose frames are given to `update` in order (docs/model.md 8.6).

    In a window of k frames: the share of the pixels whose target is constant in which the result
    is constant, too; right or wrong. As in the published script, void is a label like others,
    windows in which no target is constant do not count, and neither does the last window of a
    video. Kept are the run lengths of labels, not earlier frames.
    """

    def __init__(self, *, windows: Sequence[int] = WINDOWS):
        self.windows = tuple(windows)
        self._videos = Videos(_Video, _values)

    @property
    def values(self) -> dict[int, dict[str, list[float]]]:
        """By frames of a window, by video: the shares of its windows."""
        videos = self._videos.all()
        return {
            length: {name: values[length] for name, values in videos.items() if length in values}
            for length in self.windows
        }

    def update(self, result: NDArray[Any], target: NDArray[Any], *, video: str) -> None:
        """Count the windows that end with this frame.

        Args:
            result: (H, W) integers, the predicted classes.
            target: (H, W) integers, the true classes; any value for void.
            video: names the video; all its frames come in order before those of another.

        Raises:
            InputError: the sizes differ from each other or within the video, or the video was left
                before.
        """
        if result.shape != target.shape:
            raise InputError(f"a result of size {result.shape} for a target of {target.shape}")
        known = self._videos.at(video)
        if known.target is None or known.result is None:
            ones = np.ones(target.shape, np.int32)
            known.target, known.result = _Runs(target, ones), _Runs(result, ones)
        else:
            if target.shape != known.target.labels.shape:
                raise InputError(
                    f"a frame of size {target.shape} after one of {known.target.labels.shape} in "
                    f"the video {video!r}; the frames of a video have one size"
                )
            known.target, known.result = known.target.next(target), known.result.next(result)
        known.frames += 1
        self._count(known, known.target.lengths, known.result.lengths)

    def merge(self, other: VideoConsistency) -> None:
        """Add the videos of another one, after those so far."""
        self._videos.merge(other._videos)

    def figures(self) -> dict[str, float | None]:
        """The figures so far, in percent; None where no video is long enough to have one.

        Returns:
            `mVCk`: the mean over all windows of k frames of all videos. `mVCk_published`: over
            these and all shorter ones, as the published script does by not emptying its list
            (docs/model.md 9, quirk 10). `mVCk_by_video`: the mean over videos of the mean over
            their windows.
        """
        figures: dict[str, float | None] = {}
        pooled: list[float] = []
        for length, by_video in self.values.items():
            videos = by_video.values()
            own = [value for values in videos for value in values]
            pooled += own
            figures[f"mVC{length}"] = _mean(own)
            figures[f"mVC{length}_published"] = _mean(pooled)
            figures[f"mVC{length}_by_video"] = _mean([sum(v) / len(v) for v in videos])
        return figures

    def _count(self, video: _Video, target: NDArray[np.int32], result: NDArray[np.int32]) -> None:
        for length, value in video.waiting.items():
            video.values.setdefault(length, []).append(value)
        video.waiting = {}
        for length in self.windows:
            if video.frames >= length:
                constant = target >= length
                total = np.count_nonzero(constant)
                if total:
                    kept = np.count_nonzero(constant & (result >= length))
                    video.waiting[length] = kept / total


def _values(video: _Video) -> dict[int, list[float]]:
    return video.values


def _mean(values: Sequence[float]) -> float | None:
    return 100 * sum(values) / len(values) if values else None
