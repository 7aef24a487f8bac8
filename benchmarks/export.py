"""Exported heads on a CPU beside the network itself: seconds from pixels to logits, one picture.

    OMP_NUM_THREADS=2 python benchmarks/export.py [--head scenes] [--side 448] [--turns 7]

Ways take turns; medians. Eager and compiled are given in float32 and in what "auto" picks here.
int8 is adjusted by the one picture that is looked at, and no figure was asked of it: this is about
time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.export.folder import export_heads
from plainmask.graphs.graph import SUFFIXES, GraphFormat
from plainmask.heads.exported import Precision
from plainmask.inference.loading import load_heads

Way = Callable[[Tensor], dict[str, Predictions]]

EXPORTS: dict[str, tuple[GraphFormat, Precision]] = {
    "onnxruntime": ("onnx", "float32"),
    "onnxruntime, int8 encoder": ("onnx", "int8"),
    "OpenVINO": ("openvino", "float32"),
    "torch.export": ("torch", "float32"),
}


def exported(name: str, pixels: Tensor, folder: Path) -> dict[str, Way]:
    """Each export of a head, written and opened again."""
    segmenter = load_heads([name], device="cpu", dtype="float32")
    ways: dict[str, Way] = {}
    for place, (way, (format, precision)) in enumerate(EXPORTS.items()):
        opened: list[Path] = []
        out = folder / str(place)
        export_heads(
            segmenter,
            out,
            format=format,
            precision=precision,
            pictures=[pixels],
            accept=opened.extend,
        )
        suffix = next(known for known, one in SUFFIXES.items() if one == format)
        assert all(file.suffix == suffix for file in opened)
        ways[way] = load_heads([out / file.name for file in opened]).logits
    return ways


def networks(name: str) -> dict[str, Way]:
    """The network itself, in float32 and in what is picked here, plain and compiled."""
    ways: dict[str, Way] = {}
    for dtype in ("float32", "auto"):
        for compiled in (False, True):
            one = load_heads([name], device="cpu", dtype=dtype, compile=compiled)
            kind = str(one.shared.dtype).removeprefix("torch.")
            ways[f"{'compiled' if compiled else 'eager'} {kind}"] = one.logits
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--head", default="scenes")
    parser.add_argument("--image", type=Path, default=Path("docs/sheet.jpg"))
    parser.add_argument("--side", type=int, default=448)
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    image = Image.open(options.image).convert("RGB").resize((options.side, options.side))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].contiguous()
    with tempfile.TemporaryDirectory() as folder:
        ways = networks(options.head) | exported(options.head, pixels, Path(folder))
        expected = ways["eager float32"](pixels)[options.head].mask_logits
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(options.turns + 1):  # the first is not counted: it compiles
            for way, run in ways.items():
                began = time.perf_counter()
                run(pixels)
                seconds[way] += [time.perf_counter() - began] if turn else []
        plain = statistics.median(seconds["eager float32"])
        print(f"{options.head}, {options.side} x {options.side}, {torch.get_num_threads()} threads")
        print("| way | seconds | times as fast as eager float32 | largest difference of logits |")
        print("|---|---|---|---|")
        for way, run in ways.items():
            found = run(pixels)[options.head].mask_logits
            difference = float((found - expected).abs().max() / expected.abs().max())
            middle = statistics.median(seconds[way])
            print(f"| {way} | {middle:.2f} | {plain / middle:.2f} | {difference:.0e} |")


if __name__ == "__main__":
    main()
