"""Matching and losses against recorded cases (golden image_loss_*)."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from goldens import golden, relative_error
from plainmask.data.augment import Targets
from plainmask.decoder import Predictions
from plainmask.training.loss import LossConfig, match, semantic_loss, set_loss, total_loss
from plainmask.training.matching import assign, matching_cost
from plainmask.training.points import uniform_points

CONFIG = LossConfig(num_points=192)
LOSS = 1e-5
GRADIENT = 1e-6
CASES = {
    "normal": 3,
    "many_queries": 1,
    "more_targets_than_queries": 1,
    "one_image_empty": 2,
    "all_empty": 2,
    "extreme": 1,
}


def targets_of(case: dict[str, Tensor]) -> list[Targets]:
    found = []
    while f"target.labels.{len(found)}" in case:
        index = len(found)
        masks = case[f"target.masks.{index}"].bool()
        valid = torch.ones(masks.shape[-2:], dtype=torch.bool)
        found.append(Targets(case[f"target.labels.{index}"], masks, valid))
    return found


def layers_of(case: dict[str, Tensor], count: int, *, grad: bool = False) -> list[Predictions]:
    return [
        Predictions(
            case[f"mask_logits.{i}"].clone().requires_grad_(grad),
            case[f"class_logits.{i}"].clone().requires_grad_(grad),
        )
        for i in range(count)
    ]


def recorded_draws(case: dict[str, Tensor], count: int) -> Callable[[tuple[int, ...]], Tensor]:
    """The recorded points in the order in which set_loss asks for them."""
    queue: list[Tensor] = []
    for layer in range(count):
        prefix = f"layer{layer}."
        images = len(targets_of(case))
        queue += [
            case[f"{prefix}match_points.{b}"][None]
            for b in range(images)
            if len(case[f"target.labels.{b}"])
        ]
        queue += [
            case[prefix + k] for k in ("candidate_points", "uniform_points") if prefix + k in case
        ]
    queue = [points for points in queue if len(points)]

    def draw(shape: tuple[int, ...]) -> Tensor:
        points = queue.pop(0)
        assert points.shape == shape
        return points

    return draw


@pytest.mark.parametrize(("name", "count"), CASES.items())
def test_losses_and_gradients_equal_published(name: str, count: int):
    case = golden(f"image_loss_{name}")
    layers = layers_of(case, count, grad=True)
    losses = set_loss(layers, targets_of(case), CONFIG, recorded_draws(case, count))
    total = total_loss(losses, CONFIG)
    total.backward()
    for layer in range(count):
        suffix = "" if layer == count - 1 else f"_block_-{count - 1 - layer}"
        for kind in ("mask", "dice", "cross_entropy"):
            expected = case[f"layer{layer}.loss_{kind}"]
            assert relative_error(losses[f"loss_{kind}{suffix}"], expected) < LOSS
        for kind in ("mask_logits", "class_logits"):
            gradient = getattr(layers[layer], kind).grad
            assert relative_error(gradient, case[f"grad.{kind}.{layer}"]) < GRADIENT
    assert relative_error(total, case["loss_total"]) < LOSS


@pytest.mark.parametrize(("name", "count"), [*CASES.items(), ("nonfinite", 1)])
def test_matching_equals_published(name: str, count: int):
    case = golden(f"image_loss_{name}")
    for layer, predictions in enumerate(layers_of(case, count)):
        for image, target in enumerate(targets_of(case)):
            if not len(target.labels):
                continue
            cost = matching_cost(
                predictions.mask_logits[image],
                predictions.class_logits[image],
                target.masks,
                target.labels,
                case[f"layer{layer}.match_points.{image}"],
                mask_weight=5.0,
                dice_weight=5.0,
                class_weight=2.0,
            )
            expected = case[f"layer{layer}.cost.{image}"]
            torch.testing.assert_close(cost, expected, rtol=1e-6, atol=1e-4)
            relative_error(cost, expected)
            queries, chosen = assign(cost)
            assert queries.tolist() == case[f"layer{layer}.match_query.{image}"].tolist()
            assert chosen.tolist() == case[f"layer{layer}.match_target.{image}"].tolist()


def perfect(labels: list[int], masks: Tensor, num_classes: int) -> Predictions:
    logits = torch.full((1, len(labels), num_classes + 1), -10.0)
    logits[0, range(len(labels)), labels] = 10.0
    return Predictions((masks.float() * 20 - 10)[None], logits)


def test_semantic_loss_is_small_only_where_the_map_is_right():
    masks = torch.zeros(2, 16, 16, dtype=torch.bool)
    masks[0, :, :8] = True
    masks[1, :, 8:] = True
    target = [Targets(torch.tensor([3, 1]), masks, torch.ones(16, 16, dtype=torch.bool))]
    draw = uniform_points(torch.device("cpu"))
    right = semantic_loss(perfect([3, 1], masks, 5), target, draw, 256)
    wrong = semantic_loss(perfect([1, 3], masks, 5), target, draw, 256)
    assert right < 0.2 < 2 < wrong


def test_semantic_loss_leaves_void_out():
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[0, :8] = True  # the lower half is void
    target = [Targets(torch.tensor([0]), masks, masks[0])]
    everywhere = perfect([0], torch.ones(1, 16, 16, dtype=torch.bool), 2)
    assert semantic_loss(everywhere, target, uniform_points(torch.device("cpu")), 256) < 0.01


def test_no_target_at_all_is_differentiable():
    empty = Targets(
        torch.empty(0, dtype=torch.long),
        torch.empty(0, 32, 32, dtype=torch.bool),
        torch.zeros(32, 32, dtype=torch.bool),
    )
    layer = Predictions(torch.randn(1, 4, 8, 8, requires_grad=True), torch.randn(1, 4, 3))
    config = LossConfig(num_points=64, semantic=1.0)
    losses = set_loss([layer], [empty], config, uniform_points(torch.device("cpu")))
    total_loss(losses, config).backward()
    assert layer.mask_logits.grad is not None
    assert losses["loss_mask"].item() == 0


def test_every_target_is_matched_once():
    layer = Predictions(torch.randn(2, 9, 8, 8), torch.randn(2, 9, 4))
    masks = torch.rand(5, 32, 32) > 0.5
    target = Targets(torch.randint(0, 3, (5,)), masks, torch.ones(32, 32, dtype=torch.bool))
    for queries, chosen in match(
        layer, [target, target], CONFIG, uniform_points(torch.device("cpu"))
    ):
        assert sorted(chosen.tolist()) == list(range(5))
        assert queries.tolist() == sorted(set(queries.tolist()))
