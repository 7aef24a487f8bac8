"""Region similarity J and boundary accuracy F of object masks, as the DAVIS tool computes them.

Letters: H W image size, T frames, G objects of the target, D of the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from plainmask.errors import InputError
from plainmask.metrics.boundaries import boundary_f
from plainmask.metrics.videos import Videos

VOID = 255
"""In index maps of targets: neither object nor background."""
MAX_PROPOSALS = 20
"""How many objects a result of the unsupervised task may have."""

_RECALLED = 0.5
"""A frame above this value counts for the recall."""

DavisProtocol: TypeAlias = Literal["semi-supervised", "unsupervised"]
_Values: TypeAlias = NDArray[np.float64]


@dataclass(eq=False)
class _Video:
    """What is known of one video."""

    name: str = ""
    objects: int = 0
    """G."""
    frames: list[_Values] = field(default_factory=list[_Values])
    """(2, D+1, G) each, see `_compare`."""


class RegionBoundary:
    """J and F over all videos, whose frames are given to `update` in order.

    Args:
        protocol: "semi-supervised": object k of a result is object k of the target, which it was
            given in the first frame, so the first frame, and the last, do not count; void is
            background. "unsupervised": the objects of a result are assigned to those of the target
            so that J and F over the whole video are best; void is removed from both.
    """

    def __init__(self, *, protocol: DavisProtocol = "semi-supervised"):
        self.protocol: DavisProtocol = protocol
        self._videos = Videos(_Video, partial(_assigned, protocol=protocol))

    def update(self, result: NDArray[Any], target: NDArray[Any], *, video: str) -> None:
        """Score one frame.

        Args:
            result: (H, W) integers, 0 for background, 1..D for objects.
            target: (H, W) integers, 0 for background, 1..G for objects, 255 for void. G is the
                highest number in the first frame of the video.
            video: names the video; all its frames come in order before those of another.

        Raises:
            InputError: the sizes differ, the result has more objects than the protocol allows, the
                video was left before, or the one before it is too short for the protocol.
        """
        if result.shape != target.shape:
            raise InputError(f"a result of size {result.shape} for a target of {target.shape}")
        known = self._videos.at(video)
        if not known.frames:
            known.name, known.objects = video, int(target[target != VOID].max(initial=0))
        if self.protocol == "unsupervised":
            result = np.where(target == VOID, 0, result)
        self._check(int(result.max(initial=0)), known)
        known.frames.append(_compare(result, target, known.objects))

    def merge(self, other: RegionBoundary) -> None:
        """Add the videos of another one, after those so far.

        Raises:
            InputError: the last video of either is too short for the protocol.
        """
        self._videos.merge(other._videos)

    def figures(self) -> dict[str, Any]:
        """The figures so far, in percent; None where there is no object.

        Returns:
            `J&F`, `J`, `F`: means over the objects of all videos; `J_recall`, `F_recall`: the share
            of frames above 0.5; `J_decay`, `F_decay`: how much worse the last quarter of the frames
            is than the first; `per_object`: "video/number" -> the mean of its J and F.

        Raises:
            InputError: the last video is too short for the protocol.
        """
        videos = self._videos.all()
        figures: dict[str, Any] = {}
        for place, name in enumerate("JF"):
            objects = [values[:, place] for video in videos.values() for values in video]
            figures[name] = _percent([float(values.mean()) for values in objects])
            recalls = [float((values > _RECALLED).mean()) for values in objects]
            figures[f"{name}_recall"] = _percent(recalls)
            figures[f"{name}_decay"] = _percent([_decay(values) for values in objects])
        both = figures["J"] is not None
        per_object = {
            f"{video}/{number}": 100 * float(mean)
            for video, values in videos.items()
            for number, mean in enumerate(values.mean((1, 2)), 1)
        }
        joint = (figures["J"] + figures["F"]) / 2 if both else None
        return {"J&F": joint, **figures, "per_object": per_object}

    def _check(self, highest: int, video: _Video) -> None:
        allowed = MAX_PROPOSALS if self.protocol == "unsupervised" else video.objects
        if highest > allowed:
            raise InputError(
                f"a result of the video {video.name!r} holds the object {highest}; in the "
                f"{self.protocol} protocol it may have at most {allowed} here"
            )


def _assigned(video: _Video, protocol: DavisProtocol) -> _Values:
    """(G, T, 2): J and F of each object of a finished video in the frames that count."""
    frames = video.frames[1:-1] if protocol == "semi-supervised" else video.frames
    if not frames:
        raise InputError(
            f"the video {video.name!r} has {len(video.frames)} frames; the semi-supervised "
            "protocol leaves out the first and the last, so it needs 3"
        )
    rows = max(video.objects, *(frame.shape[1] - 1 for frame in frames))
    pairs = np.stack([_padded(frame, rows) for frame in frames])  # (T, 2, D, G)
    if protocol == "semi-supervised":
        found = wanted = np.arange(video.objects)
    else:
        # As the tool does, results are rows: where several assignments are best, the same one.
        found, wanted = linear_sum_assignment(-pairs.mean(0).mean(0))
        order = np.argsort(wanted)
        found, wanted = found[order], wanted[order]
    # In the order of memory, in which means add up; it is the same after a way between processes.
    return np.ascontiguousarray(np.moveaxis(pairs[:, :, found, wanted], 2, 0))


def _compare(result: NDArray[Any], target: NDArray[Any], objects: int) -> _Values:
    """(2, D+1, G): J and F of every pair in one frame; row 0 is a result without any pixel."""
    found = int(result.max(initial=0))
    wanted = np.where(target > objects, 0, target).astype(np.int64)  # what is void or came later
    cells = wanted * (found + 1) + result
    counts = np.bincount(cells.ravel(), minlength=(objects + 1) * (found + 1))
    counts = counts.reshape(objects + 1, found + 1).T  # (D+1, G+1)
    shared, areas, target_areas = counts[1:, 1:], counts[1:].sum(1), counts[:, 1:].sum(0)
    union = areas[:, None] + target_areas - shared
    empty = (target_areas == 0).astype(np.float64)[None]
    region = np.where(union == 0, 1.0, shared / np.maximum(union, 1))
    boundary = boundary_f(result, found, wanted, objects)
    return np.stack([np.concatenate([empty, region]), np.concatenate([empty, boundary])])


def _padded(frame: _Values, rows: int) -> _Values:
    """(2, D, G): as many results as in other frames; those that are not here have no pixel."""
    padded = np.repeat(frame[:, :1], rows, axis=1)
    padded[:, : frame.shape[1] - 1] = frame[:, 1:]
    return padded


def _decay(values: _Values) -> float:
    """Mean of the first minus mean of the last of four parts, which share their edges."""
    edges = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(np.int64)
    first, last = values[: edges[1] + 1], values[edges[3] :]
    return float(first.mean() - last.mean())


def _percent(values: list[float]) -> float | None:
    return 100 * math.fsum(values) / len(values) if values else None
