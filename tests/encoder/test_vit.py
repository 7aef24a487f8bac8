"""The encoder against recorded cases and against transformers' own models."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

import pytest
import torch
import transformers
from torch import Tensor

from goldens import below, golden, relative_error
from plainmask.encoder.layouts import read_state
from plainmask.encoder.positions import (
    TableResize,
    resample_patch_kernel,
    resize_by_products,
    resize_table,
)
from plainmask.encoder.presets import find_preset
from plainmask.encoder.releases import PRESETS
from plainmask.encoder.rope import KEPT_GRIDS, rope_tables
from plainmask.encoder.vit import Encoder, EncoderConfig
from plainmask.encoder.weights import load_encoder
from plainmask.errors import InputError

MODEL = 2e-5  # of the largest entry of each tensor, at least 1


def encoder_of(state: Mapping[str, Tensor], heads: int, **kwargs: object) -> Encoder:
    return load_encoder(state, num_heads=heads, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["sq", "ns"])
def test_dinov3_equals_published(name: str):
    state = golden("dinov3")
    case = below(state, f"{name}.")
    encoder = encoder_of(below(state, "encoder."), 3, taps=(1, 2, 4, 5))
    tokens, grid = encoder.embed(case["image_uint8"])
    assert relative_error(tokens, case["tokens_in"]) < MODEL
    cos, sin = rope_tables(grid, 16, device=tokens.device)
    assert relative_error(cos, case["rope_cos"]) < MODEL
    assert relative_error(sin, case["rope_sin"]) < MODEL
    features = encoder(case["image_uint8"])
    assert (features.grid, features.prefix) == (grid, 5)
    for index, tap in enumerate(features.taps):
        assert relative_error(tap, case[f"tap_norm.{index}"]) < MODEL


@pytest.mark.parametrize(("name", "patch"), [("p16sq", 16), ("p16ns", 16), ("p14sq", None)])
def test_timm_dinov2_with_registers_equals_published(name: str, patch: int | None):
    state = golden("dinov2_reg4")
    case = below(state, f"{name}.")
    encoder = encoder_of(below(state, "encoder."), 3, taps=(1, 2, 4, 5), patch_size=patch)
    assert encoder.config.table_antialias
    if patch:
        assert relative_error(encoder.patch.weight, case["patch_weight_resampled"]) < MODEL
    assert relative_error(encoder.embed(case["image_uint8"])[0], case["tokens_in"]) < MODEL
    for index, tap in enumerate(encoder(case["image_uint8"]).taps):
        assert relative_error(tap, case[f"tap_norm.{index}"]) < MODEL


@pytest.mark.parametrize(
    ("kind", "name"),
    [("base", "sq"), ("base", "ns"), ("swiglu", "sq"), ("withreg", "sq"), ("withreg", "ns")],
)
def test_hugging_face_dinov2_equals_published(kind: str, name: str):
    state = below(golden("dinov2"), f"{kind}.")
    case = below(state, f"{name}.")
    depth = sum(key.startswith("hidden_norm.") for key in case)
    encoder = encoder_of(below(state, "encoder."), 3, taps=tuple(range(depth)))
    assert encoder.config.table_antialias == (kind == "withreg")
    assert relative_error(encoder.embed(case["image_uint8"])[0], case["tokens_in"]) < MODEL
    for index, tap in enumerate(encoder(case["image_uint8"]).taps):
        assert relative_error(tap, case[f"hidden_norm.{index}"]) < MODEL


@pytest.mark.parametrize("kind", ["mlp", "swiglu", "swiglu64_nobias"])
def test_meta_dinov3_equals_published(kind: str):
    state = below(golden("dinov3_meta"), f"{kind}.")
    for name in ("sq", "ns"):
        case = below(state, f"{name}.")
        if not case:
            continue
        depth = sum(key.startswith("hidden_norm.") for key in case)
        encoder = encoder_of(below(state, "encoder."), 3, taps=tuple(range(depth)))
        for index, tap in enumerate(encoder(case["image_uint8"]).taps):
            assert relative_error(tap, case[f"hidden_norm.{index}"]) < MODEL


def test_rope_augmentation_equals_published():
    state = golden("dinov2_reg4")
    scale = float(state["rope_train.log_scale_draw"].exp())
    cos, sin = rope_tables((6, 6), 16, device=torch.device("cpu"), scale=scale)
    assert relative_error(cos, state["rope_train.cos"]) < MODEL
    assert relative_error(sin, state["rope_train.sin"]) < MODEL


GRIDS = [(1, 3), (20, 9), (37, 37), (40, 40), (4, 7), (6, 6), (7, 7)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize(
    ("rule", "antialias", "first"),
    [
        ("timm_noprefix", True, 0),
        ("timm_prefix1", True, 1),
        ("hf_dinov2", False, 1),
        ("hf_dinov2_withreg", True, 1),
    ],
)
def test_position_tables_equal_published(
    rule: str, antialias: bool, first: int, grid: tuple[int, int]
):
    state = golden("resample")
    expected = state[f"{rule}.{grid[0]}x{grid[1]}"][0, first:]
    for resize in (resize_table, resize_by_products):
        resized = resize(state["pos37"][0], (37, 37), grid, antialias=antialias)
        assert relative_error(resized, expected) < 1e-5


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("resize", get_args(TableResize))
def test_products_resize_tables_by_every_rule(resize: TableResize, antialias: bool):
    old = (9, 9) if resize == "square" else (9, 12)
    table = torch.randn(old[0] * old[1], 8, generator=torch.Generator().manual_seed(0))
    for grid in ((1, 1), old, (5, 31), (12, 12), (40, 3), (64, 64)):
        expected = resize_table(table, old, grid, antialias=antialias, resize=resize)
        found = resize_by_products(table, old, grid, antialias=antialias, resize=resize)
        assert relative_error(found, expected) < 1e-5


def test_tables_are_kept_for_some_grids_and_made_anew_where_weights_change():
    config = EncoderConfig(
        width=8,
        depth=1,
        heads=1,
        ffn_hidden=8,
        registers=0,
        patch_size=4,
        positions="table",
        table_grid=(3, 3),
        norm_eps=1e-6,
        taps=(0,),
    )
    torch.manual_seed(0)
    encoder = Encoder(config)
    assert encoder.positions is not None
    pixels = torch.zeros(1, 3, 8, 20, dtype=torch.uint8)
    with torch.inference_mode():
        before, _ = encoder.embed(pixels)
        for width in range(4, 4 * KEPT_GRIDS + 8, 4):
            encoder.embed(torch.zeros(1, 3, 4, width, dtype=torch.uint8))
    assert len(encoder.kept_tables) == KEPT_GRIDS
    assert torch.equal(encoder.embed(pixels)[0], before)
    with torch.no_grad():
        encoder.positions += 1
    torch.testing.assert_close(encoder.embed(pixels)[0][:, 1:], before[:, 1:] + 1)


def test_rotations_that_inference_left_serve_training():
    with torch.inference_mode():
        rope_tables((3, 7), 8, device=torch.device("cpu"))
    cos, _ = rope_tables((3, 7), 8, device=torch.device("cpu"))
    weight = torch.ones(21, 8, requires_grad=True)
    (weight * cos).sum().backward()
    assert torch.equal(weight.grad, cos)


@pytest.mark.parametrize(
    ("old", "new"),
    [("patch14", n) for n in ((12, 16), (14, 14), (16, 16), (28, 28), (7, 7), (8, 8))]
    + [("patch16", n) for n in ((14, 14), (32, 32), (8, 8))],
)
def test_patch_kernels_equal_published(old: str, new: tuple[int, int]):
    state = golden("resample")
    resampled = resample_patch_kernel(state[old], new)
    assert relative_error(resampled, state[f"{old}_to.{new[0]}x{new[1]}"]) < 1e-5


TINY = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2, "patch_size": 14}
TINY_16 = TINY | {"patch_size": 16}


def dinov3(**options: Any) -> torch.nn.Module:
    shape = TINY_16 | {"num_register_tokens": 4, "intermediate_size": 128}
    return transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**shape, **options))


def with_registers(**options: Any) -> torch.nn.Module:
    config = transformers.Dinov2WithRegistersConfig(**TINY, num_register_tokens=4, **options)
    return transformers.Dinov2WithRegistersModel(config)


def dinov2(**options: Any) -> torch.nn.Module:
    return transformers.Dinov2Model(transformers.Dinov2Config(**TINY, **options))


def tipsv2(**options: Any) -> torch.nn.Module:
    return transformers.Tipsv2VisionModel(transformers.Tipsv2VisionConfig(**TINY, **options))


def cradio(**options: Any) -> torch.nn.Module:
    config = transformers.RadioConfig(**TINY_16, max_img_size=20 * 16, **options)
    return transformers.RadioModel(config)


SWIGLU = {"use_gated_mlp": True, "hidden_act": "silu"}
NO_BIAS = {"query_bias": False, "value_bias": False}
TRANSFORMERS: dict[str, Callable[[], torch.nn.Module]] = {
    "dinov2": partial(dinov2, image_size=518),
    "dinov2-swiglu": partial(dinov2, image_size=70, use_swiglu_ffn=True),
    "dinov2-registers": partial(with_registers, image_size=518),
    # LingBot-Vision and EUPE are DINOv3 in all that is computed; LingBot's giant has fewer biases.
    "dinov3": dinov3,
    "dinov3-swiglu": partial(dinov3, **SWIGLU),
    "dinov3-swiglu-without-biases": partial(dinov3, **SWIGLU, **NO_BIAS),
    "dinov3-key-bias": partial(dinov3, key_bias=True),
    "tipsv2": partial(tipsv2, image_size=448),
    "tipsv2-swiglu": partial(tipsv2, image_size=448, use_swiglu_ffn=True),
    "cradio": cradio,
    "cradio-mlp-of-so400m": partial(cradio, mlp_ratio=3.7362),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_equals_transformers(name: str):
    torch.manual_seed(0)
    model = TRANSFORMERS[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # nothing is identity or zero by accident
            parameter.copy_(torch.randn_like(parameter) * 0.1 + (parameter.ndim == 1) * 0.5)
    encoder = encoder_of(model.state_dict(), 2, taps=(0, 1, 2, 3))
    patch = encoder.config.patch_size
    mean = torch.tensor(encoder.config.mean).view(3, 1, 1)
    std = torch.tensor(encoder.config.std).view(3, 1, 1)
    if name.startswith("cradio"):  # it normalises pixels itself, and has no final norm
        mean, std, final = 0, 1, torch.nn.Identity()
    else:  # transformers gives inner layers without the final norm, which our taps go through
        final = model.norm if "dinov3" in name else model.layernorm
    for height, width in [(5, 5), (37, 37), (3, 8), (20, 7), (32, 32), (11, 46)]:
        pixels = torch.randint(0, 256, (1, 3, height * patch, width * patch), dtype=torch.uint8)
        with torch.no_grad():
            outputs = model((pixels / 255 - mean) / std, output_hidden_states=True)
            hidden = [final(state) for state in outputs.hidden_states[1:4]]
        expected = [*hidden, outputs.last_hidden_state]
        for tap, wanted in zip(encoder(pixels).taps, expected, strict=True):
            assert relative_error(tap, wanted) < MODEL


def published(name: str) -> torch.nn.Module:
    """transformers' model of a released encoder, without data, by its own names of sizes."""
    config = find_preset(name).config
    shape = {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
    }
    ratio = config.ffn_hidden / config.width
    if name.startswith("tipsv2"):
        swiglu = {"use_swiglu_ffn": True} if config.ffn == "swiglu" else {"mlp_ratio": ratio}
        model, options = transformers.Tipsv2VisionModel, transformers.Tipsv2VisionConfig
        return model(options(**shape, **swiglu))
    if name.startswith("cradio"):
        return transformers.RadioModel(transformers.RadioConfig(**shape, mlp_ratio=ratio))
    rope = {"num_register_tokens": 4, "intermediate_size": config.ffn_hidden}
    swiglu = SWIGLU | NO_BIAS if config.ffn == "swiglu" else {}
    model, options = transformers.DINOv3ViTModel, transformers.DINOv3ViTConfig
    return model(options(**shape, **rope, **swiglu))


NEWER = [preset.name for preset in PRESETS if preset.family not in ("dinov2", "dinov3")]


@pytest.mark.parametrize("name", NEWER)
def test_presets_are_read_from_models_of_transformers(name: str):
    with torch.device("meta"):
        state = published(name).state_dict()
    _, config = read_state(state)
    assert config == find_preset(name).config


def test_frozen_whatever_the_model_around_it_does():
    encoder = encoder_of(below(golden("dinov3"), "encoder."), 3, taps=(5,))
    torch.nn.Sequential(encoder).train()
    assert not encoder.training
    pixels = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    with torch.enable_grad():
        assert not encoder(pixels).taps[0].requires_grad
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_a_remainder_that_fills_no_patch_is_dropped():
    encoder = encoder_of(below(golden("dinov3"), "encoder."), 3, taps=(5,))
    pixels = torch.randint(0, 256, (1, 3, 40, 55), dtype=torch.uint8)
    whole, cut = encoder(pixels), encoder(pixels[:, :, :32, :48])
    assert whole.grid == (2, 3)
    assert torch.equal(whole.taps[0], cut.taps[0])


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (torch.zeros(1, 3, 32, 32), "float32"),
        (torch.full((1, 3, 32, 32), float("nan")), "float32"),
        (torch.zeros(3, 32, 32, dtype=torch.uint8), r"\(B, 3, H, W\)"),
        (torch.zeros(1, 32, 32, 3, dtype=torch.uint8), r"\(B, 3, H, W\)"),
        (torch.zeros(1, 3, 8, 32, dtype=torch.uint8), "smaller than one 16x16 patch"),
    ],
)
def test_wrong_pixels_are_refused(pixels: Tensor, reason: str):
    encoder = encoder_of(below(golden("dinov3"), "encoder."), 3, taps=(5,))
    with pytest.raises(InputError, match=reason):
        encoder(pixels)


def test_every_layout_of_one_encoder_reads_the_same():
    """Old and new Hugging Face names, and stacked q, k, v, give one state and one config."""
    old = below(below(golden("dinov2"), "base."), "encoder.")
    new = {
        key.replace("attention.attention.query", "attention.q_proj")
        .replace("attention.attention.key", "attention.k_proj")
        .replace("attention.attention.value", "attention.v_proj")
        .replace("attention.output.dense", "attention.o_proj"): value
        for key, value in old.items()
    }
    assert new.keys() != old.keys()
    first, config = read_state(old, num_heads=3)
    second, other = read_state(new, num_heads=3)
    assert config == other
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
