"""The paper's claims in small: what each part of the Plain Mask Decoder brings, on CamVid.

    python benchmarks/ablations/run.py --data ../shared/data/camvid

Trains every variant with every seed on the same frozen features of DINOv2 ViT-S/14 (kept on disk),
with the same data in the same order, and measures mean IoU on the test split. What was measured is
kept in a file, so that an interrupted run goes on where it stopped; the table is printed at the
end, and alone with `--table`. README.md says what was found.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from models import VARIANTS, OpenEncoder, build
from torch import nn

from plainmask.allocator import keep_freed_memory
from plainmask.atomic import write_atomically
from plainmask.data.label_folder import read_label_folder
from plainmask.data.record import Record
from plainmask.encoder.weights import load_encoder
from plainmask.evaluation.measures import target_map
from plainmask.metrics.miou import MeanIoU
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.results import IGNORE
from plainmask.tasks.semantic import semantic
from plainmask.training.feature_cache import FeatureCache
from plainmask.training.from_encoder import MEASURED
from plainmask.training.loss import LossConfig, set_loss, total_loss
from plainmask.training.points import uniform_points
from plainmask.training.samples.augment import AugmentConfig
from plainmask.training.samples.batches import Batch, ImageSampler, training_batches
from plainmask.training.schedule import learning_rate
from plainmask.vocabulary import Vocabulary

QUERIES, BATCH, VIEWS = 24, 4, 4
AUGMENT = AugmentConfig(crop_size=(168, 224), scale=(1.0, 1.8))
INPUT = InputProtocol(kind="stride", size=224)
LOSS = LossConfig(semantic=5.0, num_points=1568)
WARMUP, CLIP = 50, 0.01


def batches_of(records: Sequence[Record], size: int, steps: int, seed: int) -> Iterator[Batch]:
    sampler = ImageSampler(records, AUGMENT)
    return training_batches(sampler, batch_size=size, seed=seed, first=0, last=steps, views=VIEWS)


def train(
    model: nn.Module,
    cache: FeatureCache,
    records: Sequence[Record],
    steps: int,
    seed: int,
    rate: float,
) -> None:
    """The library's loss and schedule on the last layer, as the recipe of street-semantic."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05)
    cpu = torch.device("cpu")
    model.train()
    for step, batch in enumerate(batches_of(records, BATCH, steps, seed)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, base=rate, warmup=WARMUP, total=steps, minimum=1e-9)
        draw = uniform_points(cpu, torch.Generator().manual_seed(seed * 2**32 + step))
        predictions = model(cache(batch.pixels[:, 0]))
        targets = [clip.frame(0) for clip in batch.targets]
        total_loss(set_loss([predictions], targets, LOSS, draw), LOSS).backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad()


@torch.inference_mode()
def evaluate(
    model: nn.Module, cache: FeatureCache, records: Sequence[Record], vocabulary: Vocabulary
) -> dict[str, Any]:
    """Mean IoU at the images' own size."""
    model.eval()
    metric = MeanIoU(vocabulary.names, ignore=IGNORE)
    for record in records:
        image = record.image()
        size = (image.shape[0], image.shape[1])
        geometry = Geometry.plan(size, INPUT, cache.encoder.config.patch_size)
        predictions = model(cache(torch.from_numpy(geometry.fit(image))))
        result = semantic(predictions, geometry, vocabulary)
        metric.update(result.label_map, target_map(record.annotation()))
    return metric.figures()


def table(measured: dict[str, dict[str, Any]]) -> str:
    """Markdown: mean and spread over seeds of every variant, and what it loses to PMT."""
    lines = ["| variant | trained parameters | mIoU, mean ± sd of seeds | to PMT |"]
    lines.append("|---|---|---|---|")
    means: dict[str, float] = {}
    for name, variant in VARIANTS.items():
        runs = [run for run in measured.values() if run["variant"] == name]
        if not runs:
            continue
        scores = [run["mIoU"] for run in runs]
        means[name] = statistics.mean(scores)
        spread = f" ± {statistics.stdev(scores):.1f} ({len(scores)})" if len(scores) > 1 else ""
        apart = f"{means[name] - means['pmt']:+.1f}" if name != "pmt" and "pmt" in means else ""
        size = f"{runs[0]['parameters'] / 1e6:.1f} M"
        lines.append(f"| {variant.says} | {size} | {means[name]:.1f}{spread} | {apart} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/camvid"))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--split", default="test")
    parser.add_argument("--features", type=Path, default=Path("runs/features-ablations"))
    parser.add_argument("--results", type=Path, default=Path("runs/ablations.json"))
    parser.add_argument("--table", action="store_true", help="print what was measured before")
    options = parser.parse_args()

    path: Path = options.results
    measured: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    if options.table:
        print(table(measured))
        return
    keep_freed_memory()
    vocabulary = Vocabulary.load("camvid")
    encoder = load_encoder("dinov2-small")
    cache = FeatureCache(options.features, OpenEncoder(encoder), 4 * 10**9)
    learnt = read_label_folder(options.data, "train", vocabulary)
    looked_at = read_label_folder(options.data, options.split, vocabulary)
    # Seed by seed, so that a table of fewer seeds is there early.
    wanted = [(seed, name) for seed in options.seeds for name in options.variants]
    keys = [f"{name} seed {s} steps {options.steps} {options.split}" for s, name in wanted]
    todo = [run for run in zip(keys, wanted, strict=True) if run[0] not in measured]
    began = time.monotonic()
    for count, (key, (seed, name)) in enumerate(todo, 1):
        variant, some = VARIANTS[name], next(batches_of(learnt, MEASURED, 1, seed))
        torch.manual_seed(seed)
        model = build(variant, encoder, QUERIES, len(vocabulary), some.pixels[:, 0])
        train(model, cache, learnt, options.steps, seed, variant.rate)
        figures = evaluate(model, cache, looked_at, vocabulary)
        learns = sum(p.numel() for p in model.parameters() if p.requires_grad)
        measured[key] = {"variant": name, "seed": seed, "parameters": learns, **figures}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(measured, indent=1).encode())
        left = (time.monotonic() - began) / count * (len(todo) - count)
        print(f"{key}: mIoU {figures['mIoU']:.1f}   {left / 60:.0f} min left", flush=True)
    shown = {key: run for key, run in measured.items() if key in keys}
    print(
        f"\n{options.steps} steps of {BATCH}, {INPUT}, {options.split} ({len(looked_at)} images)\n"
    )
    print(table(shown))


if __name__ == "__main__":
    main()
