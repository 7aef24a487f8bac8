"""Instance segmentation: objects with masks and scores, which may overlap.

See docs/model.md 4.2 and 4.5.

Letters: Q queries, C classes, K instances, H W image size.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.decoder.propagation import State
from plainmask.pictures.geometry import Geometry
from plainmask.results import InstanceResult
from plainmask.results.rle import Rle
from plainmask.tasks.cutouts import cut_out
from plainmask.tasks.queries import class_probs, image_masks, require_one_window, undisturbed
from plainmask.tasks.thresholds import PUBLISHED, Thresholds
from plainmask.tasks.tracks import base_of, moment, shown
from plainmask.vocabulary import Vocabulary


@undisturbed
def instance(
    predictions: Predictions,
    geometry: Geometry,
    vocabulary: Vocabulary,
    thresholds: Thresholds = PUBLISHED,
    state: State | None = None,
) -> InstanceResult:
    """Take the `top_k` most probable pairs of query and class, most probable first.

    All queries and classes compete, so a query may appear several times. An instance's mask is
    where its logit is positive.

    In an image its score is the class probability times the mean mask probability inside; instances
    with an empty mask stay, with score 0. In a video a query is one object from the first frame to
    the last, and its index the track's id; a score is the class probability alone, and masks may be
    empty, where the object is hidden or gone.

    Args:
        predictions: of one image or frame: mask_logits (1, Q, mh, mw), class_logits (1, Q, C+1), of
            a frame averaged over the frames so far, or over the whole video (published).
        geometry: how the image came into the model.
        vocabulary: the C classes.
        thresholds: `top_k` is the most candidates, `confident` the least score of what is sure.
        state: of a frame (docs/model.md 4.5): what the network left after it, with the tracks of
            the frames before; the result's `state` has this frame's tracks, too. None: an image.

    Returns:
        What is sure by `thresholds.confident` and seen; all pairs are its `candidates`.

    Raises:
        PlainmaskError: the network returned NaN or infinity.
        InputError: predictions, geometry and vocabulary do not belong together, or there are
            several windows.
    """
    scores, queries, class_ids = _best_pairs(predictions, geometry, vocabulary, thresholds.top_k)
    unique, which = queries.unique(return_inverse=True)
    rles, certainties = _masks(predictions, geometry, unique)
    if state is None:
        scores = scores * certainties[which]
    result = InstanceResult(
        geometry.image_size,
        tuple(rles[place] for place in which),
        class_ids.cpu().numpy(),
        scores.cpu().numpy().astype(np.float32),
        vocabulary,
        thresholds.confident,
    )
    if state is None:
        return result.sure()
    visible = [query for query, rle in zip(unique.tolist(), rles, strict=True) if rle.area]
    keys, base = queries.tolist(), base_of(state)
    ids = [base + key for key in keys]
    return replace(result, moment=moment(shown(state, visible), keys, ids)).sure()


def _masks(
    predictions: Predictions, geometry: Geometry, queries: Tensor
) -> tuple[list[Rle], Tensor]:
    """The masks of K queries in the image, and (K,) the mean probability inside each."""
    if predictions.mask_logits.device.type == "cpu":
        rles, certainties = cut_out(predictions.mask_logits[0, queries].float(), geometry)
        return rles, torch.tensor(certainties)
    rles: list[Rle] = []
    means = [torch.empty(0, device=queries.device)]
    for _, logits in image_masks(predictions, geometry, queries):
        masks = logits > 0
        inside = (logits.sigmoid_() * masks).flatten(1).sum(1)
        means.append(inside / (masks.flatten(1).sum(1) + 1e-6))
        rles.extend(Rle.encode(mask) for mask in masks.cpu().numpy())
    return rles, torch.cat(means)


def _best_pairs(
    predictions: Predictions, geometry: Geometry, vocabulary: Vocabulary, top_k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities, queries and class ids of the K most probable pairs, the surest first."""
    require_one_window(geometry, "instance")
    return best_pairs(class_probs(predictions, geometry, vocabulary)[0], top_k)


def best_pairs(probs: Tensor, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same of class probabilities (Q, C+1)."""
    probs = probs[:, :-1]
    # Stable: of equal probabilities the lower query, then the lower class comes first.
    ranked, flat = probs.flatten().sort(descending=True, stable=True)
    flat = flat[:top_k]
    queries = flat.div(probs.shape[1], rounding_mode="floor")
    return ranked[:top_k], queries, flat.remainder(probs.shape[1])
