"""street-semantic beside linear probes of the same frozen encoder, in one pass over a split.

    python benchmarks/street_semantic.py --data ../shared/data/camvid --split test

The probes (batch norm and one linear layer per patch, bilinear to pixels) learn from the same
augmented views as the head, through the feature cache of the recipe where it is filled. All rows
see the same features of the same images; the figure is mean IoU over the classes, void left out.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plainmask.allocator import keep_freed_memory
from plainmask.data.label_folder import read_label_folder
from plainmask.data.record import Record
from plainmask.encoder.vit import Encoder, Features
from plainmask.encoder.weights import load_encoder
from plainmask.evaluation.measures import target_map
from plainmask.heads.head import Head, find_head
from plainmask.metrics.miou import MeanIoU
from plainmask.pictures.geometry import Geometry
from plainmask.results import IGNORE, SemanticResult
from plainmask.training.recipe import Recipe, load_recipe
from plainmask.training.samples.batches import ImageSampler, training_batches
from plainmask.training.samples.targets import Targets
from plainmask.training.setup import feature_source
from plainmask.vocabulary import Vocabulary


class Probe(nn.Module):
    """A linear classifier of patch features of some taps."""

    def __init__(self, taps: Sequence[int], width: int, num_classes: int):
        super().__init__()
        self.taps = taps
        self.norm = nn.BatchNorm1d(width * len(taps))
        self.linear = nn.Linear(width * len(taps), num_classes)

    def forward(self, features: Features) -> Tensor:
        """Logits (B, C, h, w) on the patch grid."""
        tokens = torch.cat([features.taps[tap] for tap in self.taps], -1)[:, features.prefix :]
        logits = self.linear(self.norm(tokens.flatten(0, 1))).unflatten(0, tokens.shape[:2])
        return logits.transpose(1, 2).unflatten(-1, features.grid)


def label_map(targets: Targets) -> Tensor:
    """(h, w) class of each pixel, 255 where it has none."""
    labels = torch.full(targets.valid.shape, IGNORE)
    for label, mask in zip(targets.labels, targets.masks, strict=True):
        labels[mask] = label
    return labels


def train_probes(
    probes: Sequence[Probe], recipe: Recipe, encoder: Encoder, records: Sequence[Record], steps: int
) -> None:
    source = feature_source(recipe, encoder, Path("runs"))
    optimizer = torch.optim.AdamW([p for probe in probes for p in probe.parameters()], lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batches = training_batches(
        ImageSampler(records, recipe.augment),
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        first=0,
        last=steps,
        views=recipe.cache.views if recipe.cache else None,
    )
    for batch in batches:
        features = source(batch.pixels[:, 0])
        wanted = torch.stack([label_map(clip.frame(0)) for clip in batch.targets])
        loss = torch.zeros(())
        for probe in probes:
            logits = F.interpolate(probe(features), wanted.shape[-2:], mode="bilinear")
            loss = loss + F.cross_entropy(logits, wanted, ignore_index=IGNORE)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


@torch.inference_mode()
def evaluate(
    probes: Sequence[Probe], head: Head, encoder: Encoder, records: Sequence[Record]
) -> list[MeanIoU]:
    names = head.config.vocabulary.names
    metrics = [MeanIoU(names, ignore=IGNORE) for _ in range(len(probes) + 1)]
    began = time.monotonic()
    for count, record in enumerate(records, 1):
        image, segments = record.image(), record.annotation()
        target = target_map(segments)
        size = (image.shape[0], image.shape[1])
        geometry = Geometry.plan(size, head.config.input, encoder.config.patch_size)
        features = encoder(torch.from_numpy(geometry.fit(image)))
        for probe, metric in zip(probes, metrics, strict=False):
            scores = geometry.merge(geometry.upsample(probe(features)))
            metric.update(scores.argmax(0).numpy(), target)
        result = head.result(head.decoder(features), geometry)
        assert isinstance(result, SemanticResult)
        metrics[-1].update(result.label_map, target)
        if count % 20 == 0:
            left = (time.monotonic() - began) / count * (len(records) - count)
            print(f"{count}/{len(records)} images, {left / 60:.0f} min left", flush=True)
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/camvid"))
    parser.add_argument("--split", default="test")
    parser.add_argument("--head", default="street-semantic", help="name or folder")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/street-semantic.yaml"))
    parser.add_argument("--probe-steps", type=int, default=734, help="8 epochs at batch 4")
    parser.add_argument("overrides", nargs="*", help="of the recipe: key=value")
    options = parser.parse_args()

    keep_freed_memory()
    torch.manual_seed(0)
    recipe = load_recipe(options.recipe, [f"data.root={options.data}", *options.overrides])
    head = Head.load(find_head(options.head))
    vocabulary: Vocabulary = head.config.vocabulary
    encoder = load_encoder(head.config.encoder.name, taps=head.config.encoder.taps)
    width, taps = encoder.config.width, encoder.config.taps
    probes = [Probe([len(taps) - 1], width, len(vocabulary))]
    probes.append(Probe(range(len(taps)), width, len(vocabulary)))
    train = read_label_folder(options.data, recipe.data.train, vocabulary)
    train_probes(probes, recipe, encoder, train, options.probe_steps)
    for probe in probes:
        probe.eval()
    records = read_label_folder(options.data, options.split, vocabulary)
    rows = ["linear probe, last layer", "linear probe, four taps", head.config.name]
    print(f"\nmean IoU on {options.split} ({len(records)} images), {head.config.input}")
    for name, metric in zip(rows, evaluate(probes, head, encoder, records), strict=True):
        figures = metric.figures()
        classes = "  ".join(f"{k} {v or 0:.1f}" for k, v in figures["per_class"].items())
        print(f"{name:26s} {figures['mIoU']:.2f}   {classes}")


if __name__ == "__main__":
    main()
