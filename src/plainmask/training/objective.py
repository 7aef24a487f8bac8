"""One training step up to the losses: of a batch of images, or of clips cut into chunks.

Letters: B images or clips, T frames, N objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from plainmask.decoder.decoder import PlainMaskDecoder, Predictions
from plainmask.encoder.vit import Features
from plainmask.training.loss import counts_of, set_loss
from plainmask.training.points import NOBODY, Counts, Draw, Others, draw_rows
from plainmask.training.recipe import Recipe
from plainmask.training.samples.batches import Batch
from plainmask.training.samples.targets import ClipTargets, Targets
from plainmask.training.track_matching import TrackMatcher, frames_of

Losses = dict[str, Tensor]


class FeatureSource(Protocol):
    """The encoder, or a cache in front of it."""

    def __call__(
        self,
        pixels: Tensor,
        *,
        content: Sequence[tuple[int, int]] | None = None,
        rope_scale: float = 1.0,
    ) -> Features:
        """See `Encoder.forward`."""
        ...


@dataclass(eq=False)
class Objective:
    """How a batch becomes losses: the same in all steps of a run, but for what clips leave."""

    model: PlainMaskDecoder
    features_of: FeatureSource
    autocast: Callable[[], AbstractContextManager[Any]]
    recipe: Recipe
    device: torch.device
    others: Callable[[Counts], Others] = lambda own: NOBODY
    """What other processes have of the batch; all of them ask."""
    carried: Tensor | None = None
    """(B, Q, D): the queries that would enter the next frames of the last step's clips, where
    `recipe.carry` asks for them; None before the first step."""

    def losses(self, batch: Batch, draw: Draw) -> Iterator[Losses]:
        """The losses of a batch, in parts that are to be run backward one after the other.

        Images give one part, clips one for each chunk (docs/model.md 6.8): the queries that go from
        chunk to chunk are detached, so the memory that is needed does not grow with the clips.
        """
        rope_scale = 1.0
        if self.recipe.rope_rescale:
            rope_scale = float(torch.exp((2 * draw((1,)) - 1) * math.log(2)))
        if self.recipe.clip is None:
            yield self._image_losses(batch, rope_scale, draw)
        else:
            yield from self._clip_losses(batch, rope_scale, draw)

    def _image_losses(self, batch: Batch, rope_scale: float, draw: Draw) -> Losses:
        recipe = self.recipe
        features = self._encode(batch.pixels.flatten(0, 1), batch.content, rope_scale)
        # Which objects a frame shows is looked up here: a GPU would have to be waited for.
        seen = [clip.frame(0) for clip in batch.targets]
        num_queries = self.model.config.num_queries
        others = self.others(counts_of([len(target.labels) for target in seen], num_queries))
        draws = None
        if recipe.supervise == "every_layer" and recipe.masked_attention:
            row = (others.before.images, len(seen), others.after.images)
            draws = [
                draw_rows(draw, row, (num_queries,)) for _ in range(self.model.config.num_blocks)
            ]
        with self.autocast():
            if recipe.supervise == "last":
                layers = [self.model(features, rope_scale=rope_scale)]
            else:
                layers = self.model.every_layer(
                    features, masked=recipe.masked_attention, draws=draws, rope_scale=rope_scale
                )
        targets = [
            Targets(t.labels.to(self.device), t.masks.to(self.device), t.valid.to(self.device))
            for t in seen
        ]
        layers = [layer.float() for layer in layers]
        return set_loss(layers, targets, recipe.loss, draw, others=others)

    def _clip_losses(self, batch: Batch, rope_scale: float, draw: Draw) -> Iterator[Losses]:
        recipe = self.recipe
        num_frames = batch.pixels.shape[1]
        chunk = recipe.chunk or num_frames
        chunks = -(-num_frames // chunk)
        matcher = TrackMatcher(recipe.loss, draw)
        queries: Tensor | None = None
        if recipe.carry and float(draw((1,))) < recipe.carry:
            queries = self.carried
        replays = int(draw((1,)) * (recipe.replay + 1)) if recipe.replay else 0
        for first in range(0, num_frames, chunk):
            pixels = batch.pixels[:, first : first + chunk]
            content = [size for size in batch.content for _ in range(pixels.shape[1])]
            if recipe.rematch:
                matcher.forget()
            parts = [part_of(t, first, first + chunk) for t in batch.targets]
            others = self.others(matcher.counts(parts, self.model.config.num_queries))
            features = self._encode(pixels.flatten(0, 1), content, rope_scale)
            with self.autocast():
                layers, queries = self.model.clips(
                    features,
                    pixels.shape[1],
                    queries,
                    every_layer=recipe.supervise == "every_layer",
                    rope_scale=rope_scale,
                    replays=replays if first == 0 else 0,
                )
            layers, queries = [layer.float() for layer in layers], queries.detach().float()
            clips = [self._to_device(part) for part in parts]

            def find(
                index: int,
                layer: Predictions,
                clips: list[ClipTargets] = clips,
                others: Others = others,
            ):
                return matcher(index, layer, clips, others)

            last_class = self.model.config.num_classes - 1 if recipe.loss.dummy_class else None
            targets = frames_of(clips, last_class)
            losses = set_loss(layers, targets, recipe.loss, draw, find, others)
            yield {name: value / chunks for name, value in losses.items()}
        if recipe.carry:
            self.carried = queries

    def _encode(
        self, pixels: Tensor, content: Sequence[tuple[int, int]], rope_scale: float
    ) -> Features:
        """Features of pixels (K, 3, h, w); where nothing is padded, `content` is not said."""
        whole = all(size == tuple(pixels.shape[2:]) for size in content)
        with self.autocast():
            return self.features_of(
                pixels.to(self.device), content=None if whole else content, rope_scale=rope_scale
            )

    def _to_device(self, targets: ClipTargets) -> ClipTargets:
        return ClipTargets(
            targets.labels.to(self.device),
            targets.masks.to(self.device),
            targets.visible.to(self.device),
            targets.valid.to(self.device),
        )


def part_of(clip: ClipTargets, first: int, last: int) -> ClipTargets:
    """Frames first..last-1 of a clip, still with all of its objects."""
    return replace(
        clip,
        masks=clip.masks[:, first:last],
        visible=clip.visible[:, first:last],
        valid=clip.valid[first:last],
    )
