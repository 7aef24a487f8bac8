"""Time and memory of the training losses: ours, and transformers' Mask2FormerLoss.

    python benchmarks/set_loss.py

Matching, mask, dice and class losses of seven supervised layers, forward and backward, on the same
random predictions and targets and at the same random points: `transformers` draws the last layer's
points first, so ours gets its layers in that order. The sums must agree. Every row is measured in a
process of its own. CPU seconds are the figure to trust on a machine that does other work besides.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from plainmask.allocator import keep_freed_memory
from plainmask.decoder.decoder import Predictions
from plainmask.training.loss import LossConfig, set_loss, total_loss
from plainmask.training.points import uniform_points
from plainmask.training.samples.targets import Targets

LAYERS, BATCH, CLASSES, FEWEST, MOST = 7, 4, 133, 20, 60
GRID, CROP = 160, 640
POINTS = 12544

Loss = Callable[[list[Predictions], list[Targets]], Tensor]


def scene(num_queries: int, device: torch.device) -> tuple[list[Predictions], list[Targets]]:
    """Smooth random logits and disjoint rectangles-like masks, the same for every row."""
    generator = torch.Generator().manual_seed(0)
    layers: list[Predictions] = []
    for _ in range(LAYERS):
        coarse = torch.randn(BATCH, num_queries, 10, 10, generator=generator)
        masks = torch.nn.functional.interpolate(4 * coarse, (GRID, GRID), mode="bilinear")
        classes = torch.randn(BATCH, num_queries, CLASSES + 1, generator=generator)
        layers.append(Predictions(masks.to(device), classes.to(device)))
    targets: list[Targets] = []
    for count in torch.linspace(FEWEST, MOST, BATCH).int().tolist():
        cells = torch.randint(0, count, (1, 20, 20), generator=generator)
        cells.view(-1)[:count] = torch.arange(count)  # everyone has a cell
        owners = cells.repeat_interleave(CROP // 20, 1).repeat_interleave(CROP // 20, 2)
        masks = owners == torch.arange(count)[:, None, None]
        labels = torch.randint(0, CLASSES, (count,), generator=generator)
        targets.append(
            Targets(labels.to(device), masks.to(device), masks.any(0).to(device))
        )  # fmt: skip
    return layers, targets


def ours(device: torch.device) -> Loss:
    config = LossConfig(num_points=POINTS)

    def loss(layers: list[Predictions], targets: list[Targets]) -> Tensor:
        in_their_order = [layers[-1], *layers[:-1]]
        losses = set_loss(in_their_order, targets, config, uniform_points(device))
        return total_loss(losses, config)

    return loss


def theirs(device: torch.device) -> Loss:
    from transformers import Mask2FormerConfig
    from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

    config = Mask2FormerConfig(
        num_labels=CLASSES,  # pyright: ignore[reportCallIssue]: of its base class
        train_num_points=POINTS,
        class_weight=2.0,
        mask_weight=5.0,
        dice_weight=5.0,
        no_object_weight=0.1,
    )
    weights = {"loss_cross_entropy": 2.0, "loss_mask": 5.0, "loss_dice": 5.0}
    criterion = Mask2FormerLoss(config, weights).to(device)

    def loss(layers: list[Predictions], targets: list[Targets]) -> Tensor:
        found = criterion(
            layers[-1].mask_logits,
            layers[-1].class_logits,
            [t.masks.float() for t in targets],  # the only form that it takes
            [t.labels for t in targets],
            [{"masks_queries_logits": m, "class_queries_logits": c} for m, c in layers[:-1]],
        )
        parts = [next(w for k, w in weights.items() if n.startswith(k)) * v
                 for n, v in found.items()]  # fmt: skip
        return torch.stack(parts).sum()

    return loss


WAYS: dict[str, Callable[[torch.device], Loss]] = {"plainmask": ours, "transformers": theirs}


def measure(way: str, num_queries: int, turns: int, device: torch.device) -> dict[str, float]:
    """Seconds of a turn (the best), value of the first, and resident MB that the turns added."""
    keep_freed_memory()
    layers, targets = scene(num_queries, device)
    layers = [Predictions(*(x.requires_grad_() for x in layer)) for layer in layers]
    compute = WAYS[way](device)
    before = peak_mb()
    wall, cpu, values, gradient = [], [], [], 0.0
    for turn in range(turns):
        torch.manual_seed(turn)
        began, began_cpu = time.perf_counter(), time.process_time()
        loss = compute(layers, targets)
        loss.backward()
        values.append(float(loss.detach()))
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
        gradients = [layer.mask_logits.grad for layer in layers]
        gradient = sum(float(g.norm()) for g in gradients if g is not None)
        for layer in layers:
            layer.mask_logits.grad = layer.class_logits.grad = None
    if device.type == "cuda":
        added = torch.cuda.max_memory_allocated() / 1e6
    else:
        added = peak_mb() - before
    return {"wall": min(wall), "cpu": min(cpu), "mb": added, "loss": values[0], "grad": gradient}


def peak_mb() -> float:
    """The most resident memory that this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", nargs="+", type=int, default=[100, 200])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, queries = options.measure
        print(json.dumps(measure(way, int(queries), options.turns, torch.device(options.device))))
        return
    print(f"{LAYERS} layers, batch {BATCH}, {FEWEST} to {MOST} masks of {CROP} x {CROP}, logits of "
          f"{GRID} x {GRID}, {POINTS} points; {torch.get_num_threads()} thread(s)\n")  # fmt: skip
    print("queries | | CPU seconds | wall seconds | MB added | loss | gradient norm")
    print("-|-|-|-|-|-|-")
    for queries in options.queries:
        for way in options.ways:
            command = [sys.executable, __file__, "--measure", way, str(queries)]
            command += ["--turns", str(options.turns), "--device", options.device]
            found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            print(
                f"{queries} | {way} | {found['cpu']:.2f} | {found['wall']:.2f} | "
                f"{found['mb']:.0f} | {found['loss']:.5f} | {found['grad']:.6f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
