"""What changes while training, as pure functions of the step (docs/model.md 2.6 and 7.8).

Nothing here keeps count, so a resumed run needs no state but its step.
"""

from __future__ import annotations

import math


def epochs(steps: int, batch_size: int, count: int) -> str:
    """How often a run sees each of `count` pictures or videos, as people say it: 0.8, 2.5, 77."""
    times = steps * batch_size / count
    return f"{times:.0f}" if times >= 10 else f"{times:.2g}"


def learning_rate(step: int, *, base: float, warmup: int, total: int, minimum: float) -> float:
    """The rate for the update after `step` updates: a linear rise from 0, then half a cosine.

    The very first update of a run with warm-up thus has rate 0. The cosine is not clamped: beyond
    `total` it rises again, as published.

    Args:
        step: updates done so far.
        base: the highest rate, reached after the warm-up.
        warmup: updates until then; 0 for none.
        total: updates of the whole run.
        minimum: the rate at `total`.
    """
    if step < warmup:
        return base * step / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return minimum + (base - minimum) / 2 * (1 + math.cos(math.pi * progress))


def polynomial_rate(
    step: int, *, base: float, warmup: int, total: int, power: float = 0.9
) -> float:
    """The rate for the update after `step` updates, as video PMT is trained (docs/model.md 7.8).

    A linear rise from 0, then `(1 - progress) ** power`; 0 from `total` on.
    """
    if step < warmup:
        return base * step / warmup
    return base * max(0.0, 1 - (step - warmup) / max(1, total - warmup)) ** power


def mask_probability(step: int, start: int, end: int, power: float = 0.9) -> float:
    """The probability that a query's attention in one block is masked, after `step` updates.

    1 before `start`, 0 from `end` on, between them `(1 - progress) ** power`.
    """
    if step >= end:
        return 0.0
    if step < start:
        return 1.0
    return (1 - (step - start) / (end - start)) ** power


def annealing_windows(blocks: int, total: int, first_end: int = 3000) -> list[tuple[int, int]]:
    """When masking ends in each decoder block: (start, end) steps for `mask_probability`.

    The first block is freed at once, within `first_end` steps or before the second one's turn if
    the run is short. The others follow in order: their windows are a sixth of the run long and
    begin at even distances from 4/15 to 2/3 of it, for any number of blocks. For six blocks these
    are the published windows.

    Args:
        blocks: number of decoder blocks, at least 1.
        total: updates of the whole run.
        first_end: end of the first block's window.
    """
    windows = [(0, min(first_end, 4 * total // 15))]
    gaps = max(1, blocks - 2)
    for k in range(blocks - 1):
        # (4/15 + 2/5 * k/gaps) * total, and a sixth of the total later; whole numbers throughout,
        # so that truncation never depends on rounding.
        start = (4 * gaps + 6 * k) * total // (15 * gaps)
        end = (13 * gaps + 12 * k) * total // (30 * gaps)
        windows.append((start, end))
    return windows
