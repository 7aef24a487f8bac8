"""Peak memory of a training step on a clip: whole, or cut into chunks of five frames.

    python benchmarks/clip_memory.py

Truncated propagation (LVMT) runs each chunk backward before the next one comes, so a step needs the
memory of one chunk, however long the clip is. Every row is measured in a process of its own. The
weights are random: they change nothing here.
"""

import argparse
import json
import resource
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.encoder.presets import find_preset
from plainmask.encoder.vit import Encoder
from plainmask.training.loss import total_loss
from plainmask.training.objective import Objective
from plainmask.training.points import uniform_points
from plainmask.training.recipe import Recipe
from plainmask.training.samples.batches import Batch
from plainmask.training.samples.targets import ClipTargets

CHUNK = 5


def recipe_of(frames: int, chunk: int | None, side: int) -> Recipe:
    """Three blocks and 20 queries on DINOv2 ViT-S/14, every layer supervised."""
    return Recipe.model_validate(
        {
            "name": "clip-memory",
            "task": "instance",
            "encoder": "dinov2-small",
            "data": {"root": Path()},
            "input": {"kind": "video", "size": side},
            "decoder": {"num_queries": 20, "num_blocks": 3, "propagation": "gru"},
            "augment": {"crop_size": side, "scale": [1, 1]},
            "clip": {"frames": frames, "reach": frames // 2},
            "chunk": chunk,
            "steps": 1,
            "optimizer": {"warmup": 0},
            "masked_attention": False,
        }
    )


def clip_of(frames: int, side: int) -> Batch:
    """Noise, with three objects that are seen in every frame."""
    masks = torch.zeros(3, frames, side, side, dtype=torch.bool)
    for number in range(3):
        masks[number, :, 20 * number : 20 * number + 20, :40] = True
    visible = torch.ones(3, frames, dtype=torch.bool)
    targets = ClipTargets(torch.zeros(3, dtype=torch.long), masks, visible, masks.any(0))
    pixels = torch.randint(0, 256, (1, frames, 3, side, side), dtype=torch.uint8)
    return Batch(pixels, [(side, side)], [targets])


def measure(frames: int, chunk: int | None, side: int) -> dict[str, float]:
    """Resident memory before two training steps and at its peak, in MB."""
    torch.manual_seed(0)
    recipe = recipe_of(frames, chunk, side)
    encoder = Encoder(find_preset("dinov2-small").config)
    decoder = PlainMaskDecoder(recipe.decoder.build_config(encoder.config, 1)).train()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-4)
    objective = Objective(decoder, encoder, nullcontext, recipe, torch.device("cpu"))
    batch = clip_of(frames, side)
    before = peak_mb()
    for _ in range(2):
        for part in objective.losses(batch, uniform_points(torch.device("cpu"))):
            total_loss(part, recipe.loss).backward()
        optimizer.step()
        optimizer.zero_grad()
    return {"before": before, "peak": peak_mb()}


def peak_mb() -> float:
    """The most resident memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(frames: int, chunk: int | None, side: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", str(frames), str(chunk or 0), str(side)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(found.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--side", type=int, default=168, help="of the frames, in pixels")
    parser.add_argument("--measure", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        frames, chunk, side = options.measure
        print(json.dumps(measure(frames, chunk or None, side)))
        return
    print(f"frames of {options.side} x {options.side}, three blocks of width 384, 20 queries; "
          f"resident MB, {torch.get_num_threads()} thread(s)\n")  # fmt: skip
    print("frames | chunks of 5: before | peak | for the steps | whole: peak | for the steps")
    print("-|-|-|-|-|-")
    for chunks in options.chunks:
        frames = CHUNK * chunks
        cut = in_a_process(frames, CHUNK, options.side)
        whole = in_a_process(frames, None, options.side)
        print(
            f"{frames} | {cut['before']:.0f} | {cut['peak']:.0f} | "
            f"{cut['peak'] - cut['before']:.0f} | {whole['peak']:.0f} | "
            f"{whole['peak'] - whole['before']:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
