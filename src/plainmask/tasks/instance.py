"""Instance segmentation: objects with masks and scores, which may overlap (SPEC 7.3).

Letters: Q queries, C classes, K instances, H W image size.
"""

from __future__ import annotations

import numpy as np
import torch

from plainmask.decoder import Predictions
from plainmask.geometry import Geometry
from plainmask.results import InstanceResult
from plainmask.rle import Rle
from plainmask.tasks.queries import class_probs, image_masks, require_one_window
from plainmask.vocabulary import Vocabulary


@torch.inference_mode()
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
    require_one_window(geometry, "instance")
    probs = class_probs(predictions, geometry, vocabulary)[0, :, :-1]
    # Stable: of equal probabilities the lower query, then the lower class comes first.
    ranked, flat = probs.flatten().sort(descending=True, stable=True)
    class_scores, flat = ranked[:top_k], flat[:top_k]
    queries = flat.div(len(vocabulary), rounding_mode="floor")
    unique, which = queries.unique(return_inverse=True)

    rles: list[Rle] = []
    certainties: list[torch.Tensor] = []
    for _, logits in image_masks(predictions, geometry, unique):
        masks = logits > 0
        inside = (logits.sigmoid_() * masks).flatten(1).sum(1)
        certainties.append(inside / (masks.flatten(1).sum(1) + 1e-6))
        rles.extend(Rle.encode(mask) for mask in masks.cpu().numpy())
    scores = class_scores * torch.cat(certainties)[which]
    return InstanceResult(
        geometry.image_size,
        tuple(rles[index] for index in which.tolist()),
        flat.remainder(len(vocabulary)).cpu().numpy(),
        scores.cpu().numpy().astype(np.float32),
        vocabulary,
    )
