"""A linear classifier of patches as a Plain Mask Decoder: a head without a step of training.

The laterals give each class its score; there are no blocks; each class has a query, whose mask is
that score between patches, as bilinear resizing would give it. Constants beside the scores undo
what the decoder's norms and GELUs do to numbers, so the largest score stays the largest.

Letters: T taps, D width, K classes that are known, C classes of the head.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.errors import InputError

Tensors: TypeAlias = dict[str, Tensor]

BALANCE = 3.0
"""A constant beside K scores, as a multiple of sqrt(K): next to it, what scores add to the variance
by which a patch is divided is little."""
ABOVE = 4.0
"""What is added to scores before a GELU, which leaves large numbers as they are."""
SURE = 12.0
"""Class logit of a query."""
SPREAD = 1.5
"""Standard deviation of mask logits where patches are like the classes' means: less, and sigmoids
would be equal in float16; more, and all of them would be 1."""


def most_classes(width: int) -> int:
    """How many known classes fit into a decoder of this width."""
    return width - 2


@torch.no_grad()
def linear_decoder(
    weights: Tensor,
    bias: Tensor,
    classes: Tensor,
    *,
    num_classes: int,
    heads: int,
    scale: float,
) -> PlainMaskDecoder:
    """A decoder that gives each patch the class with the largest `features @ weights + bias`.

    Args:
        weights: (T, D, K) float32, for the patch tokens of each tap.
        bias: (K,) float32.
        classes: (K,) int64, the ids of the known classes.
        num_classes: C; of the classes that are not known there will be no pixel.
        heads: of the encoder; nothing here attends, it is what the config says.
        scale: about the standard deviation of the scores of a patch.

    Returns:
        the decoder on the CPU, in eval mode; its mask logits have half the patches' stride.

    Raises:
        InputError: more classes than a decoder of this width holds.
    """
    num_taps, width, known = weights.shape
    if known > most_classes(width):
        raise InputError(
            f"{known} classes are too many for an encoder of width {width} (at most "
            f"{most_classes(width)}); join some, or take a larger encoder"
        )
    config = DecoderConfig(
        width=width,
        heads=heads,
        num_taps=num_taps,
        num_queries=known,
        num_classes=num_classes,
        num_blocks=0,
        ffn_hidden=width,
        upscale_stages=1,
        lateral="linear",
        lateral_norm=False,
        residual_laterals=False,
    )
    with torch.device("meta"):
        decoder = PlainMaskDecoder(config)
    state = {name: torch.zeros(like.shape) for name, like in decoder.state_dict().items()}
    # Only differences count; without the common part numbers stay small in half precision.
    weights = (weights - weights.mean(2, keepdim=True)) / scale
    _score(state, weights, (bias - bias.mean()) / scale)
    _ask(state, classes)
    _between(state, known)
    decoder.load_state_dict(state, assign=True)
    return decoder.requires_grad_().eval()


def _score(state: Tensors, weights: Tensor, bias: Tensor) -> None:
    """Laterals whose sum has the scores of a patch in its first K numbers, then a constant."""
    width, known = weights.shape[1:]
    for tap, values in enumerate(weights):
        state[f"laterals.{tap}.scale"].fill_(1)
        state[f"laterals.{tap}.project.weight"][:known] = values.T
    constants = state["laterals.0.project.bias"]
    constants[:known] = bias
    constants[-1] = BALANCE * known**0.5
    constants[-2] = -constants[-1]
    # A patch is divided by its standard deviation, which is about this one.
    state["predict.norm.weight"].fill_(((2 * BALANCE**2 + 1) * known / width) ** 0.5)


def _ask(state: Tensors, classes: Tensor) -> None:
    """A query for each class, and what is made of it: its class, and which number is its mask."""
    known, width = state["queries"].shape
    places = torch.arange(known)
    state["queries"][places, places] = 1
    # After the norm all but one number of a query are nearly 0.
    large = state["predict.norm.weight"][0] * (width - 1) ** 0.5
    state["predict.classify.weight"][classes, places] = SURE / large
    state["predict.embed.0.weight"][places, places] = 2 * ABOVE / large
    state["predict.embed.0.bias"].fill_(-ABOVE)  # what is nearly 0 becomes 0
    state["predict.embed.2.weight"][places, places] = 1
    # One score less the mean of all: the constants that pixels bring are in both.
    mask = (torch.eye(known) - 1 / known) * SPREAD / ABOVE
    state["predict.embed.4.weight"][:known, :known] = mask


def _between(state: Tensors, known: int) -> None:
    """Upscaling that draws lines between the scores of patches."""
    stage, places = "predict.upscale.0", torch.arange(known)
    state[f"{stage}.expand.weight"][places, places] = 1
    state[f"{stage}.expand.bias"][:known] = ABOVE
    # Each number twice, then this: bilinear resizing by two.
    line = torch.tensor([0.25, 0.5, 0.25])
    state[f"{stage}.mix.weight"][:] = line[:, None] * line
    share = known / len(state[f"{stage}.norm.weight"])
    state[f"{stage}.norm.weight"].fill_(ABOVE * (share * (1 - share)) ** 0.5)
