"""One head in training: its samples, decoder, optimiser and log, built or found again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel

from plainmask.data.record import Record
from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.encoder.vit import Encoder
from plainmask.heads.head import Head, find_head, read_config
from plainmask.progress import counted
from plainmask.training import processes
from plainmask.training.averaging import averaged
from plainmask.training.checkpoint import Standing, load_checkpoint
from plainmask.training.from_encoder import ENCODER, MEASURED, start_from_encoder
from plainmask.training.objective import FeatureSource, Objective
from plainmask.training.processes import say
from plainmask.training.recipe import DecoderRecipe, Recipe
from plainmask.training.records import TrainingData, build_sampler
from plainmask.training.run_log import RunLog
from plainmask.training.samples.batches import (
    Batch,
    ClipSampler,
    ImageSampler,
    training_batches,
)
from plainmask.training.schedule import epochs
from plainmask.training.setup import head_config, start_from, write_recipe


@dataclass(frozen=True, eq=False)
class Run:
    """One head in training."""

    folder: Path
    fabric: Fabric
    decoder: PlainMaskDecoder
    """The one that learns."""
    head: Head
    """What the run gives: of that decoder, or of the mean of its weights."""
    mean: AveragedModel | None
    """That mean, where the recipe has `average`."""
    optimizer: torch.optim.Optimizer
    objective: Objective
    batches: Iterator[Batch]
    """Of the steps that are left, `accumulate` for each."""
    first: int
    """The step to go on with."""
    val_records: Sequence[Record]
    log: RunLog

    @property
    def recipe(self) -> Recipe:
        """What the run is to do."""
        return self.objective.recipe

    @property
    def model(self) -> Any:
        """The decoder as Fabric wraps it."""
        return self.objective.model

    @property
    def checkpoint(self) -> Path:
        """Where it is saved."""
        return self.folder / "checkpoint.pt"


def build_run(
    recipe: Recipe,
    folder: Path,
    fabric: Fabric,
    encoder: Encoder,
    source: FeatureSource,
    data: TrainingData,
    *,
    resume: bool,
    wandb: str | None,
) -> Run:
    """All that one head's training needs, where it was left if `resume`."""
    sampler = build_sampler(recipe, data.train, data.vocabulary, encoder.config.patch_size)
    torch.manual_seed(recipe.seed)  # the decoder's initial weights; all else draws by step
    shape = _shape(recipe, encoder, folder, resume=resume)
    decoder = PlainMaskDecoder(shape.build_config(encoder.config, len(data.vocabulary)))
    if not resume:
        _begin(decoder, recipe, encoder, sampler)
    processes.join_norms(decoder, recipe)
    optimizer = torch.optim.AdamW(
        decoder.parameters(), lr=recipe.optimizer.lr, weight_decay=recipe.optimizer.weight_decay
    )
    model, fabric_optimizer = fabric.setup(decoder, optimizer)
    model.mark_forward_method("every_layer")
    model.mark_forward_method("clips")
    mean = None if recipe.average is None else averaged(decoder, recipe.average)
    standing = Standing(0, 0.0)
    if resume:
        precision = fabric.strategy.precision
        standing = load_checkpoint(folder / "checkpoint.pt", decoder, mean, optimizer, precision)
    if fabric.is_global_zero:
        _prepare(folder, recipe, resume=resume)
    kind = "picture" if recipe.clip is None else "video"
    count = len(sampler.names)
    say(
        f"{recipe.name}: {counted(recipe.steps, 'step')} of {recipe.batch_size} of "
        f"{counted(count, kind)}, "
        f"{counted(epochs(recipe.steps, recipe.batch_size, count), 'epoch')}; "
        f"figures on {counted(len(data.val) or 'no', 'picture')}"
    )
    batches = training_batches(
        sampler,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        first=standing.step,
        last=recipe.steps,
        views=recipe.cache.views if recipe.cache else None,
        workers=recipe.workers,
        share=(fabric.global_rank, fabric.world_size),
        parts=recipe.accumulate,
    )
    objective = Objective(
        model,
        source,
        fabric.autocast,
        recipe,
        fabric.device,
        partial(processes.others, fabric),
        None if standing.queries is None else standing.queries.to(fabric.device),
    )
    config = head_config(recipe, encoder, decoder.config, data.vocabulary)
    return Run(
        folder,
        fabric,
        decoder,
        Head(config, decoder if mean is None else cast(PlainMaskDecoder, mean.module)),
        mean,
        fabric_optimizer,
        objective,
        batches,
        standing.step,
        data.val,
        RunLog(folder, recipe, standing, wandb=wandb, quiet=not fabric.is_global_zero),
    )


def _shape(recipe: Recipe, encoder: Encoder, folder: Path, *, resume: bool) -> DecoderRecipe:
    """The decoder's choices; where it starts from something, feed-forward layers are as wide."""
    if recipe.start_from is None or recipe.decoder.ffn_hidden is not None:
        return recipe.decoder
    if recipe.start_from == ENCODER:
        hidden = encoder.config.ffn_hidden
    else:
        own = folder / "head"  # a run that goes on can do without what it started from
        known = own if resume and own.is_dir() else find_head(recipe.start_from)
        other = read_config(known).decoder
        hidden = other.ffn_hidden if other.width == encoder.config.width else None
    return recipe.decoder.model_copy(update={"ffn_hidden": hidden})


def _begin(
    decoder: PlainMaskDecoder,
    recipe: Recipe,
    encoder: Encoder,
    sampler: ImageSampler | ClipSampler,
) -> None:
    """Give a fresh decoder what the recipe has it start from."""
    if recipe.start_from == ENCODER:
        some = training_batches(sampler, batch_size=MEASURED, seed=recipe.seed, first=0, last=1)
        say(start_from_encoder(decoder, encoder, next(some).pixels[:, 0]))
    elif recipe.start_from is not None:
        start_from(decoder, Head.load(find_head(recipe.start_from)), encoder)


def _prepare(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """The recipe goes into the folder; what a run left whose checkpoint was deleted goes."""
    write_recipe(folder, recipe)
    if not resume:
        shutil.rmtree(folder / "best", ignore_errors=True)
