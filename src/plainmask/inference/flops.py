"""How much the network computes, by arithmetic: a multiplication and an addition are two.

Products of matrices, attention and convolutions count; norms, activations and softmax do not. That
is how the field counts, and what a machine's peak is compared with.

Letters: B batch, N tokens, h w patch grid, D width.
"""

from __future__ import annotations

from plainmask.decoder.decoder import DecoderConfig
from plainmask.encoder.vit import EncoderConfig

Grid = tuple[int, int]


def encoder_flops(config: EncoderConfig, grid: Grid, blocks: int) -> int:
    """Of one input of this patch grid, through the first `blocks` blocks."""
    patches = grid[0] * grid[1]
    embedding = 2 * patches * 3 * config.patch_size**2 * config.width
    layers = 2 if config.ffn == "mlp" else 3
    tokens = config.prefix + patches
    return embedding + blocks * _block(tokens, config.width, layers * config.ffn_hidden)


def decoder_flops(config: DecoderConfig, grid: Grid, prefix: int) -> int:
    """Of one input of this patch grid, with `prefix` tokens before the patches."""
    width, queries, patches = config.width, config.num_queries, grid[0] * grid[1]
    tokens = prefix + patches
    lateral = {"mlp": width * width, "linear": width * width, "identity": 0}[config.lateral]
    laterals = config.num_taps * 2 * tokens * lateral
    blocks = config.num_blocks * _block(queries + tokens, width, 2 * config.ffn_hidden)
    upscaling = 0
    for _ in range(config.upscale_stages):
        upscaling += 2 * patches * width * 4 * width  # a transposed convolution, stride 2
        patches *= 4
        upscaling += 2 * patches * width * 9  # one 3 x 3 kernel a channel
    embedding = 2 * queries * width * (3 * width + config.num_classes + 1)
    return laterals + blocks + upscaling + embedding + 2 * queries * patches * width


def _block(tokens: int, width: int, hidden: int) -> int:
    """A Transformer block whose feed-forward matrices are `hidden` wide in all."""
    projections = 2 * tokens * width * 4 * width
    attention = 2 * 2 * tokens * tokens * width
    return projections + attention + 2 * tokens * width * hidden
