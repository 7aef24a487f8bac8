"""Who keeps identities through occlusions: PMT's linear link, or LVMT's gated one.

    python benchmarks/occlusion.py --variants linear gru --seeds 0 1

Trains one small decoder in each variant on made-up videos (tests/moving.py) in which a bar hides
objects for up to 20 frames, and follows objects through held-out videos with the library's
streams and metrics. Every variant takes as many optimiser steps and sees as many frames: the short
clips of PMT come in larger batches.

The encoder is DINOv2 ViT-S/14 at 112 x 112 pixels. Two of its taps, projected on their first
principal components, are kept in memory, so that training costs the decoder alone and a run takes
minutes on one CPU core.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from moving import MovingConfig, Scene, make_scene, records_of
from plainmask.data.record import Record, group_videos
from plainmask.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.encoder.vit import Encoder, Features
from plainmask.encoder.weights import load_encoder
from plainmask.evaluate_results import CONFIDENT
from plainmask.evaluate_videos import result_tracks, target_tracks
from plainmask.geometry import InputProtocol
from plainmask.head import EncoderRef, Head, HeadConfig
from plainmask.metrics.identity import THRESHOLD, Sightings, TrackIdentity
from plainmask.segmenter import Segmenter
from plainmask.tasks import Thresholds
from plainmask.training.batches import ClipSampler, training_batches
from plainmask.training.loss import total_loss
from plainmask.training.points import uniform_points
from plainmask.training.recipe import Recipe
from plainmask.training.schedule import polynomial_rate
from plainmask.training.step import Step
from plainmask.vocabulary import Vocabulary

SIZE, TAPS = 112, (2, 5)
LENGTHS = ((1, 5), (6, 10), (11, 20))
"""Bins of the frames for which an object is hidden."""


@dataclass(frozen=True)
class Variant:
    """One way of learning to follow objects."""

    propagation: str
    frames: int
    """Of a training clip."""
    chunk: int | None
    """Frames between two cuts of the gradient."""
    says: str


STAGE_1 = Variant("none", 1, None, "single frames: where all variants start from")
VARIANTS = {
    "none": Variant("none", 5, None, "no link through time"),
    "linear": Variant("linear", 5, None, "PMT: linear link, clips of 5 frames"),
    "linear-long": Variant("linear", 25, 5, "linear link, clips of 25 frames in chunks of 5"),
    "gru-short": Variant("gru", 5, None, "gated link, clips of 5 frames"),
    "gru": Variant("gru", 25, 5, "LVMT: gated link, clips of 25 frames in chunks of 5"),
}


class ReducedEncoder(Encoder):
    """A frozen encoder whose taps are reduced to their first principal components.

    Pictures that were seen before are not encoded again.
    """

    def __init__(self, encoder: Encoder, examples: Tensor, width: int):
        nn.Module.__init__(self)
        self.encoder = encoder
        self.config = encoder.config.model_copy(update={"width": width, "heads": width // 32})
        self.name, self.fingerprint = "custom", f"{encoder.fingerprint}-{width}"
        self.axes = [
            torch.pca_lowrank(tap.flatten(0, 1), width, center=False)[2]
            for tap in encoder(examples).taps
        ]
        self.known: dict[bytes, Tensor] = {}

    def forward(self, pixels: Tensor, **options: Any) -> Features:
        """See `Encoder.forward`; there must be neither padding nor another choice of taps."""
        keys = [blake2b(image.contiguous().numpy().tobytes()).digest() for image in pixels]
        new = [place for place, key in enumerate(keys) if key not in self.known]
        if new:
            taps = self.encoder(pixels[new]).taps
            reduced = [tap @ axes for tap, axes in zip(taps, self.axes, strict=True)]
            for place, found in zip(new, torch.stack(reduced, 1).half(), strict=True):
                self.known[keys[place]] = found
        taps = torch.stack([self.known[key] for key in keys]).float().unbind(1)
        side = pixels.shape[-1] // self.config.patch_size
        return Features(taps, (side, side), self.config.prefix)


def make_scenes(count: int, frames: int, first_seed: int) -> list[Scene]:
    """Scenes, of which every fourth has twins."""
    return [
        make_scene(MovingConfig(size=SIZE, frames=frames, twins=k % 4 == 0), first_seed + k)
        for k in range(count)
    ]


def recipe_of(variant: Variant, options: argparse.Namespace, seed: int) -> Recipe:
    """The training of a variant as a recipe."""
    steps = options.stage_1_steps if variant is STAGE_1 else options.steps
    return Recipe.model_validate(
        {
            "name": "occlusion",
            "task": "instance",
            "encoder": "dinov2-small",
            "vocabulary": "moving_object",
            "data": {"root": "."},
            "input": {"kind": "stride", "size": SIZE},
            "decoder": {
                "num_queries": 10,
                "num_blocks": 2,
                "upscale_stages": 1,
                "propagation": variant.propagation,
            },
            "augment": {"crop_size": SIZE, "scale": [1, 1], "flip": 0},
            "clip": {
                "frames": variant.frames,
                "reach": variant.frames // 2,
                "reverse": 0.5,
            },
            "chunk": variant.chunk,
            "loss": {"num_points": 256},
            "optimizer": {"lr": options.lr, "schedule": "polynomial", "warmup": 50, "clip": 1.0},
            "steps": steps,
            "batch_size": options.frames_per_step // variant.frames,
            "seed": seed,
            "supervise": options.supervise,
            "masked_attention": False,
        }
    )


def train(
    recipe: Recipe,
    records: Sequence[Record],
    encoder: Encoder,
    start: PlainMaskDecoder | None = None,
) -> PlainMaskDecoder:
    """The library's training step on features that are known."""
    torch.manual_seed(recipe.seed)
    decoder = PlainMaskDecoder(recipe.decoder.build_config(encoder.config, 1)).train()
    if start is not None:
        decoder.load_state_dict(start.state_dict(), strict=False)
    assert recipe.clip is not None
    videos = group_videos(records)
    sampler = ClipSampler(
        videos, [], recipe.clip, recipe.augment, always_present=False, pasted_classes=()
    )
    step = Step(decoder, encoder, nullcontext, recipe, torch.device("cpu"))
    settings = recipe.optimizer
    optimizer = torch.optim.AdamW(
        decoder.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )
    batches = training_batches(
        sampler, batch_size=recipe.batch_size, seed=recipe.seed, first=0, last=recipe.steps
    )
    began, recent = time.monotonic(), []
    for number, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = polynomial_rate(
                number, base=settings.lr, warmup=settings.warmup, total=recipe.steps
            )
        generator = torch.Generator().manual_seed(recipe.seed * 2**32 + number)
        recent.append(0.0)
        for part in step.losses(batch, uniform_points(torch.device("cpu"), generator)):
            loss = total_loss(part, recipe.loss)
            loss.backward()
            recent[-1] += float(loss.detach())
        nn.utils.clip_grad_norm_(decoder.parameters(), settings.clip or float("inf"))
        optimizer.step()
        optimizer.zero_grad()
        if (number + 1) % 100 == 0:
            seconds = time.monotonic() - began
            print(
                f"  step {number + 1}/{recipe.steps}  loss {np.mean(recent[-100:]):.2f}  "
                f"{seconds:.0f} s",
                flush=True,
            )
    return decoder.eval()


def head_of(decoder: PlainMaskDecoder, encoder: Encoder) -> Head:
    """What a stream runs."""
    config: DecoderConfig = decoder.config
    return Head(
        HeadConfig(
            name="occlusion",
            task="instance",
            vocabulary=Vocabulary.load("moving_object"),
            decoder=config,
            encoder=EncoderRef.of(encoder),
            input=InputProtocol(kind="stride", size=SIZE),
            thresholds=Thresholds(top_k=config.num_queries),
        ),
        decoder,
    )


@dataclass
class Outcomes:
    """What became of identities at occlusions, by the bins of `LENGTHS`."""

    kept: NDArray[np.int64]
    switched: NDArray[np.int64]
    lost: NDArray[np.int64]

    @classmethod
    def none(cls) -> "Outcomes":
        return cls(*(np.zeros(len(LENGTHS), np.int64) for _ in range(3)))

    def __add__(self, other: "Outcomes") -> "Outcomes":
        return Outcomes(
            self.kept + other.kept, self.switched + other.switched, self.lost + other.lost
        )


def follow(segmenter: Segmenter, scenes: Sequence[Scene]) -> tuple[dict[str, Any], Outcomes]:
    """Follow every scene online; identity figures, and what became of hidden objects."""
    identity, outcomes = TrackIdentity(), Outcomes.none()
    for number, scene in enumerate(scenes):
        results = list(segmenter.track(list(scene.images)))
        found = [track for track in result_tracks(results) if track.score >= CONFIDENT]
        wanted = sorted(target_tracks(scene.segments), key=lambda track: track.id or 0)
        frames = [Sightings.of_tracks(found, wanted, time) for time in range(len(results))]
        for sightings in frames:
            identity.update(sightings, video=str(number))
        outcomes += outcomes_of(scene, names_of(frames, len(wanted)))
    return identity.figures(), outcomes


def names_of(frames: Sequence[Sightings], num_tracks: int) -> NDArray[np.int64]:
    """(N, T) the result that goes with each true track in each frame, -1 for none.

    A pair of the frame before is kept if it still fits (SPEC 15.5).
    """
    names = np.full((num_tracks, len(frames)), -1)
    before = np.full(num_tracks, -1)
    for place, frame in enumerate(frames):
        same = frame.result_ids == before[frame.target_ids][:, None]
        score = np.where(frame.similarity >= THRESHOLD, frame.similarity + 1000 * same, 0)
        rows, columns = linear_sum_assignment(-score)
        fits = score[rows, columns] > 0
        before = np.full(num_tracks, -1)
        before[frame.target_ids[rows[fits]]] = frame.result_ids[columns[fits]]
        names[:, place] = before
    return names


def outcomes_of(scene: Scene, names: NDArray[np.int64]) -> Outcomes:
    """Compare the last name before each occlusion with the first one after it."""
    outcomes = Outcomes.none()
    occlusions = scene.occlusions()
    for occlusion in occlusions:
        place = next(k for k, (_, most) in enumerate(LENGTHS) if occlusion.frames <= most)
        track, end = occlusion.track_id - 1, occlusion.first + occlusion.frames
        later = [o.first for o in occlusions if o.track_id - 1 == track and o.first > end]
        before = names[track, : occlusion.first]
        after = names[track, end : min(later, default=names.shape[1])]
        before, after = before[before >= 0], after[after >= 0]
        if not len(before) or not len(after):
            outcomes.lost[place] += 1
        elif before[-1] == after[0]:
            outcomes.kept[place] += 1
        else:
            outcomes.switched[place] += 1
    return outcomes


def table(rows: dict[str, list[tuple[dict[str, Any], Outcomes]]]) -> str:
    """Means over seeds; occlusions added up over them."""
    names = ("IDF1", "AssA", "DetA", "ID_switches", "fragments")
    bins = [f"{low}-{high} frames" for low, high in LENGTHS]
    lines = [" | ".join(["variant", *names, *(f"kept, {b}" for b in bins)])]
    lines.append("-|-".join(["-"] * (1 + len(names) + len(bins))))
    for name, runs in rows.items():
        figures = [f"{np.mean([float(f[key]) for f, _ in runs]):.1f}" for key in names]
        total = sum((outcomes for _, outcomes in runs), Outcomes.none())
        shares = [
            f"{kept}/{kept + switched + lost} ({100 * kept / max(1, kept + switched + lost):.0f} %"
            f", {switched} switched)"
            for kept, switched, lost in zip(total.kept, total.switched, total.lost, strict=True)
        ]
        lines.append(" | ".join([name, *figures, *shares]))
    return "\n".join(lines)


def known_encoder(scenes: Sequence[Scene], width: int, cache: Path | None) -> ReducedEncoder:
    """The encoder, with all frames of the scenes encoded; from the cache if that has them."""
    torch.manual_seed(0)
    examples = np.concatenate([scene.images[::10] for scene in scenes[:20]])
    encoder = ReducedEncoder(load_encoder("dinov2-small", taps=TAPS), pixels_of(examples), width)
    if cache is not None and cache.is_file():
        encoder.known = torch.load(cache, weights_only=True)
    before = len(encoder.known)
    for scene in scenes:
        for frames in np.array_split(scene.images, -(-len(scene.images) // 32)):
            encoder(pixels_of(frames))
    if cache is not None and len(encoder.known) > before:
        torch.save(encoder.known, cache)
    return encoder


def pixels_of(images: NDArray[np.uint8]) -> Tensor:
    """(K, S, S, 3) -> (K, 3, S, S)."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", nargs="+", default=["linear", "gru"], choices=VARIANTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--stage-1-steps", type=int, default=1000)
    parser.add_argument("--width", type=int, default=64, help="of the decoder; a multiple of 32")
    parser.add_argument("--frames-per-step", type=int, default=50)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--supervise", default="every_layer", choices=["every_layer", "last"])
    parser.add_argument("--scenes", type=int, default=150, help="to learn from, of 40 frames")
    parser.add_argument("--held-out", type=int, default=24, help="to follow, of 60 frames")
    parser.add_argument("--cache", type=Path, help="file that keeps the features between runs")
    options = parser.parse_args()

    began = time.monotonic()
    learnt = make_scenes(options.scenes, 40, first_seed=0)
    held_out = make_scenes(options.held_out, 60, first_seed=100_000)
    encoder = known_encoder([*learnt, *held_out], options.width, options.cache)
    print(f"{len(encoder.known)} frames encoded, {time.monotonic() - began:.0f} s", flush=True)
    records = [r for k, scene in enumerate(learnt) for r in records_of(scene, f"scene_{k}")]
    rows: dict[str, list[tuple[dict[str, Any], Outcomes]]] = {}
    for seed in options.seeds:
        recipe = recipe_of(STAGE_1, options, seed)
        print(f"stage 1, seed {seed}: {STAGE_1.says}", flush=True)
        start = train(recipe, records, encoder)
        for name in options.variants:
            print(f"{name}, seed {seed}: {VARIANTS[name].says}", flush=True)
            recipe = recipe_of(VARIANTS[name], options, seed)
            decoder = train(recipe, records, encoder, start)
            segmenter = Segmenter(encoder, {"head": head_of(decoder, encoder)}, device="cpu")
            rows.setdefault(name, []).append(follow(segmenter, held_out))
            print(table({name: rows[name][-1:]}), flush=True)
    frames = options.steps * options.frames_per_step
    print(f"\n{options.steps} steps and {frames} frames for each; held out: {options.held_out} "
          f"videos of 60 frames; seeds {options.seeds}\n")  # fmt: skip
    print(table(rows))


if __name__ == "__main__":
    main()
