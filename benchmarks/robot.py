"""A robot that labels: it draws where the largest region lies that is proposed wrongly."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plainmask.label.drawing import masked_stroke
from plainmask.label.planes import Planes
from plainmask.label.proposing import Proposal
from plainmask.label.session import Session
from plainmask.label.stroke import NO_LABEL, Stroke

Map: TypeAlias = NDArray[np.uint8]
WAIT = 0.002
WIDEST, LONGEST = 8.0, 60.0
"""Pixels of a stroke's radius and length."""


class Robot(NamedTuple):
    """Who draws, and what is true."""

    session: Session
    truths: Mapping[str, Map]
    rng: np.random.Generator
    scribbles: bool = False
    """Whether lines come from the package scribble-from-segmentation, not from here."""

    def proposal(self, name: str, version: int) -> Map | None:
        """Wait for it; None: there is none yet."""
        self.session.show(name)
        while (found := self.session.proposal(name, version)) is None:
            time.sleep(WAIT)
        return found.classes if isinstance(found, Proposal) else None

    def stroke(self, name: str, version: int) -> Stroke | None:
        """What it draws next in a picture; None: nothing is wrong."""
        truth, proposed = self.truths[name], self.proposal(name, version)
        wrong = (truth != NO_LABEL) & (self.session.labels(name) == NO_LABEL)
        if proposed is None:  # a class that has no stroke, if one is there
            known = np.concatenate([np.unique(self.session.labels(one)) for one in self.truths])
            new = wrong & ~np.isin(truth, known)
            wrong = new if new.any() else wrong
        else:
            wrong &= truth != proposed
        region = largest(truth, wrong)
        if region is None:
            return None
        if self.scribbles and (line := scribble_in(region)).any():
            drawn = np.where(line, truth, np.uint8(NO_LABEL))
            return masked_stroke("accept", name, Planes(drawn, None))
        points, radius = line_in(region, self.rng)
        x, y = points[0]
        class_id = int(truth[int(y), int(x)])
        given = {"picture": name, "kind": "brush", "class": class_id, "points": points}
        return Stroke.read(given | {"radius": radius})


def line_in(
    region: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[list[tuple[float, float]], float]:
    """The ends and the radius of a stroke from the deepest point of a region, that stays in it."""
    depth = cast(NDArray[np.float64], ndimage.distance_transform_edt(np.pad(region, 1)))
    depth = depth[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    radius = float(np.clip(0.7 * depth[y, x], 1, WIDEST))
    inside = np.argwhere(depth >= min(radius, depth.max()))
    ends = inside[rng.integers(0, len(inside), 60)]
    far = [end for end in ends if np.hypot(*(end - (y, x))) <= LONGEST]
    straight = [end for end in far if stays_in(region, np.array([y, x]), end)]
    last = max(straight, key=lambda end: np.hypot(*(end - (y, x))), default=np.array([y, x]))
    return [(float(x) + 0.5, float(y) + 0.5), (float(last[1]) + 0.5, float(last[0]) + 0.5)], radius


def scribble_in(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a region that another robot draws over: a line along its skeleton."""
    maker: Any = importlib.import_module("scribble_from_segmentation.scribble_from_segmentation")
    edge = maker.BORDER_PADDING_DEFAULT
    padded = np.pad(region.astype(np.uint8), edge, mode="edge")
    line = maker.generate_scribble_for_boolean(padded, edge)[edge:-edge, edge:-edge]
    return line.astype(bool) & region


def largest(truth: Map, wrong: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest connected region of one true class that is wrong; None: nothing is."""
    best, most = None, 0
    for class_id in np.unique(truth[wrong]).tolist():
        regions = cast(Any, ndimage.label(wrong & (truth == class_id)))[0]
        counts = np.bincount(regions.ravel())
        counts[0] = 0
        if counts.max() > most:
            best, most = regions == counts.argmax(), int(counts.max())
    return best


def stays_in(region: NDArray[np.bool_], start: NDArray[Any], end: NDArray[Any]) -> bool:
    steps = np.linspace(0, 1, 50)[:, None]
    path = np.round(start + steps * (end - start)).astype(int)
    return bool(region[path[:, 0], path[:, 1]].all())
