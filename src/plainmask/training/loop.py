"""The training loop: one flat function that reads in the order in which a step happens."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor

from plainmask.data.record import Record
from plainmask.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import load_encoder
from plainmask.errors import InputError, PlainmaskError
from plainmask.evaluate import evaluate
from plainmask.evaluate_videos import evaluate_videos
from plainmask.head import EncoderRef, Head, HeadConfig, Provenance, find_head
from plainmask.segmenter import Segmenter
from plainmask.shared_pass import pick_device
from plainmask.training.batches import training_batches
from plainmask.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from plainmask.training.feature_cache import FeatureCache
from plainmask.training.loss import total_loss
from plainmask.training.points import uniform_points
from plainmask.training.recipe import Recipe, load_recipe, save_recipe
from plainmask.training.records import build_sampler, read_records, read_vocabulary
from plainmask.training.report import RunLog, interruptible
from plainmask.training.schedule import (
    annealing_windows,
    learning_rate,
    mask_probability,
    polynomial_rate,
)
from plainmask.training.step import FeatureSource, Step
from plainmask.vocabulary import Vocabulary

PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}

NUM_OVERLAYS = 4
WATCHED = ("mIoU", "mVC8", "AP", "J", "VPQ", "STQ", "IDF1")
"""Figures on the validation records that a run reports, those that its task has."""


def train(recipe: Recipe, run_dir: Path, *, resume: bool = False, device: str = "auto") -> Path:
    """Train a head and return the folder of the run.

    Writes into `run_dir`: `recipe.yaml` (resolved), `log.csv`, TensorBoard events, sample
    overlays, `checkpoint.pt`, and at the end the head folder `head/`.

    Args:
        recipe: the whole run.
        run_dir: made if missing; must not hold another run unless `resume`.
        resume: go on from `run_dir/checkpoint.pt`.
        device: "auto", "cpu", "cuda" or "cuda:0".

    Raises:
        InputError: data, folder or recipe cannot be used.
        PlainmaskError: the loss became NaN; the last good checkpoint is kept.
    """
    checkpoint = find_checkpoint(run_dir, resume=resume)
    place = pick_device(device)
    accelerator = "gpu" if place.type == "cuda" else place.type
    devices = [place.index or 0] if place.type == "cuda" else 1
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=PRECISION[recipe.precision])
    if place.type == "cuda":
        torch.set_float32_matmul_precision("medium")  # TF32, as published (SPEC 6)
    torch.manual_seed(recipe.seed)  # the decoder's initial weights; all else draws by step

    # Data, frozen encoder, decoder
    vocabulary = read_vocabulary(recipe)
    train_records, val_records = read_records(recipe, vocabulary)
    encoder = load_encoder(recipe.encoder).to(fabric.device)
    config = recipe.decoder.build_config(encoder.config, len(vocabulary))
    decoder = PlainMaskDecoder(config)
    if recipe.start_from:
        start_from(decoder, Head.load(find_head(recipe.start_from)), encoder)
    optimizer = torch.optim.AdamW(
        decoder.parameters(), lr=recipe.optimizer.lr, weight_decay=recipe.optimizer.weight_decay
    )
    model, fabric_optimizer = fabric.setup(decoder, optimizer)
    model.mark_forward_method("every_layer")
    model.mark_forward_method("clips")
    precision = fabric.strategy.precision
    progress = Progress(0, 0.0)
    if resume:
        progress = load_checkpoint(checkpoint, decoder, optimizer, precision)
    write_recipe(run_dir, recipe)
    parts = Step(model, feature_source(recipe, encoder), fabric.autocast, recipe, fabric.device)
    head = Head(head_config(recipe, encoder, config, vocabulary), decoder)

    windows = annealing_windows(config.num_blocks, recipe.steps)
    batches = training_batches(
        build_sampler(recipe, train_records, vocabulary, encoder.config.patch_size),
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        first=progress.step,
        last=recipe.steps,
        views=recipe.cache.views if recipe.cache else None,
        workers=recipe.workers,
    )
    with closing(RunLog(run_dir, recipe.steps, progress, every=recipe.log_every)) as log:
        with interruptible() as interrupt:
            for step, batch in enumerate(batches, start=progress.step):
                # Rates of this step
                lr = rate(recipe, step)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                probs = [mask_probability(step, start, end) for start, end in windows]
                decoder.mask_probs.copy_(torch.tensor(probs))

                # Forward, losses and backward: at once, or chunk by chunk of clips
                generator = torch.Generator(fabric.device).manual_seed(recipe.seed * 2**32 + step)
                decoder.train_with(frozen_norms=recipe.freeze_norms)
                total = torch.zeros((), device=fabric.device)
                losses: dict[str, Tensor] = {}
                for part in parts.losses(batch, uniform_points(fabric.device, generator)):
                    loss = total_loss(part, recipe.loss)
                    check_finite(loss, "loss", step, checkpoint)
                    fabric.backward(loss)
                    total += loss.detach()
                    for name, value in part.items():
                        losses[name] = losses.get(name, 0) + value.detach()

                # Update
                norm = None
                if recipe.optimizer.clip is not None:
                    norm = fabric.clip_gradients(
                        model,
                        fabric_optimizer,
                        max_norm=recipe.optimizer.clip,
                        error_if_nonfinite=False,
                    )
                if recipe.precision != "fp16":  # there, the scaler skips the step and tries smaller
                    check_finite(norm, "gradient", step, checkpoint)
                fabric_optimizer.step()
                fabric_optimizer.zero_grad()

                # Log, look, save
                done = step + 1
                log.step(done, total, losses, lr, norm)
                if done % recipe.save_every == 0 or done == recipe.steps or interrupt():
                    save_checkpoint(checkpoint, decoder, optimizer, precision, log.progress(done))
                if interrupt():
                    raise KeyboardInterrupt
                if val_records and recipe.looks_at(done):
                    log.figures(done, look(head, encoder, val_records, run_dir, done))
        finish(head, encoder, val_records, run_dir, log)
    return run_dir


def find_checkpoint(run_dir: Path, *, resume: bool) -> Path:
    """The path of the run's checkpoint, which must be there to resume and not there otherwise."""
    checkpoint = run_dir / "checkpoint.pt"
    if checkpoint.exists() and not resume:
        raise InputError(
            f"{run_dir} already holds a run; go on with --resume, or train into another folder"
        )
    if resume and not checkpoint.exists():
        raise InputError(f"there is no checkpoint to resume in {run_dir}; leave --resume out")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the run folder {run_dir} cannot be made: {error.strerror}") from error
    return checkpoint


def write_recipe(run_dir: Path, recipe: Recipe) -> None:
    """Write the resolved recipe into the run's folder; say what differs from a resumed run's."""
    path = run_dir / "recipe.yaml"
    if path.exists():
        old, new = load_recipe(path).model_dump(), recipe.model_dump()
        changed = [f"{key} {old[key]} -> {new[key]}" for key in new if old[key] != new[key]]
        if changed:
            print(f"going on with another recipe: {'; '.join(changed)}", file=sys.stderr)
    save_recipe(recipe, path)


def start_from(decoder: PlainMaskDecoder, head: Head, encoder: Encoder) -> None:
    """Take over what another head has in the same shape; the rest keeps its fresh values.

    Raises:
        InputError: nothing that is learnt has the same shape.
    """
    own, other = decoder.state_dict(), head.decoder.state_dict()
    same = {k: v for k, v in other.items() if k in own and own[k].shape == v.shape}
    learnt = {name for name, _ in decoder.named_parameters()}
    name, reference = head.config.name, head.config.encoder
    if not same.keys() & learnt:
        raise InputError(
            f"start_from: nothing of the head {name!r} fits this decoder; give one of the same "
            f"width ({decoder.config.width})"
        )
    decoder.load_state_dict(same, strict=False)
    fresh = sorted({".".join(key.split(".")[:2]) for key in learnt - same.keys()})
    print(f"starting from {name}; fresh: {', '.join(fresh) or 'nothing'}", file=sys.stderr)
    if reference.fingerprint != encoder.fingerprint:
        print(
            f"{name} was trained on another encoder, {reference.name}; what it learnt may not help",
            file=sys.stderr,
        )


def rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step."""
    settings = recipe.optimizer
    base, warmup, total = settings.lr, settings.warmup, recipe.steps
    if settings.schedule == "polynomial":
        return polynomial_rate(step, base=base, warmup=warmup, total=total)
    return learning_rate(step, base=base, warmup=warmup, total=total, minimum=settings.min_lr)


def feature_source(recipe: Recipe, encoder: Encoder) -> FeatureSource:
    """The encoder, behind a cache on disk where the recipe has one."""
    if recipe.cache is None:
        return encoder
    return FeatureCache(recipe.cache.folder, encoder, int(recipe.cache.max_gb * 1e9))


def head_config(
    recipe: Recipe, encoder: Encoder, decoder: DecoderConfig, vocabulary: Vocabulary
) -> HeadConfig:
    """The head that the run trains."""
    return HeadConfig(
        name=recipe.name,
        task=recipe.task,
        vocabulary=vocabulary,
        decoder=decoder,
        encoder=EncoderRef.of(encoder),
        input=recipe.input,
        provenance=Provenance(
            data=recipe.data_terms,
            licence=recipe.licence,
            recipe=recipe.model_dump(mode="json"),
        ),
    )


def finish(
    head: Head, encoder: Encoder, val_records: Sequence[Record], run_dir: Path, log: RunLog
) -> None:
    """Save the head, and once more with its figures where there are validation records."""
    folder = run_dir / "head"
    head.save(folder)  # before anything can go wrong with the evaluation
    if not val_records:
        return
    figures = look(head, encoder, val_records, run_dir, log.total)
    log.figures(log.total, figures)
    measured = head.config.provenance.model_copy(update={"figures": figures})
    Head(head.config.model_copy(update={"provenance": measured}), head.decoder).save(folder)


def look(
    head: Head, encoder: Encoder, records: Sequence[Record], run_dir: Path, step: int
) -> dict[str, float]:
    """Evaluate on the validation records and draw a few of them into `run_dir/overlays`."""
    segmenter = Segmenter(encoder, {"trained": head}, device=encoder.cls_token.device)
    folder = run_dir / "overlays" / f"step_{step:06d}"
    for record in records[:: max(1, len(records) // NUM_OVERLAYS)][:NUM_OVERLAYS]:
        image = record.image()
        segmenter(image).save(folder, stem=record.id, image=image)
    if records[0].sequence is None:
        found = evaluate(segmenter, records)
    else:
        found = evaluate_videos(segmenter, records)
    figures = {name: found.figures.get(name) for name in WATCHED}
    return {f"val_{name}": float(value) for name, value in figures.items() if value is not None}


def check_finite(value: Tensor | None, what: str, step: int, checkpoint: Path) -> None:
    """Stop the run before a NaN reaches the weights."""
    if value is None or bool(value.detach().isfinite()):
        return
    kept = f"the last good checkpoint {checkpoint} is kept" if checkpoint.exists() else "none saved"
    raise PlainmaskError(
        f"the {what} became {value.item()} at step {step + 1}; {kept}. Lower optimizer.lr, or use "
        "precision: bf16 or fp32 instead of fp16, and resume"
    )
