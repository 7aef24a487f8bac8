"""The losses of set prediction, for every supervised layer (docs/model.md 6).

The frames of clips are images here: only how their targets find their queries differs, see
tracks.py.

Letters: B images, Q queries, N targets of an image, M matched pairs of the batch, P points,
C classes, h w mask resolution, H W crop resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.training.matching import Match, Wanted, assign_all, matching_cost
from plainmask.training.points import (
    NOBODY,
    Counts,
    Draw,
    Others,
    draw_each,
    draw_rows,
    sample,
    sample_masks,
)
from plainmask.training.samples.targets import Targets

CPU_PAIRS = 8
"""Pairs whose candidates are looked at together on a CPU."""


class LossConfig(BaseModel):
    """Weights and sampling; the defaults are the published ones (docs/model.md 6.5)."""

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
    models, whose loss of that layer was dropped by mistake (docs/model.md 9, quirk 1)."""
    dummy_class: bool = False
    """Clips: teach an object that is absent in the last frame as the last class, and match it as
    "no object", as the published code did for YouTube-VIS and OVIS (docs/model.md 9, quirk 3)."""

    @property
    def weights(self) -> tuple[float, float, float]:
        """Of masks, dice and classes."""
        return self.mask, self.dice, self.classes

    @property
    def num_uncertain(self) -> int:
        """Of the points of a pair, how many lie where its prediction is uncertain."""
        return int(self.importance * self.num_points)

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
    others: Others = NOBODY,
) -> dict[str, Tensor]:
    """Losses of all layers, unweighted, by name; `total_loss` weighs and sums them.

    Names are `loss_mask`, `loss_dice`, `loss_cross_entropy` (and `loss_semantic`), with the
    suffix `_block_-k` for the prediction before the k-th block from the end (docs/model.md 6.5).

    Everything random is drawn before anything is assigned, so that a GPU is waited for once.

    Args:
        layers: predictions of each supervised layer, first to last.
        targets: one per image, of one size.
        config: weights and sampling.
        draw: the source of random points; called per layer for the matching points of each image
            with targets, then for candidates and uniform points.
        find_matches: gives the pairs of each image from a layer's number and its predictions, the
            same number of pairs in all layers; None: each image by itself.
        others: processes that have the rest of the batch. The mean of all processes' losses is
            that of one with the whole batch, but for the semantic term.
    """
    wanted = Wanted.of(targets)
    matches: list[list[Match]] = []
    costs: list[Tensor] = []
    drawn: list[Drawn] = []
    asked = [
        layer
        for layer in enumerate(layers)
        if not (config.skip_before_last and layer[0] == len(layers) - 2)
    ]
    num_pairs = 0
    for index, layer in asked:
        if find_matches is None:
            costs += match_costs(layer, wanted, config, draw, others)
            num_pairs = sum(min(cost.shape) for cost in costs[-len(targets) :])
        else:
            matches.append(find_matches(index, layer))
            num_pairs = sum(len(queries) for queries, _ in matches[-1])
        drawn.append(draw_points(num_pairs, len(targets), config, draw, others))
    if find_matches is None:
        found = assign_all(costs)
        matches = [found[i : i + len(targets)] for i in range(0, len(found), len(targets))]
    all_pairs = others.before.pairs + num_pairs + others.after.pairs
    divisor = max(1, all_pairs) / others.processes
    num_queries = len(targets) * layers[0].class_logits.shape[1]
    weight = weight_of_classes(num_pairs, num_queries, config)
    mean_weight = weight_of_classes(all_pairs / others.processes, num_queries, config)
    share = weight / mean_weight if mean_weight else 1.0
    losses: dict[str, Tensor] = {}
    for (index, layer), pairs in zip(asked, matches, strict=True):
        below_last = len(layers) - 1 - index
        suffix = f"_block_-{below_last}" if below_last else ""
        terms = _layer_loss(layer, targets, wanted, pairs, config, drawn.pop(0), divisor)
        terms["cross_entropy"] *= share
        losses |= {f"loss_{name}{suffix}": value for name, value in terms.items()}
    return losses


def counts_of(num_targets: Sequence[int], num_queries: int) -> Counts:
    """What is drawn for images with so many targets each."""
    pairs = sum(min(count, num_queries) for count in num_targets)
    return Counts(len(num_targets), sum(count > 0 for count in num_targets), pairs)


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


def weight_of_classes(num_pairs: float, num_queries: int, config: LossConfig) -> float:
    """The sum of the weights in the class loss of so many queries, of which some are paired."""
    return num_pairs + config.no_object * (num_queries - num_pairs)


def match_costs(
    layer: Predictions,
    wanted: Wanted,
    config: LossConfig,
    draw: Draw,
    others: Others = NOBODY,
) -> list[Tensor]:
    """`match_cost` of B images, (Q, N) each; images without targets draw no points."""
    asked = counts_of(wanted.counts, layer.class_logits.shape[1]).asked
    row = (others.before.asked, asked, others.after.asked)
    points = iter(draw_each(draw, row, (1, config.num_points, 2)))
    return [
        match_cost(masks, classes, targets, labels, config, next(points))
        if len(labels)
        else classes.new_zeros(len(classes), 0)
        for masks, classes, (targets, labels) in zip(*layer, wanted, strict=True)
    ]


def match_cost(
    mask_logits: Tensor,
    class_logits: Tensor,
    masks: Tensor,
    labels: Tensor,
    config: LossConfig,
    points: Tensor,
) -> Tensor:
    """`matching_cost` of one image with the weights of the losses, at points (1, P, 2): (Q, N)."""
    return matching_cost(mask_logits, class_logits, masks, labels, points[0], config.weights)


class Drawn(NamedTuple):
    """The random points of one layer's losses, each (…, 2)."""

    candidates: Tensor | None
    """(M, oversample * P, 2), of which the most uncertain are taken; None: no process has pairs."""
    uniform: Tensor | None
    """(M, P - those, 2)."""
    semantic: Tensor | None
    """(B, P, 2); None without the semantic term."""


def draw_points(
    num_pairs: int, num_images: int, config: LossConfig, draw: Draw, others: Others = NOBODY
) -> Drawn:
    """Draw for one layer what does not depend on its predictions."""
    candidates = uniform = semantic = None
    pairs = (others.before.pairs, num_pairs, others.after.pairs)
    if sum(pairs):
        points = int(config.oversample * config.num_points)
        candidates = draw_rows(draw, pairs, (points, 2))
        uniform = draw_rows(draw, pairs, (config.num_points - config.num_uncertain, 2))
    if config.semantic:
        images = (others.before.images, num_images, others.after.images)
        semantic = draw_rows(draw, images, (config.num_points, 2))
    return Drawn(candidates, uniform, semantic)


def _layer_loss(
    layer: Predictions,
    targets: Sequence[Targets],
    wanted: Wanted,
    matches: Sequence[Match],
    config: LossConfig,
    drawn: Drawn,
    divisor: float,
) -> dict[str, Tensor]:
    num_queries = layer.class_logits.shape[1]
    places = torch.cat([image * num_queries + q for image, (q, _) in enumerate(matches)])
    rows = wanted.rows(matches)
    mask, dice = mask_losses(layer, wanted.masks, places, rows, config, drawn)
    losses = {
        "mask": mask / divisor if len(rows) else mask,
        "dice": dice / divisor if len(rows) else dice,
        "cross_entropy": class_loss(layer, places, wanted.labels[rows], config.no_object),
    }
    if drawn.semantic is not None:
        losses["semantic"] = semantic_loss(layer, targets, drawn.semantic)
    return losses


def mask_losses(
    layer: Predictions,
    masks: Tensor,
    places: Tensor,
    rows: Tensor,
    config: LossConfig,
    drawn: Drawn,
) -> tuple[Tensor, Tensor]:
    """Binary cross entropy and dice at uncertain and uniform points, summed over the pairs.

    See docs/model.md 6.3.

    Args:
        layer: predictions of B images.
        masks: of all targets, see `Wanted`.
        places: (M,) number of each pair's query among the B * Q.
        rows: (M,) its target among `masks`.
        config, drawn: what to sample.
    """
    if drawn.candidates is None or drawn.uniform is None or not len(rows):  # still differentiable
        nothing = layer.mask_logits.sum() * 0
        return nothing, nothing
    logits = layer.mask_logits.flatten(0, 1).index_select(0, places).float()  # (M, h, w)
    with torch.no_grad():
        uncertain = uncertain_points(logits, drawn.candidates, config.num_uncertain)
        points = torch.cat([uncertain, drawn.uniform], dim=1)
        t = sample_masks(masks, rows, points)  # (M, P)
    x = sample(logits[:, None], points)[:, 0]
    bce = F.binary_cross_entropy_with_logits(x, t, reduction="none").mean(1)
    s = x.sigmoid()
    dice = 1 - (2 * (s * t).sum(1) + 1) / (s.sum(1) + t.sum(1) + 1)
    return bce.sum(), dice.sum()


def uncertain_points(logits: Tensor, candidates: Tensor, count: int) -> Tensor:
    """The candidates (M, K, 2) with the smallest |logit|, in any order: (M, count, 2)."""
    # A CPU takes a few pairs at a time, which its caches hold.
    size = CPU_PAIRS if logits.device.type == "cpu" else len(logits)
    parts: list[Tensor] = []
    for maps, points in zip(logits.split(size), candidates.split(size), strict=True):
        certainty = sample(maps[:, None], points)[:, 0].abs_()
        # Coordinates as pairs of numbers, which are moved together.
        parts.append(torch.view_as_complex(points).gather(1, smallest(certainty, count)))
    return torch.view_as_real(torch.cat(parts))


def smallest(values: Tensor, count: int) -> Tensor:
    """Indices of the `count` smallest of each row (M, K), in any order: (M, count) int64."""
    if values.device.type != "cpu" or count == values.shape[1]:
        return values.topk(count, dim=1, largest=False, sorted=False).indices
    # A third of the time of topk there.
    return torch.from_numpy(np.argpartition(values.numpy(), count, axis=1))[:, :count]


def class_loss(layer: Predictions, places: Tensor, labels: Tensor, no_object: float) -> Tensor:
    """Weighted cross entropy over all queries; unmatched ones are "no object" (docs/model.md 6.4).

    Args:
        layer: predictions of B images.
        places: (M,) number of each pair's query among the B * Q.
        labels: (M,) of its target.
        no_object: weight of "no object".
    """
    logits = layer.class_logits.float().flatten(0, 1)
    num_classes = logits.shape[1] - 1
    wanted = torch.full((len(logits),), num_classes, device=logits.device)
    wanted[places] = labels
    weight = torch.ones(num_classes + 1, device=logits.device)
    weight[-1] = no_object
    return F.cross_entropy(logits, wanted, weight)


def semantic_loss(layer: Predictions, targets: Sequence[Targets], points: Tensor) -> Tensor:
    """Cross entropy and dice of the semantic map itself, at points (B, P, 2) of labelled pixels.

    The score of class c at a point is `sum_q sigmoid(mask_q) * softmax(class_q)[c]`, as in
    semantic inference (docs/model.md 4.1), made a distribution by dividing by its sum over c. Both
    terms ask all queries together for what mIoU measures: cross entropy for every point, dice (over
    all points of the batch, mean over the classes that occur) for rare classes as much as for
    common ones. Void pixels are left out, which the mask losses count as background. Small runs
    converge in far fewer steps with it.
    """
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
