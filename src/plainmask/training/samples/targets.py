"""What the network is trained to give: objects with a label and a mask, in pictures and in clips.

Letters: H W size of a frame, T frames, N objects, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plainmask.data.record import NO_SEGMENT, Annotation


@dataclass(frozen=True, eq=False)
class Targets:
    """What one training picture should be segmented into; the same form for every task."""

    labels: Tensor
    """(N,) int64 class ids."""
    masks: Tensor
    """(N, H, W) bool, none of them empty."""
    valid: Tensor
    """(H, W) bool: pixels that belong to a segment; False on padding, void and crowds."""


@dataclass(frozen=True, eq=False)
class ClipTargets:
    """What one training clip should be segmented into: objects through time."""

    labels: Tensor
    """(N,) int64 class ids."""
    masks: Tensor
    """(N, T, H, W) bool: zero where the object is absent; seen in one frame at least."""
    visible: Tensor
    """(N, T) bool: in which frames the object counts as there; see `augment_clip`."""
    valid: Tensor
    """(T, H, W) bool: pixels that belong to a segment; False on padding, void and crowds."""

    def frame(self, time: int) -> Targets:
        """The targets of one frame: of the objects that have pixels in it only."""
        seen = self.masks[:, time].flatten(1).any(1)
        return Targets(self.labels[seen], self.masks[seen, time], self.valid[time])


def number_objects(segments: Sequence[Annotation]) -> tuple[list[Tensor], Tensor]:
    """Objects in the order in which they occur: layers of their numbers, and their labels.

    Returns:
        T of (L, H, W) int32 with N objects' numbers 0..N-1, or -1, and labels (N,) int64.
    """
    number_of: dict[int, int] = {}
    labels: list[int] = []
    layers: list[Tensor] = []
    for frame in segments:
        # Looking up -1 finds the last entry, so void stays void.
        numbers = np.full(len(frame) + 1, NO_SEGMENT, np.int32)
        for index in np.flatnonzero(~frame.crowd):
            track = int(frame.track_ids[index])
            if track not in number_of:
                number_of[track] = len(labels)
                labels.append(int(frame.class_ids[index]))
            numbers[index] = number_of[track]
        layers.append(torch.from_numpy(numbers[frame.layers]))
    return layers, torch.tensor(labels, dtype=torch.int64)


def clip_targets(frames: Sequence[Tensor], labels: Tensor, always_present: bool) -> ClipTargets:
    """One mask per object and frame, from layers of their numbers; objects never seen are left out.

    Args:
        frames: T of (L, H, W) int32.
        labels: (N,) int64 of all objects.
        always_present: whether objects count as visible in every frame.
    """
    masks = torch.zeros(len(labels), len(frames), *frames[0].shape[1:], dtype=torch.bool)
    visible = torch.zeros(masks.shape[:2], dtype=torch.bool)
    for time, layers in enumerate(frames):
        for layer in layers:
            counts = torch.bincount(layer.flatten() + 1)  # entry 0: none; faster than unique()
            present = counts[1:].nonzero().flatten()
            masks[present, time] = layer == present.int()[:, None, None]
            visible[present, time] = True
    seen = visible.any(1)
    return ClipTargets(
        labels=labels[seen],
        masks=masks[seen],
        visible=visible[seen] | always_present,
        valid=torch.stack([(layers != NO_SEGMENT).any(0) for layers in frames]),
    )
