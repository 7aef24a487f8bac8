"""Panoptic segmentation: things and stuff, at most one segment per pixel.

See docs/model.md 4.3 and 4.6.

Images, frames and whole videos go through the same steps: choose the sure queries, let them share
out the pixels, accept those that get most of their mask, number them. A video adds up the areas of
all its frames before it accepts.

Letters: Q queries, C classes, K queries kept, H W image size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.decoder.propagation import State
from plainmask.pictures.geometry import Geometry
from plainmask.results import PanopticResult
from plainmask.results.segments import segments_of
from plainmask.tasks.queries import (
    class_probs,
    image_probs,
    new_best,
    require_one_window,
    undisturbed,
)
from plainmask.tasks.tracks import key_of, moment, numbered, numbers_of, shown
from plainmask.vocabulary import Vocabulary

Frames = Callable[[], Iterator[tuple[Predictions, Geometry, State]]]
"""Gives a video's frames, as often as it is called; with what the network left after each."""


@undisturbed
def panoptic(
    predictions: Predictions,
    geometry: Geometry,
    vocabulary: Vocabulary,
    *,
    score: float = 0.8,
    overlap: float = 0.8,
) -> PanopticResult:
    """Let the sure queries share out the pixels, and keep those that get most of their mask.

    Args:
        predictions: of one image: mask_logits (1, Q, mh, mw), class_logits (1, Q, C+1).
        geometry: how the image came into the model.
        vocabulary: the C classes; segments of one stuff class become one.
        score: queries whose class probability is not above this are left out.
        overlap: segments that get less than this share of their mask's area are left out.

    Raises:
        PlainmaskError: the network returned NaN or infinity.
        InputError: predictions, geometry and vocabulary do not belong together, or there are
            several windows.
    """
    kept = _choose(predictions, geometry, vocabulary, score)
    shares = _share_out(predictions, geometry, kept, early=False)
    accepted = shares.areas.accepted(overlap)
    none = np.zeros(predictions.mask_logits.shape[1] + len(vocabulary), np.int64)
    ids, _ = _number(accepted, kept, none, vocabulary)
    return _paint(shares, kept, ids, vocabulary)


@undisturbed
def panoptic_frame(
    predictions: Predictions,
    geometry: Geometry,
    vocabulary: Vocabulary,
    state: State,
    *,
    score: float = 0.8,
    overlap: float = 0.8,
) -> PanopticResult:
    """One frame of a video as it comes, judged by the areas in this frame only.

    Args:
        predictions: mask logits of this frame, class logits averaged over the frames so far.
        geometry, vocabulary, score, overlap: as in `panoptic`.
        state: what the network left after this frame, with the tracks of the frames before; a
            segment keeps the number that it was given there.

    Returns:
        The frame's result; its `state` has this frame's tracks, too.

    Raises:
        As `panoptic`.
    """
    kept = _choose(predictions, geometry, vocabulary, score)
    shares = _share_out(predictions, geometry, kept, early=True)
    accepted = shares.areas.accepted(overlap)
    ids, numbers = _number(accepted, kept, numbers_of(state), vocabulary)
    return _shown(_paint(shares, kept, ids, vocabulary), kept, ids, numbers, state)


def panoptic_video(
    frames: Frames,
    vocabulary: Vocabulary,
    *,
    score: float = 0.8,
    overlap: float = 0.8,
) -> Iterator[PanopticResult]:
    """A whole video by the published protocol, judged by the areas in all frames together.

    Args:
        frames: gives mask logits of each frame with class logits averaged over the whole video,
            the same in all frames, how the frame came into the model, and what the network left
            after it. Called twice.
        vocabulary, score, overlap: as in `panoptic`.

    Yields:
        The result of each frame; one number is one object in all of them.

    Raises:
        As `panoptic`.
    """
    kept: _Kept | None = None
    total: _Areas | None = None
    for predictions, geometry, _ in frames():
        kept = kept or _choose(predictions, geometry, vocabulary, score)
        areas = _share_out(predictions, geometry, kept, early=True).areas
        total = areas if total is None else total.plus(areas)
    told: State | None = None
    for predictions, geometry, left in frames():
        assert kept is not None
        assert total is not None
        state = left if told is None else left.with_tracks_of(told)
        ids, numbers = _number(total.accepted(overlap), kept, numbers_of(state), vocabulary)
        shares = _share_out(predictions, geometry, kept, early=True)
        painted = _paint(shares, kept, ids, vocabulary)
        result = _shown(painted, kept, ids, numbers, state)
        told = result.state
        yield result


class _Kept(NamedTuple):
    """The K queries that are sure of a class, in their order."""

    queries: Tensor
    scores: Tensor
    class_ids: list[int]


class _Areas(NamedTuple):
    """What K queries have of one frame, or of several together."""

    owned: NDArray[np.int64]
    """(K,): pixels that the query won."""
    within: NDArray[np.int64]
    """(K,): of these, pixels in its own mask."""
    masks: NDArray[np.int64]
    """(K,): pixels in its mask, won or not."""

    def plus(self, other: _Areas) -> _Areas:
        """Of both together."""
        return _Areas(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def accepted(self, overlap: float) -> NDArray[np.bool_]:
        """(K,): queries that own pixels of their mask, and at least this share of its area."""
        # Owned pixels count also where they are outside the mask, as published.
        return (self.within > 0) & (self.owned / np.maximum(self.masks, 1) >= overlap)


@dataclass(frozen=True)
class _Shares:
    """Which kept query owns each pixel."""

    owner: NDArray[np.int64]
    """(H, W): place of the query among the K kept ones."""
    inside: NDArray[np.bool_]
    """(H, W): the pixel is in the owner's own mask, too."""
    areas: _Areas


@undisturbed
def _choose(
    predictions: Predictions, geometry: Geometry, vocabulary: Vocabulary, score: float
) -> _Kept:
    """The queries whose class is not "no object" and more probable than `score`."""
    require_one_window(geometry, "panoptic")
    scores, classes = class_probs(predictions, geometry, vocabulary)[0].max(-1)
    queries = ((classes < len(vocabulary)) & (scores > score)).nonzero().flatten()
    return _Kept(queries, scores[queries], classes[queries].tolist())


@undisturbed
def _share_out(
    predictions: Predictions, geometry: Geometry, kept: _Kept, *, early: bool
) -> _Shares:
    """Each pixel to the kept query with the largest class score times mask probability."""
    best = kept.scores.new_full(geometry.image_size, -1)
    owner = torch.zeros_like(best, dtype=torch.int64)
    inside = torch.zeros_like(best, dtype=torch.bool)
    areas: list[Tensor] = [owner.new_zeros(0)]
    for part, probs in image_probs(predictions, geometry, kept.queries, early=early):
        first = sum(len(area) for area in areas)
        masks = probs >= 0.5
        areas.append(masks.flatten(1).sum(1))
        weighted = probs.mul_(kept.scores[first : first + len(part), None, None])
        best, better, place = new_best(best, weighted)
        owner = torch.where(better, first + place, owner)
        inside = torch.where(better, masks.gather(0, place[None])[0], inside)
    count = len(kept.queries)
    won, within = owner.cpu().numpy(), inside.cpu().numpy()
    totals = _Areas(
        np.bincount(won.ravel(), minlength=count)[:count],
        np.bincount(won[within], minlength=count)[:count],
        torch.cat(areas).cpu().numpy(),
    )
    return _Shares(won, within, totals)


def _number(
    accepted: NDArray[np.bool_], kept: _Kept, numbers: NDArray[np.int64], vocabulary: Vocabulary
) -> tuple[list[int], NDArray[np.int64]]:
    """Segment id of each kept query, 0 if it was not accepted; and the numbers (Q + C,) with these.

    Ids count up in the order of the queries; the queries of one stuff class share one.
    """
    keys = _keys(kept, len(numbers) - len(vocabulary), vocabulary)
    numbers = numbered(numbers, [key for key, keep in zip(keys, accepted, strict=True) if keep])
    ids = np.where(accepted, numbers[keys], 0) if keys else np.zeros(0, np.int64)
    return ids.tolist(), numbers


def _keys(kept: _Kept, num_queries: int, vocabulary: Vocabulary) -> list[int]:
    """The place of each kept query among the numbers."""
    return [
        key_of(query, class_id, num_queries, vocabulary)
        for query, class_id in zip(kept.queries.tolist(), kept.class_ids, strict=True)
    ]


def _paint(
    shares: _Shares, kept: _Kept, numbers: list[int], vocabulary: Vocabulary
) -> PanopticResult:
    """The segments that were accepted, each in the pixels of its mask that it won."""
    if not numbers:
        empty = np.zeros(shares.owner.shape, np.int32)
        return PanopticResult(empty, [], vocabulary)
    segment_map = np.where(shares.inside, np.array(numbers, np.int32)[shares.owner], np.int32(0))
    members: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        members.setdefault(number, []).append(place)

    def describe(number: int) -> tuple[int, float]:
        places = members[number]
        return kept.class_ids[places[0]], max(float(kept.scores[place]) for place in places)

    return PanopticResult(segment_map, segments_of(segment_map, describe, vocabulary), vocabulary)


def _shown(
    result: PanopticResult, kept: _Kept, ids: list[int], numbers: NDArray[np.int64], state: State
) -> PanopticResult:
    """The result with its place in the video."""
    num_queries = len(numbers) - len(result.vocabulary)
    key_of_id = dict(zip(ids, _keys(kept, num_queries, result.vocabulary), strict=True))
    shown_ids = [segment.id for segment in result.segments]
    keys = [key_of_id[number] for number in shown_ids]
    return replace(result, moment=moment(shown(state, keys, numbers), keys, shown_ids))
