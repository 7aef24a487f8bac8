"""What a head proposes for a picture.

Letters: H W size of the picture, h w size of the proposal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from plainmask.heads.head import Head
from plainmask.label.division import Ground
from plainmask.label.features import KeptTaps, seen
from plainmask.label.linear import LinearHead, entropy
from plainmask.label.objects import told_apart
from plainmask.label.planes import Planes
from plainmask.label.project import ProjectPicture
from plainmask.pictures.geometry import Geometry
from plainmask.results import SemanticResult

LONGEST_SIDE = 1024
"""Pixels of the longer side of a proposal that is shown."""


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


def propose(
    head: Head,
    linear: LinearHead,
    version: int,
    picture: ProjectPicture,
    taps: KeptTaps,
    labels: Planes,
) -> Proposal:
    """A proposal to be shown.

    Args:
        head: says which class a pixel has.
        linear: says how sure that is.
        version, picture: of what.
        taps: its features.
        labels: (H, W) what is known of it.

    Raises:
        InputError: see `KeptTaps.of`.
    """
    factor = min(1.0, LONGEST_SIDE / max(picture.size))
    height, width = (max(1, round(side * factor)) for side in picture.size)
    geometry = replace(seen(picture.size, taps.patch), image_size=(height, width))
    undecided = how_undecided(linear, picture, taps)
    shown = geometry.restore(torch.from_numpy(undecided).view(1, 1, *geometry.grid(taps.patch)))
    planes = _planes(head, picture, taps, geometry, labels)
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
    """How undecided each patch is (h * w,), 0..1; errors as above."""
    return entropy(linear.scores(taps.of(picture)))


def whole(head: Head, picture: ProjectPicture, taps: KeptTaps, labels: Planes) -> Planes:
    """What each pixel (H, W) of a picture is, for labels (H, W) that stand; errors as above."""
    return _planes(head, picture, taps, seen(picture.size, taps.patch), labels)


def _planes(
    head: Head, picture: ProjectPicture, taps: KeptTaps, geometry: Geometry, labels: Planes
) -> Planes:
    with taps.shared.computing():
        result = head.result(head.predict(taps.for_decoder(picture)), geometry)
    assert isinstance(result, SemanticResult)
    classes = result.label_map.astype(np.uint8)
    if labels.objects is None:
        return Planes(classes, None)
    last = taps.of(picture)[:, -taps.shared.encoder.config.width :]
    return told_apart(classes, labels, Ground.of(last, geometry, taps.patch))
