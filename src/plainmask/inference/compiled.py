"""The network compiled by torch.compile, part by part: encoder and heads each for themselves."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch

from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.encoder.vit import Encoder
from plainmask.errors import InputError

Model = TypeVar("Model", Encoder, PlainMaskDecoder)


def compiled(model: Model) -> Model:
    """The model with compiled blocks, on the same weights; the one that was given stays as it is.

    The first call of a model takes long, and the first one with another size; none after that.
    """
    tensors = (*model.parameters(), *model.buffers())
    same = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    compile_blocks(same)
    return same


def compile_blocks(model: Encoder | PlainMaskDecoder) -> None:
    """Compile the blocks, in place; they are all alike, so this is done once a model."""
    for block in model.blocks:
        block.compile()


def check_compiler(device: torch.device) -> None:
    """Compile a trifle, to know at once whether compiling works here.

    Raises:
        InputError: it does not, for want of a C++ compiler or of Triton.
    """
    try:
        torch.compile(torch.neg)(torch.ones(1, device=device))
    except Exception as error:  # torch has no one error for that
        lines = [line for line in str(error).splitlines() if not line.endswith(":")]
        reason = lines[0] if lines else type(error).__name__
        missing = "Triton" if device.type == "cuda" else "a C++ compiler, such as g++"
        raise InputError(
            f"compile: torch cannot compile on {device.type} here: {reason}; install {missing}, or "
            "go on without compile"
        ) from error
