"""AP of tracks in videos, as the YouTube-VIS tool computes it (docs/model.md 8.7).

Letters: T frames, N tracks, D detected ones, G those of the target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError
from plainmask.metrics.ap import PrecisionRecall
from plainmask.metrics.matching import Detections, Outcome, SizeRanges, Sought, match, same_class
from plainmask.results.masks import areas_of, intersections_of
from plainmask.results.track import Track

SIZES = SizeRanges(small=128**2, medium=256**2)
"""By the mean area in the frames where the object is seen."""


class TrackAP:
    """Average precision and recall over all videos given to `update`."""

    def __init__(self, names: Sequence[str]):
        self.curves = PrecisionRecall(names)

    def update(self, results: Sequence[Track], targets: Sequence[Track]) -> None:
        """Count one whole video.

        Args:
            results: the detections; of equal scores the first counts as surer.
            targets: the annotation, crowds included, of as many frames.

        Raises:
            InputError: tracks of different lengths, masks of different sizes, or a class id out of
                range.
        """
        lengths = {len(track.rles) for track in (*results, *targets)}
        if len(lengths) > 1:
            shortest, longest = min(lengths), max(lengths)
            raise InputError(
                f"tracks of {shortest} and {longest} frames in one video; every track needs an "
                "entry for each frame, None where the object is not seen"
            )
        self.curves.add(_outcome(results, targets))

    def merge(self, other: TrackAP) -> None:
        """Add the videos of another one, after those so far."""
        self.curves.merge(other.curves)

    def figures(self) -> dict[str, Any]:
        """The figures so far, in percent; see `PrecisionRecall.figures`."""
        return self.curves.figures()


def mean_of_lists(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of YouTube-VIS 2022, whose videos form lists that are evaluated apart.

    Args:
        figures: by name of the list ("short", "long"): `TrackAP.figures` of its videos.

    Returns:
        the mean over the lists of each figure, None where one is not defined, and those of each
        list with `_short`, `_long` behind their names; `per_class` likewise.
    """
    parts = list(figures.values())
    names = [name for name in parts[0] if name != "per_class"]
    mean: dict[str, Any] = {name: _mean([part[name] for part in parts]) for name in names}
    for label, part in figures.items():
        mean |= {f"{name}_{label}": part[name] for name in names}
    mean["per_class"] = {
        name: _mean([part["per_class"][name] for part in parts]) for name in parts[0]["per_class"]
    }
    return mean


def track_ious(results: Sequence[Track], targets: Sequence[Track]) -> NDArray[np.float64]:
    """IoU of tracks, (D, G): sum over the frames of intersections / sum of unions; 0 without union.

    Raises:
        InputError: masks of different sizes.
    """
    return _ious(results, targets, _areas(results), _areas(targets))


def _outcome(results: Sequence[Track], targets: Sequence[Track]) -> Outcome:
    """Match the tracks of one video."""
    areas, target_areas = _areas(results), _areas(targets)

    def ious(rows: list[int], columns: list[int]) -> NDArray[np.float64]:
        mine, theirs = [results[i] for i in rows], [targets[i] for i in columns]
        return _ious(mine, theirs, areas[rows], target_areas[columns])

    return match(
        same_class(results, targets, ious),
        Detections(
            np.array([track.class_id for track in results], np.int64),
            np.array([track.score for track in results], np.float64),
            _mean_areas(areas),
        ),
        Sought(
            np.array([track.class_id for track in targets], np.int64),
            _mean_areas(target_areas),
            np.array([track.crowd for track in targets], np.bool_),
        ),
        SIZES,
    )


def _ious(
    results: Sequence[Track],
    targets: Sequence[Track],
    areas: NDArray[np.int64],
    target_areas: NDArray[np.int64],
) -> NDArray[np.float64]:
    shared = np.zeros((len(results), len(targets)), np.int64)
    for frame in range(areas.shape[1] if len(targets) else 0):
        shared += intersections_of(
            [track.rles[frame] for track in results], [track.rles[frame] for track in targets]
        )
    union = areas.sum(1)[:, None] + target_areas.sum(1) - shared
    return shared / np.maximum(union, 1)


def _areas(tracks: Sequence[Track]) -> NDArray[np.int64]:
    """(N, T) pixels; T is 0 where there is no track."""
    frames = len(tracks[0].rles) if tracks else 0
    areas = np.zeros((len(tracks), frames), np.int64)
    for row, track in zip(areas, tracks, strict=True):
        row[:] = areas_of(track.rles)
    return areas


def _mean_areas(areas: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,): the mean over the frames where a track is seen, 0 if it never is."""
    return areas.sum(1) / np.maximum((areas > 0).sum(1), 1)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
