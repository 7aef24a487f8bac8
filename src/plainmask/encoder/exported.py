"""The frozen encoder as an exported graph: normalised pixels in, taps out.

Letters: B batch, h w patch grid, R prefix tokens, D width.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from plainmask.encoder.vit import Encoder, EncoderConfig, Features, check_pixels, normalise
from plainmask.errors import InputError
from plainmask.graphs.graph import Graph

PIXELS = "pixels"
"""The encoder's input: (B, 3, H, W) float32, normalised; sides are multiples of the patch."""


def tap_names(taps: Sequence[int]) -> list[str]:
    """What the tensors of taps are called, in order.

    Of each `patches_N` (B, h, w, D) and `prefix_N` (B, R, D), both float32, with N the block.
    """
    return [f"{part}_{tap}" for tap in taps for part in ("patches", "prefix")]


class ExportedEncoder(nn.Module):
    """What heads need of an `Encoder`, computed by another runtime on the CPU."""

    def __init__(
        self,
        graph: Graph,
        config: EncoderConfig,
        *,
        name: str,
        fingerprint: str,
        older_fingerprint: str,
    ):
        super().__init__()
        self.graph, self.config, self.name = graph, config, name
        self.fingerprint, self.older_fingerprint = fingerprint, older_fingerprint
        found = (re.fullmatch(r"patches_(\d+)", output) for output in graph.outputs)
        self.taps = [int(match[1]) for match in found if match]
        self.eval()

    @property
    def dtype(self) -> torch.dtype:
        """Of what goes in and comes out."""
        return torch.float32

    @torch.no_grad()
    def forward(
        self,
        pixels: Tensor,
        *,
        taps: Sequence[int] | None = None,
        content: Sequence[tuple[int, int]] | None = None,
    ) -> Features:
        """As `Encoder.forward`.

        Raises:
            InputError: pixels of another dtype or layout, or smaller than one patch; or blocks
                that were not exported.
        """
        chosen = self.config.taps if taps is None else tuple(taps)
        if missing := set(chosen) - set(self.taps):
            raise InputError(
                f"{self.graph.path} gives the blocks {self.taps}, not {sorted(missing)}; export "
                "the heads that read them together"
            )
        patch = self.config.patch_size
        check_pixels(pixels, patch)
        normalised = normalise(pixels, self.config, content)
        height, width = (side // patch * patch for side in normalised.shape[2:])
        whole = normalised[:, :, :height, :width].contiguous()  # a remainder fills no patch
        found = self.graph({PIXELS: whole.numpy()})
        read = [torch.from_numpy(found[name]) for name in tap_names(chosen)]
        tokens = (
            torch.cat([prefix, patches.flatten(1, 2)], dim=1)
            for patches, prefix in zip(read[::2], read[1::2], strict=True)
        )
        return Features(tuple(tokens), (height // patch, width // patch), self.config.prefix)


AnyEncoder: TypeAlias = Encoder | ExportedEncoder
"""An encoder, whoever computes it."""
