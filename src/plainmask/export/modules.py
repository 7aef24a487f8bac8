"""What is exported: the encoder and each head as functions of tensors alone.

No image is part of them, no size, no threshold and no normalisation. Letters: B batch, h w patch
grid, R prefix tokens, D width, Q queries, C classes without "no object".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.decoder.exported import NEXT, OUTPUTS, QUERIES
from plainmask.encoder.exported import PIXELS, tap_names
from plainmask.encoder.positions import resize_by_products
from plainmask.encoder.rope import rope_tables
from plainmask.encoder.vit import Encoder, Features

BATCH, ROWS, COLUMNS, HEIGHT, WIDTH = "batch", "rows", "columns", "height", "width"
"""What the free sides are called: rows and columns of patches, height and width in pixels."""


class EncoderGraph(nn.Module):
    """Normalised pixels (B, 3, H, W) -> of each tap patches (B, h, w, D) and prefix (B, R, D)."""

    def __init__(self, encoder: Encoder, taps: Sequence[int]):
        super().__init__()
        self.encoder, self.taps = encoder, tuple(taps)
        # By the name of an input: which of its sides are free, and what they are called.
        self.inputs, self.outputs = [PIXELS], tap_names(taps)
        self.sides = {PIXELS: {0: BATCH, 2: HEIGHT, 3: WIDTH}}

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        encoder, config = self.encoder, self.encoder.config
        (pixels,) = tensors
        planes = encoder.patch(pixels)
        grid = (planes.shape[-2], planes.shape[-1])
        table = rope = None
        if encoder.positions is not None:
            table = resize_by_products(
                encoder.positions,
                config.table_grid,
                grid,
                antialias=config.table_antialias,
                resize=config.table_resize,
            )
        else:
            rope = rope_tables(grid, config.head_dim, device=planes.device)
        taps = encoder.read_taps(encoder.tokens(planes, table), rope, self.taps)
        parts = (tap.split([config.prefix, tap.shape[1] - config.prefix], dim=1) for tap in taps)
        return tuple(
            part for prefix, patches in parts for part in (patches.unflatten(1, grid), prefix)
        )


class HeadGraph(nn.Module):
    """Taps as above, and queries of heads that propagate -> what `OUTPUTS` and `NEXT` say."""

    def __init__(self, decoder: PlainMaskDecoder, taps: Sequence[int]):
        super().__init__()
        self.decoder = decoder
        self.propagates = decoder.config.propagation != "none"
        self.inputs = [*tap_names(taps), *([QUERIES] if self.propagates else [])]
        self.outputs = [*OUTPUTS, *([NEXT] if self.propagates else [])]
        patches = {0: BATCH, 1: ROWS, 2: COLUMNS}
        self.sides = {
            name: patches if name.startswith("patches") else {0: BATCH} for name in self.inputs
        }

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        decoder, count = self.decoder, 2 * self.decoder.config.num_taps
        patches, prefixes = tensors[:count:2], tensors[1:count:2]
        grid = (patches[0].shape[1], patches[0].shape[2])
        taps = tuple(
            torch.cat([prefix, patch.flatten(1, 2)], dim=1)
            for prefix, patch in zip(prefixes, patches, strict=True)
        )
        fused = decoder.fuse(Features(taps, grid, prefixes[0].shape[1]))
        first = decoder.first_queries(patches[0].shape[0])
        entered = tensors[count] if self.propagates else first
        predictions, following = decoder.advance(fused, grid, entered)
        found = (predictions.mask_logits, predictions.class_logits, first.clone())
        return (*found, following) if self.propagates else found
