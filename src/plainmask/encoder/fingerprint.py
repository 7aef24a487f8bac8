"""One name for one encoder, wherever its weights came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from plainmask.encoder.vit import IMAGENET_STATISTICS, EncoderConfig


class Digest(Protocol):
    """One of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""


def fingerprint(
    state: Mapping[str, Tensor], config: EncoderConfig, *, with_statistics: bool = True
) -> str:
    """Digest of an encoder's weights and of the rules that it is run by.

    `state` is in our layout (layouts.read_state), in which the mask token is left out, the class
    row of a position table is folded into the class token and RoPE periods do not occur; zero
    biases count as absent, so that layouts which store them and layouts which do not agree.
    The patch size in use, the way the table is resized and the statistics that pixels are
    normalised by belong to it: the same weights run by another rule give other features. Bicubic
    resizing and ImageNet's statistics are not written down, so encoders that use them have the
    fingerprint that they had before there were others; `with_statistics=False` gives that of other
    statistics, too, which older heads are bound to.
    """
    digest = hashlib.sha256()
    rule = "rope" if config.positions == "rope" else f"antialias={config.table_antialias}"
    if config.table_resize != "bicubic":
        rule += f" resize={config.table_resize}"
    digest.update(f"patch={config.patch_size} positions={rule} eps={config.norm_eps}".encode())
    if with_statistics and (config.mean, config.std) != IMAGENET_STATISTICS:
        digest.update(f" mean={config.mean} std={config.std}".encode())
    add_tensors(digest, state)
    return digest.hexdigest()[:32]


def add_tensors(digest: Digest, state: Mapping[str, Tensor]) -> None:
    """Add the values of tensors to a digest, by their names; zero biases count as absent."""
    for name in sorted(state):
        tensor = state[name].detach()
        if tensor.is_meta:  # a model built to look at its shapes has no values to tell apart
            digest.update(f"{name} {tuple(tensor.shape)} without data".encode())
            continue
        if tensor.numel() == 0 or (name.endswith("bias") and not tensor.any()):
            continue
        values = tensor.float().cpu().contiguous().numpy()
        digest.update(f"{name} {values.shape}".encode())
        digest.update(values.tobytes())
