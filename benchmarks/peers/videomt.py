"""A video at 640 pixels, frame by frame: our stream against transformers' VidEoMT of the same size.

    OMP_NUM_THREADS=1 python benchmarks/peers/videomt.py [--sizes base] [--frames 4] [--turns 5]

Networks with random weights, from the pixels of frames to mask and class logits. Ours has 6 blocks,
as published, or 2, and a gated memory (`gru`). VidEoMT carries its queries only within one call, so
it gets all frames as one clip; ours gets one after the other, as from a camera. Medians in
CPU seconds a frame, quartiles, and how many times as long theirs takes. Needs transformers.
"""

import argparse
import time
from functools import partial
from typing import Any

import torch
from eomt import SIDE, Way, ours, print_rows, take_turns
from torch import Tensor
from transformers import VideomtConfig, VideomtForUniversalSegmentation

from plainmask.inference.segmenter import Segmenter


def theirs(segmenter: Segmenter, frames: list[Tensor]) -> Way:
    """VidEoMT on a clip; its weights are in the dtype that ours computes in."""
    encoder, head = segmenter.encoder.config, segmenter.heads["0"].config.decoder
    config = VideomtConfig(
        hidden_size=encoder.width,
        num_hidden_layers=encoder.depth,
        num_attention_heads=encoder.heads,
        mlp_ratio=encoder.ffn_hidden // encoder.width,
        patch_size=encoder.patch_size,
        num_register_tokens=encoder.registers,
        num_upscale_blocks=head.upscale_stages,
        num_queries=head.num_queries,
        image_size=SIDE,
        id2label={index: str(index) for index in range(head.num_classes)},
    )
    dtype = segmenter.shared.dtype
    build: Any = VideomtForUniversalSegmentation
    model = build(config).eval().to(dtype)
    clip = torch.stack(frames, 1).to(dtype) / 255

    def run() -> Any:
        with torch.inference_mode():
            return model(pixel_values_videos=clip)

    return run


def follow(segmenter: Segmenter, frames: list[Tensor]) -> None:
    """A fresh stream over all frames."""
    stream = segmenter.stream()
    for frame in frames:
        stream.logits(frame)


def compare(size: str, count: int, turns: int) -> None:
    """Print the rows of an encoder size."""
    frames = [torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8) for _ in range(count)]
    ways: dict[str, Way] = {}
    for dtype in ("float32", "bfloat16"):
        for blocks in (6, 2):
            segmenter = ours(size, 1, blocks, dtype, propagation="gru")
            ways.setdefault(f"VidEoMT {dtype}", theirs(segmenter, frames))
            ways[f"ours {dtype}, {blocks} blocks"] = partial(follow, segmenter, frames)
    seconds = take_turns(ways, turns, time.process_time)
    each = {name: [clip / count for clip in found] for name, found in seconds.items()}
    print_rows(f"{size:>6}", each, "VidEoMT")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["small", "base"])
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for size in options.sizes:
        compare(size, options.frames, options.turns)


if __name__ == "__main__":
    main()
