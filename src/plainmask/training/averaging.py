"""A second set of weights: the running mean of those that a run went through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of a model whose weights follow it slowly; call `update_parameters` after each step.

    After step n the mean moves by 1 - d towards the model, d the smaller of `decay` and
    (1 + n) / (10 + n): at first it stays close, so that the weights which a run began with do not
    weigh on it. Statistics of batch norms are averaged, too.

    Args:
        model: stays as it is.
        decay: 0..1; about 1 / (1 - decay) steps are looked back on.
    """

    @torch.no_grad()
    def move(means: Any, values: Any, steps: Tensor | int) -> None:
        share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        if not means[0].is_floating_point():  # how many batches a norm has seen
            for mean, value in zip(means, values, strict=True):
                mean.copy_(value)
            return
        for mean, value in zip(means, values, strict=True):
            mean.lerp_(value, share)

    return AveragedModel(model, multi_avg_fn=move, use_buffers=True)
