"""Which sample comes when: fixed by seed and step, whatever the workers, resumable anywhere."""

from __future__ import annotations

import signal
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from plainmask.data.augment import AugmentConfig, Targets, augment, sample_generator
from plainmask.data.record import Record

Batch = tuple[Tensor, list[Targets]]
"""Pixels (B, 3, h, w) uint8 and the targets of each image."""


class _Samples(Dataset[tuple[Tensor, Targets]]):
    """Augmented samples by (view, index)."""

    def __init__(self, records: Sequence[Record], config: AugmentConfig, seed: int):
        self.records = records
        self.config = config
        self.seed = seed

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Targets]:
        view, index = key
        record = self.records[index]
        image = torch.from_numpy(record.image()).permute(2, 0, 1)
        # By name, not by place: a sample stays the same in a larger or smaller set.
        generator = sample_generator(self.seed, view, zlib.crc32(record.id.encode()))
        return augment(image, record.segments(), self.config, generator)


def order(
    num_records: int, batch_size: int, seed: int, *, first: int, last: int, views: int | None
) -> Iterator[list[tuple[int, int]]]:
    """The (view, index) pairs of the batches of steps first..last-1.

    Every epoch is a fresh permutation; an incomplete last batch is dropped. A set smaller than a
    batch is repeated. `views` bounds the number of different augmentations per image.
    """
    repeats = -(-batch_size // num_records)
    per_epoch = max(1, num_records // batch_size)
    for step in range(first, last):
        epoch, position = divmod(step, per_epoch)
        shuffled = np.random.default_rng((seed, epoch)).permutation(num_records)
        chosen = np.tile(shuffled, repeats)[position * batch_size : (position + 1) * batch_size]
        view = epoch if views is None else epoch % views
        yield [(view, int(index)) for index in chosen]


def training_batches(
    records: Sequence[Record],
    config: AugmentConfig,
    *,
    batch_size: int,
    seed: int,
    first: int,
    last: int,
    views: int | None = None,
    workers: int = 0,
) -> Iterator[Batch]:
    """The batches of steps first..last-1, decoded and augmented, by worker processes if any."""
    plan = list(order(len(records), batch_size, seed, first=first, last=last, views=views))
    loader = DataLoader(
        _Samples(records, config, seed),
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_ignore_interrupts,
    )
    yield from loader


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the main process, which finishes its step and needs the batch for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _collate(samples: list[tuple[Tensor, Targets]]) -> Batch:
    return torch.stack([pixels for pixels, _ in samples]), [targets for _, targets in samples]
