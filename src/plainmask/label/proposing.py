"""What a head proposes for a picture.

Letters: H W size of the picture, h w size of the proposal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from plainmask.label.division import Ground
from plainmask.label.features import KeptTaps, seen
from plainmask.label.linear import LinearHead, entropy
from plainmask.label.objects import told_apart
from plainmask.label.planes import Planes
from plainmask.label.project import ProjectPicture
from plainmask.label.saying import Says
from plainmask.pictures.geometry import Size

LONGEST_SIDE = 1024
"""Pixels of the longer side of a proposal that is shown."""
SUREST = 4.0
"""Standard deviation that scores of the classes' means have at most, to tell how sure they are."""


class Proposal(NamedTuple):
    """What a picture holds, as far as is learnt."""

    version: int
    """The last entry of the journal that was learnt."""
    classes: NDArray[np.uint8]
    """(h, w) class ids; the longer side has `LONGEST_SIDE` pixels at most."""
    uncertainty: NDArray[np.uint8]
    """(h, w) 0 sure to 255 undecided."""
    undecided: float
    """The mean of it, 0..1."""
    objects: NDArray[np.uint16] | None = None
    """(h, w) numbers of objects, where they are told apart; see `told_apart`."""


def shown_size(picture: ProjectPicture) -> Size:
    """The size (h, w) of what is proposed for a picture on a page."""
    factor = min(1.0, LONGEST_SIDE / max(picture.size))
    height, width = (max(1, round(side * factor)) for side in picture.size)
    return height, width


def propose(
    says: Says,
    linear: LinearHead,
    version: int,
    picture: ProjectPicture,
    taps: KeptTaps,
    labels: Planes,
) -> Proposal:
    """A proposal to be shown.

    Args:
        says: what a head says.
        linear: says how sure that is.
        version, picture: of what.
        taps: its features.
        labels: (H, W) what is known of it.

    Raises:
        InputError: see `KeptTaps.of`.
    """
    size = shown_size(picture)
    geometry = replace(seen(picture.size, taps.patch), image_size=size)
    undecided = how_undecided(linear, picture, taps)
    shown = geometry.restore(torch.from_numpy(undecided).view(1, 1, *geometry.grid(taps.patch)))
    planes = planes_of(says, picture, taps, size, labels)
    return Proposal(
        version,
        planes.classes,
        (shown[0] * 255).round().to(torch.uint8).numpy(),
        float(undecided.mean()),
        planes.objects,
    )


def how_undecided(
    linear: LinearHead, picture: ProjectPicture, taps: KeptTaps
) -> NDArray[np.float32]:
    """How undecided each patch is (h * w,), 0..1; errors as above.

    A head of few strokes knows little of how patches scatter, and its scores claim far too much. So
    they are brought down until those of the classes' means scatter by `SUREST`, and never up: then
    a patch is right about as often as its probability says (expected calibration error on CamVid
    0.02 to 0.07 instead of 0.50, with 30 and 100 strokes; on Pets 0.04 instead of 0.25, with 30).
    """
    factor = min(1.0, SUREST / linear.scale)
    return entropy(linear.scores(taps.of(picture)) * np.float32(factor))


def planes_of(
    says: Says, picture: ProjectPicture, taps: KeptTaps, size: Size, labels: Planes
) -> Planes:
    """What each pixel of a picture is, in some size (H, W).

    Args:
        says: what a head says.
        picture, taps: the picture and its features.
        size: which is wanted.
        labels: (H, W) of the picture's own size, which stand.

    Raises:
        InputError: see `KeptTaps.of`.
    """
    found = says(picture, size)
    if labels.objects is None:
        return found
    geometry = replace(seen(picture.size, taps.patch), image_size=size)
    last = taps.of(picture)[:, -taps.shared.encoder.config.width :]
    return told_apart(found, labels, Ground.of(last, geometry, taps.patch))
