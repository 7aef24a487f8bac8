"""Instance segmentation: objects with masks and scores, which may overlap.

See docs/model.md 4.2 and 4.5.

Letters: Q queries, C classes, K instances, H W image size.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.decoder.propagation import State
from plainmask.pictures.geometry import Geometry
from plainmask.results import InstanceResult
from plainmask.results.rle import Rle
from plainmask.tasks.queries import class_probs, image_masks, require_one_window, undisturbed
from plainmask.tasks.tracks import moment, shown
from plainmask.vocabulary import Vocabulary


@undisturbed
def instance(
    predictions: Predictions, geometry: Geometry, vocabulary: Vocabulary, *, top_k: int = 100
) -> InstanceResult:
    """Take the `top_k` most probable pairs of query and class, most probable first.

    All queries and classes compete, so a query may appear several times. An instance's mask is
    where its logit is positive; its score is the class probability times the mean mask probability
    inside. Instances with an empty mask stay, with score 0.

    Args:
        predictions: of one image: mask_logits (1, Q, mh, mw), class_logits (1, Q, C+1).
        geometry: how the image came into the model.
        vocabulary: the C classes.
        top_k: most instances to return.

    Raises:
        PlainmaskError: the network returned NaN or infinity.
        InputError: predictions, geometry and vocabulary do not belong together, or there are
            several windows.
    """
    best = _best_pairs(predictions, geometry, vocabulary, top_k)
    unique, which = best.queries.unique(return_inverse=True)
    rles: list[Rle] = []
    certainties: list[Tensor] = []
    for _, logits in image_masks(predictions, geometry, unique):
        masks = logits > 0
        inside = (logits.sigmoid_() * masks).flatten(1).sum(1)
        certainties.append(inside / (masks.flatten(1).sum(1) + 1e-6))
        rles.extend(Rle.encode(mask) for mask in masks.cpu().numpy())
    scores = best.scores * torch.cat(certainties)[which]
    return _result(best._replace(scores=scores), [rles[i] for i in which], geometry, vocabulary)


@undisturbed
def instance_frame(
    predictions: Predictions,
    geometry: Geometry,
    vocabulary: Vocabulary,
    state: State,
    *,
    top_k: int = 10,
) -> InstanceResult:
    """One frame of a video: the `top_k` most probable pairs of query and class (docs/model.md 4.5).

    A query is one object through the whole video, so its index is the track's id. A score is the
    class probability alone; masks may be empty, where the object is hidden or gone.

    Args:
        predictions: mask logits of this frame; class logits averaged over the frames so far, or
            over the whole video (published).
        geometry, vocabulary, top_k: as in `instance`.
        state: what the network left after this frame, with the tracks of the frames before.

    Returns:
        The frame's result; its `state` has this frame's tracks, too.

    Raises:
        As `instance`.
    """
    best = _best_pairs(predictions, geometry, vocabulary, top_k)
    unique, which = best.queries.unique(return_inverse=True)
    rles: list[Rle] = []
    for _, logits in image_masks(predictions, geometry, unique):
        rles.extend(Rle.encode(mask) for mask in (logits > 0).cpu().numpy())
    visible = [query for query, rle in zip(unique.tolist(), rles, strict=True) if rle.area]
    ids = best.queries.tolist()
    result = _result(best, [rles[i] for i in which], geometry, vocabulary)
    return replace(result, moment=moment(shown(state, visible), ids, ids))


class _Pairs(NamedTuple):
    """K pairs of query and class, the most probable first."""

    scores: Tensor
    queries: Tensor
    class_ids: Tensor


def _best_pairs(
    predictions: Predictions, geometry: Geometry, vocabulary: Vocabulary, top_k: int
) -> _Pairs:
    require_one_window(geometry, "instance")
    probs = class_probs(predictions, geometry, vocabulary)[0, :, :-1]
    # Stable: of equal probabilities the lower query, then the lower class comes first.
    ranked, flat = probs.flatten().sort(descending=True, stable=True)
    flat = flat[:top_k]
    queries = flat.div(len(vocabulary), rounding_mode="floor")
    return _Pairs(ranked[:top_k], queries, flat.remainder(len(vocabulary)))


def _result(
    pairs: _Pairs, rles: list[Rle], geometry: Geometry, vocabulary: Vocabulary
) -> InstanceResult:
    return InstanceResult(
        geometry.image_size,
        tuple(rles),
        pairs.class_ids.cpu().numpy(),
        pairs.scores.cpu().numpy().astype(np.float32),
        vocabulary,
    )
