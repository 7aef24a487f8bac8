"""Where the time of a picture goes, step by step, on the machine at hand.

The steps are those of `images.segment_all`, one picture at a time, each timed by itself: a GPU is
waited for after each, so they add up to a little more than a run that is not watched.

Letters: N windows of a picture.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from plainmask.errors import InputError, PlainmaskError
from plainmask.heads.head import Head
from plainmask.inference.eomt import build_eomt
from plainmask.inference.flops import decoder_flops, encoder_flops
from plainmask.inference.memory import is_out_of_memory
from plainmask.inference.segmenter import Segmenter
from plainmask.inference.shared_pass import SharedPass, by_protocol
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.pictures.images import read_image

WARM_UP = 2
"""Runs before those that are measured: they fill caches and let libraries choose kernels."""
MATRIX = 2048
"""Side of the matrices whose product tells the machine's peak."""


@dataclass(frozen=True)
class Step:
    """One step of a picture's way."""

    name: str
    heads: tuple[str, ...]
    """Whose work it is; none: all heads'."""
    seconds: tuple[float, ...]
    """Of each measured run."""
    gflop: float | None = None
    """What it computes, by arithmetic; None where that says nothing."""

    @property
    def median(self) -> float:
        """Seconds."""
        return median(self.seconds)

    @property
    def gflops(self) -> float | None:
        """GFLOP a second at the median."""
        return None if self.gflop is None else self.gflop / self.median


@dataclass(frozen=True)
class Comparison:
    """The network, encoder and all heads, beside one network a head; no pre- or post-processing."""

    peer: str
    side: int
    """Of the one square input of both, in pixels."""
    ours: Step
    theirs: Step
    """All of them, one after the other."""

    @property
    def ratio(self) -> float:
        """How many times as long theirs take."""
        return self.theirs.median / self.ours.median


@dataclass(frozen=True)
class Bench:
    """What `bench` measured."""

    picture: tuple[int, int]
    """(H, W)."""
    encoder: str
    heads: tuple[str, ...]
    device: str
    dtype: str
    threads: int
    runs: int
    tokens: int
    """That the encoder sees of the picture, all windows and ways of seeing together."""
    steps: tuple[Step, ...]
    whole: Step
    """All steps of a run together."""
    peak_gflops: float
    """Of one product of square matrices in the same dtype, measured in the same run."""
    weight_megabytes: Mapping[str, float]
    """Of the encoder and each head, as they are held."""
    memory_megabytes: float | None
    """The most that the process has held (on CUDA: of the device); None where nobody counts."""
    comparison: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        steps = [asdict(step) | {"median": step.median} for step in self.steps]
        both = self.comparison
        comparison = None if both is None else asdict(both) | {"ratio": both.ratio}
        return asdict(self) | {"warm_up": WARM_UP, "steps": steps, "comparison": comparison}


def bench(
    segmenter: Segmenter,
    picture: str | Path,
    *,
    size: int | None = None,
    runs: int = 5,
    compare: bool = False,
) -> Bench:
    """Measure each step of a picture's way through encoder and heads.

    Args:
        segmenter: encoder and heads, on the device and in the dtype to measure.
        picture: a file.
        size: side at which the heads see it, in pixels, instead of their own; see `InputProtocol`.
        runs: measured, after `WARM_UP` that are not.
        compare: measure transformers' EoMT of the same size, too.

    Raises:
        InputError: the picture cannot be used, there is no head, a number makes no sense, a head
            sees the picture in tiles, or transformers is missing.
    """
    if runs < 1:
        raise InputError(f"at least 1 run must be measured, not {runs}")
    if not segmenter.heads:
        raise InputError("this Segmenter has no head; add one with segmenter.add(name, head)")
    shared = segmenter.shared
    heads = {name: _sized(head, size) for name, head in segmenter.heads.items()}
    image = read_image(picture)
    ways = _plan(shared, heads, (image.shape[0], image.shape[1]))
    clock = _Clock(shared.device)
    with TemporaryDirectory() as folder:
        for turn in range(WARM_UP + runs):
            if turn == WARM_UP:
                clock.seconds.clear()
            with clock.time("whole"), _memory_for(picture):
                _run(clock, shared, ways, picture, Path(folder))
    whole = Step("whole", (), tuple(clock.seconds.pop(("whole",))))
    gflop = _gflop(shared, ways)
    steps = tuple(
        Step(key[0], key[1:], tuple(seconds), gflop.get(key))
        for key, seconds in clock.seconds.items()
    )
    memory = _memory(shared.device)  # before the peak's matrices and the peer
    return Bench(
        picture=(image.shape[0], image.shape[1]),
        encoder=segmenter.encoder.name,
        heads=tuple(heads),
        device=str(shared.device),
        dtype=str(shared.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        runs=runs,
        tokens=sum(_tokens(shared, way.geometry) for way in ways),
        steps=steps,
        whole=whole,
        peak_gflops=_peak(shared, runs),
        weight_megabytes={"encoder": _megabytes(shared.computing_encoder)}
        | {name: _megabytes(head.decoder) for name, head in heads.items()},
        memory_megabytes=memory,
        comparison=_compare(shared, heads, ways[0].geometry, runs) if compare else None,
    )


@contextmanager
def _memory_for(picture: str | Path) -> Generator[None]:
    """Say in one line what memory does not hold."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise PlainmaskError(
            f"memory does not hold what {picture} takes; give a smaller --size, or fewer heads"
        ) from error


@dataclass(frozen=True)
class _Way:
    """Heads that see the picture alike."""

    geometry: Geometry
    heads: Mapping[str, Head]
    names: tuple[str, ...]
    """Of these heads; none where they are all."""


class _Clock:
    """Seconds by the name of a step and its heads, of work that is done when the device is."""

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds: dict[tuple[str, ...], list[float]] = {}

    @contextmanager
    def time(self, *key: str) -> Generator[None]:
        start = perf_counter()
        yield
        if self.device.type in ("cuda", "mps"):
            getattr(torch, self.device.type).synchronize()
        self.seconds.setdefault(key, []).append(perf_counter() - start)

    def several(self, name: str, act: Callable[[], object], runs: int) -> Step:
        """The same thing again and again."""
        for _ in range(WARM_UP + runs):
            with self.time(name):
                act()
        return Step(name, (), tuple(self.seconds.pop((name,))[WARM_UP:]))


def _sized(head: Head, size: int | None) -> Head:
    """The head, seeing pictures at another size."""
    if size is None:
        return head
    protocol = head.config.input
    try:  # windows of a larger resize stay as many
        shorter = protocol.shorter and round(protocol.shorter * size / _shorter(protocol.size))
        changed = protocol.model_dump() | {"size": size, "shorter": shorter}
        seen = InputProtocol.model_validate(changed)
    except ValidationError as error:
        raise InputError(f"a size of {size}: {error.errors()[0]['msg']}") from error
    return replace(head, config=head.config.model_copy(update={"input": seen}))


def _shorter(size: int | tuple[int, int]) -> int:
    return size if isinstance(size, int) else min(size)


def _plan(shared: SharedPass, heads: Mapping[str, Head], size: tuple[int, int]) -> list[_Way]:
    """How the picture comes to the heads."""
    patch = shared.encoder.config.patch_size
    groups = by_protocol(heads)
    ways: list[_Way] = []
    for protocol, group in groups.items():
        way = protocol.for_image(size, patch)
        if way.kind == "tiles":
            raise InputError(
                f"{', '.join(group)}: this picture of {size[1]} x {size[0]} is seen in tiles; "
                "give a smaller one, or a head that sees pictures whole"
            )
        names = tuple(group) if len(groups) > 1 else ()
        ways.append(_Way(Geometry.plan(size, way, patch), group, names))
    return ways


def _run(
    clock: _Clock, shared: SharedPass, ways: Sequence[_Way], picture: str | Path, folder: Path
) -> None:
    """One picture, from its file to the files of its results."""
    with clock.time("decode"):
        image = read_image(picture)
    for way in ways:
        geometry = way.geometry
        with clock.time("preprocess", *way.names):
            windows = torch.from_numpy(geometry.fit(image)).to(shared.device)
        with clock.time("encoder", *way.names), shared.computing():
            features = shared.features(windows, way.heads, geometry.content)
        for name, head in way.heads.items():
            with clock.time("decoder", name), shared.computing():
                predictions = head.predict(features[name])
            with clock.time("post-processing", name):
                result = head.result(predictions, geometry)
            with clock.time("saving", name):
                result.save(folder, stem=name, image=image, forms=["overlay", "labels", "segments"])


def _tokens(shared: SharedPass, geometry: Geometry) -> int:
    rows, columns = _grid(shared, geometry)
    return len(geometry.windows) * (shared.encoder.config.prefix + rows * columns)


def _grid(shared: SharedPass, geometry: Geometry) -> tuple[int, int]:
    patch = shared.encoder.config.patch_size
    return geometry.model_size[0] // patch, geometry.model_size[1] // patch


def _gflop(shared: SharedPass, ways: Sequence[_Way]) -> dict[tuple[str, ...], float]:
    """Of the steps that are mostly products of matrices, by name and heads."""
    config = shared.encoder.config
    found: dict[tuple[str, ...], float] = {}
    for way in ways:
        grid, count = _grid(shared, way.geometry), len(way.geometry.windows)
        blocks = 1 + max(tap for head in way.heads.values() for tap in head.config.encoder.taps)
        found["encoder", *way.names] = count * encoder_flops(config, grid, blocks) / 1e9
        for name, head in way.heads.items():
            decoder = decoder_flops(head.config.decoder, grid, config.prefix)
            found["decoder", name] = count * decoder / 1e9
    return found


def _peak(shared: SharedPass, runs: int) -> float:
    """GFLOP a second of a product of square matrices."""
    matrix = torch.randn(MATRIX, MATRIX, device=shared.device).to(shared.dtype)
    step = _Clock(shared.device).several("peak", lambda: matrix @ matrix, runs)
    return 2 * MATRIX**3 / 1e9 / step.median


def _compare(
    shared: SharedPass, heads: Mapping[str, Head], geometry: Geometry, runs: int
) -> Comparison:
    """Both networks on one square of about as many patches as a window has."""
    patch = shared.encoder.config.patch_size
    side = patch * max(1, round(math.sqrt(math.prod(_grid(shared, geometry)))))
    pixels = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (1, 3, side, side), np.uint8)
    ).to(shared.device)
    clock = _Clock(shared.device)

    def ours() -> list[Tensor]:
        with shared.computing():
            features = shared.features(pixels, heads)
            return [head.decoder(features[name])[0] for name, head in heads.items()]

    peer = ""
    seconds = [0.0] * runs
    for head in heads.values():  # one at a time, so that only one is in memory
        peer, theirs = build_eomt(shared, head.config.decoder, side)
        alone = clock.several("theirs", theirs, runs)
        seconds = [sum(pair) for pair in zip(seconds, alone.seconds, strict=True)]
    return Comparison(
        peer, side, clock.several("ours", ours, runs), Step("theirs", (), tuple(seconds))
    )


def _megabytes(module: nn.Module) -> float:
    return sum(value.nbytes for value in module.state_dict().values()) / 1e6


def _memory(device: torch.device) -> float | None:
    """Most megabytes so far, of the device or the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most / 1e3  # bytes there, kilobytes here
