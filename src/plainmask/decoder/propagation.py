"""The link through time: which queries the next frame starts from, and what a stream remembers.

Everything else of a video is what it is for an image (SPEC 10). The caller holds the `State`; the
model remembers nothing, so one model follows any number of videos.

Letters: B videos side by side, Q queries, D width, C classes without "no object".
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, Self, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from plainmask.atomic import write_atomically
from plainmask.errors import InputError

Propagation: TypeAlias = Literal["none", "linear", "gru"]


class NoLink(nn.Module):
    """Every frame starts from the learnt queries: an image model run frame by frame."""

    def forward(self, tokens: Tensor, entered: Tensor, learnt: Tensor) -> Tensor:
        """See `LinearLink.forward`."""
        return learnt.expand_as(tokens)


class LinearLink(nn.Module):
    """PMT and VidEoMT: a linear layer, and the learnt queries added anew (SPEC 10.2)."""

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
    """LVMT: a gated update of each query's memory; the learnt queries start it (SPEC 10.3)."""

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
    """(B, Q, C+1) float32: mean over the frames so far (SPEC 11)."""
    frames: Tensor
    """(B,) int64: frames so far."""
    numbers: Tensor
    """(B, Q + C) int64: the number that each query, then each stuff class, was given when it was
    first shown, from 1; 0 before."""
    ages: Tensor
    """(B, Q + C) int64: frames in which each of them was shown."""

    @classmethod
    def start(cls, queries: Tensor, num_classes: int) -> Self:
        """Before the first frame.

        Args:
            queries: (B, Q, D), the learnt ones.
            num_classes: C.
        """
        batch, num_queries, _ = queries.shape
        tracks = queries.new_zeros(batch, num_queries + num_classes, dtype=torch.int64)
        return cls(
            queries=queries.float(),
            class_logits=queries.new_zeros(batch, num_queries, num_classes + 1),
            frames=queries.new_zeros(batch, dtype=torch.int64),
            numbers=tracks,
            ages=tracks.clone(),
        )

    def after(self, queries: Tensor, class_logits: Tensor) -> Self:
        """One frame later: what enters the next frame, and this frame's class logits."""
        frames = self.frames + 1
        mean = self.class_logits + (class_logits - self.class_logits) / frames[:, None, None]
        return replace(self, queries=queries.float(), class_logits=mean, frames=frames)

    def to(self, device: torch.device | str) -> Self:
        """The same state on another device."""
        return type(self)(*(value.to(device) for value in self._values()))

    def split(self, size: int) -> list[Self]:
        """States of `size` videos each, in order."""
        parts = zip(*(value.split(size) for value in self._values()), strict=True)
        return [type(self)(*part) for part in parts]

    @classmethod
    def join(cls, states: list[Self]) -> Self:
        """The states of several streams as one batch; undoes `split`."""
        parts = zip(*(state._values() for state in states), strict=True)
        return cls(*(torch.cat(part) for part in parts))

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
        if set(stored) != set(names):
            raise InputError(
                f"{path} holds {', '.join(sorted(stored)) or 'nothing'}, which is no state of a "
                f"stream ({', '.join(names)}); give a file that State.save wrote"
            )
        return cls(*(stored[name] for name in names))

    def _values(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]
