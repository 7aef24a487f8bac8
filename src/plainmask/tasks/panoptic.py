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
from plainmask.tasks.contest import share_out
from plainmask.tasks.queries import (
    class_probs,
    image_probs,
    new_best,
    require_one_window,
    undisturbed,
)
from plainmask.tasks.thresholds import PUBLISHED, Thresholds
from plainmask.tasks.tracks import base_of, key_of, moment, numbered, numbers_of, shown
from plainmask.vocabulary import Vocabulary

Frames = Callable[[], Iterator[tuple[Predictions, Geometry, State]]]
"""Gives a video's frames, as often as it is called; with what the network left after each."""


@undisturbed
def panoptic(
    predictions: Predictions,
    geometry: Geometry,
    vocabulary: Vocabulary,
    thresholds: Thresholds = PUBLISHED,
    state: State | None = None,
    areas: Areas | None = None,
) -> PanopticResult:
    """Let the sure queries share out the pixels, and keep those that get most of their mask.

    Args:
        predictions: of one image or frame: mask_logits (1, Q, mh, mw), class_logits (1, Q, C+1), of
            a frame averaged over the frames so far, or over the whole video (published).
        geometry: how the image came into the model.
        vocabulary: the C classes; segments of one stuff class become one.
        thresholds: queries whose class probability is not above `score`, and segments that get less
            than `overlap` of their mask's area, are left out.
        state: of a frame (docs/model.md 4.6): what the network left after it, with the tracks of
            the frames before. A segment keeps the number that it was given there, and the result's
            `state` has this frame's tracks, too. None: an image.
        areas: of a whole video, whose frames have one mean of class logits: what decides which
            segments get enough of their mask; None: the areas in this frame alone.

    Raises:
        PlainmaskError: the network returned NaN or infinity.
        InputError: predictions, geometry and vocabulary do not belong together, or there are
            several windows.
    """
    kept = _choose(predictions, geometry, vocabulary, thresholds.score)
    shares = _share_out(predictions, geometry, kept, early=state is not None)
    accepted = (shares.areas if areas is None else areas).accepted(thresholds.overlap)
    num_queries = predictions.mask_logits.shape[1]
    none = np.zeros(num_queries + len(vocabulary), np.int64)
    keys = [
        key_of(query, class_id, num_queries, vocabulary)
        for query, class_id in zip(kept.queries.tolist(), kept.class_ids, strict=True)
    ]
    # Numbers count up in the order of the queries; the queries of one stuff class share one.
    numbers = numbered(
        none if state is None else numbers_of(state),
        [key for key, keep in zip(keys, accepted, strict=True) if keep],
        0 if state is None else base_of(state),
    )
    ids = np.where(accepted, numbers[np.array(keys, np.int64)], 0).tolist()
    result = _paint(shares, kept, ids, vocabulary)
    if state is None:
        return result
    key_of_id = dict(zip(ids, keys, strict=True))
    shown_ids = [segment.id for segment in result.segments]
    shown_keys = [key_of_id[number] for number in shown_ids]
    after = shown(state, shown_keys, numbers)
    return replace(result, moment=moment(after, shown_keys, shown_ids))


def video_areas(frames: Frames, vocabulary: Vocabulary, thresholds: Thresholds) -> Areas | None:
    """What the sure queries have of all frames of a video together, by which each frame is judged.

    Args:
        frames: gives mask logits of each frame with class logits averaged over the whole video,
            the same in all frames, and how the frame came into the model.
        vocabulary, thresholds: as in `panoptic`.

    Returns:
        The sums; None of no frames.

    Raises:
        As `panoptic`.
    """
    total: Areas | None = None
    for predictions, geometry, _ in frames():
        kept = _choose(predictions, geometry, vocabulary, thresholds.score)
        areas = _share_out(predictions, geometry, kept, early=True).areas
        total = areas if total is None else total.plus(areas)
    return total


def sure_of_a_class(probs: Tensor, score: float) -> Tensor:
    """Where the class is not "no object" and more probable than `score`: (..., C+1) -> (...)."""
    scores, classes = probs.max(-1)
    return (classes < probs.shape[-1] - 1) & (scores > score)


class _Kept(NamedTuple):
    """The K queries that are sure of a class, in their order."""

    queries: Tensor
    scores: Tensor
    class_ids: list[int]


class Areas(NamedTuple):
    """What K queries have of one frame, or of several together."""

    owned: NDArray[np.int64]
    """(K,): pixels that the query won."""
    within: NDArray[np.int64]
    """(K,): of these, pixels in its own mask."""
    masks: NDArray[np.int64]
    """(K,): pixels in its mask, won or not."""

    def plus(self, other: Areas) -> Areas:
        """Of both together."""
        return Areas(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def accepted(self, overlap: float) -> NDArray[np.bool_]:
        """(K,): queries that own pixels of their mask, and at least this share of its area."""
        # Owned pixels count also where they are outside the mask, as published.
        return (self.within > 0) & (self.owned / np.maximum(self.masks, 1) >= overlap)


@dataclass(frozen=True)
class _Shares:
    """Which kept query owns each pixel."""

    owner: NDArray[np.int16]
    """(H, W): place of the query among the K kept ones."""
    inside: NDArray[np.bool_]
    """(H, W): the pixel is in the owner's own mask, too."""
    areas: Areas


@undisturbed
def _choose(
    predictions: Predictions, geometry: Geometry, vocabulary: Vocabulary, score: float
) -> _Kept:
    """The queries whose class is not "no object" and more probable than `score`."""
    require_one_window(geometry, "panoptic")
    probs = class_probs(predictions, geometry, vocabulary)[0]
    scores, classes = probs.max(-1)
    queries = sure_of_a_class(probs, score).nonzero().flatten()
    return _Kept(queries, scores[queries], classes[queries].tolist())


@undisturbed
def _share_out(
    predictions: Predictions, geometry: Geometry, kept: _Kept, *, early: bool
) -> _Shares:
    """Each pixel to the kept query with the largest class score times mask probability."""
    if len(kept.queries) and predictions.mask_logits.device.type == "cpu":
        logits = predictions.mask_logits[0, kept.queries].float()
        owner, inside, masks = share_out(logits, kept.scores, geometry, early=early)
    else:
        owner, inside, masks = _share_out_at_once(predictions, geometry, kept, early=early)
    count = len(kept.queries)
    won, within = owner.cpu().numpy(), inside.cpu().numpy()
    pixels = np.bincount((2 * won + within).ravel(), minlength=2 * count)[: 2 * count]
    outside, inside_too = pixels.reshape(count, 2).T
    totals = Areas(outside + inside_too, inside_too, masks.cpu().numpy())
    return _Shares(won, within, totals)


def _share_out_at_once(
    predictions: Predictions, geometry: Geometry, kept: _Kept, *, early: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What `contest.share_out` gives, for a GPU: a few whole maps of the image's size at a time."""
    best = kept.scores.new_full(geometry.image_size, -1)
    owner = torch.zeros_like(best, dtype=torch.int16)
    inside = torch.zeros_like(best, dtype=torch.bool)
    areas: list[Tensor] = [owner.new_zeros(0, dtype=torch.int64)]
    for part, probs in image_probs(predictions, geometry, kept.queries, early=early):
        first = sum(len(area) for area in areas)
        masks = probs >= 0.5
        areas.append(masks.flatten(1).sum(1))
        weighted = probs.mul_(kept.scores[first : first + len(part), None, None])
        best, better, place = new_best(best, weighted)
        owner = torch.where(better, (first + place).to(owner.dtype), owner)
        inside = torch.where(better, masks.gather(0, place[None])[0], inside)
    return owner, inside, torch.cat(areas)


def _paint(
    shares: _Shares, kept: _Kept, numbers: list[int], vocabulary: Vocabulary
) -> PanopticResult:
    """The segments that were accepted, each in the pixels of its mask that it won."""
    if not numbers:
        empty = np.zeros(shares.owner.shape, np.int32)
        return PanopticResult(empty, [], vocabulary)
    segment_map = np.array(numbers, np.int32)[shares.owner] * shares.inside
    members: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        members.setdefault(number, []).append(place)

    def describe(number: int) -> tuple[int, float]:
        places = members[number]
        return kept.class_ids[places[0]], max(float(kept.scores[place]) for place in places)

    return PanopticResult(segment_map, segments_of(segment_map, describe, vocabulary), vocabulary)
