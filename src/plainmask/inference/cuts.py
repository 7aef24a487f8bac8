"""Where a video changes to another scene, by the encoder's features of two frames.

A frame's scene is a middle tap in 9 x 16 cells. Each cell is compared with the nine nearest of the
next frame, so that what moves, or a camera that turns, stays alike; the mean over cells of the best
cosine is how alike two frames are. Of neighbouring frames of DAVIS' training videos it is 0.83 at
least, of two videos joined end to end 0.78 at most (`benchmarks/cuts.py`, DINOv2 ViT-S/14, 280
pixels).

Letters: K frames, N windows of a frame, D width, S cells.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from plainmask.decoder.propagation import SCENE, State
from plainmask.encoder.vit import Features


def scenes_of(features: Features, count: int) -> Tensor:
    """What each of K = `count` frames looks like: (K, N, S, D) float16."""
    tap = features.taps[(len(features.taps) - 1) // 2]
    patches = tap[:, features.prefix :].float().unflatten(1, features.grid).permute(0, 3, 1, 2)
    cells = F.adaptive_avg_pool2d(patches, SCENE).flatten(2).mT
    return cells.half().unflatten(0, (count, -1))


def likeness(one: Tensor, other: Tensor) -> float:
    """How alike two frames are, (N, S, D) each: at most 1."""
    a, b = (F.normalize(each.float(), dim=-1).unflatten(1, SCENE) for each in (one, other))
    around = F.pad(b, (0, 0, 1, 1, 1, 1))
    height, width = SCENE
    best = torch.stack(
        [(a * around[:, y : y + height, x : x + width]).sum(-1) for y in range(3) for x in range(3)]
    )
    return float(best.amax(0).mean())


def is_cut(state: State, scene: Tensor, least: float) -> bool:
    """Whether a frame, (N, S, D), is of another scene than the last one that a state knows."""
    if len(state.scene) != len(scene) or not state.scene.any():
        return False
    return likeness(state.scene, scene) < least
