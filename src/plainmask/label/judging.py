"""Which of two heads is shown, by what they said of a person's strokes before these were learnt.

A person draws where the head that is shown is wrong, which tells against it. So each head is
measured by the strokes that were drawn while the other one was shown.

The first strokes in pictures are judged apart from all others: the linear head has learnt the
pictures that have strokes, and may be better there and worse wherever nobody has drawn yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

Shown: TypeAlias = Literal["linear", "decoder"]

LEAST, RECENT = 5, 10
"""Strokes that must be there to tell, and how many of the newest count."""


class Judged(NamedTuple):
    """A stroke of which both heads had said something."""

    linear: float
    """The share of it that the linear head had right, 0..1; see `foreseen`."""
    decoder: float
    """Likewise the decoder."""
    shown: Shown
    """Which of them the person saw."""


def better(judged: Sequence[Judged], first: Shown = "linear") -> Shown:
    """The head to be shown.

    The decoder, once it had more right of the strokes drawn on the linear head's proposals than
    that head; then unless the linear head has more right of the strokes drawn on the decoder's
    proposals than the decoder had of those drawn on the linear head's.

    Args:
        judged: in order of the strokes.
        first: which is shown while too few strokes were drawn on the linear head's proposals to
            tell; the decoder until it had less right of those drawn on its own than that head.
    """
    on_linear = [one for one in judged if one.shown == "linear"][-RECENT:]
    on_decoder = [one for one in judged if one.shown == "decoder"][-RECENT:]
    if len(on_linear) < LEAST:
        gives_way = len(on_decoder) >= LEAST and _mean(one.decoder for one in on_decoder) < _mean(
            one.linear for one in on_decoder
        )
        return "linear" if gives_way else first
    found = _mean(one.decoder for one in on_linear)
    if found <= _mean(one.linear for one in on_linear):
        return "linear"
    if len(on_decoder) >= LEAST and _mean(one.linear for one in on_decoder) > found:
        return "linear"
    return "decoder"


def _mean(values: Iterable[float]) -> float:
    numbers = [*values]
    return sum(numbers) / len(numbers)
