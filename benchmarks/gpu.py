"""How fast a GPU is: every encoder size, eager, compiled and as a CUDA graph, in 8 minutes.

    python benchmarks/gpu.py [--out gpu] [--minutes 8]

Random weights; from pixels on the device to logits, medians. Each case is written to OUT.jsonl
when it is done, and the table of all to OUT.md: a run that was stopped, or had no time left, goes
on where it was. Published figures for PMT on an H100 (a picture at a time, bfloat16, compiled): L
at 640 141 pictures a second, B 262, S 400, L at 1280 29; video L 113 to 124.

Also a training step of each size (6 blocks, 200 queries, every layer supervised), and the losses
of 200 steps on made-up pictures, which are kept as a reference: they depend on no data.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from batched_decoders import decoders, features_of, separate, stacked
from peers.eomt import QUERIES, VOCABULARY, ours
from torch import Tensor, nn

from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.encoder.presets import find_preset
from plainmask.encoder.vit import Encoder, Mlp
from plainmask.inference.segmenter import Segmenter
from plainmask.training.loss import LossConfig, set_loss, total_loss
from plainmask.training.points import uniform_points
from plainmask.training.samples.targets import Targets

RUNS, WARM_UP = 20, 5
BATCHES = (4, 8, 16, 32, 64)
BLOCKS = 6
FRAMES = 32


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    what: str
    """"image", "video", "training", or "4 decoders" of one shape, one by one or stacked."""
    size: str
    side: int
    way: str = "eager"
    """eager, compiled, graph, fp8, or stacked."""
    dtype: str = "bfloat16"
    best_batch: bool = False
    """The batch of `BATCHES` with the most pictures a second, instead of one picture."""


def cases() -> Iterator[Case]:
    """What matters most comes first."""
    for size in ("large", "base", "small"):
        for way in ("eager", "compiled", "graph"):
            yield Case("image", size, 640, way)
    yield Case("image", "large", 1280, "graph")
    yield Case("video", "large", 640, "eager")
    yield Case("video", "large", 640, "compiled")
    for size in ("large", "base", "small"):
        yield Case("image", size, 640, "compiled", best_batch=True)
        yield Case("training", size, 640)
    for side in (224, 640):
        yield Case("4 decoders", "small", side, "eager")
        yield Case("4 decoders", "small", side, "stacked")
    yield Case("image", "large", 640, "graph", "float16")
    yield Case("image", "large", 640, "fp8")
    yield Case("image", "large", 1280, "compiled", best_batch=True)


def measure(case: Case, device: torch.device) -> dict[str, float]:
    """The figures of a case."""
    if case.what == "training":
        return training_step(case, device)
    if case.what == "4 decoders":
        return four_decoders(case, device)
    segmenter = ours(
        case.size,
        1,
        BLOCKS,
        torch.float16 if case.dtype == "float16" else torch.bfloat16,
        device=str(device),
        side=case.side,
        propagation="gru" if case.what == "video" else "none",
        compile=case.way == "compiled",
    )
    if case.what == "video":
        return video(segmenter, case.side, device)
    if case.way == "fp8":
        assert isinstance(segmenter.shared.computing_encoder, Encoder)
        to_fp8(segmenter.shared.computing_encoder)
    found: dict[str, float] = {}
    for batch in BATCHES if case.best_batch else (1,):
        pixels = torch.randint(
            0, 256, (batch, 3, case.side, case.side), dtype=torch.uint8, device=device
        )
        act = partial(segmenter.logits, pixels)
        try:
            seconds = timed(graphed(act) if case.way == "graph" else act, device)
        except torch.OutOfMemoryError:
            break
        if batch / seconds > found.get("per_second", 0.0):
            found = {"batch": batch, "ms": 1e3 * seconds, "per_second": batch / seconds}
    return found


def timed(act: Callable[[], Any], device: torch.device) -> float:
    """Median seconds."""
    found: list[float] = []
    for _ in range(WARM_UP + RUNS):
        began = time.perf_counter()
        act()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return statistics.median(found[WARM_UP:])


def graphed(act: Callable[[], Any]) -> Callable[[], Any]:
    """The same work as one CUDA graph, on the same pixels."""
    side_stream = torch.cuda.Stream()
    with torch.cuda.stream(side_stream):
        for _ in range(3):
            act()
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        act()
    return graph.replay


def video(segmenter: Segmenter, side: int, device: torch.device) -> dict[str, float]:
    """Frames a second of the network alone, frame by frame."""
    frame = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8, device=device)
    stream = segmenter.stream()
    seconds = timed(lambda: stream.logits(frame), device)
    return {"batch": 1, "ms": 1e3 * seconds, "per_second": 1 / seconds}


def four_decoders(case: Case, device: torch.device) -> dict[str, float]:
    """What heads of one shape take after one encoder pass."""
    heads = [head.to(device) for head in decoders(4, BLOCKS)]
    features = features_of(case.side)
    features = features._replace(taps=tuple(tap.to(device) for tap in features.taps))
    way = stacked(heads) if case.way == "stacked" else separate(heads)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
        seconds = timed(lambda: way(features), device)
    return {"batch": 1, "ms": 1e3 * seconds, "per_second": 1 / seconds}


def to_fp8(encoder: Encoder) -> None:
    """Compute the feed-forward layers in float8, with a scale for a tensor, in place."""
    for block in encoder.blocks:
        assert isinstance(block.ffn, Mlp)
        up, down = Float8(block.ffn.up), Float8(block.ffn.down)
        block.ffn = nn.Sequential(up, nn.GELU(), down)


class Float8(nn.Module):
    """A linear layer in float8 e4m3."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.scale = layer.weight.abs().max().float() / 448
        self.matrix = (layer.weight.float() / self.scale).to(torch.float8_e4m3fn)
        self.bias = layer.bias.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., M)."""
        rows = x.flatten(0, -2)
        scale = rows.abs().max().float() / 448
        found = torch.ops.aten._scaled_mm(
            (rows.float() / scale).to(torch.float8_e4m3fn),
            self.matrix.t(),
            scale_a=scale,
            scale_b=self.scale,
            bias=self.bias,
            out_dtype=torch.bfloat16,
        )
        return found.view(*x.shape[:-1], -1)


class Lesson:
    """A decoder that learns made-up pictures: squares of one class each."""

    def __init__(self, size: str, side: int, device: torch.device, batch: int):
        torch.manual_seed(0)
        self.encoder = Encoder(find_preset(f"dinov3-{size}").config).to(device)
        width = self.encoder.config.width
        config = DecoderConfig(
            width=width,
            heads=self.encoder.config.heads,
            num_queries=QUERIES,
            num_classes=len(VOCABULARY),
            num_blocks=BLOCKS,
            ffn_hidden=width,
            upscale_stages=2,
        )
        self.decoder = PlainMaskDecoder(config).to(device).train()
        self.optimizer = torch.optim.AdamW(self.decoder.parameters(), lr=2e-4, weight_decay=0.05)
        self.device, self.side, self.batch = device, side, batch

    def step(self, number: int) -> float:
        """One update; the loss."""
        generator = torch.Generator(self.device).manual_seed(number)
        pixels, targets = made_up(self.batch, self.side, number, self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            layers = self.decoder.every_layer(self.encoder(pixels), masked=True)
        config = LossConfig()
        losses = set_loss(
            [layer.float() for layer in layers],
            targets,
            config,
            uniform_points(self.device, generator),
        )
        loss = total_loss(losses, config)
        loss.backward()
        nn.utils.clip_grad_norm_(self.decoder.parameters(), 0.01)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())


def made_up(batch: int, side: int, seed: int, device: torch.device) -> tuple[Tensor, list[Targets]]:
    """Grey pictures with eight squares, whose shade is their class."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.full((batch, 3, side, side), 128, dtype=torch.uint8)
    targets: list[Targets] = []
    for picture in pixels:
        labels = torch.randint(0, len(VOCABULARY), (8,), generator=generator)
        masks = torch.zeros(8, side, side, dtype=torch.bool)
        for label, mask in zip(labels.tolist(), masks, strict=True):
            top, left = torch.randint(0, side * 3 // 4, (2,), generator=generator).tolist()
            mask[top : top + side // 4, left : left + side // 4] = True
            picture[:, mask] = torch.tensor([label, 255 - label, 2 * label % 256]).byte()[:, None]
        valid = torch.ones(side, side, dtype=torch.bool)
        targets.append(Targets(labels.to(device), masks.to(device), valid.to(device)))
    return pixels.to(device), targets


def training_step(case: Case, device: torch.device) -> dict[str, float]:
    """A step of 4 pictures; of small also the losses of 200 steps at 320 pixels."""
    lesson = Lesson(case.size, case.side, device, 4)
    steps = iter(range(10**6))
    seconds = timed(lambda: lesson.step(next(steps)), device)
    found = {"batch": 4, "ms": 1e3 * seconds, "per_second": 4 / seconds}
    if case.size == "small":
        curve = Lesson("small", 320, device, 4)
        losses = [curve.step(number) for number in range(200)]
        for first in range(0, 200, 40):
            found[f"loss {first + 1}-{first + 40}"] = statistics.mean(losses[first : first + 40])
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """All that was measured, as Markdown."""
    lines = [
        "| what | encoder | pixels | way | dtype | batch | ms | a second | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        known = {"batch", "ms", "per_second"}
        found = row["found"]
        more = ", ".join(f"{k} {v:.2f}" for k, v in found.items() if k not in known)
        figures = [f"{found[key]:.1f}" if key in found else "" for key in ("ms", "per_second")]
        lines.append(
            f"| {row['what']} | {row['size']} | {row['side']} | {row['way']} | {row['dtype']} | "
            f"{found.get('batch', '')} | {figures[0]} | {figures[1]} | {more or row['problem']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is not measured yet, for as long as there is time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, default=Path("gpu"))
    parser.add_argument("--minutes", type=float, default=8)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("there is no CUDA device here")
    device = torch.device("cuda")
    kept = args.out.with_suffix(".jsonl")
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = [{key: row[key] for key in asdict(Case("", "", 0))} for row in rows]
    began = time.monotonic()
    for case in cases():
        if asdict(case) in done:
            continue
        if time.monotonic() - began > 60 * args.minutes:
            print("no time left; run again to go on")
            break
        problem, found = "", dict[str, float]()
        try:
            found = measure(case, device)
        except Exception as error:  # the others are measured
            problem = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
        torch.compiler.reset()
        torch.cuda.empty_cache()
        rows.append(asdict(case) | {"found": found, "problem": problem})
        with kept.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        args.out.with_suffix(".md").write_text(
            f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n\n{table(rows)}"
        )
        print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
