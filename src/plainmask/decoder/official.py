"""The published PMT checkpoints: their key names -> ours, as tables (docs/model.md 2.7)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from plainmask.decoder.decoder import DecoderConfig
from plainmask.decoder.propagation import Propagation
from plainmask.encoder.layouts import some, stack_qkv, translate
from plainmask.errors import WeightsError

IGNORED = (
    r"encoder\.pixel_(mean|std)",
    r"criterion\.empty_weight",
    r"decoder\.pe\..*",
    r"bn_(prefix|patch)\..*",
    r"_attn_mask_probs_fallback",
)
"""Keys of training checkpoints, old and new, that carry nothing of the decoder."""

RENAMED = (
    (r"bn\.(\d+)\.(.*)", r"laterals.\1.norm.\2"),
    (r"decoder\.attn_mask_probs", r"mask_probs"),
    (r"decoder\.lateral_projections\.(\d+)\.0\.(.*)", r"laterals.\1.project.up.\2"),
    (r"decoder\.lateral_projections\.(\d+)\.2\.(.*)", r"laterals.\1.project.down.\2"),
    (r"decoder\.lateral_projections\.(\d+)\.(weight|bias)", r"laterals.\1.project.\2"),
    (r"decoder\.scalers\.(\d+)", r"laterals.\1.scale"),
    (r"decoder\.q\.weight", r"queries"),
    (r"decoder\.blocks\.(\d+)\.(norm[12])\.(.*)", r"blocks.\1.\2.\3"),
    (r"decoder\.blocks\.(\d+)\.attention\.([qkv])_proj\.weight", r"blocks.\1.attention.\2.weight"),
    (r"decoder\.blocks\.(\d+)\.attention\.([qv])_proj\.bias", r"blocks.\1.attention.\2_bias"),
    (r"decoder\.blocks\.(\d+)\.attention\.qkv_proj\.weight", r"blocks.\1.attention.qkv.weight"),
    (r"decoder\.blocks\.(\d+)\.attention\.qkv_proj\.bias", r"blocks.\1.attention.qkv_bias"),
    (r"decoder\.blocks\.(\d+)\.attention\.o_proj\.(.*)", r"blocks.\1.attention.out.\2"),
    (r"decoder\.blocks\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.scale\2"),
    (r"decoder\.blocks\.(\d+)\.mlp\.(up|down)_proj\.(.*)", r"blocks.\1.ffn.\2.\3"),
    (r"decoder\.decoder_norm\.(.*)", r"predict.norm.\1"),
    (r"decoder\.upscale\.(\d+)\.conv1\.(.*)", r"predict.upscale.\1.expand.\2"),
    (r"decoder\.upscale\.(\d+)\.conv2\.weight", r"predict.upscale.\1.mix.weight"),
    (r"decoder\.upscale\.(\d+)\.norm\.(.*)", r"predict.upscale.\1.norm.\2"),
    (r"decoder\.mask_head\.([024])\.(.*)", r"predict.embed.\1.\2"),
    (r"decoder\.class_head\.(.*)", r"predict.classify.\1"),
    (r"decoder\.query_updater\.(.*)", r"link.update.\1"),
    (r"decoder\.query_gru\.(.*)", r"link.cell.\1"),
)
"""Published key (without `network.` or `backbone.`) -> ours; `stack_qkv` then joins q, k and v."""


def split_checkpoint(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor], bool]:
    """The decoder's part of a checkpoint, the encoder's (empty for images), and whether of videos.

    Video checkpoints hold the whole model, with the encoder under `backbone.encoder.backbone.`.
    """
    inner = "backbone.encoder.backbone."
    own = {k.removeprefix(inner): v for k, v in state.items() if k.startswith(inner)}
    rest = {k: v for k, v in state.items() if not k.startswith(inner)}
    is_video = any(key.startswith("backbone.") for key in state)
    return rest, own, is_video


def read_checkpoint(
    state: Mapping[str, Tensor], *, heads: int, residual_laterals: bool
) -> tuple[dict[str, Tensor], DecoderConfig]:
    """Our state and configuration of a published decoder; all but two facts are read from shapes.

    Args:
        state: tensors under published names, with or without the prefix `network.` (images) or
            `backbone.` (videos).
        heads: attention heads, the encoder's.
        residual_laterals: whether laterals add their input (all published models do).

    Raises:
        WeightsError: keys that no published model has, or that are missing; lists them.
    """
    named = {re.sub(r"^(network|backbone)\.", "", key): value for key, value in state.items()}
    ours, unknown = translate(named, RENAMED, IGNORED)
    if unknown:
        raise WeightsError(
            f"{len(unknown)} keys belong to no published PMT checkpoint: {some(unknown)}"
        )
    needed = (
        "queries",
        "predict.classify.weight",
        "blocks.0.ffn.up.weight",
        "laterals.0.scale",
        "predict.upscale.0.expand.weight",
    )
    missing = [key for key in needed if key not in ours]
    if missing:
        raise WeightsError(f"this is no whole PMT checkpoint: nothing found for {some(missing)}")
    stack_qkv(ours, key_bias=False)
    if "laterals.0.project.up.weight" in ours:
        lateral = "mlp"
    else:
        lateral = "linear" if "laterals.0.project.weight" in ours else "identity"
    num_queries, width = ours["queries"].shape
    config = DecoderConfig(
        width=width,
        heads=heads,
        num_taps=_count(ours, "laterals", 1),
        num_queries=num_queries,
        num_classes=len(ours["predict.classify.weight"]) - 1,
        num_blocks=_count(ours, "blocks", 1),
        ffn_hidden=len(ours["blocks.0.ffn.up.weight"]),
        upscale_stages=_count(ours, "predict.upscale", 2),
        lateral=lateral,
        lateral_norm="laterals.0.norm.weight" in ours,
        residual_laterals=residual_laterals,
        propagation=_propagation(ours),
    )
    return ours, config


def _propagation(state: Mapping[str, Tensor]) -> Propagation:
    """What the keys say about the link through time."""
    if "link.cell.weight_ih" in state:
        return "gru"
    return "linear" if "link.update.weight" in state else "none"


def _count(state: Mapping[str, Tensor], prefix: str, place: int) -> int:
    """How many numbered modules stand below a prefix."""
    return 1 + max(int(key.split(".")[place]) for key in state if key.startswith(prefix + "."))
