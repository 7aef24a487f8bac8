"""Proof that an export answers as the network does: logits and figures, side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plainmask import __version__
from plainmask.data.record import Record
from plainmask.errors import InputError, PlainmaskError
from plainmask.evaluation.head import read_labelled
from plainmask.evaluation.images import evaluate
from plainmask.evaluation.report import Evaluation
from plainmask.evaluation.videos import evaluate_videos
from plainmask.heads.exported import REPORT, Precision
from plainmask.inference.segmenter import HeadSegmenter, Segmenter
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.progress import stepper


@dataclass(frozen=True)
class Bounds:
    """What an export may differ by."""

    logits: float
    """Of a tensor's largest entry."""
    figure: float
    """Points that a figure in percent may fall by."""


BOUNDS: dict[Precision, Bounds] = {
    "float32": Bounds(1e-4, 0.05),
    "float16": Bounds(2e-2, 0.1),
    "bfloat16": Bounds(2e-1, 0.5),
    "int8": Bounds(math.inf, 0.5),
}
SIDES = (6, 11, 20)
"""Shorter sides, in patches, at which logits are compared."""
LOOKED_AT = 3
"""Pictures of the data, besides noise, whose logits are compared."""
CALIBRATED_BY = 16
"""Pictures of the data by which int8 is adjusted."""


@dataclass(frozen=True)
class Logits:
    """One output of one head, compared."""

    head: str
    output: str
    pictures: str
    """noise, or the name of a record."""
    shape: tuple[int, ...]
    """Of the pixels, (B, 3, H, W); the second batch is the next frame of as many videos."""
    difference: float
    """The largest, of the largest entry."""


@dataclass(frozen=True)
class Figure:
    """A head's figure on labelled data, in percent."""

    head: str
    name: str
    ours: float
    """By the network as it is."""
    exported: float
    data: str


@dataclass(frozen=True)
class Parity:
    """What was compared, and what is out of bounds."""

    precision: Precision
    logits: tuple[Logits, ...]
    figures: tuple[Figure, ...]

    @property
    def worst(self) -> list[Logits]:
        """Of each head's outputs the comparison with the largest difference."""
        ranked = sorted(self.logits, key=lambda one: one.difference)
        return [*{(one.head, one.output): one for one in ranked}.values()]

    @property
    def problems(self) -> list[str]:
        """What is out of bounds; empty where nothing is."""
        bounds = BOUNDS[self.precision]
        # Not `>`: what is not a number is no proof.
        wrong = [
            f"{one.output} of {one.head} differ by {one.difference:.1e} of the largest entry on "
            f"{one.pictures} {one.shape}, at most {bounds.logits:g} was to be"
            for one in self.worst
            if not one.difference <= bounds.logits
        ]
        wrong += [
            f"{one.name} of {one.head} on {one.data} is {one.exported:.2f} instead of "
            f"{one.ours:.2f}, at most {bounds.figure:g} less was to be"
            for one in self.figures
            if not one.ours - one.exported <= bounds.figure
        ]
        return wrong

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs; a bound that is none is null, and so is what is no number."""
        bounds = asdict(BOUNDS[self.precision])
        content = {**asdict(self), "bounds": bounds, "problems": self.problems}
        return _finite({"plainmask": __version__, **content})

    def save(self, folder: Path) -> None:
        """Write the report into a folder."""
        (folder / REPORT).write_text(json.dumps(self.to_json(), indent=1), encoding="utf-8")

    def demand(self) -> None:
        """Raise a PlainmaskError where something is out of bounds."""
        if self.problems:
            raise PlainmaskError(
                f"the export in {self.precision} does not answer as the network does, so nothing "
                f"was written: {'; '.join(self.problems)}"
            )


def compare(
    ours: Segmenter,
    exported: Segmenter,
    precision: Precision,
    records: Mapping[str, Sequence[Record]],
    data: Mapping[str, str],
) -> Parity:
    """Compare an export with what it was made from.

    Args:
        ours: the network, in float32.
        exported: the same heads.
        precision: of the export.
        records: by head, labelled pictures or videos; see `read_checks`.
        data: by head, what they are called.

    Raises:
        InputError: a picture cannot be read, or nothing is labelled.
    """
    found: list[Logits] = []
    for pictures, pixels in _batches(ours, records):
        found += _logits(ours, exported, pictures, pixels)
    figures: list[Figure] = []
    for name, labelled in records.items():
        first, second = (_figures(one[name], labelled) for one in (ours, exported))
        figure = next(iter(first.figures))  # the task's own is named first
        values = (first.figures[figure], second.figures[figure])
        before, after = (_number(value) for value in values)
        figures.append(Figure(name, figure, before, after, data[name]))
    return Parity(precision, tuple(found), tuple(figures))


def read_checks(
    segmenter: Segmenter, given: Sequence[str], split: str | None
) -> tuple[Mapping[str, Sequence[Record]], dict[str, str]]:
    """The labelled records that each head is checked on, and what they are called.

    Args:
        segmenter: the heads.
        given: folders of data sets: one for all heads, or one for each in their order.
        split: of the data sets.

    Raises:
        InputError: another number of data sets, or one that cannot be read.
    """
    names = list(segmenter.heads)
    if len(given) not in (1, len(names)):
        raise InputError(
            f"--check was given {len(given)} times for {len(names)} heads; give it once, or once "
            "for each head in their order"
        )
    places = dict(zip(names, list(given) * (len(names) if len(given) == 1 else 1), strict=True))
    records = {
        name: read_labelled(segmenter.heads[name].config, Path(place), split, None)
        for name, place in places.items()
    }
    return records, {name: f"{place} {split or ''}".rstrip() for name, place in places.items()}


def calibration(ours: Segmenter, records: Mapping[str, Sequence[Record]]) -> Iterator[Tensor]:
    """Pixels (1, 3, H, W) uint8 of some pictures of the data, as an encoder sees them."""
    for _, picture in _pictures(records, CALIBRATED_BY):
        yield _fitted(picture, SIDES[-1], ours.encoder.config.patch_size)


def _fitted(picture: NDArray[Any], side: int, patch: int) -> Tensor:
    """A picture whose shorter side is so many patches: (1, 3, H, W) uint8."""
    protocol = InputProtocol(kind="stride", size=side * patch)
    geometry = Geometry.plan((picture.shape[0], picture.shape[1]), protocol, patch)
    return torch.from_numpy(geometry.fit(picture))


def _pictures(
    records: Mapping[str, Sequence[Record]], count: int
) -> Iterator[tuple[str, NDArray[Any]]]:
    """A few pictures of all data sets, spread over each."""
    each = math.ceil(count / max(1, len(records)))
    for labelled in records.values():
        for record in labelled[:: max(1, len(labelled) // each)][:each]:
            yield record.id, record.image()


def _batches(
    ours: Segmenter, records: Mapping[str, Sequence[Record]]
) -> Iterator[tuple[str, Tensor]]:
    """Names and pixels (B, 3, H, W) uint8: noise and real pictures, small and larger."""
    patch = ours.encoder.config.patch_size
    random = np.random.default_rng(0)
    for place, side in enumerate(SIDES):
        size = (place + 1, 3, side * patch, (side + 3 * place) * patch)
        yield "noise", torch.from_numpy(random.integers(0, 256, size, np.uint8))
    for name, picture in _pictures(records, LOOKED_AT):
        for side in SIDES:
            one = _fitted(picture, side, patch)
            yield name, torch.cat([one, one.flip(3)])


def _logits(
    ours: Segmenter, exported: Segmenter, pictures: str, pixels: Tensor
) -> Iterator[Logits]:
    """The outputs for two frames, the second the first one upside down."""
    streams = ours.stream(), exported.stream()
    for frame in (pixels, pixels.flip(2)):
        expected, found = (stream.logits(frame) for stream in streams)
        for head in expected:
            both = expected[head]._asdict(), found[head]._asdict()
            for output in both[0]:
                one, other = (side[output].double() for side in both)
                difference = float((one - other).abs().max() / one.abs().max().clamp_min(1e-12))
                yield Logits(head, output, pictures, tuple(frame.shape), difference)


def _figures(segmenter: HeadSegmenter[Any], records: Sequence[Record]) -> Evaluation:
    if records[0].sequence is not None:
        return evaluate_videos(segmenter, records, on_record=stepper("frame"))
    found = evaluate(segmenter, records, on_record=stepper("image"))
    if found.failed:
        name, reason = next(iter(found.failed.items()))
        raise InputError(f"{name}: {reason}; check on data that can be read")
    return found


def _finite(value: Any) -> Any:
    """JSON knows no infinity."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float | int | None) -> float:
    return math.nan if value is None else float(value)
