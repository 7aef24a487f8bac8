"""Track quality without classes: who is followed, for how long, under how many names.

See docs/model.md 8.8.

Letters: T frames, G tracks of the target, D of the result; g d those seen in one frame;
S similarity of two masks in a frame, their IoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from plainmask.errors import InputError
from plainmask.metrics.panoptic_map import Overlap
from plainmask.metrics.videos import Videos
from plainmask.results.masks import areas_of, intersections_of
from plainmask.results.track import Track

ALPHAS = np.arange(0.05, 0.99, 0.05)
"""(19,): the similarities from which on HOTA takes a pair for a detection."""
THRESHOLD = 0.5
"""The similarity from which on IDF1 and the switches do."""

_EPSILON = float(np.finfo(np.float64).eps)
_KEEP = 1000.0
"""Outweighs any similarity: the pair of the frame before is kept if it still fits."""


@dataclass(frozen=True, eq=False)
class Sightings:
    """The tracks that are seen in one frame."""

    target_ids: NDArray[np.int64]
    """(g,): constant over the video."""
    result_ids: NDArray[np.int64]
    """(d,)."""
    similarity: NDArray[np.float64]
    """(g, d) in 0..1."""

    @classmethod
    def of_overlap(cls, overlap: Overlap, things: NDArray[np.bool_]) -> Sightings:
        """The things of a panoptic frame; crowds of the target are not there to be found.

        Args:
            overlap: of the two maps.
            things: (C,): which classes are things.
        """
        target, result = overlap.target, overlap.result
        # What is listed without a pixel is not seen.
        rows = things[target.class_ids] & ~target.crowd & (overlap.pixels[1:].sum(1) > 0)
        columns = things[result.class_ids] & (result.areas > 0)
        shared = overlap.pixels[1:, 1:][np.ix_(rows, columns)]
        areas = overlap.pixels[1:].sum(1)[rows]
        return cls(
            target.ids[rows], result.ids[columns], _iou(shared, areas, result.areas[columns])
        )

    @classmethod
    def of_tracks(cls, results: Sequence[Track], targets: Sequence[Track], frame: int) -> Sightings:
        """One frame of tracks, numbered by their places; crowds are not there to be found."""
        masks = [None if track.crowd else track.rles[frame] for track in targets]
        found = [track.rles[frame] for track in results]
        areas, result_areas = areas_of(masks), areas_of(found)
        rows, columns = np.flatnonzero(areas), np.flatnonzero(result_areas)
        shared = intersections_of([masks[i] for i in rows], [found[i] for i in columns])
        return cls(rows, columns, _iou(shared, areas[rows], result_areas[columns]))


class TrackIdentity:
    """IDF1, ID switches and HOTA over all videos, whose frames are given to `update` in order.

    Of each frame only the table of similarities is kept, and only until its video ends.
    """

    def __init__(self) -> None:
        self._videos: Videos[list[Sightings], _Counts] = Videos(list, _count)

    def update(self, sightings: Sightings, *, video: str) -> None:
        """Count one frame.

        Args:
            sightings: what is seen in it.
            video: names the video; all its frames come in order before those of another.

        Raises:
            InputError: an id occurs twice in the frame, or the video was left before.
        """
        for ids in (sightings.target_ids, sightings.result_ids):
            if len(np.unique(ids)) < len(ids):
                raise InputError(f"a frame of the video {video!r} holds an id twice: {ids}")
        self._videos.at(video).append(sightings)

    def merge(self, other: TrackIdentity) -> None:
        """Add the videos of another one, after those so far."""
        self._videos.merge(other._videos)

    def figures(self) -> dict[str, Any]:
        """The figures so far, in percent; numbers as they are.

        Returns:
            `IDF1`, `IDP`, `IDR`: F1, precision and recall of the identities; `IDTP`, `IDFP`,
            `IDFN`; `ID_switches`, `fragments`; `HOTA`, `DetA`, `AssA`: detection, association and
            both, the mean over `ALPHAS`. All are 0 where there is nothing to find or nothing found.
        """
        counts = self._counts()
        detections, truths = counts.result_seen, counts.target_seen
        hits = counts.identity_hits
        either = counts.matched + counts.missed + counts.false
        detection = counts.matched / np.maximum(either, 1)  # (19,)
        association = self.association()
        return {
            "IDF1": 100 * 2 * hits / max(1, truths + detections),
            "IDP": 100 * hits / max(1, detections),
            "IDR": 100 * hits / max(1, truths),
            "IDTP": hits,
            "IDFP": detections - hits,
            "IDFN": truths - hits,
            "ID_switches": counts.switches,
            "fragments": counts.fragments,
            "HOTA": 100 * float(np.sqrt(detection * association).mean()),
            "DetA": 100 * float(detection.mean()),
            "AssA": 100 * float(association.mean()),
        }

    def association(self) -> NDArray[np.float64]:
        """AssA (19,) in 0..1, for each of `ALPHAS`."""
        counts = self._counts()
        return counts.association / np.maximum(counts.matched, 1)

    def _counts(self) -> _Counts:
        return sum(self._videos.all().values(), start=_Counts())


def _zeros() -> NDArray[np.float64]:
    return np.zeros(len(ALPHAS))


@dataclass(frozen=True, eq=False)
class _Counts:
    """Of any number of finished videos."""

    target_seen: int = 0
    """Pairs of a track of the target and a frame in which it is seen."""
    result_seen: int = 0
    identity_hits: int = 0
    """Frames in which a track of the target is seen with the one result that it is assigned."""
    switches: int = 0
    fragments: int = 0
    matched: NDArray[np.float64] = field(default_factory=_zeros)
    """(19,): detections of HOTA; likewise what is missed, and what is false."""
    missed: NDArray[np.float64] = field(default_factory=_zeros)
    false: NDArray[np.float64] = field(default_factory=_zeros)
    association: NDArray[np.float64] = field(default_factory=_zeros)
    """(19,): sum over the detections of how well their tracks belong together."""

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(
            self.target_seen + other.target_seen,
            self.result_seen + other.result_seen,
            self.identity_hits + other.identity_hits,
            self.switches + other.switches,
            self.fragments + other.fragments,
            self.matched + other.matched,
            self.missed + other.missed,
            self.false + other.false,
            self.association + other.association,
        )


@dataclass(frozen=True, eq=False)
class _Seen:
    """One frame with the tracks of its video numbered from 0."""

    rows: NDArray[np.intp]
    """(g,)."""
    columns: NDArray[np.intp]
    """(d,)."""
    similarity: NDArray[np.float64]
    """(g, d)."""


def _count(frames: Sequence[Sightings]) -> _Counts:
    """Everything about one video."""
    targets = np.unique(np.concatenate([np.zeros(0, np.int64), *(f.target_ids for f in frames)]))
    results = np.unique(np.concatenate([np.zeros(0, np.int64), *(f.result_ids for f in frames)]))
    seen = [
        _Seen(
            np.searchsorted(targets, frame.target_ids),
            np.searchsorted(results, frame.result_ids),
            frame.similarity,
        )
        for frame in frames
    ]
    lengths = _lengths([frame.rows for frame in seen], len(targets))
    result_lengths = _lengths([frame.columns for frame in seen], len(results))
    switches, fragments = _switches(seen, len(targets))
    matched, association = _hota(seen, lengths, result_lengths)
    return _Counts(
        target_seen=int(lengths.sum()),
        result_seen=int(result_lengths.sum()),
        identity_hits=_identity_hits(seen, (len(targets), len(results))),
        switches=switches,
        fragments=fragments,
        matched=matched,
        missed=lengths.sum() - matched,
        false=result_lengths.sum() - matched,
        association=association,
    )


def _lengths(places: Sequence[NDArray[np.intp]], count: int) -> NDArray[np.int64]:
    """In how many frames each track is seen."""
    return sum((np.bincount(p, minlength=count) for p in places), start=np.zeros(count, np.int64))


def _identity_hits(frames: Sequence[_Seen], shape: tuple[int, int]) -> int:
    """The frames in which tracks go together, in the one-to-one assignment that has the most."""
    together = np.zeros(shape, np.int64)
    for frame in frames:
        together[np.ix_(frame.rows, frame.columns)] += frame.similarity >= THRESHOLD
    rows, columns = linear_sum_assignment(-together)
    return int(together[rows, columns].sum())


def _switches(frames: Sequence[_Seen], targets: int) -> tuple[int, int]:
    """How often a track of the target goes on under another name, and how often after a gap."""
    last = np.full(targets, -1)  # the result that each track had when it was last matched
    before = np.full(targets, -1)  # … in the frame before, -1 for none
    beginnings = np.zeros(targets, np.int64)
    switches = 0
    for frame in frames:
        if not frame.rows.size or not frame.columns.size:
            continue  # nor is it the frame before the next one
        score = frame.similarity + _KEEP * (frame.columns == before[frame.rows][:, None])
        score[frame.similarity < THRESHOLD - _EPSILON] = 0
        rows, columns = linear_sum_assignment(-score)
        good = score[rows, columns] > _EPSILON
        tracks, names = frame.rows[rows[good]], frame.columns[columns[good]]
        switches += int(((last[tracks] >= 0) & (last[tracks] != names)).sum())
        beginnings[tracks] += before[tracks] < 0
        last[tracks] = names
        before[:] = -1
        before[tracks] = names
    return switches, int(np.maximum(beginnings - 1, 0).sum())


def _hota(
    frames: Sequence[_Seen], lengths: NDArray[np.int64], result_lengths: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Detections, and the sum of their associations, for each alpha."""
    alignment = _alignment(frames, lengths, result_lengths)
    pairs = np.zeros((len(ALPHAS), *alignment.shape))  # (19, G, D): frames in which both are one
    for frame in frames:
        own = np.ix_(frame.rows, frame.columns)
        rows, columns = linear_sum_assignment(-alignment[own] * frame.similarity)
        kept = frame.similarity[rows, columns] >= ALPHAS[:, None] - _EPSILON
        pairs[:, frame.rows[rows], frame.columns[columns]] += kept
    union = lengths[:, None] + result_lengths - pairs
    association = (pairs * pairs / np.maximum(union, 1)).sum((1, 2))
    return pairs.sum((1, 2)), association


def _alignment(
    frames: Sequence[_Seen], lengths: NDArray[np.int64], result_lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """J (G, D): how well each two tracks of the video go together, before any matching."""
    shared = np.zeros((len(lengths), len(result_lengths)))
    for frame in frames:
        s = frame.similarity
        rest = s.sum(0) + s.sum(1)[:, None] - s
        safe = np.where(rest > _EPSILON, rest, 1)
        shared[np.ix_(frame.rows, frame.columns)] += np.where(rest > _EPSILON, s / safe, 0)
    return shared / np.maximum(lengths[:, None] + result_lengths - shared, _EPSILON)


def _iou(
    shared: NDArray[np.int64], areas: NDArray[np.int64], result_areas: NDArray[np.int64]
) -> NDArray[np.float64]:
    return shared / np.maximum(areas[:, None] + result_areas - shared, 1)
