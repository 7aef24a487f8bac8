"""The decoder against recorded cases of the published implementation (golden dinov3, bn_train)."""

import pytest
import torch
from torch import Tensor

from goldens import below, golden, relative_error
from plainmask.decoder.decoder import (
    DecoderConfig,
    PlainMaskDecoder,
    dot_products,
    published_stages,
)
from plainmask.decoder.official import IGNORED, RENAMED
from plainmask.encoder.layouts import stack_qkv, translate
from plainmask.encoder.vit import Features
from plainmask.encoder.weights import load_strictly

CONFIG = DecoderConfig(
    width=48, heads=3, num_queries=10, num_classes=7, num_blocks=4, ffn_hidden=48, upscale_stages=2
)
MODEL = 2e-5  # of the largest entry of each tensor, at least 1
GRADIENT = 1e-4


def published(state: dict[str, Tensor], stages: int = 2) -> PlainMaskDecoder:
    ours, unknown = translate(state, RENAMED, IGNORED)
    assert not unknown
    stack_qkv(ours, key_bias=False)
    config = CONFIG.model_copy(update={"upscale_stages": stages})
    kept = {k: v for k, v in ours.items() if stages == 2 or "upscale.1." not in k}
    decoder = PlainMaskDecoder(config)
    load_strictly(decoder, kept, "decoder")
    return decoder


def recorded_features(case: dict[str, Tensor], grid: tuple[int, int], prefix: int) -> Features:
    return Features(tuple(case[f"tap_norm.{i}"] for i in range(4)), grid, prefix)


CASES = [
    ("dinov3", "sq", (6, 6), 2),
    ("dinov3", "ns", (4, 7), 2),
    ("dinov2_reg4", "p16sq", (6, 6), 2),
    ("dinov2_reg4", "p16ns", (4, 7), 2),
    ("dinov2_reg4", "p14sq", (7, 7), 1),
]


@pytest.mark.parametrize(("file", "name", "grid", "stages"), CASES)
def test_equals_published(file: str, name: str, grid: tuple[int, int], stages: int):
    state = golden(file)
    case = below(state, f"{name}.")
    decoder = published(below(state, "network."), stages).eval()
    features = recorded_features(case, grid, 5)
    with torch.no_grad():
        assert relative_error(decoder.fuse(features), case["lateral_sum"]) < MODEL
        last = decoder(features)
        layers = decoder.every_layer(features, masked=True)
    assert relative_error(last.mask_logits, case["unmasked.mask_logits"]) < MODEL
    assert relative_error(last.class_logits, case["unmasked.class_logits"]) < MODEL
    assert len(layers) == 5
    for index, layer in enumerate(layers):
        assert relative_error(layer.mask_logits, case[f"masked.mask_logits.{index}"]) < MODEL
        assert relative_error(layer.class_logits, case[f"masked.class_logits.{index}"]) < MODEL


@pytest.mark.parametrize(("name", "grid"), [("sq", (6, 6)), ("ns", (4, 7))])
def test_annealed_equals_published(name: str, grid: tuple[int, int]):
    state = golden("dinov3")
    case = below(state, f"{name}.")
    decoder = published(below(state, "network.")).eval()
    decoder.mask_probs.copy_(case["annealed.attn_mask_probs"])
    draws = [case.get(f"annealed.rand.{i}") for i in range(4)]
    with torch.no_grad():
        layers = decoder.every_layer(recorded_features(case, grid, 5), masked=True, draws=draws)
    for index, layer in enumerate(layers):
        assert relative_error(layer.mask_logits, case[f"annealed.mask_logits.{index}"]) < MODEL
        assert relative_error(layer.class_logits, case[f"annealed.class_logits.{index}"]) < MODEL


def test_laterals_equal_published():
    state = golden("dinov3")
    case = below(state, "sq.")
    decoder = published(below(state, "network.")).eval()
    for index, lateral in enumerate(decoder.laterals):
        tap = case[f"tap_norm.{index}"]
        with torch.no_grad():
            normed, projected = lateral.norm(tap.flatten(0, 1)).view_as(tap), lateral(tap)
        assert relative_error(normed, case[f"tap_bn.{index}"]) < MODEL
        assert relative_error(projected, case[f"lateral.{index}"]) < MODEL


def test_training_step_equals_published():
    case = golden("bn_train")
    decoder = published(below(case, "before.network.")).train()
    layers = decoder.every_layer(recorded_features(case, (4, 7), 5), masked=True)
    loss = torch.zeros(())
    for index, layer in enumerate(layers):
        assert relative_error(layer.mask_logits, case[f"mask_logits.{index}"]) < MODEL
        assert relative_error(layer.class_logits, case[f"class_logits.{index}"]) < MODEL
        loss = loss + (layer.mask_logits * case[f"loss_weight.mask.{index}"]).mean()
        loss = loss + (layer.class_logits * case[f"loss_weight.class.{index}"]).mean()
    loss.backward()
    assert relative_error(loss.detach(), case["loss"]) < MODEL

    expected, _ = translate(below(case, "grad.network."), RENAMED, IGNORED)
    stack_qkv(expected, key_bias=False)
    found = {name: p.grad for name, p in decoder.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert relative_error(found[name], gradient, at_least=1e-3) < GRADIENT, name

    after, _ = translate(below(case, "after.network."), RENAMED, IGNORED)
    buffers = dict(decoder.named_buffers())
    for name, value in after.items():
        assert relative_error(buffers[name], value) < MODEL, name


def test_one_model_serves_two_grids():
    decoder = PlainMaskDecoder(CONFIG).eval()
    for grid in [(3, 5), (6, 2)]:
        tokens = torch.randn(2, 1 + grid[0] * grid[1], 48)
        predictions = decoder(Features((tokens,) * 4, grid, 1))
        assert predictions.mask_logits.shape == (2, 10, 4 * grid[0], 4 * grid[1])
        assert predictions.class_logits.shape == (2, 10, 8)


def test_published_stages_by_patch_size():
    assert {p: published_stages(p) for p in (8, 14, 16, 32)} == {8: 1, 14: 1, 16: 2, 32: 3}


@pytest.mark.parametrize("lateral", ["mlp", "linear", "identity"])
@pytest.mark.parametrize("residual", [True, False])
def test_lateral_options(lateral: str, residual: bool):
    config = CONFIG.model_copy(
        update={"lateral": lateral, "residual_laterals": residual, "lateral_norm": False}
    )
    decoder = PlainMaskDecoder(config)
    tokens = torch.randn(1, 13, 48)
    assert decoder.fuse(Features((tokens,) * 4, (3, 4), 1)).shape == tokens.shape


def test_width_that_does_not_split_is_refused():
    with pytest.raises(ValueError, match="does not split into 5 heads"):
        DecoderConfig(width=48, heads=5, num_classes=2, ffn_hidden=48, upscale_stages=1)


@pytest.mark.parametrize("batch", [1, 3])
def test_masks_in_bfloat16_are_the_same_products(batch: int):
    generator = torch.Generator().manual_seed(batch)
    queries = torch.randn(batch, 5, 48, generator=generator).bfloat16()
    pixels = torch.randn(batch, 4, 6, 48, generator=generator).bfloat16()
    wanted = torch.einsum("bqd,byxd->bqyx", queries.double(), pixels.double())
    found = dot_products(queries, pixels)
    assert found.is_contiguous()
    assert relative_error(found.double(), wanted) < 2**-8
