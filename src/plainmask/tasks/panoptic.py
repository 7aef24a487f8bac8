"""Panoptic segmentation: things and stuff, at most one segment per pixel (SPEC 7.4).

Letters: Q queries, C classes, K queries kept, H W image size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plainmask.decoder import Predictions
from plainmask.geometry import Geometry
from plainmask.results import PanopticResult
from plainmask.segments import segments_of
from plainmask.tasks.queries import class_probs, image_masks, new_best, require_one_window
from plainmask.vocabulary import Vocabulary


@torch.inference_mode()
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
    require_one_window(geometry, "panoptic")
    class_scores, classes = class_probs(predictions, geometry, vocabulary)[0].max(-1)
    kept = ((classes < len(vocabulary)) & (class_scores > score)).nonzero().flatten()
    if not len(kept):
        return PanopticResult(np.zeros(geometry.image_size, np.int32), [], vocabulary)
    scores, class_ids = class_scores[kept], classes[kept].tolist()
    shares = _share_out(predictions, geometry, kept, scores)
    numbers = _number(shares.accepted(overlap), class_ids, vocabulary)

    segment_map = np.where(shares.inside, np.array(numbers, np.int32)[shares.owner], np.int32(0))
    members: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        members.setdefault(number, []).append(place)

    def describe(number: int) -> tuple[int, float]:
        places = members[number]
        return class_ids[places[0]], max(float(scores[place]) for place in places)

    return PanopticResult(segment_map, segments_of(segment_map, describe, vocabulary), vocabulary)


@dataclass(frozen=True)
class _Shares:
    """Which kept query owns each pixel."""

    owner: NDArray[np.int64]
    """(H, W): place of the query among the K kept ones."""
    inside: NDArray[np.bool_]
    """(H, W): the pixel is in the owner's own mask, too."""
    mask_areas: NDArray[np.int64]
    """(K,): pixels in each query's mask, owned or not."""

    def accepted(self, overlap: float) -> NDArray[np.bool_]:
        """(K,): queries that own pixels of their mask, and at least this share of its area."""
        count = len(self.mask_areas)
        owned = np.bincount(self.owner.ravel(), minlength=count)
        within = np.bincount(self.owner[self.inside], minlength=count)
        # Owned pixels count also where they are outside the mask, as published.
        return (within > 0) & (owned / np.maximum(self.mask_areas, 1) >= overlap)


def _share_out(
    predictions: Predictions, geometry: Geometry, kept: Tensor, scores: Tensor
) -> _Shares:
    """Each pixel to the kept query (K,) with the largest class score times mask probability."""
    best = scores.new_full(geometry.image_size, -1)
    owner = torch.zeros_like(best, dtype=torch.int64)
    inside = torch.zeros_like(best, dtype=torch.bool)
    areas: list[Tensor] = []
    for part, logits in image_masks(predictions, geometry, kept):
        first = sum(len(area) for area in areas)
        probs = logits.sigmoid_()
        masks = probs >= 0.5
        areas.append(masks.flatten(1).sum(1))
        weighted = probs.mul_(scores[first : first + len(part), None, None])
        best, better, place = new_best(best, weighted)
        owner = torch.where(better, first + place, owner)
        inside = torch.where(better, masks.gather(0, place[None])[0], inside)
    return _Shares(owner.cpu().numpy(), inside.cpu().numpy(), torch.cat(areas).cpu().numpy())


def _number(accepted: NDArray[np.bool_], class_ids: list[int], vocabulary: Vocabulary) -> list[int]:
    """Segment id of each kept query, from 1 in their order; 0 if it was not accepted.

    Queries of one stuff class share an id.
    """
    numbers: list[int] = []
    stuff: dict[int, int] = {}
    count = 0
    for keep, class_id in zip(accepted.tolist(), class_ids, strict=True):
        if not keep:
            numbers.append(0)
        elif class_id in stuff:
            numbers.append(stuff[class_id])
        else:
            count += 1
            numbers.append(count)
            if not vocabulary.classes[class_id].thing:
                stuff[class_id] = count
    return numbers
