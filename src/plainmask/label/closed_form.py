"""A real head from a linear one: what `plainmask.load` takes, and what proposals are made by."""

from __future__ import annotations

import torch

from plainmask.decoder.linear import linear_decoder
from plainmask.encoder.vit import Encoder
from plainmask.heads.head import EncoderRef, Head, HeadConfig, Provenance
from plainmask.label.features import PROTOCOL
from plainmask.label.linear import LinearHead
from plainmask.vocabulary import Vocabulary

PROVENANCE = Provenance(
    data="labels on pictures of one's own, learnt in closed form",
    licence="as the owner of those pictures says",
)


def head_of(linear: LinearHead, encoder: Encoder, vocabulary: Vocabulary, name: str) -> Head:
    """A semantic head that gives each patch the class that a linear head gives it.

    Args:
        linear: for the taps of the encoder side by side.
        encoder: what its features come from.
        vocabulary: all classes, in the order of their ids.
        name: of the head.

    Raises:
        InputError: more classes than the encoder is wide; see `linear_decoder`.
    """
    config = encoder.config
    weights = torch.from_numpy(linear.weights).unflatten(0, (len(config.taps), config.width))
    decoder = linear_decoder(
        weights,
        torch.from_numpy(linear.bias),
        torch.from_numpy(linear.classes),
        num_classes=len(vocabulary),
        heads=config.heads,
        scale=linear.scale,
    )
    about = HeadConfig(
        name=name,
        task="semantic",
        vocabulary=vocabulary,
        decoder=decoder.config,
        encoder=EncoderRef.of(encoder),
        input=PROTOCOL,
        provenance=PROVENANCE,
    )
    return Head(about, decoder)
