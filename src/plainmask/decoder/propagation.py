"""The link through time: which queries the next frame starts from, and what a stream remembers.

Everything else of a video is what it is for an image (docs/model.md 5). The caller holds the
`State`; the model remembers nothing, so one model follows any number of videos.

Letters: B videos side by side, Q queries, D width, C classes without "no object".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from plainmask.atomic import write_atomically
from plainmask.errors import InputError

Propagation: TypeAlias = Literal["none", "linear", "gru"]

SCENE = (9, 16)
"""Rows and columns of cells by which a frame is compared with the next."""


class NoLink(nn.Module):
    """Every frame starts from the learnt queries: an image model run frame by frame."""

    def forward(self, tokens: Tensor, entered: Tensor, learnt: Tensor) -> Tensor:
        """See `LinearLink.forward`."""
        return learnt.expand_as(tokens)


class LinearLink(nn.Module):
    """PMT and VidEoMT: a linear layer, and the learnt queries added anew (docs/model.md 5.2)."""

    def __init__(self, width: int):
        super().__init__()
        self.update = nn.Linear(width, width)

    def forward(self, tokens: Tensor, entered: Tensor, learnt: Tensor) -> Tensor:
        """The queries that the next frame starts from.

        Args:
            tokens: (B, Q, D), the query tokens after the last block, before the decoder's norm.
            entered: (B, Q, D), the queries that this frame started from.
            learnt: (Q, D), the decoder's own.

        Returns:
            (B, Q, D).
        """
        return self.update(tokens) + learnt


class GruLink(nn.Module):
    """LVMT: a gated update of each query's memory; the learnt queries start it.

    See docs/model.md 5.3.
    """

    def __init__(self, width: int):
        super().__init__()
        self.cell = nn.GRUCell(width, width)

    @torch.no_grad()
    def hold(self) -> None:
        """Have a fresh link keep 98 % of each query from frame to frame.

        As it starts by itself it would replace half of them by chance: bad where the queries that
        it carries are learnt already.
        """
        width = self.cell.hidden_size
        self.cell.bias_hh[width : 2 * width] += 4.0  # of the update gate: sigmoid(4) = 0.98

    def forward(self, tokens: Tensor, entered: Tensor, learnt: Tensor) -> Tensor:
        """See `LinearLink.forward`."""
        return self.cell(tokens.flatten(0, 1), entered.flatten(0, 1)).view_as(tokens)


Link: TypeAlias = NoLink | LinearLink | GruLink


def build_link(kind: Propagation, width: int) -> Link:
    """The link of a decoder of this width, with fresh weights."""
    match kind:
        case "none":
            return NoLink()
        case "linear":
            return LinearLink(width)
        case "gru":
            return GruLink(width)


@dataclass(frozen=True, eq=False)
class State:
    """What B videos have left behind: all that their next frames need, whatever their length."""

    queries: Tensor
    """(B, Q, D) float32: the queries that enter the next frame."""
    class_logits: Tensor
    """(B, Q, C+1) float32: mean over the `counted` frames (docs/model.md 5.4)."""
    counted: Tensor
    """(B,) int64: frames in that mean; fewer than `frames` where the memory started anew."""
    frames: Tensor
    """(B,) int64: frames so far, which is also the number of the next one, from 0."""
    numbers: Tensor
    """(B, Q + C) int64: the number that each query, then each stuff class, was given when it was
    first shown, from 1; 0 before."""
    ages: Tensor
    """(B, Q + C) int64: frames in which each of them was shown."""
    since: Tensor
    """(B,) int64: number of the frame that the scene began with; above 0 after a cut."""
    base: Tensor
    """(B,) int64: the highest number that was given before this scene."""
    scene: Tensor
    """(B, cells, D) float16: what the last frame looked like, in `SCENE` cells; 0: unknown."""

    @classmethod
    def start(cls, queries: Tensor, num_classes: int) -> Self:
        """Before the first frame.

        Args:
            queries: (B, Q, D), the learnt ones.
            num_classes: C.
        """
        batch, num_queries, width = queries.shape
        tracks = queries.new_zeros(batch, num_queries + num_classes, dtype=torch.int64)
        nothing = queries.new_zeros(batch, dtype=torch.int64)
        return cls(
            queries=queries.float(),
            class_logits=queries.new_zeros(
                batch, num_queries, num_classes + 1, dtype=torch.float32
            ),
            counted=nothing,
            frames=nothing.clone(),
            numbers=tracks,
            ages=tracks.clone(),
            since=nothing.clone(),
            base=nothing.clone(),
            scene=queries.new_zeros(batch, SCENE[0] * SCENE[1], width, dtype=torch.float16),
        )

    def after(self, queries: Tensor, class_logits: Tensor) -> Self:
        """One frame later: what enters the next frame, and this frame's class logits."""
        counted = self.counted + 1
        mean = self.class_logits + (class_logits - self.class_logits) / counted[:, None, None]
        return replace(
            self,
            queries=queries.float(),
            class_logits=mean,
            counted=counted,
            frames=self.frames + 1,
        )

    def anew(self, queries: Tensor) -> Self:
        """The same video with a fresh memory: its frames count on, and tracks keep their numbers.

        Args:
            queries: (B', Q, D), the learnt ones; of another number of windows of the frames.
        """
        fresh = type(self).start(queries, self.class_logits.shape[2] - 1)
        names = ("frames", "numbers", "ages", "since", "base")
        kept = {name: getattr(self, name)[:1] for name in names}
        rows = {name: value.expand(len(queries), *value.shape[1:]) for name, value in kept.items()}
        return replace(fresh, **rows)

    def cut(self, queries: Tensor) -> Self:
        """The same video at the first frame of another scene: nothing of the last is remembered.

        Frames count on, and no number is given twice: `with_tracks_of` sees to it.
        """
        fresh = type(self).start(queries, self.class_logits.shape[2] - 1)
        frames = self.frames[:1].expand(len(queries))
        return replace(fresh, frames=frames, since=frames)

    def seeing(self, scene: Tensor) -> Self:
        """With what the last frame looked like, (B, cells, D)."""
        return replace(self, scene=scene)

    def with_tracks(self, numbers: NDArray[np.int64], ages: NDArray[np.int64]) -> Self:
        """With other numbers and ages (Q + C,), the same for all windows of a frame."""
        rows = (
            torch.from_numpy(value).to(self.numbers.device).expand_as(self.numbers)
            for value in (numbers, ages)
        )
        return replace(self, **dict(zip(("numbers", "ages"), rows, strict=True)))

    def with_tracks_of(self, other: State) -> Self:
        """With what the state before, of the same head, calls its segments.

        After a cut between the two, nothing has a name yet, and new numbers are above all of those.
        """
        if int(self.since[0]) == int(other.since[0]):
            numbers, ages, base = other.numbers[0], other.ages[0], int(other.base[0])
        else:
            numbers, ages = (torch.zeros_like(value[0]) for value in (self.numbers, self.ages))
            base = other.highest
        named = self.with_tracks(numbers.cpu().numpy(), ages.cpu().numpy())
        return replace(named, base=torch.full_like(self.base, base))

    @property
    def highest(self) -> int:
        """The highest number that was given so far."""
        places = self.ages[0].nonzero()  # an object that has no number is called by its place
        last = int(places.max()) + 1 if len(places) else 0
        return max(int(self.numbers[0].max()), int(self.base[0]) + last)

    def to(self, device: torch.device | str) -> Self:
        """The same state on another device."""
        return type(self)(*(value.to(device) for value in self._values()))

    def split(self, size: int) -> list[Self]:
        """States of `size` videos each, in order."""
        parts = zip(*(value.split(size) for value in self._values()), strict=True)
        return [type(self)(*part) for part in parts]

    @classmethod
    def join(cls, states: Sequence[Self]) -> Self:
        """The states of several streams as one batch; undoes `split`."""
        parts = zip(*(state._values() for state in states), strict=True)
        with torch.autocast(states[0].queries.device.type, enabled=False):  # it knows one half only
            return cls(*(torch.cat(part) for part in parts))

    def check(self, num_queries: int, width: int, num_classes: int, head: str) -> None:
        """Raise an InputError unless this is a state of a head of these sizes."""
        batch = len(self.queries)
        shapes = {
            "queries": (batch, num_queries, width),
            "class_logits": (batch, num_queries, num_classes + 1),
            "counted": (batch,),
            "frames": (batch,),
            "numbers": (batch, num_queries + num_classes),
            "ages": (batch, num_queries + num_classes),
            "since": (batch,),
            "base": (batch,),
            "scene": (batch, SCENE[0] * SCENE[1], width),
        }
        for name, shape in shapes.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise InputError(
                    f"the state's {name} have the shape {found}, those of the head {head!r} "
                    f"{shape}: {num_queries} queries of width {width}, {num_classes} classes; "
                    "give a state of this head"
                )

    def save(self, path: str | Path) -> Path:
        """Write the state as a safetensors file (by way of a temporary name).

        Raises:
            InputError: the file cannot be written.
        """
        named = {f.name: getattr(self, f.name).detach().cpu().contiguous() for f in fields(self)}
        return write_atomically(Path(path), save(named))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a saved state, onto the CPU.

        Raises:
            InputError: the file is missing, damaged or no state.
        """
        names = [f.name for f in fields(cls)]
        try:
            stored = load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"the state {path} cannot be read: {error}") from error
        if {"frames", "queries"} <= stored.keys():  # older files knew of no cut, or no fresh memory
            start = cls.start(stored["queries"], 0)
            stored = {name: getattr(start, name) for name in ("since", "base", "scene")} | stored
            stored.setdefault("counted", stored["frames"])
        if set(stored) != set(names):
            raise InputError(
                f"{path} holds {', '.join(sorted(stored)) or 'nothing'}, which is no state of a "
                f"stream ({', '.join(names)}); give a file that State.save wrote"
            )
        return cls(*(stored[name] for name in names))

    def _values(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]
