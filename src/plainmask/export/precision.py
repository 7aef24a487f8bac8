"""Smaller weights: half precision to store them, eight bits to compute the encoder with.

int8 takes activations, too (W8A8, their scales as they come). In larger encoders a few channels are
so strong that plain rounding loses the others, so strength is moved from activations to weights
first (SmoothQuant, arXiv 2211.10438, alpha 0.5). Small ones would do without, but gain by it, too:
the taps of DINOv2 small are off by 2.6 to 4 % (root mean square) instead of 3.4 to 5.6.
"""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from plainmask.encoder.vit import Block, Encoder, SwiGlu
from plainmask.errors import InputError
from plainmask.extra import need
from plainmask.graphs.onnx_file import INSTALL
from plainmask.heads.exported import Precision

ALPHA = 0.5
"""How much of the strength goes to the weights."""


def narrow(model: Any, precision: Precision) -> None:
    """Store the matrices of an ONNX model in float16 or bfloat16, in place.

    A cast stands behind each; vectors stay as they are. What is computed stays float32.

    Raises:
        InputError: a weight is too large for float16.
    """
    onnx = need("onnx", "an export to ONNX", INSTALL)
    float32 = onnx.TensorProto.FLOAT
    kind = onnx.TensorProto.FLOAT16 if precision == "float16" else onnx.TensorProto.BFLOAT16
    casts: list[Any] = []
    for tensor in model.graph.initializer:
        if tensor.data_type != float32 or len(tensor.dims) < 2:
            continue
        values = torch.from_numpy(np.array(onnx.numpy_helper.to_array(tensor)))
        small = values.to(torch.float16 if precision == "float16" else torch.bfloat16)
        if not small.isfinite().all():
            raise InputError(f"the weight {tensor.name} is too large for {precision}; use bfloat16")
        name = tensor.name
        tensor.Clear()
        tensor.name, tensor.data_type = f"{name}.narrow", kind
        tensor.dims.extend(small.shape)
        tensor.raw_data = small.view(torch.int16).numpy().tobytes()
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=float32))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def quantise(model: Any) -> Any:
    """An encoder's ONNX model with its linear layers in eight bits, weights by column."""
    need("onnxruntime", "an export in int8", INSTALL)
    tool: Any = need("onnxruntime.quantization", "an export in int8", INSTALL)
    weights = {tensor.name for tensor in model.graph.initializer}
    layers = [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in weights
    ]
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it advises what our graphs do not need
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            tool.quantize_dynamic(
                model,
                path,
                per_channel=True,
                nodes_to_quantize=layers,
                op_types_to_quantize=["MatMul"],
            )
            return need("onnx", "an export in int8", INSTALL).load(path)
    finally:
        logger.setLevel(level)


@torch.no_grad()
def smoothed(encoder: Encoder, pictures: Iterable[Tensor]) -> Encoder:
    """The same encoder, up to rounding, whose activations before linear layers are less uneven.

    Args:
        encoder: stays as it is.
        pictures: pixels (B, 3, H, W) uint8, such as it will see.
    """
    same = copy.deepcopy(encoder)
    norms = [norm for block in _blocks(same) for norm in (block.norm1, block.norm2)]
    largest = [torch.zeros(same.config.width) for _ in norms]

    def watch(place: int) -> Any:
        def see(module: nn.Module, inputs: Any, output: Tensor) -> None:
            largest[place] = torch.maximum(largest[place], output.abs().amax((0, 1)))

        return norms[place].register_forward_hook(see)

    hooks = [watch(place) for place in range(len(norms))]
    for pixels in pictures:
        same(pixels, taps=[same.config.depth - 1])
    for hook in hooks:
        hook.remove()
    for place, block in enumerate(_blocks(same)):
        for part, layers in enumerate(_linear_after_norms(block)):
            _move(norms[2 * place + part], layers, largest[2 * place + part])
    return same


def _blocks(encoder: Encoder) -> list[Block]:
    return [block for block in encoder.blocks if isinstance(block, Block)]


def _linear_after_norms(block: Block) -> tuple[list[nn.Linear], list[nn.Linear]]:
    """What reads the first norm of a block, and the second."""
    ffn: Any = block.ffn
    second = [ffn.gate, ffn.up] if isinstance(block.ffn, SwiGlu) else [ffn.up]
    return [block.attention.qkv], second


def _move(norm: nn.LayerNorm, layers: list[nn.Linear], largest: Tensor) -> None:
    """Divide what a norm gives by a factor for each channel, and multiply what reads it."""
    weight = torch.stack([layer.weight.abs().amax(0) for layer in layers]).amax(0)
    factor = largest.clamp_min(1e-5) ** ALPHA / weight.clamp_min(1e-5) ** (1 - ALPHA)
    factor = factor.clamp(1e-4, 1e4)
    norm.weight.div_(factor)
    norm.bias.div_(factor)
    for layer in layers:
        layer.weight.mul_(factor)
