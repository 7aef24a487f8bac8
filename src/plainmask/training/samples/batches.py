"""Which sample comes when: fixed by seed and step, whatever the workers, resumable anywhere.

Letters: B samples, T frames.
"""

from __future__ import annotations

import signal
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from plainmask.data.record import LabelledVideo, Record
from plainmask.training.samples.augment import (
    AugmentConfig,
    ClipSample,
    VideoAugmentConfig,
    augment_clip,
    sample_generator,
)
from plainmask.training.samples.clips import (
    Clip,
    ClipConfig,
    PasteConfig,
    paste_tracks,
    sample_clip,
)
from plainmask.training.samples.color import uniform
from plainmask.training.samples.targets import ClipTargets


class Batch(NamedTuple):
    """B clips of T frames; images are clips of one frame."""

    pixels: Tensor
    """(B, T, 3, h, w) uint8 RGB, black where padded."""
    content: list[tuple[int, int]]
    """B times height and width of what is no padding."""
    targets: list[ClipTargets]
    """B."""
    names: list[str] | None = None
    """B ids of the records or videos; None: not known."""


class ImageSampler:
    """One record, augmented, as a clip of one frame.

    Args:
        records: annotated pictures.
        config: see `augment_clip`.
        paste: probability of pasting the objects of another record over one.
        pasting, pasted_classes: see `paste_tracks`; None: all classes.
    """

    def __init__(
        self,
        records: Sequence[Record],
        config: AugmentConfig | VideoAugmentConfig,
        *,
        paste: float = 0.0,
        pasting: PasteConfig | None = None,
        pasted_classes: Collection[int] | None = None,
    ):
        self.records = records
        self.config = config
        self.paste = paste if len(records) > 1 else 0.0
        self.pasting, self.pasted_classes = pasting or PasteConfig(), pasted_classes
        self.names = [record.id for record in records]

    def __call__(self, index: int, generator: torch.Generator) -> ClipSample:
        """Decode and augment one record."""
        clip = self._picture(index)
        if self.paste and uniform(generator) < self.paste:
            count = len(self.records)
            step = int(torch.randint(1, count, (), generator=generator))
            donor = self._picture((index + step) % count)
            clip = paste_tracks(clip, donor, self.pasting, generator, classes=self.pasted_classes)
        return augment_clip(clip.images, clip.segments, self.config, generator)

    def _picture(self, index: int) -> Clip:
        record = self.records[index]
        image = torch.from_numpy(record.image()).permute(2, 0, 1)
        return Clip([image], [record.annotation()])


class ClipSampler:
    """One clip of a video, or of a still picture set in motion, augmented.

    An epoch shows each video once, whatever its length.

    Args:
        videos, stills, clip: see `sample_clip`.
        config, always_present: see `augment_clip`.
        pasted_classes: class ids of the objects that may be pasted over other clips.
    """

    def __init__(
        self,
        videos: Sequence[LabelledVideo],
        stills: Sequence[Record],
        clip: ClipConfig,
        config: AugmentConfig | VideoAugmentConfig,
        *,
        always_present: bool,
        pasted_classes: Collection[int],
    ):
        self.videos, self.stills = videos, stills
        self.clip, self.config = clip, config
        self.always_present = always_present
        self.pasted_classes = pasted_classes
        self.names = [pool.id for pool in videos or stills]

    def __call__(self, index: int, generator: torch.Generator) -> ClipSample:
        """Decode and augment one clip."""
        images, segments = sample_clip(
            self.videos,
            self.stills,
            self.clip,
            generator,
            index,
            pasted_classes=self.pasted_classes,
        )
        return augment_clip(
            images, segments, self.config, generator, always_present=self.always_present
        )


class _Samples(Dataset[tuple[str, ClipSample]]):
    """Samples and their names by (view, index)."""

    def __init__(self, sampler: ImageSampler | ClipSampler, seed: int):
        self.sampler = sampler
        self.seed = seed

    def __getitem__(self, key: tuple[int, int]) -> tuple[str, ClipSample]:
        view, index = key
        # By name, not by place: a sample stays the same in a larger or smaller set.
        name = self.sampler.names[index]
        generator = sample_generator(self.seed, view, zlib.crc32(name.encode()))
        return name, self.sampler(index, generator)


def order(
    num_records: int, batch_size: int, seed: int, *, first: int, last: int, views: int | None
) -> Iterator[list[tuple[int, int]]]:
    """The (view, index) pairs of the batches of steps first..last-1.

    Every epoch is a fresh permutation; an incomplete last batch is dropped. A set smaller than a
    batch is repeated. `views` bounds the number of different augmentations per image.
    """
    repeats = -(-batch_size // num_records)
    per_epoch = max(1, num_records // batch_size)
    begun, shuffled = -1, np.empty(0, np.int64)
    for step in range(first, last):
        epoch, position = divmod(step, per_epoch)
        if epoch != begun:  # once an epoch: sets are large, and epochs many steps
            permutation = np.random.default_rng((seed, epoch)).permutation(num_records)
            begun, shuffled = epoch, np.tile(permutation, repeats)
        chosen = shuffled[position * batch_size : (position + 1) * batch_size]
        view = epoch if views is None else epoch % views
        yield [(view, int(index)) for index in chosen]


def training_batches(
    sampler: ImageSampler | ClipSampler,
    *,
    batch_size: int,
    seed: int,
    first: int,
    last: int,
    views: int | None = None,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
    parts: int = 1,
) -> Iterator[Batch]:
    """The batches of steps first..last-1, decoded and augmented, by worker processes if any.

    Args:
        sampler: makes the samples.
        batch_size: of the whole step, over all processes and parts.
        seed, first, last, views: see `order`.
        workers: processes that decode and augment; 0: this one does.
        share: (number of this process, how many there are): it gets its part of every batch.
        parts: batches that this process gets for each step, one after the other; those of all
            processes together are those of one.
    """
    count = len(sampler.names)
    steps = order(count, batch_size, seed, first=first, last=last, views=views)
    process, processes = share
    size = batch_size // (processes * parts)
    plan = (  # made as the loader asks for it: a run may have a million batches
        step[start : start + size]
        for step in steps
        for start in range(process * size, batch_size, processes * size)
    )
    loader = DataLoader(
        _Samples(sampler, seed),
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_ignore_interrupts,
    )
    yield from loader


def _ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the main process, which finishes its step and needs the batch for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def collate(named: list[tuple[str, ClipSample]]) -> Batch:
    """Join samples; smaller ones are padded right and below to the largest."""
    names, samples = zip(*named, strict=True)
    height = max(sample.pixels.shape[-2] for sample in samples)
    width = max(sample.pixels.shape[-1] for sample in samples)

    def padded(planes: Tensor) -> Tensor:
        missing = (0, width - planes.shape[-1], 0, height - planes.shape[-2])
        return F.pad(planes, missing) if any(missing) else planes

    targets = [
        replace(t, masks=padded(t.masks), valid=padded(t.valid))
        for t in (sample.targets for sample in samples)
    ]
    pixels = torch.stack([padded(sample.pixels) for sample in samples])
    return Batch(pixels, [sample.content for sample in samples], targets, list(names))
