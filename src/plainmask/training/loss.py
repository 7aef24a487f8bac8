"""The losses of set prediction, for every supervised layer (SPEC 5 and 14.3).

The frames of clips are images here: only how their targets find their queries differs, see
tracks.py.

Letters: B images, Q queries, N targets of an image, M matched pairs of the batch, P points,
C classes, h w mask resolution, H W crop resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from plainmask.data.targets import Targets
from plainmask.decoder import Predictions
from plainmask.training.matching import Match, assign, draw_match_points, matching_cost
from plainmask.training.points import Draw, sample


class LossConfig(BaseModel):
    """Weights and sampling; the defaults are the published ones (SPEC 5.4)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mask: float = 5.0
    dice: float = 5.0
    classes: float = 2.0
    no_object: float = 0.1
    """Class weight of "no object"."""
    num_points: int = Field(default=12544, gt=0)
    oversample: float = 3.0
    importance: float = Field(default=0.75, ge=0, le=1)
    semantic: float = 0.0
    """Weight of the semantic term (`semantic_loss`); not in PMT, for semantic heads only."""
    skip_before_last: bool = False
    """Ask nothing of the prediction before the last block: what became of the published video
    models, whose loss of that layer was dropped by mistake (SPEC 17.1)."""
    dummy_class: bool = False
    """Clips: teach an object that is absent in the last frame as the last class, and match it as
    "no object", as the published code did for YouTube-VIS and OVIS (SPEC 17.3)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.oversample < self.importance:
            raise ValueError(
                f"oversample {self.oversample} must be at least importance {self.importance}"
            )
        return self


def set_loss(
    layers: Sequence[Predictions],
    targets: Sequence[Targets],
    config: LossConfig,
    draw: Draw,
    find_matches: Callable[[int, Predictions], list[Match]] | None = None,
) -> dict[str, Tensor]:
    """Losses of all layers, unweighted, by name; `total_loss` weighs and sums them.

    Names are `loss_mask`, `loss_dice`, `loss_cross_entropy` (and `loss_semantic`), with the
    suffix `_block_-k` for the prediction before the k-th block from the end (SPEC 5.4).

    Args:
        layers: predictions of each supervised layer, first to last.
        targets: one per image.
        config: weights and sampling.
        draw: the source of random points; called per layer for the matching points of each image
            with targets, then for candidates and uniform points.
        find_matches: gives the pairs of each image from a layer's number and its predictions;
            None: each image by itself.
    """
    losses: dict[str, Tensor] = {}
    for index, layer in enumerate(layers):
        below_last = len(layers) - 1 - index
        if below_last == 1 and config.skip_before_last:
            continue
        suffix = f"_block_-{below_last}" if below_last else ""
        if find_matches is None:
            matches = match(layer, targets, config, draw)
        else:
            matches = find_matches(index, layer)
        for name, value in _layer_loss(layer, targets, matches, config, draw).items():
            losses[f"loss_{name}{suffix}"] = value
    return losses


def total_loss(losses: dict[str, Tensor], config: LossConfig) -> Tensor:
    """Weighted sum over all terms and layers."""
    weights = {
        "mask": config.mask,
        "dice": config.dice,
        "cross_entropy": config.classes,
        "semantic": config.semantic,
    }
    parts = [weights[k.removeprefix("loss_").split("_block_")[0]] * v for k, v in losses.items()]
    return torch.stack(parts).sum()


def _layer_loss(
    layer: Predictions,
    targets: Sequence[Targets],
    matches: Sequence[Match],
    config: LossConfig,
    draw: Draw,
) -> dict[str, Tensor]:
    mask, dice = mask_losses(layer, targets, matches, config, draw)
    losses = {
        "mask": mask,
        "dice": dice,
        "cross_entropy": class_loss(layer, targets, matches, config.no_object),
    }
    if config.semantic:
        losses["semantic"] = semantic_loss(layer, targets, draw, config.num_points)
    return losses


def match(
    layer: Predictions, targets: Sequence[Targets], config: LossConfig, draw: Draw
) -> list[Match]:
    """The assignment of each image of the batch."""
    matches: list[Match] = []
    for masks, classes, target in zip(layer.mask_logits, layer.class_logits, targets, strict=True):
        if len(target.labels) == 0:
            none = torch.empty(0, dtype=torch.long, device=masks.device)
            matches.append((none, none))
            continue
        cost = match_cost(masks, classes, target.masks, target.labels, config, draw)
        matches.append(assign(cost))
    return matches


def match_cost(
    mask_logits: Tensor,
    class_logits: Tensor,
    masks: Tensor,
    labels: Tensor,
    config: LossConfig,
    draw: Draw,
) -> Tensor:
    """`matching_cost` of one image with the weights of the losses, at fresh points: (Q, N)."""
    return matching_cost(
        mask_logits,
        class_logits,
        masks,
        labels,
        draw_match_points(draw, config.num_points),
        mask_weight=config.mask,
        dice_weight=config.dice,
        class_weight=config.classes,
    )


def mask_losses(
    layer: Predictions,
    targets: Sequence[Targets],
    matches: Sequence[Match],
    config: LossConfig,
    draw: Draw,
) -> tuple[Tensor, Tensor]:
    """Binary cross entropy and dice of all matched pairs at uncertain and uniform points (5.2)."""
    logits = torch.cat([m[q] for m, (q, _) in zip(layer.mask_logits, matches, strict=True)])
    masks = torch.cat([t.masks[n] for t, (_, n) in zip(targets, matches, strict=True)])
    if len(logits) == 0:  # still differentiable
        nothing = layer.mask_logits.sum() * 0
        return nothing, nothing
    logits, masks = logits.float()[:, None], masks.float()[:, None]  # (M, 1, h, w), (M, 1, H, W)
    with torch.no_grad():
        points = uncertain_points(logits, config, draw)
        t = sample(masks, points)[:, 0]  # (M, P)
    x = sample(logits, points)[:, 0]
    bce = F.binary_cross_entropy_with_logits(x, t, reduction="none").mean(1)
    s = x.sigmoid()
    dice = 1 - (2 * (s * t).sum(1) + 1) / (s.sum(1) + t.sum(1) + 1)
    return bce.mean(), dice.mean()


def uncertain_points(logits: Tensor, config: LossConfig, draw: Draw) -> Tensor:
    """(M, P, 2): the candidates with the smallest |logit| first, then fresh uniform points."""
    num_pairs, num_points = len(logits), config.num_points
    num_uncertain = int(config.importance * num_points)
    candidates = draw((num_pairs, int(config.oversample * num_points), 2))
    certainty = sample(logits, candidates)[:, 0].abs()
    chosen = certainty.topk(num_uncertain, dim=1, largest=False).indices
    uncertain = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    uniform = draw((num_pairs, num_points - num_uncertain, 2))
    return torch.cat([uncertain, uniform], dim=1)


def class_loss(
    layer: Predictions, targets: Sequence[Targets], matches: Sequence[Match], no_object: float
) -> Tensor:
    """Weighted cross entropy over all queries; unmatched ones are "no object" (5.3)."""
    logits = layer.class_logits.float()
    num_classes = logits.shape[-1] - 1
    wanted = torch.full(logits.shape[:2], num_classes, device=logits.device)
    for image, (target, (queries, chosen)) in enumerate(zip(targets, matches, strict=True)):
        wanted[image, queries] = target.labels[chosen]
    weight = torch.ones(num_classes + 1, device=logits.device)
    weight[-1] = no_object
    return F.cross_entropy(logits.transpose(1, 2), wanted, weight)


def semantic_loss(
    layer: Predictions, targets: Sequence[Targets], draw: Draw, num_points: int
) -> Tensor:
    """Cross entropy and dice of the semantic map itself, at uniform points of labelled pixels.

    The score of class c at a point is `sum_q sigmoid(mask_q) * softmax(class_q)[c]`, as in
    semantic inference (SPEC 7.1), made a distribution by dividing by its sum over c. Both terms
    ask all queries together for what mIoU measures: cross entropy for every point, dice (over all
    points of the batch, mean over the classes that occur) for rare classes as much as for common
    ones. Void pixels are left out, which the mask losses count as background. Small runs converge
    in far fewer steps with it.
    """
    points = draw((len(targets), num_points, 2))
    masks = sample(layer.mask_logits.float(), points).sigmoid()  # (B, Q, P)
    classes = layer.class_logits.float().softmax(-1)[..., :-1]  # (B, Q, C)
    scores = torch.einsum("bqp,bqc->bpc", masks, classes) + 1e-6
    wanted = torch.stack([_labels_at(t, p) for t, p in zip(targets, points, strict=True)])
    labelled = wanted >= 0
    probs = (scores / scores.sum(-1, keepdim=True))[labelled]  # (L, C)
    labels = wanted[labelled]
    if len(labels) == 0:
        return scores.sum() * 0
    one_hot = F.one_hot(labels, probs.shape[-1])
    overlap = (probs * one_hot).sum(0)
    dice = 1 - (2 * overlap + 1) / (probs.sum(0) + one_hot.sum(0) + 1)
    return F.nll_loss(probs.log(), labels) + dice[one_hot.any(0)].mean()


def _labels_at(target: Targets, points: Tensor) -> Tensor:
    """Class of the pixel under each point (P, 2), -1 where it has none."""
    height, width = target.valid.shape
    x = (points[:, 0] * width).long().clamp(max=width - 1)
    y = (points[:, 1] * height).long().clamp(max=height - 1)
    labels = torch.full_like(x, -1)
    inside = target.masks[:, y, x]  # (N, P)
    if len(inside):
        found, index = inside.max(0)
        labels = torch.where(found, target.labels[index], labels)
    return labels
