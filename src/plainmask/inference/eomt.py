"""The peer that people know: EoMT of transformers, of the same size, on the same input.

EoMT fine-tunes its encoder for one task, so each head would be a whole network of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from plainmask.decoder.decoder import DecoderConfig
from plainmask.encoder.vit import EncoderConfig
from plainmask.errors import InputError
from plainmask.inference.shared_pass import SharedPass


def build_eomt(
    shared: SharedPass, decoder: DecoderConfig, side: int
) -> tuple[str, Callable[[], Any]]:
    """The same as `eomt_model` and a square input.

    Returns:
        Its name, and a function that runs it once.
    """
    name, model = eomt_model(shared, decoder, side)
    pixels = torch.randn(1, 3, side, side, device=shared.device, dtype=shared.dtype)

    def run() -> Any:
        with torch.inference_mode():
            return model(pixel_values=pixels)

    return name, run


def eomt_model(shared: SharedPass, decoder: DecoderConfig, side: int) -> tuple[str, Any]:
    """An EoMT with random weights.

    Args:
        shared: whose encoder's size, device and dtype it has; its weights are in that dtype.
        decoder: whose queries and classes it has.
        side: of the input in pixels.

    Returns:
        Its name, and the module.

    Raises:
        InputError: transformers is not installed, or knows no EoMT.
    """
    config = shared.encoder.config
    kind = "EomtDinov3" if config.positions == "rope" else "Eomt"
    try:
        import transformers

        config_class = getattr(transformers, f"{kind}Config")
        model_class = getattr(transformers, f"{kind}ForUniversalSegmentation")
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"--compare needs transformers with {kind}: pip install -U transformers"
        ) from error
    model = model_class(config_class(**_shape(config, decoder, side)))
    name = "EoMT-DINOv3" if config.positions == "rope" else "EoMT-DINOv2"
    if not shared.encoder.name.startswith(("dino", "custom")):  # there is none on that encoder
        name += f" of the size of {shared.encoder.name}"
    return name, model.eval().to(shared.device, shared.dtype)


def _shape(config: EncoderConfig, decoder: DecoderConfig, side: int) -> dict[str, Any]:
    """Fields of the peer's config."""
    shape: dict[str, Any] = {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "patch_size": config.patch_size,
        "image_size": side,
        "num_register_tokens": config.registers,
        "num_upscale_blocks": decoder.upscale_stages,
        "num_queries": decoder.num_queries,
        "num_blocks": min(4, config.depth),
        "id2label": {index: str(index) for index in range(decoder.num_classes)},
    }
    gated = config.ffn == "swiglu"
    if config.positions == "rope":
        return shape | {"intermediate_size": config.ffn_hidden, "use_gated_mlp": gated}
    ratio = max(1, config.ffn_hidden // config.width)
    return shape | {"mlp_ratio": ratio, "use_swiglu_ffn": gated}
