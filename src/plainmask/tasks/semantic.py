"""Semantic segmentation: one class per pixel (docs/model.md 4.1 and 4.4).

Letters: N windows, Q queries, C classes, h w model size, H W image size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.decoder.propagation import State
from plainmask.pictures.geometry import Geometry
from plainmask.results import SemanticResult
from plainmask.tasks.class_scores import Best, best_class
from plainmask.tasks.queries import CHUNK, class_probs, new_best, undisturbed
from plainmask.tasks.tracks import moment, shown
from plainmask.vocabulary import Vocabulary


@undisturbed
def semantic(
    predictions: Predictions,
    geometry: Geometry,
    vocabulary: Vocabulary,
    state: State | None = None,
) -> SemanticResult:
    """Give each pixel the class that its queries speak for most.

    A class's score in a pixel is the sum over queries of mask probability times class probability.

    Args:
        predictions: of the N windows of one image: mask_logits (N, Q, mh, mw), class_logits
            (N, Q, C+1), of a frame of a video averaged over the frames so far, or over the whole
            video (published).
        geometry: how the image came into the model.
        vocabulary: the C classes.
        state: of a frame (docs/model.md 4.4): what the network left after it, with the tracks of
            the frames before; the result's `state` has this frame's tracks, too. None: an image.

    Raises:
        PlainmaskError: the network returned NaN or infinity.
        InputError: predictions, geometry and vocabulary do not belong together.
    """
    probs = class_probs(predictions, geometry, vocabulary)[..., :-1]
    find = best_class if probs.device.type == "cpu" else _best_of_whole_maps
    labels, best, total = find(predictions.mask_logits, probs, geometry)
    # Where queries do not even see one whole thing, a large share of little is not sure.
    share = best / total.clamp_min(1)
    result = SemanticResult(
        labels.cpu().numpy(), vocabulary, share.clamp(0, 1).cpu().numpy().astype(np.float32)
    )
    if state is None:
        return result
    present = np.unique(result.label_map).tolist()
    first = state.ages.shape[1] - len(vocabulary)  # every class is one segment, things too
    keys = [first + class_id for class_id in present]
    ids = [class_id + 1 for class_id in present]
    return replace(result, moment=moment(shown(state, keys), keys, ids))


def _best_of_whole_maps(mask_logits: Tensor, probs: Tensor, geometry: Geometry) -> Best:
    """What `best_class` gives, for a GPU: with score maps of all classes."""
    scores = geometry.stitch(_window_scores(mask_logits, probs, geometry))
    best = scores.new_full(geometry.image_size, -1)
    labels = torch.zeros_like(best, dtype=torch.int16)
    # A few classes at a time: all of them at the image's size could fill the memory.
    for first in range(0, len(scores), CHUNK):
        best, better, place = new_best(best, geometry.to_image(scores[first : first + CHUNK]))
        labels = torch.where(better, (first + place).to(labels.dtype), labels)
    # Resizing is linear, so the sum over classes can be resized instead of summing resized scores.
    return Best(labels, best, geometry.to_image(scores.sum(0, keepdim=True))[0])


def _window_scores(mask_logits: Tensor, probs: Tensor, geometry: Geometry) -> Iterator[Tensor]:
    """Class scores (C, h, w) of one window after the other."""
    for logits, given in zip(mask_logits, probs, strict=True):
        masks = geometry.upsample(logits[None])[0].sigmoid_()
        yield torch.einsum("qhw,qc->chw", masks, given)
