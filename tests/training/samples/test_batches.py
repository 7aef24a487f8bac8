"""Which sample comes when: pinned, drawn as it is needed, whatever the length of a run."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch

from plainmask.training.samples.augment import ClipSample
from plainmask.training.samples.batches import order, training_batches
from plainmask.training.samples.targets import ClipTargets


class BlackPictures:
    """A sampler of any number of black pictures."""

    def __init__(self, count: int):
        self.names = [str(place) for place in range(count)]

    def __call__(self, index: int, generator: torch.Generator) -> ClipSample:
        shape = (1, 4, 4)
        targets = ClipTargets(
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, *shape, dtype=torch.bool),
            torch.zeros(0, 1, dtype=torch.bool),
            torch.ones(shape, dtype=torch.bool),
        )
        return ClipSample(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), targets, (4, 4))


@pytest.fixture
def shuffles(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The seeds of all permutations that are drawn."""
    drawn: list[object] = []
    original = np.random.default_rng

    def counting(seed: object) -> np.random.Generator:
        drawn.append(seed)
        return original(seed)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(np.random, "default_rng", counting)
    return drawn


def test_the_order_is_fixed_by_seed_and_step():
    found = list(order(5, 2, 7, first=1, last=6, views=2))
    assert found == [
        [(0, 4), (0, 1)],
        [(1, 3), (1, 0)],
        [(1, 2), (1, 1)],
        [(0, 0), (0, 2)],
        [(0, 1), (0, 3)],
    ]
    assert found[2:] == list(order(5, 2, 7, first=3, last=6, views=2))


def test_a_set_smaller_than_a_batch_is_repeated():
    (found,) = order(2, 5, 7, first=0, last=1, views=None)
    assert found == [(0, 0), (0, 1), (0, 0), (0, 1), (0, 0)]


def test_a_set_is_shuffled_once_an_epoch(shuffles: list[object]):
    assert len(list(order(100, 10, 3, first=5, last=25, views=None))) == 20
    assert shuffles == [(3, 0), (3, 1), (3, 2)]


def test_a_long_run_plans_no_further_than_it_is(shuffles: list[object]):
    sampler = BlackPictures(1000)
    batches = training_batches(sampler, batch_size=10, seed=1, first=0, last=10**15)  # pyright: ignore[reportArgumentType]
    names = [name for batch in islice(batches, 101) for name in batch.names or ()]
    assert sorted(names[:1000]) == sorted(sampler.names)
    assert shuffles == [(1, 0), (1, 1)]
