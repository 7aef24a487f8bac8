"""Which query answers for which object of a clip, in all of its frames (docs/model.md 6.7 and 6.8).

An object is matched once, in the frame where it first appears, and keeps its query: also in
frames where it is hidden, where an empty mask is asked of that query.

Letters: B clips, T frames, N objects of a clip, Q queries.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.training.loss import LossConfig, match_cost
from plainmask.training.matching import Match, assign
from plainmask.training.points import NOBODY, Counts, Draw, Others, corners, draw_each
from plainmask.training.samples.targets import ClipTargets, Targets

TAKEN = 1e6
"""Cost of a query that answers for another object already."""


class TrackMatcher:
    """Matches the objects of B clips, for every supervised layer by itself.

    Clips may come in chunks (truncated propagation): pairs of earlier chunks are kept and only
    objects that are new in a chunk are matched, so an object keeps its query through the clip.
    """

    def __init__(self, config: LossConfig, draw: Draw):
        self.config = config
        self.draw = draw
        self.pairs: dict[tuple[int, int], Match] = {}

    def __call__(
        self,
        index: int,
        layer: Predictions,
        clips: Sequence[ClipTargets],
        others: Others = NOBODY,
    ) -> list[Match]:
        """Match one chunk of every clip.

        Args:
            index: of the layer.
            layer: predictions of B * T frames, clip by clip.
            clips: one chunk each of the same B clips, of T frames, with all objects of the clip.
            others: processes that have the rest of the batch.

        Returns:
            For each of the B * T frames the pairs of its clip; the same for all of its frames.
        """
        asked = self.counts(clips, layer.class_logits.shape[1], index).asked
        row = (others.before.asked, asked, others.after.asked)
        points = iter(draw_each(self.draw, row, (1, self.config.num_points, 2)))
        per_frame: list[Match] = []
        num_frames = len(clips[0].valid)
        for number, clip in enumerate(clips):
            frames = slice(number * num_frames, (number + 1) * num_frames)
            part = Predictions(layer.mask_logits[frames], layer.class_logits[frames])
            pairs = self._extend(self.pairs.get((index, number)), part, clip, points)
            self.pairs[index, number] = pairs
            per_frame += [pairs] * num_frames
        return per_frame

    def forget(self) -> None:
        """Match anew from here on, as the published code does in every chunk.

        See docs/model.md 9, quirk 12.
        """
        self.pairs.clear()

    def counts(
        self, clips: Sequence[ClipTargets], num_queries: int, index: int | None = None
    ) -> Counts:
        """What there is to match in a chunk; `clips` as in a call, on any device.

        Before the first call for the chunk no layer need be named: all have as many pairs.
        """
        if index is None:
            index = next((layer for layer, _ in self.pairs), 0)
        asked = pairs = 0
        for number, clip in enumerate(clips):
            known = self.pairs.get((index, number))
            matched = clip.labels[:0] if known is None else known[1].to(clip.labels.device)
            new = [len(objects) for _, objects in new_objects(clip, num_queries, matched)]
            asked += len(new)
            pairs += (len(matched) + sum(new)) * clip.visible.shape[1]
        return Counts(sum(clip.visible.shape[1] for clip in clips), asked, pairs)

    def _extend(
        self,
        pairs: Match | None,
        layer: Predictions,
        clip: ClipTargets,
        points: Iterator[Tensor],
    ) -> Match:
        """The pairs so far and those of objects that appear in these frames, in that order."""
        device = layer.mask_logits.device
        if pairs is None:
            nothing = torch.empty(0, dtype=torch.long, device=device)
            pairs = (nothing, nothing)
        queries, objects = pairs
        num_queries = layer.class_logits.shape[1]
        for frame, new in new_objects(clip, num_queries, objects):
            cost = match_cost(
                layer.mask_logits[frame],
                layer.class_logits[frame],
                corners([clip.masks[new, frame]]),
                self._labels(clip, layer.class_logits.shape[-1] - 1)[new],
                self.config,
                next(points),
            )
            cost[queries] = TAKEN
            rows, columns = assign(cost)
            queries, objects = torch.cat([queries, rows]), torch.cat([objects, new[columns]])
        return queries, objects

    def _labels(self, clip: ClipTargets, no_object: int) -> Tensor:
        if not self.config.dummy_class:
            return clip.labels
        return clip.labels.where(clip.visible[:, -1], no_object)


def frames_of(clips: Sequence[ClipTargets], last_class: int | None = None) -> list[Targets]:
    """The targets of all frames, clip by clip; every one with all objects, hidden ones empty.

    With `last_class` that is the label of objects that the last frame does not show.
    """
    frames: list[Targets] = []
    for clip in clips:
        labels = clip.labels
        if last_class is not None:
            labels = labels.where(clip.visible[:, -1], last_class)
        frames += [
            Targets(labels, m, v) for m, v in zip(clip.masks.unbind(1), clip.valid, strict=True)
        ]
    return frames


def new_objects(
    clip: ClipTargets, num_queries: int, matched: Tensor
) -> Iterator[tuple[int, Tensor]]:
    """The frames in which objects that shall get a query are first seen, and which they are.

    Args:
        clip: of N objects.
        num_queries: of the decoder.
        matched: numbers of the objects that have one.
    """
    waiting = worth_matching(clip, num_queries, matched)
    for frame, visible in enumerate(clip.visible.unbind(1)):
        new = (visible & waiting).nonzero().flatten()
        waiting[new] = False
        if len(new):
            yield frame, new


def worth_matching(clip: ClipTargets, num_queries: int, matched: Tensor) -> Tensor:
    """(N,) bool: objects without a query that shall get one; the largest, if not all can."""
    waiting = clip.visible.any(1)
    waiting[matched] = False
    free = num_queries - len(matched)
    if int(waiting.sum()) > free:
        warnings.warn(
            f"a clip shows more objects than the decoder has queries ({num_queries}); the largest "
            "are kept. Raise decoder.num_queries to learn them all",  # said once: the same text
            stacklevel=2,
        )
        areas = clip.masks.flatten(1).sum(1) * waiting
        waiting = torch.zeros_like(waiting)
        waiting[areas.topk(free).indices] = True
    return waiting
