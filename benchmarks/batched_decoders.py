"""Heads whose decoders have one shape: one after the other, or as one decoder with stacked weights.

    OMP_NUM_THREADS=1 python benchmarks/batched_decoders.py [--heads 2 4 8] [--sides 112 224 640]

Random weights, ViT-S, 200 queries, masks at stride 4; from one picture's features to logits. The
ways take turns; figures are medians of the ratios of turns, CPU seconds of this process where
other programs run beside. "stacked" is `torch.func.vmap` over `stack_module_state`: products with
weights become batched ones, attention takes the heads' batches as one. What the two ways give
must agree to 1e-5 of the largest logit in float32. `gpu.py` measures both on a GPU.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import mock

import torch
from peers.eomt import QUERIES
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder, Predictions
from plainmask.encoder import vit
from plainmask.encoder.attention import attend_on_cpu
from plainmask.encoder.products import linear_by_onednn
from plainmask.encoder.vit import Features

Way = Callable[[Features], list[Predictions]]

WIDTH, HEADS, PREFIX, PATCH = 384, 6, 5, 16


@attend_on_cpu.register_vmap
def _(info: Any, dims: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, int]:
    """All heads' batches as one."""
    parts = [part.movedim(dim, 0) for part, dim in zip((q, k, v), dims, strict=True)]
    found = attend_on_cpu(*(part.flatten(0, 1) for part in parts))
    return found.unflatten(0, parts[0].shape[:2]), 0


@linear_by_onednn.register_vmap
def _(info: Any, dims: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, int]:
    """One after the other: oneDNN has no batch of matrices that is as fast."""
    count = info.batch_size
    parts = [
        [None] * count if part is None else [part] * count if dim is None else part.unbind(dim)
        for part, dim in zip((x, weight, bias), dims, strict=True)
    ]
    return torch.stack([linear_by_onednn(*one) for one in zip(*parts, strict=True)]), 0


def attend_together(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of any number of tokens by the operation that knows batches of heads."""
    return attend_on_cpu(q, k, v).transpose(1, 2)


def decoders(count: int, blocks: int) -> list[PlainMaskDecoder]:
    """Some of one shape, of different weights."""
    config = DecoderConfig(
        width=WIDTH,
        heads=HEADS,
        num_queries=QUERIES,
        num_classes=133,
        num_blocks=blocks,
        ffn_hidden=WIDTH,
        upscale_stages=2,
    )
    return [PlainMaskDecoder(config).eval() for _ in range(count)]


def separate(heads: list[PlainMaskDecoder]) -> Way:
    """One after the other."""
    return lambda features: [head(features) for head in heads]


def stacked(heads: list[PlainMaskDecoder]) -> Way:
    """As one."""
    weights, buffers = stack_module_state(heads)
    on_cpu = heads[0].queries.device.type == "cpu"
    shape = copy.deepcopy(heads[0]).to("meta")
    together = vmap(
        lambda own, kept, features: functional_call(shape, (own, kept), (features,)),
        in_dims=(0, 0, None),
    )

    def way(features: Features) -> list[Predictions]:
        with mock.patch.object(vit, "attend", attend_together) if on_cpu else nullcontext():
            masks, classes = together(weights, buffers, features)
        return [Predictions(*one) for one in zip(masks, classes, strict=True)]

    return way


def features_of(side: int) -> Features:
    """Of one picture, as far as a decoder can tell."""
    grid = (side // PATCH, side // PATCH)
    taps = tuple(torch.randn(1, PREFIX + grid[0] * grid[1], WIDTH) for _ in range(4))
    return Features(taps, grid, PREFIX)


def difference(one: list[Predictions], other: list[Predictions]) -> float:
    """The largest of any logit, as a share of the largest logit."""
    pairs = [pair for a, b in zip(one, other, strict=True) for pair in zip(a, b, strict=True)]
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--sides", type=int, nargs="+", default=[112, 224, 640])
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    print("| dtype | pixels | heads | separate ms | stacked ms | separate / stacked | difference |")
    print("|---|---|---|---|---|---|---|")
    for dtype in (torch.float32, torch.bfloat16):
        for side in options.sides:
            for count in options.heads:
                torch.manual_seed(0)
                heads, features = decoders(count, options.blocks), features_of(side)
                ways = separate(heads), stacked(heads)
                computing = (
                    nullcontext() if dtype == torch.float32 else torch.autocast("cpu", dtype)
                )
                taken: list[tuple[float, ...]] = []
                with torch.inference_mode(), computing:
                    apart = difference(*(way(features) for way in ways))
                    for _ in range(options.turns):
                        turn: list[float] = []
                        for way in ways:
                            began = time.process_time()
                            way(features)
                            turn.append(1e3 * (time.process_time() - began))
                        taken.append(tuple(turn))
                alone, together = (statistics.median(each) for each in zip(*taken, strict=True))
                ratio = statistics.median(a / b for a, b in taken)
                print(
                    f"| {str(dtype)[6:]} | {side} | {count} | {alone:.1f} | {together:.1f} | "
                    f"{ratio:.2f} | {apart:.0e} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
