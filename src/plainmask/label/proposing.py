"""What a linear head proposes for a picture.

Letters: H W size of the picture, h w size of the proposal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainmask.label.features import KeptTaps
from plainmask.label.linear import LinearHead, classes_of, entropy, smooth
from plainmask.label.project import ProjectPicture
from plainmask.label.stroke import region_at

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


def propose(head: LinearHead, version: int, picture: ProjectPicture, taps: KeptTaps) -> Proposal:
    """A proposal to be shown.

    Raises:
        InputError: see `KeptTaps.of`.
    """
    factor = min(1.0, LONGEST_SIDE / max(picture.size))
    height, width = (max(1, round(side * factor)) for side in picture.size)
    geometry = replace(taps.geometry(picture.size), image_size=(height, width))
    grid = taps.grid(picture.size)
    scores = head.scores(taps.of(picture))
    undecided = entropy(scores)
    return Proposal(
        version,
        classes_of(head, scores, geometry, grid),
        smooth(undecided, geometry, grid),
        float(undecided.mean()),
    )


def whole(head: LinearHead, picture: ProjectPicture, taps: KeptTaps) -> NDArray[np.uint8]:
    """The class (H, W) of each pixel of a picture; errors as above."""
    scores = head.scores(taps.of(picture))
    return classes_of(head, scores, taps.geometry(picture.size), taps.grid(picture.size))


def region_of(classes: NDArray[np.uint8], point: tuple[float, float]) -> NDArray[np.bool_]:
    """Which pixels (H, W) lie in the region of one class around a point (x, y); perhaps none."""
    inside = np.zeros(classes.shape, np.bool_)
    found = region_at(classes, *point)
    if found is not None:
        box, mask = found
        inside[box.cut] = mask
    return inside
