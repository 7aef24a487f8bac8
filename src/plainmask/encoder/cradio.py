"""What C-RADIO's weights have in other forms than DINOv2's, and what they lack.

No final norm, no LayerScale, no bias of the patches; ten tokens before the patches in one tensor,
of which the first stands for our class token and the others for registers (docs/model.md 1.4).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from plainmask.errors import WeightsError

TOKENS = 10
"""Before the patches, in version 4. Version 3 has eight, and resizes positions by other rules."""


def is_one(ours: Mapping[str, Tensor]) -> bool:
    """Whether weights under our names are C-RADIO's: by its prefix; in timm's layout by no norm."""
    in_timm_layout = {"positions", "registers"} <= ours.keys()
    return "prefix" in ours or (
        in_timm_layout and not {"norm.weight", "blocks.0.scale1"} & ours.keys()
    )


def complete(ours: dict[str, Tensor]) -> None:
    """Bring its prefix and patch kernel to our shapes, and add what it lacks, in place.

    Raises:
        WeightsError: it is not version 4.
    """
    if (prefix := ours.pop("prefix", None)) is not None:
        ours["cls_token"], ours["registers"] = prefix[0], prefix[1:]
    tokens = 1 + ours["registers"].numel() // ours["cls_token"].numel()
    if tokens != TOKENS:
        raise WeightsError(
            f"this looks like a C-RADIO with {tokens} tokens before the patches; known is version "
            f"4, which has {TOKENS}, as others resize their positions in another way: use a v4"
        )
    kernel = ours["patch.weight"]  # published as that of a linear layer, (D, 3*p*p)
    side = math.isqrt(kernel[0].numel() // 3)
    ours["patch.weight"] = kernel.reshape(len(kernel), 3, side, side)
    ours.setdefault("patch.bias", kernel.new_zeros(len(kernel)))
    for key in list(ours):
        if found := re.fullmatch(r"(blocks\.\d+\.)norm1\.weight", key):
            for place in "12":
                ours.setdefault(f"{found[1]}scale{place}", torch.ones_like(ours[key]))
