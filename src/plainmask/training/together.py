"""Several heads that train side by side on one pass of the encoder, each as if it were alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from plainmask.encoder.vit import Features
from plainmask.errors import InputError
from plainmask.training.objective import FeatureSource
from plainmask.training.recipe import Recipe

SHARED = (
    "encoder",
    "data.root",
    "data.format",
    "data.train",
    "data.hold_out",
    "data.stills",
    "augment",
    "paste",
    "pasting",
    "clip",
    "chunk",
    "rope_rescale",
    "steps",
    "batch_size",
    "accumulate",
    "seed",
    "precision",
    "cache",
)
"""What decides which pixels the encoder sees, and when."""


def check_shared(recipes: Sequence[Recipe]) -> None:
    """Raise InputError unless all recipes show the encoder the same pixels."""
    for first, second in combinations(recipes, 2):
        if first.name == second.name:
            raise InputError(f"two recipes have the name {first.name!r}; each names a folder")
        for key in SHARED:
            ours, theirs = _value(first, key), _value(second, key)
            if ours != theirs:
                raise InputError(
                    "heads that train together share the encoder's pass, so their recipes must "
                    f"agree in {key}: it is {ours!r} in {first.name}, {theirs!r} in {second.name}; "
                    "make them equal, or train the heads apart"
                )


def _value(recipe: Recipe, key: str) -> Any:
    value: Any = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return value


class SharedFeatures:
    """Gives the features that were made before in the same step; encodes what is new.

    Pixels are compared, so heads cannot get features of others' pixels.
    """

    def __init__(self, source: FeatureSource):
        self.source = source
        self.known: list[tuple[Tensor, object, Features]] = []

    def __call__(
        self,
        pixels: Tensor,
        *,
        content: Sequence[tuple[int, int]] | None = None,
        rope_scale: float = 1.0,
    ) -> Features:
        """See `Encoder.forward`."""
        key = (content, rope_scale)
        for seen, how, features in self.known:
            if how == key and torch.equal(seen, pixels):
                return features
        features = self.source(pixels, content=content, rope_scale=rope_scale)
        self.known.append((pixels, key, features))
        return features

    def forget(self) -> None:
        """The next step begins."""
        self.known.clear()
