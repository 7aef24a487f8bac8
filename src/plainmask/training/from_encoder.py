"""A decoder that goes on, at first, as the encoder does: `start_from: encoder` in a recipe.

EoMT (arXiv 2503.19108) has queries join the encoder's own last blocks, which are then trained with
them. Here the encoder stays as it is, and the decoder's blocks begin as copies of them. What they
know of pictures need not be learnt: in short runs on few pictures heads became better by it
(benchmarks/ablations/README.md).

Letters: N tokens of several pictures, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plainmask.decoder.decoder import DecoderConfig, Lateral, PlainMaskDecoder
from plainmask.encoder.rope import rope_tables
from plainmask.encoder.vit import Encoder, EncoderConfig, Mlp
from plainmask.errors import InputError

ENCODER = "encoder"
"""What `start_from` calls it."""
MEASURED = 16
"""Pictures by which it is measured what the encoder gives."""
OTHERS = 0.05
"""Scale of the other taps' laterals: what these bring is for the training to find out."""


@torch.no_grad()
def start_from_encoder(decoder: PlainMaskDecoder, encoder: Encoder, pixels: Tensor) -> str:
    """Make the decoder's blocks copies of the encoder's blocks behind one of its taps.

    That tap's lateral gives them what they had in the encoder; those of other taps give next to
    nothing, and queries are of the size of tokens.

    Args:
        decoder: fresh; it is changed.
        encoder: the one that it will be trained on.
        pixels: (B, 3, H, W) uint8, some training pictures, by which the tap is measured.

    Returns:
        what was done, in words.

    Raises:
        InputError: the shapes of the blocks differ, or there are not so many behind a tap.
    """
    place = _place(decoder.config, encoder.config)
    tap, count = encoder.config.taps[place], decoder.config.num_blocks
    for block, copied in zip(decoder.blocks, encoder.blocks[tap + 1 :], strict=False):
        # A bias of keys adds the same to all of a query's scores, but for what rotation does.
        known = {k: v for k, v in copied.state_dict().items() if k != "attention.k_bias"}
        block.load_state_dict(known)
    tokens = _tokens(encoder, pixels, tap)  # (N, D)
    size = float(tokens.std(-1).mean())
    taps = encoder(pixels.to(encoder.cls_token.device)).taps
    for index, (lateral, seen) in enumerate(zip(decoder.laterals, taps, strict=True)):
        assert isinstance(lateral, Lateral)
        _measure(lateral, seen.flatten(0, 1).float())
        if index == place:
            _pass_on(lateral, encoder.norm, tokens, size)
        else:
            lateral.scale.fill_(OTHERS)
    decoder.queries.mul_(size)
    return f"starting from the encoder's blocks {tap + 1} to {tap + count}"


def _place(decoder: DecoderConfig, encoder: EncoderConfig) -> int:
    """Which of the taps to start from: the last that has enough blocks behind it."""
    if encoder.ffn != "mlp":
        raise InputError(
            f"start_from: encoder copies blocks, and those of this encoder have a {encoder.ffn} "
            "layer, which decoders have not; leave start_from out"
        )
    if decoder.ffn_hidden != encoder.ffn_hidden:
        raise InputError(
            f"start_from: encoder copies blocks: set decoder.ffn_hidden to {encoder.ffn_hidden}, "
            f"as the encoder has it, not {decoder.ffn_hidden}"
        )
    behind = [encoder.depth - 1 - tap for tap in encoder.taps]
    places = [place for place, count in enumerate(behind) if count >= decoder.num_blocks]
    if not places or not decoder.num_blocks:
        raise InputError(
            f"start_from: encoder copies the blocks behind one of its taps, 1 to {max(behind)}: "
            f"decoder.num_blocks cannot be {decoder.num_blocks}"
        )
    return max(places, key=lambda place: encoder.taps[place])


def _tokens(encoder: Encoder, pixels: Tensor, tap: int) -> Tensor:
    """What a block gives, before the encoder's final norm: (N, D) float32 on the CPU."""
    config = encoder.config
    x, grid = encoder.embed(pixels.to(encoder.cls_token.device))
    rope = None
    if config.positions == "rope":
        rope = rope_tables(grid, config.head_dim, device=x.device)
    for block in encoder.blocks[: tap + 1]:
        x = block(x, rope)
    return x.flatten(0, 1).float().cpu()


def _measure(lateral: Lateral, tap: Tensor) -> None:
    """Give a batch norm the statistics of what it will see, (N, D)."""
    norm = lateral.norm
    if norm is not None and norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.copy_(tap.mean(0))
        norm.running_var.copy_(tap.var(0))


def _pass_on(lateral: Lateral, norm: nn.Module, tokens: Tensor, size: float) -> None:
    """Have a lateral undo the encoder's final norm, so that blocks see tokens as they knew them.

    That norm takes a token's own mean and size away; it gets the size of the middling one.
    """
    assert lateral.norm is not None
    assert isinstance(lateral.project, Mlp)
    sign = torch.ones(1)
    if isinstance(norm, nn.LayerNorm):
        sign = norm.weight.float().cpu().sign()
        tokens = F.layer_norm(tokens, sign.shape, eps=norm.eps) * size
    lateral.norm.weight.copy_(tokens.std(0) * sign)
    lateral.norm.bias.copy_(tokens.mean(0))
    lateral.project.down.weight.zero_()
    lateral.project.down.bias.zero_()
    lateral.scale.fill_(1)
