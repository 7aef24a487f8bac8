"""One head and many at 640 pixels: ours against transformers' EoMT-DINOv3 of the same encoder size.

    python benchmarks/peers/eomt.py [--sizes small base] [--heads 1 4 8] [--turns 7]
        [--dtypes float32 bfloat16] [--cpu]

Networks with random weights, from the pixels of one picture to mask and class logits: no reading,
no post-processing. Our heads have 6 blocks, as published, or 2, as those that the library ships
(the ablation found no difference); k heads on one encoder stand against k EoMT models. All ways
take turns in one process. Medians in seconds, with the spread between quartiles, and how many
times as long theirs takes. Needs transformers.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.decoder.propagation import Propagation
from plainmask.encoder.presets import find_preset
from plainmask.encoder.vit import Encoder
from plainmask.heads.head import EncoderRef, Head, HeadConfig
from plainmask.inference.eomt import build_eomt
from plainmask.inference.segmenter import Segmenter
from plainmask.inference.shared_pass import Dtype
from plainmask.pictures.geometry import InputProtocol
from plainmask.vocabulary import Vocabulary

SIDE, QUERIES = 640, 200
VOCABULARY = Vocabulary.load("coco_panoptic")
Way = Callable[[], Any]


def ours(
    size: str,
    heads: int,
    blocks: int,
    dtype: Dtype,
    *,
    device: str = "cpu",
    side: int = SIDE,
    propagation: Propagation = "none",
    compile: bool = False,
) -> Segmenter:
    """Heads on one encoder, with random weights."""
    torch.manual_seed(0)
    encoder = Encoder(find_preset(f"dinov3-{size}").config)
    config = DecoderConfig(
        width=encoder.config.width,
        heads=encoder.config.heads,
        num_queries=QUERIES,
        num_classes=len(VOCABULARY),
        num_blocks=blocks,
        ffn_hidden=encoder.config.width,
        upscale_stages=2,
        propagation=propagation,
    )
    kind = "fit" if propagation == "none" else "video"
    made = {
        str(number): Head(
            HeadConfig(
                name=str(number),
                task="panoptic",
                vocabulary=VOCABULARY,
                decoder=config,
                encoder=EncoderRef.of(encoder),
                input=InputProtocol(kind=kind, size=side),
            ),
            PlainMaskDecoder(config).eval(),
        )
        for number in range(heads)
    }
    return Segmenter(encoder, made, device=device, dtype=dtype, compile=compile)


def theirs(segmenter: Segmenter) -> Way:
    """As many EoMT models as it has heads; they are alike, so one of them runs again and again."""
    heads = segmenter.heads
    _, run = build_eomt(segmenter.shared, heads["0"].config.decoder, SIDE)
    return lambda: [run() for _ in heads]


def take_turns(
    ways: dict[str, Way], turns: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each way by this clock, after one turn that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            began = clock()
            way()
            if turn:
                seconds[name].append(clock() - began)
    return seconds


def compare(
    size: str, heads: int, turns: int, dtypes: Sequence[Dtype], clock: Callable[[], float]
) -> None:
    """Print the rows of an encoder size and a number of heads."""
    ways: dict[str, Way] = {}
    pixels = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
    for dtype in dtypes:
        published, small = (ours(size, heads, blocks, dtype) for blocks in (6, 2))
        ways[f"EoMT {dtype}"] = theirs(published)
        ways[f"ours {dtype}, 6 blocks"] = partial(published.logits, pixels)
        ways[f"ours {dtype}, 2 blocks"] = partial(small.logits, pixels)
    print_rows(f"{size:>6}{heads:>6}", take_turns(ways, turns, clock), "EoMT")


def print_rows(label: str, seconds: dict[str, list[float]], peer: str) -> None:
    """A row for each way: median, quartiles, and for ours how many times as long the peer takes.

    Ways are called "PEER DTYPE" or "ours DTYPE, what it is".
    """
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    for name, found in seconds.items():
        low, _, high = statistics.quantiles(found, n=4)
        theirs = medians[f"{peer} {name.split()[1].removesuffix(',')}"]
        ratio = f"{theirs / medians[name]:.2f}" if name.startswith("ours") else ""
        print(
            f"{label}  {name:<24}{medians[name]:>8.3f}  {low:.3f}-{high:.3f}{ratio:>8}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["small", "base"])
    parser.add_argument("--heads", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--cpu", action="store_true", help="CPU seconds: other programs run")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'size':>6}{'heads':>6}  {'':<24}{'seconds':>8}  {'quartiles':<11}{'ratio':>8}")
    for size in options.sizes:
        for heads in options.heads:
            compare(size, heads, options.turns, options.dtypes, clock)


if __name__ == "__main__":
    main()
