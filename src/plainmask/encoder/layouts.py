"""Foreign layouts of encoder weights -> ours: Hugging Face's, timm's and the publishers'.

The layouts share no name with two meanings, so one table of patterns serves them all
(docs/model.md 1.4). Shapes say the rest: stacked q, k, v; gate and up in one matrix; a class row in
the table; which family it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import torch
from pydantic import ValidationError
from torch import Tensor

from plainmask.encoder import cradio
from plainmask.encoder.presets import matching_preset
from plainmask.encoder.releases import default_taps
from plainmask.encoder.vit import CLIP_STATISTICS, PLAIN_STATISTICS, EncoderConfig
from plainmask.errors import InputError, WeightsError

Renaming = tuple[tuple[str, str], ...]

_BLOCK = r"(?:model\.layer|encoder\.layer|layer|blocks)\.(\d+)\."
_HF_QKV = r"attention\.(?:attention\.)?([qkv])(?:uery|ey|alue|_proj)"
_OUT = r"(?:attention\.output\.dense|attention\.o_proj|attn\.proj)"
_SCALE = r"(?:layer_scale([12])\.lambda1|ls([12])\.gamma|gamma_([12]))"
_KIND = r"\.(weight|bias)"

_INNER = r"(?:vision_encoder|vision_model|radio_model\.model|backbone)\."
"""What an encoder is called in what it was published with (TIPSv2, C-RADIO, LingBot)."""

_GLOBAL: Renaming = (
    (r"(?:embeddings\.|patch_embed\.)?cls_token", "cls_token"),
    (r"(?:(?:embeddings\.|patch_embed\.)?register_tokens|storage_tokens|reg_token)", "registers"),
    (r"(?:embeddings\.cls_register_token|patch_generator\.cls_token\.token)", "prefix"),
    (r"(?:embeddings\.position_embeddings?|(?:patch_generator\.)?pos_embed)", "positions"),
    (r"(?:embeddings\.patch_projection|patch_generator\.embedder)\.weight", "patch.weight"),
    (r"(?:embeddings|patch_embed)\.patch_embeddings\.(?:projection\.)?(weight|bias)", r"patch.\1"),
    (r"patch_embed\.proj\.(weight|bias)", r"patch.\1"),
    (r"(?:layernorm|norm)\.(weight|bias)", r"norm.\1"),
)
_IN_BLOCK: Renaming = (
    (r"(norm[12])" + _KIND, r"\2.\3"),
    (_SCALE, r"scale\2\3\4"),
    (_HF_QKV + r"\.weight", r"attention.\2.weight"),
    (_HF_QKV + r"\.bias", r"attention.\2_bias"),
    (r"attn\.qkv\.weight", "attention.qkv.weight"),
    (r"attn\.qkv\.bias", "attention.qkv_bias"),
    (r"attn\.([qv])_bias", r"attention.\2_bias"),
    (_OUT + _KIND, r"attention.out.\2"),
    (r"mlp\.(?:gate_proj|w1|fc1_g)" + _KIND, r"ffn.gate.\2"),
    (r"mlp\.(?:up_proj|fc1|w2|fc1_x)" + _KIND, r"ffn.up.\2"),
    (r"mlp\.(?:weights_in|w12)" + _KIND, r"ffn.up.\2"),
    (r"mlp\.(?:down_proj|fc2|w3|weights_out)" + _KIND, r"ffn.down.\2"),
)
RENAMED: Renaming = (
    *_GLOBAL,
    *((_BLOCK + pattern, r"blocks.\1." + name) for pattern, name in _IN_BLOCK),
)
"""Published key -> ours, before `_assemble` reads the shapes."""

IGNORED = (
    r"(?:embeddings\.)?mask_token",
    r"rope_embed\.periods",  # recomputed in float32, as PMT does (docs/model.md 1.4)
    r".*attn\.qkv\.bias_mask",
    r"local_cls_norm\..*",
    r"projectors\..*",  # EUPE's, to its teachers
    r"(?:text_encoder|text_model)\..*|temperature",  # TIPSv2's other half
    r"radio_model\..*|input_conditioner\..*|summary_idxs",  # C-RADIO's statistics, and its heads
)
"""Keys without a meaning for us: pre-training only, computed, or of another part of a model."""


def translate(
    state: Mapping[str, Tensor], renamed: Renaming, ignored: Iterable[str]
) -> tuple[dict[str, Tensor], list[str]]:
    """Rename the keys of `state`; returns the renamed state and the keys that no pattern knows."""
    known: dict[str, Tensor] = {}
    unknown: list[str] = []
    for key, tensor in state.items():
        if any(re.fullmatch(pattern, key) for pattern in ignored):
            continue
        for pattern, name in renamed:
            if match := re.fullmatch(pattern, key):
                known[match.expand(name)] = tensor
                break
        else:
            unknown.append(key)
    return known, unknown


def stack_qkv(state: dict[str, Tensor], *, key_bias: bool) -> None:
    """Bring every attention of `state` to `qkv.weight`, `q_bias`, `k_bias`, `v_bias`, in place.

    Without `key_bias`, a key bias of a stacked bias is dropped: the originals zero or mask it.
    """
    for prefix in sorted(
        {k.split("attention.")[0] + "attention." for k in state if "attention." in k}
    ):
        parts = [state.pop(f"{prefix}{name}.weight", None) for name in "qkv"]
        if all(part is not None for part in parts):
            state[f"{prefix}qkv.weight"] = torch.cat([part for part in parts if part is not None])
        bias = state.pop(f"{prefix}qkv_bias", None)
        if bias is not None:
            state[f"{prefix}q_bias"], k_bias, state[f"{prefix}v_bias"] = bias.chunk(3)
            state[f"{prefix}k_bias"] = k_bias
        if not key_bias:
            state.pop(f"{prefix}k_bias", None)


def read_state(
    state: Mapping[str, Tensor],
    *,
    num_heads: int | None = None,
    taps: tuple[int, ...] | None = None,
) -> tuple[dict[str, Tensor], EncoderConfig]:
    """Our state and the configuration of an encoder in any accepted layout.

    Everything but the number of heads is read from names and shapes; the heads come from the
    preset of that shape, else are `num_heads`, else the width in heads of 64.

    Raises:
        InputError: the width does not split into `num_heads`, or there are no such `taps`.
        WeightsError: keys that belong to no known encoder, or that are missing.
    """
    inner = {re.sub(f"^{_INNER}", "", key): tensor for key, tensor in state.items()}
    ours, unknown = translate(inner, RENAMED, IGNORED)
    if unknown:
        raise WeightsError(
            f"{len(unknown)} keys belong to no known encoder layout: {some(unknown)}; accepted are "
            "those of `plainmask encoders` as published by Hugging Face, timm or their authors"
        )
    first = "prefix" if "prefix" in ours else "cls_token"
    needed = [first, "patch.weight", "blocks.0.ffn.up.weight", "blocks.0.ffn.down.weight"]
    missing = [key for key in needed if key not in ours]
    if missing:
        raise WeightsError(f"this is no whole encoder: nothing found for {some(missing)}")
    if is_cradio := cradio.is_one(ours):
        cradio.complete(ours)
    is_timm = any(".attn." in key for key in inner) and "mask_token" not in inner
    # A mask says that the originals leave out what is stored as a key bias.
    masks_keys = any(key.endswith("bias_mask") for key in inner)
    _assemble(ours, masks_keys=masks_keys)
    for name, tensor in ours.items():
        if tensor.untyped_storage().nbytes() > tensor.nbytes:  # a part would keep, and save, all
            ours[name] = tensor.clone()
    config = _infer_config(ours, num_heads, taps)
    return ours, config.model_copy(update=_rules(config, is_timm=is_timm, is_cradio=is_cradio))


def _rules(config: EncoderConfig, *, is_timm: bool, is_cradio: bool) -> dict[str, object]:
    """How a family with a table runs it, and normalises pixels, which no weight says."""
    if is_cradio:
        mean, std = CLIP_STATISTICS
        return {"table_resize": "square", "final_norm": False, "mean": mean, "std": std}
    if config.positions == "table" and config.registers == 1:  # TIPSv2 alone
        mean, std = PLAIN_STATISTICS
        table = {"table_resize": "bilinear", "table_antialias": True}
        return {**table, "mean": mean, "std": std}
    # timm and Hugging Face's variant with registers resize the table with antialiasing; Hugging
    # Face's plain Dinov2 and Meta's code do not. timm's files alone lack the mask token.
    return {"table_antialias": config.positions == "table" and (is_timm or config.registers > 0)}


def _assemble(ours: dict[str, Tensor], *, masks_keys: bool) -> None:
    """Bring our names to our shapes, in place."""
    ours["cls_token"] = ours["cls_token"].flatten()
    width = len(ours["cls_token"])
    ours["registers"] = ours.get("registers", ours["cls_token"].new_zeros(0, width)).reshape(
        -1, width
    )
    if (table := ours.get("positions")) is not None:
        table = table.reshape(-1, width)
        if math.isqrt(len(table)) ** 2 != len(table):  # a row for the class token comes first
            ours["cls_token"] = ours["cls_token"] + table[0]
            table = table[1:]
        ours["positions"] = table
    stack_qkv(ours, key_bias=not masks_keys)
    key_biases = [key for key in ours if key.endswith("attention.k_bias")]
    has_key_bias = table is not None or any(ours[key].any() for key in key_biases)
    if not has_key_bias:
        for key in key_biases:
            del ours[key]
    blocks = [key.removesuffix("norm1.weight") for key in ours if key.endswith("norm1.weight")]
    for block in blocks:
        _split_gate(ours, f"{block}ffn.")
        zeros = torch.zeros_like(ours["cls_token"])
        names = ("q_bias", "k_bias", "v_bias") if has_key_bias else ("q_bias", "v_bias")
        for name in names:  # absent where it is zero: 7B, timm's DINOv3
            ours.setdefault(f"{block}attention.{name}", zeros)


def _split_gate(ours: dict[str, Tensor], ffn: str) -> None:
    """Split gate and up where one matrix holds both (DINOv2 giant)."""
    down, up = ours.get(f"{ffn}down.weight"), ours.get(f"{ffn}up.weight")
    if down is None or up is None or len(up) != 2 * down.shape[1]:
        return
    for kind in ("weight", "bias"):
        ours[f"{ffn}gate.{kind}"], ours[f"{ffn}up.{kind}"] = ours[f"{ffn}up.{kind}"].chunk(2)


def _infer_config(
    ours: Mapping[str, Tensor], num_heads: int | None, taps: tuple[int, ...] | None
) -> EncoderConfig:
    width = len(ours["cls_token"])
    depth = 1 + max(int(key.split(".")[1]) for key in ours if key.startswith("blocks."))
    table = ours.get("positions")
    side = 37 if table is None else math.isqrt(len(table))
    swiglu = "blocks.0.ffn.gate.weight" in ours
    preset = matching_preset(width, depth, rope=table is None)
    if not num_heads and preset is None and width % 64:
        raise WeightsError(f"an encoder of width {width} was never released: give num_heads")
    heads = num_heads or (preset.heads if preset else width // 64)
    try:
        return EncoderConfig(
            width=width,
            depth=depth,
            heads=heads,
            ffn_hidden=ours["blocks.0.ffn.down.weight"].shape[1],
            ffn="swiglu" if swiglu else "mlp",
            registers=len(ours["registers"]),
            patch_size=ours["patch.weight"].shape[-1],
            positions="rope" if table is None else "table",
            key_bias=table is None and "blocks.0.attention.k_bias" in ours,
            table_grid=(side, side),
            norm_eps=1e-5 if table is None else 1e-6,
            taps=taps or default_taps(depth),
        )
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"this encoder cannot be run so: {reason}") from error


def some(keys: list[str]) -> str:
    """The first of many keys, for an error message."""
    shown = ", ".join(sorted(keys)[:8])
    return shown if len(keys) <= 8 else f"{shown} and {len(keys) - 8} more"
