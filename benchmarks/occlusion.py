"""Who keeps identities through occlusions: PMT's linear link, or LVMT's gated one.

    python benchmarks/occlusion.py

Trains one small decoder in each variant on made-up videos (tests/moving.py) in which a bar hides
objects for up to 20 frames, and follows objects through held-out videos with the library's
streams and metrics. Every variant takes as many optimiser steps and sees as many frames: the short
clips of PMT come in larger batches.

The encoder is a fixed projection of patches of 8 x 8 pixels: enough for coloured shapes, and the
decoder, whose memory is the question, takes all the time. (DINOv2 sees 8 x 8 patches at this size;
objects are then found so badly that it hides what memory does.) A variant takes about 25 minutes a
seed on one core; decoders are kept as they are done, so a run that was stopped goes on.
README.md says what was found.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from moving import MovingConfig, Scene, make_scene, records_of
from plainmask.atomic import write_atomically
from plainmask.data.record import Record, group_videos
from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.decoder.propagation import GruLink
from plainmask.encoder.vit import Encoder, EncoderConfig, Features
from plainmask.evaluation.video_measures import CONFIDENT, result_tracks, target_tracks
from plainmask.heads.head import EncoderRef, Head, HeadConfig
from plainmask.inference.segmenter import HeadSegmenter, Segmenter
from plainmask.metrics.identity import THRESHOLD, Sightings, TrackIdentity
from plainmask.pictures.geometry import InputProtocol
from plainmask.tasks import Thresholds
from plainmask.training.loss import total_loss
from plainmask.training.objective import Objective
from plainmask.training.points import uniform_points
from plainmask.training.recipe import Recipe
from plainmask.training.samples.batches import ClipSampler, training_batches
from plainmask.training.schedule import polynomial_rate
from plainmask.vocabulary import Vocabulary

SIZE, WIDTH, FRAMES_PER_STEP = 112, 64, 90
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
    "none": Variant("none", 1, None, "no link through time: stage 1 as it is"),
    "linear": Variant("linear", 5, None, "PMT: linear link, clips of 5 frames"),
    "linear-15": Variant("linear", 15, 5, "linear link, clips of 15 frames in chunks of 5"),
    "gru-5": Variant("gru", 5, None, "gated link, clips of 5 frames"),
    "gru-15": Variant("gru", 15, 5, "LVMT: gated link, clips of 15 frames in chunks of 5"),
    "gru-30": Variant("gru", 30, 5, "gated link, clips of 30 frames in chunks of 5"),
}


class PixelEncoder(Encoder):
    """Patches as they are: pixels at half the size, projected once and for all, normalised."""

    def __init__(self):
        nn.Module.__init__(self)
        self.config = EncoderConfig(
            width=WIDTH,
            depth=1,
            heads=WIDTH // 32,
            ffn_hidden=WIDTH,
            registers=0,
            patch_size=8,
            positions="rope",
            norm_eps=1e-6,
            taps=(0,),
        )
        self.name, self.fingerprint, self.older_fingerprint = "custom", "pixels", ""
        axes = torch.randn(WIDTH, 3 * 4 * 4, generator=torch.Generator().manual_seed(0))
        self.axes = nn.Parameter(3 * torch.linalg.qr(axes)[0].T, requires_grad=False)

    @property
    def dtype(self) -> torch.dtype:
        """See `Encoder.dtype`."""
        return self.axes.dtype

    @torch.no_grad()
    def forward(self, pixels: Tensor, **options: Any) -> Features:
        """See `Encoder.forward`; there must be neither padding nor another choice of taps."""
        half = F.avg_pool2d(pixels.float() / 127.5 - 1, 2)
        patches = F.unfold(half, 4, stride=4).transpose(1, 2) @ self.axes
        tokens = F.pad(F.layer_norm(patches, (WIDTH,)), (0, 0, 1, 0))  # one prefix token: zeros
        return Features((tokens,), (pixels.shape[-2] // 8, pixels.shape[-1] // 8), 1)


def make_scenes(count: int, first_seed: int) -> list[Scene]:
    """Scenes of 60 frames, in which no two objects look the same."""
    return [make_scene(MovingConfig(size=SIZE, frames=60), first_seed + k) for k in range(count)]


def recipe_of(variant: Variant, options: argparse.Namespace, seed: int) -> Recipe:
    """The training of a variant as a recipe."""
    steps = options.stage_1_steps if variant is STAGE_1 else options.steps
    per_step = 64 if variant is STAGE_1 else FRAMES_PER_STEP
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
            "optimizer": {"lr": 1e-3, "schedule": "polynomial", "warmup": 50, "clip": 1.0},
            "steps": steps,
            "batch_size": per_step // variant.frames,
            "seed": seed,
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
        if isinstance(decoder.link, GruLink):
            decoder.link.hold()
    assert recipe.clip is not None
    videos = group_videos(records)
    sampler = ClipSampler(
        videos, [], recipe.clip, recipe.augment, always_present=False, pasted_classes=()
    )
    objective = Objective(decoder, encoder, nullcontext, recipe, torch.device("cpu"))
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
        for part in objective.losses(batch, uniform_points(torch.device("cpu"), generator)):
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


def trained(
    path: Path,
    recipe: Recipe,
    records: Sequence[Record],
    encoder: Encoder,
    start: PlainMaskDecoder | None = None,
) -> PlainMaskDecoder:
    """The decoder that was left at `path`, else one that is trained and left there."""
    if path.exists():
        decoder = PlainMaskDecoder(recipe.decoder.build_config(encoder.config, 1))
        decoder.load_state_dict(load_file(path))
        return decoder.eval()
    decoder = train(recipe, records, encoder, start)
    write_atomically(path, save(decoder.state_dict()))
    return decoder


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


def follow(
    segmenter: HeadSegmenter[Any], scenes: Sequence[Scene]
) -> tuple[dict[str, Any], Outcomes]:
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

    A pair of the frame before is kept if it still fits (docs/model.md 8.8).
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        default=["none", "linear", "linear-15", "gru-15"],
        choices=VARIANTS,
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--stage-1-steps", type=int, default=800)
    parser.add_argument("--scenes", type=int, default=200, help="to learn from, of 60 frames")
    parser.add_argument("--held-out", type=int, default=16, help="to follow, of 60 frames")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/occlusion"), help="decoders; those there are kept"
    )
    options = parser.parse_args()

    encoder = PixelEncoder()
    learnt = make_scenes(options.scenes, first_seed=0)
    held_out = make_scenes(options.held_out, first_seed=100_000)
    records = [r for k, scene in enumerate(learnt) for r in records_of(scene, f"s{k}")]
    rows: dict[str, list[tuple[dict[str, Any], Outcomes]]] = {}
    for seed in options.seeds:
        print(f"stage 1, seed {seed}: {STAGE_1.says}", flush=True)
        first = f"seed{seed}_stage1_{options.stage_1_steps}"
        recipe = recipe_of(STAGE_1, options, seed)
        start = trained(options.out / f"{first}.safetensors", recipe, records, encoder)
        for name in options.variants:
            print(f"{name}, seed {seed}: {VARIANTS[name].says}", flush=True)
            recipe = recipe_of(VARIANTS[name], options, seed)
            path = options.out / f"{first}_{name}_{options.steps}.safetensors"
            decoder = start if name == "none" else trained(path, recipe, records, encoder, start)
            segmenter = Segmenter(encoder, {"head": head_of(decoder, encoder)}, device="cpu")
            rows.setdefault(name, []).append(follow(segmenter["head"], held_out))
            print(table({name: rows[name][-1:]}), flush=True)
    frames = options.steps * FRAMES_PER_STEP
    print(f"\n{options.steps} steps and {frames} frames for each; held out: {options.held_out} "
          f"videos of 60 frames; seeds {options.seeds}\n")  # fmt: skip
    print(table(rows))


if __name__ == "__main__":
    main()
