"""The variants: Plain Mask Decoders with something less, and queries in the encoder itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from plainmask.decoder.decoder import DecoderConfig, MaskModule, PlainMaskDecoder, Predictions
from plainmask.encoder.vit import Encoder, Features
from plainmask.training.from_encoder import start_from_encoder


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    says: str
    blocks: int = 6
    laterals: bool = True
    """False: the decoder reads the encoder's last layer only."""
    rope: bool = True
    norm: bool = True
    """Batch norm of the laterals."""
    wide: bool = False
    """The feed-forward layers are as wide as the encoder's, four times as wide as published."""
    begun: bool = False
    """The blocks begin as copies of the encoder's (`start_from: encoder`)."""
    rate: float = 5e-4
    """The largest learning rate."""
    injected: bool = False
    """No decoder: the queries run through the encoder's last blocks, which stay frozen."""


VARIANTS = {
    "pmt": Variant("PMT: 6 blocks, laterals, RoPE, batch norm"),
    "depth-4": Variant("4 blocks", blocks=4),
    "depth-2": Variant("2 blocks", blocks=2),
    "depth-1": Variant("1 block", blocks=1),
    "wide-3": Variant("3 wide blocks", blocks=3, wide=True),
    "wide-3-slower": Variant("the same, learning rate 2e-4", blocks=3, wide=True, rate=2e-4),
    "begun-3": Variant("the same, begun as the encoder's", 3, wide=True, begun=True, rate=2e-4),
    "no-laterals": Variant("without laterals (last layer only)", laterals=False),
    "no-rope": Variant("without RoPE", rope=False),
    "no-norm": Variant("without batch norm", norm=False),
    "encoder-only": Variant("no decoder: queries in the frozen encoder", injected=True),
}

INJECTED_BLOCKS = 3
"""How many of the encoder's blocks see the queries, as in EoMT with ViT-S and ViT-B."""


class OpenEncoder(Encoder):
    """A frozen encoder that also gives its stream before the blocks that queries may enter.

    The stream is the last of the taps, and has not been through the encoder's final norm.
    """

    def __init__(self, encoder: Encoder):
        nn.Module.__init__(self)
        self.encoder = encoder
        self.config = encoder.config
        self.enter = encoder.config.depth - INJECTED_BLOCKS
        self.name, self.fingerprint = "custom", f"{encoder.fingerprint}-{self.enter}"

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.encoder.dtype

    @torch.no_grad()
    def forward(
        self, pixels: Tensor, *, content: Sequence[tuple[int, int]] | None = None, **options: Any
    ) -> Features:
        """The encoder's taps, and the stream; there must be no other options."""
        assert not options
        encoder = self.encoder
        stream, grid = encoder.embed(pixels, content)
        read: list[Tensor] = []
        entered = stream
        for index, block in enumerate(encoder.blocks):
            if index == self.enter:
                entered = stream
            stream = block(stream, None)
            if index in self.config.taps:
                read.append(encoder.norm(stream))
        return Features((*read, entered), grid, self.config.prefix)


class OnDecoder(nn.Module):
    """PMT, or PMT without something."""

    def __init__(
        self,
        variant: Variant,
        encoder: Encoder,
        num_queries: int,
        num_classes: int,
        pixels: Tensor,
    ):
        super().__init__()
        config = encoder.config
        num_taps = len(config.taps)
        self.taps = slice(0 if variant.laterals else num_taps - 1, num_taps)
        # Without stretch all patches have the same coordinates: the identity as rotation.
        self.rope_scale = 1.0 if variant.rope else 0.0
        self.decoder = PlainMaskDecoder(
            DecoderConfig(
                width=config.width,
                heads=config.heads,
                num_taps=len(range(num_taps)[self.taps]),
                num_queries=num_queries,
                num_classes=num_classes,
                num_blocks=variant.blocks,
                ffn_hidden=config.ffn_hidden if variant.wide else config.width,
                upscale_stages=1,
                lateral_norm=variant.norm,
            )
        )
        if variant.begun:
            start_from_encoder(self.decoder, encoder, pixels)

    def forward(self, features: Features) -> Predictions:
        """Predictions of the last layer."""
        chosen = features._replace(taps=features.taps[self.taps])
        return self.decoder(chosen, rope_scale=self.rope_scale)


class InEncoder(nn.Module):
    """Encoder-only, frozen: learnt queries and a mask module around the encoder's last blocks."""

    def __init__(self, encoder: Encoder, num_queries: int, num_classes: int):
        super().__init__()
        config = encoder.config
        self.frozen = (list(encoder.blocks[-INJECTED_BLOCKS:]), encoder.norm)  # not trained
        self.queries = nn.Parameter(torch.randn(num_queries, config.width))
        self.predict = MaskModule(
            DecoderConfig(
                width=config.width,
                heads=config.heads,
                num_queries=num_queries,
                num_classes=num_classes,
                ffn_hidden=config.width,
                upscale_stages=1,
            )
        )

    def forward(self, features: Features) -> Predictions:
        """Predictions after the last block."""
        blocks, norm = self.frozen
        stream = features.taps[-1]
        x = torch.cat([self.queries.expand(len(stream), -1, -1), stream], dim=1)
        for block in blocks:
            x = block(x, None)
        return self.predict(norm(x), len(self.queries), features.grid)


def build(
    variant: Variant, encoder: Encoder, num_queries: int, num_classes: int, pixels: Tensor
) -> nn.Module:
    """A fresh model of a variant: `OpenEncoder`'s features -> predictions.

    `pixels`: some training pictures, (B, 3, H, W) uint8.
    """
    if variant.injected:
        return InEncoder(encoder, num_queries, num_classes)
    return OnDecoder(variant, encoder, num_queries, num_classes, pixels)
