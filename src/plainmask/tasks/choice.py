"""Which queries can be in the result of an image, as their classes say: others need no mask.

Letters: B images, Q queries, C classes, K queries chosen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plainmask.decoder.decoder import Choice
from plainmask.results.task import Task
from plainmask.tasks.instance import best_pairs
from plainmask.tasks.panoptic import sure_of_a_class
from plainmask.tasks.thresholds import Thresholds


def choice_of(task: Task, thresholds: Thresholds) -> Choice | None:
    """What chooses the queries of images; None: the task needs all.

    Results of what is chosen, class logits and masks, are those of all queries. A batch has the
    queries that any of its images needs; there is always one, and the one that is not finite.
    """
    if task == "semantic":
        return None

    def choose(class_logits: Tensor) -> Tensor:
        with torch.autocast(class_logits.device.type, enabled=False):
            probs = class_logits.float().softmax(-1)  # (B, Q, C+1)
        wanted = ~probs.isfinite().all(-1)  # the task complains of it
        wanted[:, 0] = True
        if task == "panoptic":
            wanted |= sure_of_a_class(probs, thresholds.score)
        else:
            for image, own in zip(probs, wanted, strict=True):
                own[best_pairs(image, thresholds.top_k)[1]] = True
        return wanted.any(0).nonzero().flatten()

    return choose
