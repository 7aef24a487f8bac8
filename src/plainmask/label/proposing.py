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
from plainmask.label.features import KeptTaps, seen
from plainmask.label.linear import LinearHead, entropy
from plainmask.label.project import ProjectPicture
from plainmask.label.stroke import region_at
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


def propose(
    head: Head, linear: LinearHead, version: int, picture: ProjectPicture, taps: KeptTaps
) -> Proposal:
    """A proposal to be shown.

    Args:
        head: says which class a pixel has.
        linear: says how sure that is.
        version, picture: of what.
        taps: its features.

    Raises:
        InputError: see `KeptTaps.of`.
    """
    factor = min(1.0, LONGEST_SIDE / max(picture.size))
    height, width = (max(1, round(side * factor)) for side in picture.size)
    geometry = replace(seen(picture.size, taps.patch), image_size=(height, width))
    undecided = how_undecided(linear, picture, taps)
    shown = geometry.restore(torch.from_numpy(undecided).view(1, 1, *geometry.grid(taps.patch)))
    return Proposal(
        version,
        _classes(head, picture, taps, geometry),
        (shown[0] * 255).round().to(torch.uint8).numpy(),
        float(undecided.mean()),
    )


def how_undecided(
    linear: LinearHead, picture: ProjectPicture, taps: KeptTaps
) -> NDArray[np.float32]:
    """How undecided each patch is (h * w,), 0..1; errors as above."""
    return entropy(linear.scores(taps.of(picture)))


def whole(head: Head, picture: ProjectPicture, taps: KeptTaps) -> NDArray[np.uint8]:
    """The class (H, W) of each pixel of a picture; errors as above."""
    return _classes(head, picture, taps, seen(picture.size, taps.patch))


def _classes(
    head: Head, picture: ProjectPicture, taps: KeptTaps, geometry: Geometry
) -> NDArray[np.uint8]:
    with taps.shared.computing():
        result = head.result(head.predict(taps.for_decoder(picture)), geometry)
    assert isinstance(result, SemanticResult)
    return result.label_map.astype(np.uint8)


def region_of(classes: NDArray[np.uint8], point: tuple[float, float]) -> NDArray[np.bool_]:
    """Which pixels (H, W) lie in the region of one class around a point (x, y); perhaps none."""
    inside = np.zeros(classes.shape, np.bool_)
    found = region_at(classes, *point)
    if found is not None:
        box, mask = found
        inside[box.cut] = mask
    return inside
