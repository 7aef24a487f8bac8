"""The training loop: flat functions that read in the order in which a step happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import load_encoder
from plainmask.errors import PlainmaskError
from plainmask.heads.head import Head
from plainmask.inference.compiled import check_compiler, compile_blocks
from plainmask.training import processes
from plainmask.training.checkpoint import save_checkpoint
from plainmask.training.loss import total_loss
from plainmask.training.outcome import draw_overlays, keep_best, measure, with_figures
from plainmask.training.points import Draw, uniform_points
from plainmask.training.processes import Machines, say
from plainmask.training.recipe import Recipe
from plainmask.training.records import TrainingData, read_data
from plainmask.training.run import Run, build_run
from plainmask.training.run_log import interruptible
from plainmask.training.samples.batches import Batch
from plainmask.training.schedule import (
    annealing_windows,
    learning_rate,
    mask_probability,
    polynomial_rate,
)
from plainmask.training.setup import drop_features, feature_source, find_checkpoints
from plainmask.training.together import SharedFeatures, check_shared
from plainmask.training.watch import Stopped, Watch


def train(
    recipe: Recipe,
    run_dir: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    machines: Machines | None = None,
    wandb: str | None = None,
    data: TrainingData | None = None,
) -> Path:
    """Train a head and return the folder of the run.

    Writes into `run_dir`: `recipe.yaml` (resolved), `log.csv`, `val.csv`, `curves.png`, TensorBoard
    events, sample overlays, and at every save `checkpoint.pt` and the head folder `head/`, which
    has its figures at the end; where there are validation records, the best head so far, `best/`.

    Args:
        recipe: the whole run.
        run_dir: made if missing; must not hold another run unless `resume`.
        resume: go on from `run_dir/checkpoint.pt`.
        device: "auto", "cpu", "cuda" or "cuda:0".
        machines: where it runs, if not on one device; then `device` says nothing.
        wandb: also log to this project of Weights & Biases.
        data: of the recipe, where they were read before.

    Raises:
        InputError: data, folder or recipe cannot be used.
        PlainmaskError: the loss became NaN; the last good checkpoint is kept.
    """
    machines = machines or Machines(device)
    known = {} if data is None else {recipe.name: data}
    return train_together([recipe], [run_dir], machines, resume=resume, wandb=wandb, data=known)[0]


def train_together(
    recipes: Sequence[Recipe],
    run_dirs: Sequence[Path],
    machines: Machines,
    *,
    resume: bool = False,
    wandb: str | None = None,
    data: Mapping[str, TrainingData] | None = None,
) -> list[Path]:
    """Train several heads on one pass of the encoder; each comes out as if trained alone.

    Args:
        recipes: of all heads; see `check_shared`.
        run_dirs: a folder for each, as in `train`.
        machines: where the run happens.
        resume, wandb: see `train`.
        data: by name of the recipe, where they were read before.

    Raises:
        InputError, PlainmaskError: see `train`; or the recipes would not share their pixels.
    """
    check_shared(recipes)
    resumed = find_checkpoints(run_dirs, resume=resume)
    fabric = processes.start(machines, recipes[0])
    with processes.watch(fabric) as watch:
        _train(fabric, watch, recipes, run_dirs, data or {}, resumed, machines.compiled, wandb)
    return list(run_dirs)


def _train(
    fabric: Fabric,
    watch: Watch,
    recipes: Sequence[Recipe],
    run_dirs: Sequence[Path],
    data: Mapping[str, TrainingData],
    resumed: Sequence[bool],
    compiled: bool,
    wandb: str | None,
) -> None:
    """What `train_together` does in each process."""
    processes.check_alike(fabric, resumed)
    with fabric.rank_zero_first(local=True):  # who comes later finds what was downloaded
        encoder = load_encoder(recipes[0].encoder).to(fabric.device)
    source = feature_source(recipes[0], encoder, run_dirs[0])
    shared = SharedFeatures(source) if len(recipes) > 1 else None
    runs = [
        build_run(
            recipe,
            folder,
            fabric,
            encoder,
            shared or source,
            data.get(recipe.name) or read_data(recipe),
            resume=again,
            wandb=wandb,
        )
        for recipe, folder, again in zip(recipes, run_dirs, resumed, strict=True)
    ]
    if compiled:
        check_compiler(fabric.device)
        for model in (encoder, *(run.decoder for run in runs)):
            compile_blocks(model)
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(closing(run.log))
        with interruptible() as interrupted:
            go_through(runs, encoder, shared, watch, interrupted)
        for run in runs:
            finish(run, encoder, watch)
    if fabric.is_global_zero:
        drop_features(recipes[0], run_dirs[0])
    with watch.waiting("the head to be saved"):
        processes.meet(fabric)


def go_through(
    runs: Sequence[Run],
    encoder: Encoder,
    shared: SharedFeatures | None,
    watch: Watch,
    interrupted: Callable[[], bool],
) -> None:
    """All steps of heads that train together: each step, and what is due after it.

    Raises:
        Stopped: the run was interrupted; it is saved.
    """
    fabric = runs[0].fabric
    ended = {run.folder for run in runs if stalled(run, watch)}
    for step in range(min(run.first for run in runs), runs[0].recipe.steps):
        if shared is not None:
            shared.forget()
        # Others were saved later, or had enough.
        going = [run for run in runs if run.first <= step and run.folder not in ended]
        done = step + 1
        with watch.waiting(f"step {done}"):
            for run in going:
                train_step(run, step)
            stop = processes.anywhere(fabric, interrupted())
        for run in going:
            if stop or done % run.recipe.save_every == 0 or done == run.recipe.steps:
                save(run, done)
        if stop:
            with watch.waiting("the checkpoint to be saved"):
                processes.meet(fabric)
            raise Stopped
        for run in going:
            if run.recipe.looks_at(done):
                evaluate_now(run, encoder, watch, done)
                if stalled(run, watch):
                    save(run, done)
                    ended.add(run.folder)
        if len(ended) == len(runs):
            return


def train_step(run: Run, step: int) -> None:
    """One update of one head, and its line in the log."""
    recipe, fabric, decoder = run.recipe, run.fabric, run.decoder
    # Rates of this step
    lr = rate(recipe, step)
    for group in run.optimizer.param_groups:
        group["lr"] = lr
    windows = annealing_windows(len(decoder.blocks), recipe.steps)
    probs = [mask_probability(step, start, end) for start, end in windows]
    decoder.mask_probs.copy_(torch.tensor(probs))
    decoder.train_with(frozen_norms=recipe.freeze_norms)

    # Forward, losses and backward: at once, in parts of the batch, or chunk by chunk of clips
    seed = recipe.seed * 2**32 + step  # of the whole batch: each process takes its part of it
    draw = uniform_points(fabric.device, torch.Generator(fabric.device).manual_seed(seed))
    losses: dict[str, Tensor] = {}
    names: list[str] = []
    for part in range(recipe.accumulate):
        batch = next(run.batches)
        names += batch.names or []
        # Chunks wait for each other in any case: not every one of them has all gradients.
        waits = fabric.world_size > 1 and part < recipe.accumulate - 1 and recipe.clip is None
        with fabric.no_backward_sync(run.model, enabled=waits):
            for name, value in backward(run, batch, draw, step).items():
                losses[name] = losses.get(name, 0) + value

    # Update
    norm = None
    if recipe.optimizer.clip is not None:
        norm = fabric.clip_gradients(
            run.model,
            run.optimizer,
            max_norm=recipe.optimizer.clip,
            error_if_nonfinite=False,
        )
    if recipe.precision != "fp16":  # there, the scaler skips the step and tries smaller
        check_finite(run, norm, "gradient", step, names)
    run.optimizer.step()
    if run.mean is not None:
        run.mean.update_parameters(decoder)
    run.optimizer.zero_grad()
    run.log.step(step + 1, losses.pop("loss"), losses, lr, norm)


def backward(run: Run, batch: Batch, draw: Draw, step: int) -> dict[str, Tensor]:
    """Add the gradients of one batch; its losses by name, and their weighted sum `loss`."""
    losses: dict[str, Tensor] = {}
    for terms in run.objective.losses(batch, draw):
        loss = total_loss(terms, run.recipe.loss) / run.recipe.accumulate
        check_finite(run, loss, "loss", step, batch.names or [])
        run.fabric.backward(loss)
        for name, value in {"loss": loss * run.recipe.accumulate, **terms}.items():
            losses[name] = losses.get(name, 0) + value.detach() / run.recipe.accumulate
    return losses


def save(run: Run, done: int) -> None:
    """Write the checkpoint after `done` steps, the head as it is then, and the curves so far."""
    if not run.fabric.is_global_zero:
        return
    precision = run.fabric.strategy.precision
    standing = replace(run.log.standing(done), queries=run.objective.carried)
    is_first = not run.checkpoint.exists()
    save_checkpoint(run.checkpoint, run.decoder, run.mean, run.optimizer, precision, standing)
    run.head.save(run.folder / "head")
    run.log.draw()
    if is_first and done < run.recipe.steps:
        say(f"saved after {done} steps; {run.folder / 'head'} can be tried meanwhile")


def rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step."""
    settings = recipe.optimizer
    base, warmup, total = settings.lr, settings.warmup, recipe.steps
    if settings.schedule == "polynomial":
        return polynomial_rate(step, base=base, warmup=warmup, total=total)
    return learning_rate(step, base=base, warmup=warmup, total=total, minimum=settings.min_lr)


def evaluate_now(run: Run, encoder: Encoder, watch: Watch, done: int) -> dict[str, float]:
    """Measure on the validation records after `done` steps, and draw a few of them.

    A head that is better than all before it is kept in `best`.

    Raises:
        PlainmaskError: the evaluation failed, in this process or in another.
    """
    if not run.val_records:
        return {}
    report = run.log.measuring(done, len(run.val_records))
    share = processes.share(run.fabric, watch)
    figures = measure(run.head, encoder, run.val_records, share, report)
    if run.fabric.is_global_zero:
        folder = run.folder / "overlays" / f"step_{done:06d}"
        draw_overlays(run.head, encoder, run.val_records, folder)
        keep_best(run.head, figures, run.folder / "best")
        run.log.figures(done, figures)
        run.log.draw()
    return figures


def stalled(run: Run, watch: Watch) -> bool:
    """Whether the figures have not become better for so long that the run has had enough."""
    with watch.waiting("the figures to be drawn and saved"):
        return processes.anywhere(run.fabric, run.log.stalled(run.recipe.patience))


def finish(run: Run, encoder: Encoder, watch: Watch) -> None:
    """Save the head, and once more with its figures where there are validation records.

    Of a run that had enough the best head is saved; it has its figures.
    """
    folder = run.folder / "head"
    if stalled(run, watch):
        if run.fabric.is_global_zero:
            say(f"no better figures for {run.recipe.patience} evaluations: the best head is kept")
            Head.load(run.folder / "best").save(folder)
        return
    if run.fabric.is_global_zero:
        run.head.save(folder)  # before anything can go wrong with the evaluation
    figures = evaluate_now(run, encoder, watch, run.recipe.steps)
    if figures and run.fabric.is_global_zero:
        with_figures(run.head, figures).save(folder)


def check_finite(
    run: Run, value: Tensor | None, what: str, step: int, names: Sequence[str]
) -> None:
    """Stop all processes before a NaN reaches the weights, and say which samples led to it."""
    if value is None:
        return
    bad = not bool(value.detach().isfinite())
    if not processes.anywhere(run.fabric, bad):
        return
    found = processes.gathered(run.fabric, [*names] if bad else [])
    guilty = ", ".join(name for part in found for name in part)
    path = run.checkpoint
    kept = f"the last good checkpoint {path} is kept" if path.exists() else "none saved"
    raise PlainmaskError(
        f"the {what} became {value.item()} at step {step + 1}, in a batch of {guilty}; {kept}. "
        "Lower optimizer.lr, or use precision: bf16 or fp32 instead of fp16, and resume"
    )
