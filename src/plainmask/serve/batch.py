"""One pass: a batch of pictures through the encoder, and every head on its own rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from plainmask.decoder.decoder import Predictions
from plainmask.encoder.vit import Features
from plainmask.heads.head import Head
from plainmask.inference.segmenter import HeadSegmenter
from plainmask.inference.shared_pass import SharedPass, by_protocol
from plainmask.inference.stream import step_many
from plainmask.results import Result
from plainmask.serve.features import KeptFeatures, key_of
from plainmask.serve.numbers import Numbers
from plainmask.serve.parts import NextFrame, Part, Taps

_Seen: TypeAlias = tuple[Taps, Features]
"""The taps of a picture, and features without any that say how they lie."""


class Batches:
    """What runs batches, one at a time.

    Args:
        shared: the encoder.
        kept: features of the last pictures.
        numbers: what is counted.
    """

    def __init__(self, shared: SharedPass, kept: KeptFeatures, numbers: Numbers):
        self.shared, self.kept, self.numbers = shared, kept, numbers

    def see(self, parts: Sequence[Part]) -> None:
        """Pictures of one kind; each part is answered."""
        for part in parts:
            part.job.seconds.setdefault("queue", time.perf_counter() - part.asked)
        if parts[0].geometry is None:
            (part,) = parts
            for name, head in part.heads.items():
                alone: HeadSegmenter[Result] = HeadSegmenter(self.shared, name, head)
                part.found[name] = alone(part.job.image)
            part.job.done(part)
            return
        heads = {id(head): (name, head) for part in parts for name, head in part.heads.items()}
        began = time.perf_counter()
        seen = self._encode(parts, [head for _, head in heads.values()])
        spent = {"encoder": time.perf_counter() - began, "decoder": 0.0, "results": 0.0}
        for name, head in heads.values():
            rows = [k for k, part in enumerate(parts) if part.heads.get(name) is head]
            began = time.perf_counter()
            predictions = self._decode(head, [seen[k] for k in rows])
            decoded = time.perf_counter()
            for k, own in zip(rows, predictions, strict=True):
                geometry = parts[k].geometry
                assert geometry is not None
                parts[k].found[name] = head.result(own, geometry)
            both = decoded - began, time.perf_counter() - decoded
            spent["decoder"] += both[0]
            spent["results"] += both[1]
            self.numbers.decoded(name, head.config.task, len(rows), *both)
        for part, (taps, empty) in zip(parts, seen, strict=True):
            for what, seconds in spent.items():
                part.job.seconds[what] = part.job.seconds.get(what, 0.0) + seconds
            part.job.taps |= {tap: taps[tap].float() for tap in part.taps}
            part.job.grid = empty.grid
            part.job.done(part)

    def follow(self, frames: Sequence[NextFrame]) -> None:
        """The next frames of videos, of one kind; each is answered."""
        began = time.perf_counter()
        found = step_many([one.stream for one in frames], [one.image for one in frames])
        seconds = time.perf_counter() - began
        heads = frames[0].stream.heads
        for _ in by_protocol(heads):
            self.numbers.passed(len(frames))
        for name, head in heads.items():
            self.numbers.followed(name, head.config.task, len(frames), seconds)
        for frame, results in zip(frames, found, strict=True):
            frame.answer(results)

    def _encode(self, parts: Sequence[Part], heads: Sequence[Head]) -> list[_Seen]:
        """Every part's taps: from the cache, or of one batch."""
        wanted = {tap for head in heads for tap in head.config.encoder.taps}
        wanted = sorted(wanted | {tap for part in parts for tap in part.taps})
        windows = [part.geometry.fit(part.job.image) for part in parts if part.geometry]
        contents = [part.geometry.content for part in parts if part.geometry]
        keys = [key_of(own, content) for own, content in zip(windows, contents, strict=True)]
        found = {key: taps for key in keys if (taps := self.kept.find(key, wanted))}
        fresh = {key: k for k, key in enumerate(keys) if key not in found}
        self.numbers.looked_up(hits=len(keys) - len(fresh), misses=len(fresh))
        patch = self.shared.encoder.config.patch_size
        grid = (windows[0].shape[2] // patch, windows[0].shape[3] // patch)
        if fresh:
            content = [size for k in fresh.values() for size in contents[k] or ()] or None
            found |= self._fresh({key: windows[k] for key, k in fresh.items()}, wanted, content)
        prefix = self.shared.encoder.config.prefix
        return [(found[key], Features((), grid, prefix)) for key in keys]

    def _fresh(
        self,
        windows: dict[bytes, NDArray[np.uint8]],
        wanted: list[int],
        content: list[tuple[int, int]] | None,
    ) -> dict[bytes, Taps]:
        """The taps of pictures by key, of one batch; they are kept."""
        pixels = torch.from_numpy(np.concatenate(list(windows.values())))
        began = time.perf_counter()
        with self.shared.computing():
            seen = self.shared.computing_encoder(
                pixels.to(self.shared.device), taps=wanted, content=content
            )
        self.numbers.passed(len(windows), time.perf_counter() - began)
        by_picture = [tap.split([len(own) for own in windows.values()]) for tap in seen.taps]
        found: dict[bytes, Taps] = {}
        for place, key in enumerate(windows):
            found[key] = {t: tap[place] for t, tap in zip(wanted, by_picture, strict=True)}
            # A copy: a row would keep the whole batch in memory.
            self.kept.keep(key, {tap: value.clone() for tap, value in found[key].items()})
        return found

    def _decode(self, head: Head, seen: Sequence[_Seen]) -> list[Predictions]:
        """What a head says of each of several pictures, in one batch."""
        counts = [len(next(iter(taps.values()))) for taps, _ in seen]
        joint = seen[0][1]._replace(
            taps=tuple(
                torch.cat([taps[tap] for taps, _ in seen]) for tap in head.config.encoder.taps
            )
        )
        with self.shared.computing():
            both = head.predict(joint)
        masks, classes = (part.split(counts) for part in both)
        return [Predictions(*own) for own in zip(masks, classes, strict=True)]
