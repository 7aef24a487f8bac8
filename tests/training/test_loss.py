"""Matching and losses against recorded cases (golden image_loss_*)."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from goldens import golden, relative_error
from plainmask.decoder.decoder import Predictions
from plainmask.training.loss import (
    LossConfig,
    counts_of,
    match_costs,
    semantic_loss,
    set_loss,
    total_loss,
)
from plainmask.training.matching import Wanted, assign, assign_all, matching_cost
from plainmask.training.points import (
    Draw,
    Others,
    corners,
    sample,
    sample_masks,
    sample_pixels,
    uniform_points,
)
from plainmask.training.samples.augment import Targets

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
                corners([target.masks]),
                target.labels,
                case[f"layer{layer}.match_points.{image}"],
                CONFIG.weights,
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
    points = torch.rand(1, 256, 2)
    right = semantic_loss(perfect([3, 1], masks, 5), target, points)
    wrong = semantic_loss(perfect([1, 3], masks, 5), target, points)
    assert right < 0.2 < 2 < wrong


def test_semantic_loss_leaves_void_out():
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[0, :8] = True  # the lower half is void
    target = [Targets(torch.tensor([0]), masks, masks[0])]
    everywhere = perfect([0], torch.ones(1, 16, 16, dtype=torch.bool), 2)
    assert semantic_loss(everywhere, target, torch.rand(1, 256, 2)) < 0.01


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
    wanted = Wanted.of([target, target])
    draw = uniform_points(torch.device("cpu"))
    matches = assign_all(match_costs(layer, wanted, CONFIG, draw))
    for queries, chosen in matches:
        assert sorted(chosen.tolist()) == list(range(5))
        assert queries.tolist() == sorted(set(queries.tolist()))
    assert wanted.rows(matches).tolist() == [
        *matches[0][1].tolist(),
        *(matches[1][1] + 5).tolist(),
    ]


def test_many_maps_at_the_same_points_are_sampled_as_one_is():
    maps = torch.randn(7, 9, 13)
    points = torch.rand(500, 2)
    points[:4] = torch.tensor([[0, 0], [1, 1], [1, 0], [0.5, 1]]) * (1 - 1e-7)  # the edges
    found = sample_pixels(maps.flatten(1).t(), 9, points).t()
    torch.testing.assert_close(found, sample(maps[None], points[None])[0], rtol=0, atol=1e-5)


def test_masks_read_as_bytes_are_sampled_as_maps_are():
    masks = torch.rand(5, 17, 23) > 0.5
    points = torch.rand(3, 500, 2)
    points[0, :4] = torch.tensor([[0, 0], [1, 1], [1, 0], [0.5, 1]]) * (1 - 1e-7)  # the edges
    rows = torch.tensor([4, 0, 2])
    expected = sample(masks[rows].float()[:, None], points)[:, 0]
    found = sample_masks(corners([masks[:2], masks[2:]]), rows, points)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("semantic", [0.0, 1.0])
def test_losses_of_parts_of_a_batch_have_the_mean_that_the_whole_has(semantic: float):
    """Also where a part has no targets, or none has; but for the semantic term."""
    random = torch.Generator().manual_seed(0)
    masks = torch.rand(3, 40, 48, generator=random) > 0.5
    valid = torch.ones(40, 48, dtype=torch.bool)
    labels = torch.tensor([4, 0, 2])
    config = LossConfig(num_points=64, semantic=semantic)
    for numbers in ((3, 1, 0, 0), (0, 2, 1, 3), (0, 0, 0, 1), (0, 0, 0, 0)):
        targets = [Targets(labels[:n], masks[:n], valid) for n in numbers]
        layers = [
            Predictions(
                torch.randn(4, 5, 10, 12, generator=random), torch.randn(4, 5, 7, generator=random)
            )
            for _ in range(2)
        ]
        whole = set_loss(layers, targets, config, seeded(0))
        for size in (1, 2):
            parts: list[dict[str, Tensor]] = []
            for first in range(0, 4, size):
                before = counts_of(numbers[:first], 5)
                after = counts_of(numbers[first + size :], 5)
                own = slice(first, first + size)
                mine = [Predictions(*(part[own] for part in layer)) for layer in layers]
                others = Others(before, after, 4 // size)
                parts.append(set_loss(mine, targets[own], config, seeded(0), others=others))
            for name, value in whole.items():
                if "semantic" not in name:
                    mean = torch.stack([part[name] for part in parts]).mean()
                    torch.testing.assert_close(mean, value, rtol=1e-5, atol=1e-7)


def seeded(seed: int) -> Draw:
    return uniform_points(torch.device("cpu"), torch.Generator().manual_seed(seed))
