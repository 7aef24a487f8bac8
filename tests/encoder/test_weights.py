"""The catalogue, and one encoder in every published layout, form of file and state of damage."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from plainmask.encoder.layouts import read_state
from plainmask.encoder.presets import find_preset
from plainmask.encoder.releases import PRESETS
from plainmask.encoder.vit import Encoder, EncoderConfig
from plainmask.encoder.weights import build_encoder, load_encoder, read_weights_file
from plainmask.errors import InputError, WeightsError

State = dict[str, Tensor]


# The catalogue


class Released(NamedTuple):
    """A row of the published catalogue."""

    preset: str
    shape: tuple[int, int, int, int]
    """Width, depth, heads, hidden size of the FFN."""
    ffn: str
    registers: int
    patch: int
    params: int
    hub: str
    timm: str
    meta: str


def dinov3(size: str, shape: tuple[int, int, int, int], ffn: str, params: int, names: str):
    """A row of DINOv3; `names` is Meta's size, timm's size and the training data."""
    meta, timm, data = names.split()
    satellite = data.startswith("sat")
    return Released(
        f"dinov3-{size}" + "-sat" * satellite,
        shape,
        ffn,
        4,
        16,
        params,
        f"facebook/dinov3-{meta}-pretrain-{data}",
        f"vit_{timm}_patch16_dinov3.{data}",
        f"dinov3_{meta}" + " (SAT493M)" * satellite,
    )


def dinov2(size: str, shape: tuple[int, int, int, int], ffn: str, params: tuple[int, int]):
    """The rows of DINOv2 without and with registers."""
    yield Released(
        f"dinov2-{size}",
        shape,
        ffn,
        0,
        14,
        params[0],
        f"facebook/dinov2-{size}",
        f"vit_{size}_patch14_dinov2.lvd142m",
        f"dinov2_vit{size[0]}14",
    )
    yield Released(
        f"dinov2-reg-{size}",
        shape,
        ffn,
        4,
        14,
        params[1],
        f"facebook/dinov2-with-registers-{size}",
        f"vit_{size}_patch14_reg4_dinov2.lvd142m",
        f"dinov2_vit{size[0]}14_reg",
    )


def tipsv2(size: str, shape: tuple[int, int, int, int], params: int, name: str):
    swiglu = "swiglu" if size == "giant" else "mlp"
    timm = f"vit_{size}_patch14_reg1_tipsv2.webli"
    own = f"tips_v2_oss_{name.replace('400m', '')}"
    hub = f"google/tipsv2-{name}"
    return Released(f"tipsv2-{size}", shape, swiglu, 1, 14, params, hub, timm, own)


def lingbot(size: str, shape: tuple[int, int, int, int], params: int):
    swiglu = "swiglu" if size == "giant" else "mlp"
    timm = f"vit_{size}_patch16_lingbot.robbyant"
    hub = f"robbyant/lingbot-vision-vit-{size}"
    own = f"lbotv_vit_{size}"
    return Released(f"lingbot-{size}", shape, swiglu, 4, 16, params, hub, timm, own)


def eupe(size: str, shape: tuple[int, int, int, int], params: int, letter: str):
    timm = f"vit_{size}_patch16_dinov3_qkvb.eupe_lvd1689m"
    hub, own = f"facebook/EUPE-ViT-{letter}", f"eupe_vit{letter.lower()}16"
    return Released(f"eupe-{size}", shape, "mlp", 4, 16, params, hub, timm, own)


def cradio(size: str, shape: tuple[int, int, int, int], params: int, name: str):
    timm, hub = f"vit_{size}_patch16_radio_v4.c_radio", f"nvidia/C-RADIOv4-{name}"
    own = f"c-radio_v4-{name.lower()}"
    return Released(f"cradiov4-{size}", shape, "mlp", 9, 16, params, hub, timm, own)


SMALL, BASE, LARGE = (384, 12, 6, 1536), (768, 12, 12, 3072), (1024, 24, 16, 4096)
HUGE, SEVEN = (1280, 32, 20, 5120), (4096, 40, 32, 8192)
SO400M, GIANT = (1152, 27, 16, 4304), (1536, 40, 24, 4096)
CATALOGUE = [
    *dinov2("small", SMALL, "mlp", (22_056_192, 22_057_344)),
    *dinov2("base", BASE, "mlp", (86_579_712, 86_582_016)),
    *dinov2("large", LARGE, "mlp", (304_367_616, 304_370_688)),
    *dinov2("giant", (1536, 40, 24, 4096), "swiglu", (1_136_479_232, 1_136_483_840)),
    dinov3("small", SMALL, "mlp", 21_596_544, "vits16 small lvd1689m"),
    dinov3("small-plus", SMALL, "swiglu", 28_692_864, "vits16plus small_plus lvd1689m"),
    dinov3("base", BASE, "mlp", 85_660_416, "vitb16 base lvd1689m"),
    dinov3("large", LARGE, "mlp", 303_129_600, "vitl16 large lvd1689m"),
    dinov3("large", LARGE, "mlp", 303_129_600, "vitl16 large sat493m"),
    dinov3("huge-plus", HUGE, "swiglu", 840_592_640, "vith16plus huge_plus lvd1689m"),
    dinov3("7b", SEVEN, "swiglu", 6_716_035_072, "vit7b16 7b lvd1689m"),
    dinov3("7b", SEVEN, "swiglu", 6_716_035_072, "vit7b16 7b sat493m"),
    tipsv2("base", BASE, 86_314_752, "b14"),
    tipsv2("large", LARGE, 304_014_336, "l14"),
    tipsv2("so400m", SO400M, 413_391_600, "so400m14"),
    tipsv2("giant", GIANT, 1_135_949_312, "g14"),
    lingbot("small", SMALL, 21_596_160),
    lingbot("base", BASE, 85_659_648),
    lingbot("large", LARGE, 303_128_576),
    lingbot("giant", GIANT, 1_134_473_216),
    eupe("tiny", (192, 12, 3, 768), 5_489_664, "T"),
    eupe("small", SMALL, 21_596_160, "S"),
    eupe("base", BASE, 85_659_648, "B"),
    cradio("so400m", SO400M, 431_237_232, "SO400M"),
    cradio("huge", (1280, 32, 16, 5120), 651_645_440, "H"),
]

TAPS = {
    12: (2, 5, 8, 11),
    24: (5, 11, 17, 23),
    27: (5, 12, 19, 26),
    32: (7, 15, 23, 31),
    40: (9, 19, 29, 39),
}
"""Depth -> the blocks that are read: published for 12 and 24, by the same rule beyond."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SATELLITE = ((0.430, 0.411, 0.296), (0.213, 0.156, 0.143))
PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


class Terms(NamedTuple):
    """What all encoders of a family have in common."""

    norm_eps: float
    statistics: tuple[tuple[float, float, float], tuple[float, float, float]]
    licence: str
    table: tuple[tuple[int, int], str] = ((37, 37), "bicubic")
    final_norm: bool = True


FAMILIES = {
    "dinov2": Terms(1e-6, IMAGENET, "Apache-2.0"),
    "dinov3": Terms(1e-5, IMAGENET, "DINOv3 License (Meta; gated)"),
    "tipsv2": Terms(1e-6, PLAIN, "Apache-2.0", ((32, 32), "bilinear")),
    "lingbot": Terms(1e-5, IMAGENET, "Apache-2.0"),
    "eupe": Terms(1e-5, IMAGENET, "FAIR Noncommercial Research License (Meta)"),
    "cradiov4": Terms(1e-6, CLIP, "NVIDIA Open Model License", ((128, 128), "square"), False),
}


def test_every_released_encoder_is_a_preset():
    assert {preset.name for preset in PRESETS} == {row.preset for row in CATALOGUE}
    for names in ("name", "hub_id", "timm_name", "meta_name"):
        assert len({getattr(preset, names) for preset in PRESETS}) == len(PRESETS)


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.preset)
def test_presets_are_as_published(row: Released):
    preset = find_preset(row.preset)
    config = preset.config
    assert (config.width, config.depth, config.heads, config.ffn_hidden) == row.shape
    assert (config.ffn, config.registers, config.patch_size) == (row.ffn, row.registers, row.patch)
    assert config.taps == TAPS[config.depth]
    terms = FAMILIES[preset.family]
    assert config.norm_eps == terms.norm_eps
    assert (config.table_grid, config.table_resize) == terms.table
    assert (config.final_norm, preset.licence) == (terms.final_norm, terms.licence)
    satellite = row.preset.endswith("-sat")
    assert (config.mean, config.std) == (SATELLITE if satellite else terms.statistics)
    assert preset.gated == row.preset.startswith("dinov3")
    for name in (row.hub, row.timm, f"timm/{row.timm}", row.meta):
        assert find_preset(name) is preset


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.preset)
def test_parameters_are_counted_as_published(row: Released):
    preset = find_preset(row.preset)
    with torch.device("meta"):
        encoder = Encoder(preset.config)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    width, depth = row.shape[:2]
    if preset.family == "dinov3":
        count += width  # Hugging Face's form has the mask token
    elif preset.family == "dinov2" and not row.registers:
        count += width  # timm's form has a table row for the class token
    if row.preset.startswith("dinov3-7b") or row.preset == "lingbot-giant":
        count -= 2 * depth * width  # its q and v have no biases; ours are zero
    if preset.family == "cradiov4":
        count -= width + 2 * depth * width  # no bias of the patches, no LayerScale: 0 and 1 in ours
    assert count == row.params == preset.num_params


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("dinov3-lrage", "dinov3-large"),
        ("dinov2_small", "dinov2-small"),
        ("DINOv3-7b", "dinov3-7b"),
        ("facebook/dinov2-smal", "dinov2-small"),
        ("tips-v2-base", "tipsv2-base"),
        ("lingbot", "lingbot-base"),
        ("c-radiov4-huge", "cradiov4-huge"),
    ],
)
def test_a_misspelt_name_gets_suggestions(typed: str, meant: str):
    with pytest.raises(InputError, match=f"no encoder named '{typed}'; did you mean .*{meant}"):
        load_encoder(typed)


def test_a_name_like_none_gets_all_names():
    with pytest.raises(InputError, match=r"dinov2-small, .*dinov3-7b-sat"):
        find_preset("zzz")


# One small encoder in every layout. Each function below writes our state in one foreign layout.

WIDTH, DEPTH, HEADS, GRID = 48, 2, 3, 3


def small_config(family: int, *, swiglu: bool = False, registers: int = 4) -> EncoderConfig:
    return EncoderConfig(
        width=WIDTH,
        depth=DEPTH,
        heads=HEADS,
        ffn_hidden=64,
        ffn="swiglu" if swiglu else "mlp",
        registers=registers,
        patch_size=14 if family == 2 else 16,
        positions="table" if family == 2 else "rope",
        table_grid=(GRID, GRID) if family == 2 else (37, 37),
        norm_eps=1e-6 if family == 2 else 1e-5,
        taps=(0, 1),
    )


def small_state(config: EncoderConfig) -> State:
    """Random weights in our layout, none zero or one by accident."""
    generator = torch.Generator().manual_seed(0)
    shapes = {key: value.shape for key, value in Encoder(config).state_dict().items()}
    return {k: 0.3 * torch.randn(shape, generator=generator) for k, shape in shapes.items()}


def blocks(state: State) -> Iterator[tuple[int, State]]:
    depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
    for index in range(depth):
        prefix = f"blocks.{index}."
        yield index, {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def renamed(state: State, names: dict[str, str], prefix: str) -> State:
    """Weights and biases under other names: {"ffn.up": "mlp.fc1"}."""
    return {
        f"{prefix}{names[module]}.{kind}": value
        for key, value in state.items()
        for module, _, kind in [key.rpartition(".")]
        if module in names
    }


def table_with_class_row(state: State) -> tuple[Tensor, Tensor]:
    """The class token without its position, and the table (1, 1 + h*w, D) with it."""
    row = torch.linspace(-1, 1, WIDTH)
    token = state["cls_token"] - row
    # What comes back is token + row, which need not be the same to the last bit.
    state["cls_token"] = token + row
    return token.view(1, 1, -1), torch.cat([row[None], state["positions"]])[None]


def hf_dinov3(state: State, layers: str = "layer.") -> State:
    out = {
        "embeddings.cls_token": state["cls_token"].view(1, 1, -1),
        "embeddings.mask_token": torch.randn(1, 1, WIDTH),
        "embeddings.register_tokens": state["registers"][None],
    }
    out |= renamed(state, {"patch": "embeddings.patch_embeddings", "norm": "norm"}, "")
    names = {
        "norm1": "norm1",
        "norm2": "norm2",
        "attention.out": "attention.o_proj",
        "ffn.up": "mlp.up_proj",
        "ffn.down": "mlp.down_proj",
        "ffn.gate": "mlp.gate_proj",
    }
    for index, block in blocks(state):
        prefix = f"{layers}{index}."
        out |= renamed(block, names, prefix)
        for letter, weight in zip("qkv", block["attention.qkv.weight"].chunk(3), strict=True):
            out[f"{prefix}attention.{letter}_proj.weight"] = weight
        for letter in "qv":
            if f"attention.{letter}_bias" in block:
                out[f"{prefix}attention.{letter}_proj.bias"] = block[f"attention.{letter}_bias"]
        for place in "12":
            out[f"{prefix}layer_scale{place}.lambda1"] = block[f"scale{place}"]
    return out


def newer_hf_dinov3(state: State) -> State:
    return hf_dinov3(state, "model.layer.")


def meta_dinov3(state: State, mask: float = 0.0) -> State:
    out = {
        "cls_token": state["cls_token"].view(1, 1, -1),
        "storage_tokens": state["registers"][None],
        "mask_token": torch.randn(1, WIDTH),
        "rope_embed.periods": torch.randn(4).bfloat16(),
        "local_cls_norm.weight": torch.randn(WIDTH),
    }
    out |= renamed(state, {"patch": "patch_embed.proj", "norm": "norm"}, "")
    swiglu = {"ffn.gate": "mlp.w1", "ffn.up": "mlp.w2", "ffn.down": "mlp.w3"}
    mlp = {"ffn.up": "mlp.fc1", "ffn.down": "mlp.fc2"}
    names = {"norm1": "norm1", "norm2": "norm2", "attention.out": "attn.proj"}
    names |= swiglu if "blocks.0.ffn.gate.weight" in state else mlp
    for index, block in blocks(state):
        prefix = f"blocks.{index}."
        out |= renamed(block, names, prefix)
        out[f"{prefix}attn.qkv.weight"] = block["attention.qkv.weight"]
        if "attention.q_bias" in block:
            masked = torch.randn(WIDTH)  # whatever lies there, bias_mask makes it zero
            q_bias, v_bias = block["attention.q_bias"], block["attention.v_bias"]
            out[f"{prefix}attn.qkv.bias"] = torch.cat([q_bias, masked, v_bias])
            bias_mask = torch.tensor([1.0, mask, 1.0]).repeat_interleave(WIDTH)
            out[f"{prefix}attn.qkv.bias_mask"] = bias_mask
        for place in "12":
            out[f"{prefix}ls{place}.gamma"] = block[f"scale{place}"]
    return out


def meta_dinov3_uninitialised(state: State) -> State:
    """With a bias_mask of NaN, as in a model that was never initialised."""
    return meta_dinov3(state, float("nan"))


def timm_dinov3(state: State) -> State:
    out = {
        "cls_token": state["cls_token"].view(1, 1, -1),
        "reg_token": state["registers"][None],
    }
    out |= renamed(state, {"patch": "patch_embed.proj", "norm": "norm"}, "")
    swiglu = {"ffn.gate": "mlp.fc1_g", "ffn.up": "mlp.fc1_x", "ffn.down": "mlp.fc2"}
    mlp = {"ffn.up": "mlp.fc1", "ffn.down": "mlp.fc2"}
    names = {"norm1": "norm1", "norm2": "norm2", "attention.out": "attn.proj"}
    names |= swiglu if "blocks.0.ffn.gate.weight" in state else mlp
    for index, block in blocks(state):
        prefix = f"blocks.{index}."
        out |= renamed(block, names, prefix)
        out[f"{prefix}attn.qkv.weight"] = block["attention.qkv.weight"]
        for bias in ("q_bias", "v_bias"):
            if f"attention.{bias}" in block:
                out[f"{prefix}attn.{bias}"] = block[f"attention.{bias}"]
        for place in "12":
            out[f"{prefix}gamma_{place}"] = block[f"scale{place}"]
    return out


def hf_dinov2(state: State, *, newer: bool = False) -> State:
    token, table = table_with_class_row(state)
    out = {
        "embeddings.cls_token": token,
        "embeddings.mask_token": torch.randn(1, WIDTH),
        "embeddings.position_embeddings": table,
    }
    if len(state["registers"]):
        out["embeddings.register_tokens"] = state["registers"][None]
    patch = "embeddings.patch_embeddings.projection"
    out |= renamed(state, {"patch": patch, "norm": "layernorm"}, "")
    swiglu = "blocks.0.ffn.gate.weight" in state
    names = {
        "norm1": "norm1",
        "norm2": "norm2",
        "attention.out": "attention.o_proj" if newer else "attention.output.dense",
        "ffn.down": "mlp.weights_out" if swiglu else "mlp.fc2",
    }
    attention = "attention." if newer else "attention.attention."
    letters = ("q_proj", "k_proj", "v_proj") if newer else ("query", "key", "value")
    for index, block in blocks(state):
        prefix = f"encoder.layer.{index}."
        out |= renamed(block, names, prefix)
        out |= stacked_up(block, f"{prefix}mlp.{'weights_in' if swiglu else 'fc1'}")
        weights = block["attention.qkv.weight"].chunk(3)
        for letter, name, weight in zip("qkv", letters, weights, strict=True):
            out[f"{prefix}{attention}{name}.weight"] = weight
            out[f"{prefix}{attention}{name}.bias"] = block[f"attention.{letter}_bias"]
        for place in "12":
            out[f"{prefix}layer_scale{place}.lambda1"] = block[f"scale{place}"]
    return out


def newer_hf_dinov2(state: State) -> State:
    return hf_dinov2(state, newer=True)


def meta_dinov2(state: State) -> State:
    token, table = table_with_class_row(state)
    out = {"cls_token": token, "mask_token": torch.randn(1, WIDTH), "pos_embed": table}
    if len(state["registers"]):
        out["register_tokens"] = state["registers"][None]
    swiglu = "blocks.0.ffn.gate.weight" in state
    return out | dinov2_blocks(state, *(("w12", "w3") if swiglu else ("fc1", "fc2")))


def timm_dinov2(state: State) -> State:
    """With registers the class row is in the class token already, the table has patches only."""
    token, table = table_with_class_row(state)
    out = {"cls_token": token, "pos_embed": table}
    if len(state["registers"]):
        out = {"cls_token": state["cls_token"].view(1, 1, -1), "pos_embed": table[:, 1:]}
        out["reg_token"] = state["registers"][None]
    return out | dinov2_blocks(state, "fc1", "fc2")


def dinov2_blocks(state: State, up: str, down: str) -> State:
    """What timm and Meta share; they name the FFN of giant differently."""
    out = renamed(state, {"patch": "patch_embed.proj", "norm": "norm"}, "")
    names = {
        "norm1": "norm1",
        "norm2": "norm2",
        "attention.out": "attn.proj",
        "ffn.down": f"mlp.{down}",
    }
    for index, block in blocks(state):
        prefix = f"blocks.{index}."
        out |= renamed(block, names, prefix)
        out |= stacked_up(block, f"{prefix}mlp.{up}")
        out[f"{prefix}attn.qkv.weight"] = block["attention.qkv.weight"]
        out[f"{prefix}attn.qkv.bias"] = torch.cat([block[f"attention.{n}_bias"] for n in "qkv"])
        for place in "12":
            out[f"{prefix}ls{place}.gamma"] = block[f"scale{place}"]
    return out


def stacked_up(block: State, name: str) -> State:
    """The first layer of the FFN; of SwiGLU gate and up in one matrix."""
    parts = [part for part in ("ffn.gate", "ffn.up") if f"{part}.weight" in block]
    return {
        f"{name}.{kind}": torch.cat([block[f"{p}.{kind}"] for p in parts])
        for kind in ("weight", "bias")
    }


def hub_tipsv2(state: State) -> State:
    """The hub's file, with the other half of the model."""
    out = {f"vision_encoder.{key}": value for key, value in meta_dinov2(state).items()}
    return out | {"text_encoder.ln_final.weight": torch.ones(WIDTH), "temperature": torch.ones(())}


def hf_tipsv2(state: State) -> State:
    return {f"vision_model.{key}": value for key, value in newer_hf_dinov2(state).items()}


def hub_cradio(state: State) -> State:
    names = {"cls_token": "patch_generator.cls_token.token", "patch": "patch_generator.embedder"}
    prefix = torch.cat([state["cls_token"][None], state["registers"]])
    out = {
        names["cls_token"]: prefix,
        "patch_generator.pos_embed": state["positions"][None],
        f"{names['patch']}.weight": state["patch.weight"].flatten(1),
    }
    out |= {k: v for k, v in dinov2_blocks(state, "fc1", "fc2").items() if "blocks" in k}
    out = {f"radio_model.model.{k}": v for k, v in out.items() if ".ls" not in k}
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in CLIP)
    out |= {"radio_model.input_conditioner.norm_mean": mean}
    out |= {"radio_model.input_conditioner.norm_std": std}
    return out | {"radio_model.summary_idxs": torch.tensor([0, 1])}


def hf_cradio(state: State) -> State:
    out = {k: v for k, v in newer_hf_dinov2(state).items() if k.startswith("encoder.layer")}
    prefix = torch.cat([state["cls_token"][None], state["registers"]])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in CLIP)
    return out | {
        "embeddings.cls_register_token": prefix,
        "embeddings.position_embedding": state["positions"][None],
        "embeddings.patch_projection.weight": state["patch.weight"].flatten(1),
        "input_conditioner.norm_mean": mean,
        "input_conditioner.norm_std": std,
        "summary_idxs": torch.tensor([0, 1]),
    }


def timm_cradio(state: State) -> State:
    out = {
        "cls_token": state["cls_token"].view(1, 1, -1),
        "reg_token": state["registers"][None],
        "pos_embed": state["positions"][None],
    }
    out |= dinov2_blocks(state, "fc1", "fc2")
    return {key: value for key, value in out.items() if ".ls" not in key}


def backbone_of_lingbot(state: State) -> State:
    return {f"backbone.{key}": value for key, value in meta_dinov3(state).items()}


def eupe_with_projectors(state: State) -> State:
    return meta_dinov3(state) | {"projectors.dinov3.0.weight": torch.ones(2, 2)}


DINOV3 = [
    hf_dinov3,
    newer_hf_dinov3,
    meta_dinov3,
    meta_dinov3_uninitialised,
    timm_dinov3,
    backbone_of_lingbot,
    eupe_with_projectors,
]
DINOV2 = [hf_dinov2, newer_hf_dinov2, meta_dinov2, timm_dinov2]
TIPSV2 = [hub_tipsv2, hf_tipsv2, newer_hf_dinov2, timm_dinov2]
CRADIO = [hub_cradio, hf_cradio, timm_cradio]


def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (1, 3, 3 * 14, 5 * 16), dtype=torch.uint8, generator=generator)


def assert_same(encoder: Encoder, expected: Encoder) -> None:
    assert encoder.fingerprint == expected.fingerprint
    assert encoder.config == expected.config
    for name, tensor in encoder.state_dict().items():  # a part of a larger one would keep that
        assert tensor.untyped_storage().nbytes() == tensor.nbytes, name
    for tap, wanted in zip(encoder(pixels()).taps, expected(pixels()).taps, strict=True):
        assert torch.equal(tap, wanted)


def load(state: State, **options: Any) -> Encoder:
    return load_encoder(state, num_heads=HEADS, taps=(0, 1), **options)


@pytest.mark.parametrize("swiglu", [False, True], ids=["mlp", "swiglu"])
@pytest.mark.parametrize("layout", DINOV3)
def test_dinov3_layouts_are_one_encoder(layout: Callable[[State], State], swiglu: bool):
    config = small_config(3, swiglu=swiglu)
    state = small_state(config)
    assert_same(load(layout(state)), build_encoder(state, config))


@pytest.mark.parametrize("swiglu", [False, True], ids=["mlp", "swiglu"])
@pytest.mark.parametrize("layout", DINOV2)
def test_dinov2_layouts_with_registers_are_one_encoder(
    layout: Callable[[State], State], swiglu: bool
):
    config = small_config(2, swiglu=swiglu).model_copy(update={"table_antialias": True})
    state = small_state(config)
    foreign = layout(state)  # before building: it rounds the class token
    assert_same(load(foreign), build_encoder(state, config))


@pytest.mark.parametrize("swiglu", [False, True], ids=["mlp", "swiglu"])
@pytest.mark.parametrize("layout", DINOV2)
def test_dinov2_layouts_without_registers_differ_by_timm_s_rule(
    layout: Callable[[State], State], swiglu: bool
):
    rule = {"table_antialias": layout is timm_dinov2}
    config = small_config(2, swiglu=swiglu, registers=0).model_copy(update=rule)
    state = small_state(config)
    foreign = layout(state)
    assert_same(load(foreign), build_encoder(state, config))


def small_tipsv2(*, swiglu: bool = False) -> EncoderConfig:
    mean, std = PLAIN
    rules = {"table_resize": "bilinear", "table_antialias": True, "mean": mean, "std": std}
    return small_config(2, swiglu=swiglu, registers=1).model_copy(update=rules)


def small_cradio(*, registers: int = 9) -> EncoderConfig:
    mean, std = CLIP
    rules = {"table_resize": "square", "final_norm": False, "mean": mean, "std": std}
    return small_config(2, registers=registers).model_copy(update=rules | {"patch_size": 16})


def state_of_cradio(config: EncoderConfig) -> State:
    """Random, but for what it has not: a bias of the patches, LayerScale."""
    state = small_state(config)
    lacking = {k: torch.ones(WIDTH) for k in state if ".scale" in k}
    return state | lacking | {"patch.bias": torch.zeros(WIDTH)}


@pytest.mark.parametrize("swiglu", [False, True], ids=["mlp", "swiglu"])
@pytest.mark.parametrize("layout", TIPSV2)
def test_tipsv2_layouts_are_one_encoder(layout: Callable[[State], State], swiglu: bool):
    config = small_tipsv2(swiglu=swiglu)
    state = small_state(config)
    foreign = layout(state)
    assert_same(load(foreign), build_encoder(state, config))


@pytest.mark.parametrize("layout", CRADIO)
def test_cradio_layouts_are_one_encoder(layout: Callable[[State], State]):
    config = small_cradio()
    state = state_of_cradio(config)
    foreign = layout(state)  # before building, as above
    assert_same(load(foreign), build_encoder(state, config))


@pytest.mark.parametrize("layout", [hub_cradio, timm_cradio])
def test_a_cradio_before_version_4_is_refused(layout: Callable[[State], State]):
    config = small_cradio(registers=7)
    with pytest.raises(WeightsError, match=r"C-RADIO with 8 tokens .*; known is version 4"):
        load(layout(state_of_cradio(config)))


def test_a_dinov2_that_lost_its_final_norm_is_no_cradio():
    state = timm_dinov2(small_state(small_config(2)))
    del state["norm.weight"]
    with pytest.raises(WeightsError, match=r"do not fit: missing norm\.weight"):
        load(state)


def test_a_key_bias_counts_where_nothing_masks_it():
    config = small_config(3).model_copy(update={"key_bias": True})
    state = small_state(config)
    expected = build_encoder(state, config)
    without = {key: value for key, value in state.items() if "k_bias" not in key}
    assert expected.fingerprint != build_encoder(without, small_config(3)).fingerprint
    stacked = meta_dinov3(state)
    for index, block in blocks(state):
        del stacked[f"blocks.{index}.attn.qkv.bias_mask"]
        biases = [block[f"attention.{letter}_bias"] for letter in "qkv"]
        stacked[f"blocks.{index}.attn.qkv.bias"] = torch.cat(biases)
    assert_same(load(stacked), expected)
    for index, _ in blocks(state):
        stacked[f"blocks.{index}.attn.qkv.bias"][WIDTH : 2 * WIDTH] = 0
    assert_same(load(stacked), build_encoder(without, small_config(3)))


def test_a_7b_without_q_and_v_biases():
    config = small_config(3, swiglu=True)
    state = small_state(config)
    for key in state:
        if key.endswith(("q_bias", "v_bias")):
            state[key] = torch.zeros(WIDTH)
    expected = build_encoder(state, config)
    absent = {k: v for k, v in state.items() if not k.endswith(("q_bias", "v_bias"))}
    for layout in (hf_dinov3, meta_dinov3, timm_dinov3):
        assert_same(load(layout(absent)), expected)
        assert_same(load(layout(state)), expected)


# The fingerprint


def test_the_mask_token_does_not_count():
    state = hf_dinov3(small_state(small_config(3)))
    other = state | {"embeddings.mask_token": torch.ones(1, 1, WIDTH)}
    without = {key: value for key, value in state.items() if "mask_token" not in key}
    assert load(state).fingerprint == load(other).fingerprint == load(without).fingerprint


def test_taps_do_not_count():
    state = hf_dinov3(small_state(small_config(3)))
    one_tap = load_encoder(state, num_heads=HEADS, taps=(1,))
    assert one_tap.fingerprint == load(state).fingerprint


@pytest.mark.parametrize("key", ["norm.bias", "blocks.1.scale2", "registers", "patch.weight"])
def test_every_weight_counts(key: str):
    config = small_config(3)
    state = small_state(config)
    changed = state | {key: state[key] * 1.0001}
    assert build_encoder(changed, config).fingerprint != build_encoder(state, config).fingerprint


def test_the_position_rule_counts():
    hugging_face = small_config(2, registers=0)
    timm = hugging_face.model_copy(update={"table_antialias": True})
    state = small_state(hugging_face)
    one, other = build_encoder(state, hugging_face), build_encoder(state, timm)
    assert one.fingerprint != other.fingerprint
    wide = torch.randint(0, 256, (1, 3, 2 * 14, 2 * 14), dtype=torch.uint8)
    assert not torch.equal(one(wide).taps[0], other(wide).taps[0])


def test_what_pixels_are_normalised_by_counts():
    state = meta_dinov3(small_state(small_config(3)))
    photographs, satellite = load(state), load(state, statistics="satellite")
    assert (satellite.config.mean, satellite.config.std) == SATELLITE
    assert satellite.fingerprint != photographs.fingerprint
    assert satellite.older_fingerprint == photographs.fingerprint == photographs.older_fingerprint
    assert not torch.equal(satellite(pixels()).taps[0], photographs(pixels()).taps[0])


@pytest.mark.parametrize(
    ("place", "stated", "expected"),
    [
        ("dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth", None, SATELLITE),
        ("dinov3-vitl16-pretrain-sat493m/model.safetensors", None, SATELLITE),
        ("mine/model.safetensors", SATELLITE, SATELLITE),
        ("sat493m/model.safetensors", ((0.5,) * 3, (0.25,) * 3), ((0.5,) * 3, (0.25,) * 3)),
        ("dinov3_vitl16_pretrain_lvd1689m.pth", None, None),
    ],
)
def test_a_file_is_normalised_as_its_place_says(
    tmp_path: Path, place: str, stated: Any, expected: Any
):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    state = meta_dinov3(small_state(small_config(3)))
    (save_file if place.endswith("safetensors") else torch.save)(state, path)
    if stated:
        content = {"image_mean": stated[0], "image_std": stated[1]}
        (path.parent / "preprocessor_config.json").write_text(json.dumps(content))
    found = load_encoder(path, num_heads=2).config
    usual = EncoderConfig.model_fields["mean"].default, EncoderConfig.model_fields["std"].default
    assert (found.mean, found.std) == (expected or usual)


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        (small_tipsv2(), {"table_resize": "bicubic"}),
        (small_tipsv2(), dict(zip(("mean", "std"), IMAGENET, strict=True))),
        (small_cradio(), {"table_resize": "bilinear"}),
        (small_cradio(), dict(zip(("mean", "std"), IMAGENET, strict=True))),
    ],
)
def test_the_rules_of_other_families_count(config: EncoderConfig, rule: dict[str, Any]):
    state = small_state(config)
    one, other = (build_encoder(state, c) for c in (config, config.model_copy(update=rule)))
    assert one.fingerprint != other.fingerprint
    assert not torch.equal(one(pixels()).taps[0], other(pixels()).taps[0])


def test_a_folder_of_what_normalises_by_itself_keeps_its_family_s_statistics(tmp_path: Path):
    save_file(hub_cradio(state_of_cradio(small_cradio())), tmp_path / "model.safetensors")
    content = {"do_normalize": False, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(content))
    found = load_encoder(tmp_path, num_heads=HEADS, taps=(0, 1)).config
    assert (found.mean, found.std) == CLIP


def test_the_patch_size_in_use_counts():
    state = timm_dinov2(small_state(small_config(2)))
    native, resampled = load(state), load(state, patch_size=16)
    assert resampled.config.patch_size == 16
    assert native.fingerprint != resampled.fingerprint
    assert load(state, patch_size=14).fingerprint == native.fingerprint


def test_what_runs_by_no_released_preset_is_custom():
    assert load(hf_dinov3(small_state(small_config(3)))).name == "custom"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("vits.pth", "dinov3-small"),
        ("EUPE-ViT-S.pt", "eupe-small"),
        ("lbotv_vit_small.pt", "lingbot-small"),
        ("vit_small_patch16_lingbot.robbyant/model.safetensors", "lingbot-small"),
        ("vit_small_patch16_dinov3_qkvb.eupe_lvd1689m/model.safetensors", "eupe-small"),
        ("dinov3-vits16-pretrain-lvd1689m/model.safetensors", "dinov3-small"),
    ],
)
def test_a_file_of_a_shape_that_several_have_goes_by_its_name(tmp_path: Path, file: str, name: str):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    config = find_preset("eupe-small").config.model_copy(update={"ffn_hidden": 8})
    state = timm_dinov3(small_state(config))
    (save_file if file.endswith("safetensors") else torch.save)(state, path)
    assert load_encoder(path).name == name


# Presets


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAINMASK_CACHE", str(tmp_path))
    (tmp_path / "encoders").mkdir()
    return tmp_path / "encoders"


def test_a_preset_has_its_own_name_whatever_shares_its_shape(cache: Path):
    state = small_state(find_preset("eupe-tiny").config)
    save_file(timm_dinov3(state), cache / "eupe-tiny.safetensors")
    for name in ("eupe-tiny", "facebook/EUPE-ViT-T", "eupe_vitt16"):
        encoder = load_encoder(name)
        assert (encoder.name, encoder.config) == ("eupe-tiny", find_preset("eupe-tiny").config)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lingbot-small", r"width \(192 for 384\), ffn_hidden .*"),
        ("tipsv2-base", r".*positions \(rope for table\)"),
        ("cradiov4-huge", r".*final_norm \(True for False\)"),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused(cache: Path, name: str, reason: str):
    state = timm_dinov3(small_state(find_preset("eupe-tiny").config))
    save_file(state, cache / f"{name}.safetensors")
    with pytest.raises(WeightsError, match=f"for {name} are another model: .*{reason}") as caught:
        load_encoder(name)
    assert "\n" not in str(caught.value)


# Keys that do not fit


def test_missing_unexpected_and_mis_shaped_keys_are_listed_together():
    config = small_config(3)
    state = small_state(config)
    del state["norm.weight"]
    state["blocks.0.scale1"] = torch.ones(5)
    state["blocks.1.extra"] = torch.ones(1)
    with pytest.raises(WeightsError) as caught:
        build_encoder(state, config)
    message = str(caught.value)
    assert "missing norm.weight" in message
    assert "unexpected blocks.1.extra" in message
    assert "blocks.0.scale1 has the shape (5,), expected (48,)" in message


def test_foreign_keys_are_counted_and_shown():
    strangers = {f"head.{index:02d}.weight": torch.ones(1) for index in range(10)}
    with pytest.raises(WeightsError, match=r"10 keys .*head\.00\.weight, .* and 2 more.*timm"):
        load(hf_dinov3(small_state(small_config(3))) | strangers)


def test_half_an_encoder_is_no_encoder():
    state = hf_dinov3(small_state(small_config(3)))
    del state["embeddings.patch_embeddings.weight"], state["embeddings.cls_token"]
    with pytest.raises(WeightsError, match=r"nothing found for cls_token, patch\.weight"):
        load(state)


def test_a_shape_that_was_never_released_needs_its_heads():
    state = hf_dinov3(small_state(small_config(3)))
    with pytest.raises(WeightsError, match="width 48 was never released: give num_heads"):
        read_state(state)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_heads": 5, "taps": (0,)}, "width 48 does not split into 5 heads"),
        ({"num_heads": HEADS, "taps": (0, 2)}, r"taps \(0, 2\) must lie in 0\.\.1"),
    ],
)
def test_heads_and_taps_that_it_has_not(options: dict[str, Any], reason: str):
    with pytest.raises(InputError, match=reason):
        load_encoder(hf_dinov3(small_state(small_config(3))), **options)


# Files and folders


@pytest.fixture
def state() -> State:
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2).half()}


def assert_read(path: Path, state: State) -> None:
    found = read_weights_file(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[k], v) and found[k].dtype == v.dtype for k, v in state.items())


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt", "w.bin"])
def test_kinds_of_file(state: State, tmp_path: Path, name: str):
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    assert_read(path, state)


def test_a_pickle_of_the_form_before_zip(state: State, tmp_path: Path):
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_read(tmp_path / "old.pth", state)


def test_wrappers_and_compiled_names_are_opened(state: State, tmp_path: Path):
    compiled = {f"_orig_mod.{key}": value for key, value in state.items()}
    inner = {f"model.{key}": value for key, value in compiled.items()} | {"model.step": 3}
    expected = {f"model.{key}": value for key, value in state.items()}
    for wrapped in ({"state_dict": inner}, {"model": inner, "optimizer": {}}):
        torch.save(wrapped, tmp_path / "w.pth")
        assert_read(tmp_path / "w.pth", expected)


@pytest.mark.parametrize("name", ["model.safetensors", "encoder.safetensors", "pytorch_model.bin"])
def test_a_folder(state: State, tmp_path: Path, name: str):
    (tmp_path / "config.json").write_text("{}")
    (save_file if name.endswith("safetensors") else torch.save)(state, tmp_path / name)
    assert_read(tmp_path, state)


def write_shards(folder: Path, state: State) -> Path:
    """One file per tensor, and the index of Hugging Face's form."""
    files = {key: f"model-{place}-of-2.safetensors" for place, key in enumerate(state, start=1)}
    for key, name in files.items():
        save_file({key: state[key]}, folder / name)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return index


def test_a_folder_of_several_files_with_an_index(state: State, tmp_path: Path):
    write_shards(tmp_path, state)
    assert_read(tmp_path, state)


def test_a_missing_shard_is_named(state: State, tmp_path: Path):
    write_shards(tmp_path, state)
    (tmp_path / "model-2-of-2.safetensors").unlink()
    with pytest.raises(InputError, match=r"no weights file at .*model-2-of-2\.safetensors"):
        read_weights_file(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"metadata": {}}'])
def test_a_damaged_index_is_named(state: State, tmp_path: Path, content: str):
    write_shards(tmp_path, state).write_text(content)
    with pytest.raises(WeightsError, match=r"model\.safetensors\.index\.json"):
        read_weights_file(tmp_path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.onnx"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_damaged_file_is_named(state: State, tmp_path: Path, name: str, share: float):
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=rf"w{path.suffix} cannot be read"):
        load_encoder(path)


def test_files_without_tensors(tmp_path: Path):
    torch.save({"step": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth holds no tensors"):
        read_weights_file(tmp_path / "w.pth")
    torch.save(torch.ones(3), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth holds no mapping"):
        read_weights_file(tmp_path / "w.pth")


def test_places_without_weights(tmp_path: Path):
    with pytest.raises(InputError, match=r"holds no model\.safetensors or pytorch_model\.bin"):
        load_encoder(tmp_path)
    with pytest.raises(InputError, match="no weights file at"):
        load_encoder(tmp_path / "nowhere.safetensors")
    with pytest.raises(InputError, match="there is no file or folder"):
        load_encoder(str(tmp_path / "nowhere.safetensors"))
