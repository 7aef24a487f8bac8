"""`plainmask train`: a recipe in, a head folder out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from plainmask.cli.console import complain
from plainmask.cli.options import Compile, Device
from plainmask.errors import InputError

EXAMPLE = (
    "Example:  plainmask train own-semantic data.root=mydata --out runs/mine\n\n"
    "Example:  plainmask train street-semantic data.root=camvid --out runs/street"
)


def train(
    recipe: Annotated[
        Path,
        typer.Argument(
            help="A YAML recipe, the name of a shipped one (street-semantic), or own-semantic, "
            "own-instance or own-panoptic with data.root=FOLDER, which choose one for your data."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Settings to change, such as optimizer.lr=1e-4; with --heads more recipes, too.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run.", show_default="runs/NAME of the recipe"),
    ] = None,
    heads: Annotated[
        bool,
        typer.Option(
            "--heads",
            help="Train a head for each of several recipes on one pass of the encoder; "
            "the run of each is the folder OUT/NAME.",
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that was stopped in this folder.")
    ] = False,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Devices of each machine.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    compiled: Compile = False,
    wandb: Annotated[
        str | None,
        typer.Option(metavar="PROJECT", help="Also log to this project of Weights & Biases."),
    ] = None,
) -> None:
    """Train a head on the frozen encoder; ends with a head folder, RUN/head.

    Ctrl-C finishes the step and saves; with --resume the run goes on from there and ends with the
    same weights. How to use several devices and machines: docs/train-at-scale.md.
    """
    try:
        from plainmask.training.loop import train as train_head
        from plainmask.training.loop import train_together
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("lightning_fabric", "tensorboard"):
            raise
        raise InputError(
            f'training needs {error.name}, which is missing: pip install "plainmask[train]"'
        ) from error
    from plainmask.allocator import keep_freed_memory
    from plainmask.training.open_recipe import open_recipe
    from plainmask.training.processes import Machines, number

    words = overrides or []
    settings = [word for word in words if not heads or "=" in word]
    paths = [recipe, *(Path(word) for word in words if word not in settings)]
    found = [open_recipe(path, settings, device) for path in paths]
    recipes = [recipe for recipe, _ in found]
    data = {recipe.name: data for recipe, data in found if data is not None}
    if heads:
        folders = [(out or Path("runs")) / one.name for one in recipes]
    else:
        folders = [out or Path("runs") / recipes[0].name]
    machines = Machines(device, devices, nodes, compiled)
    keep_freed_memory()
    try:
        if heads:
            train_together(recipes, folders, machines, resume=resume, wandb=wandb, data=data)
        else:
            train_head(
                recipes[0],
                folders[0],
                resume=resume,
                machines=machines,
                wandb=wandb,
                data=data.get(recipes[0].name),
            )
    except KeyboardInterrupt:
        options = ["--heads"] if heads else []
        place = (out or Path("runs")) if heads else folders[0]
        options += ["--out", str(place)]
        options += [f"--devices={devices}"] * (devices > 1) + [f"--nodes={nodes}"] * (nodes > 1)
        complain("stopped", how_to_resume([recipe, *words], options, folders[-1]))
        raise typer.Exit(130) from None
    if number() == 0:
        for one, folder in zip(recipes, folders, strict=True):
            announce(folder / "head", one.encoder)


def announce(folder: Path, encoder: str) -> None:
    """Say where a head is, and how to use it."""
    from plainmask.heads.head import read_config

    config = read_config(folder)
    needed = f" --encoder {encoder}" if config.encoder.name == "custom" else ""
    command = "segment IMAGE" if config.decoder.propagation == "none" else "track VIDEO"
    print(f"wrote {folder}; try it: plainmask {command} --head {folder}{needed}")


def how_to_resume(words: Sequence[str | Path], options: Sequence[str], run_dir: Path) -> str:
    """What is saved of an interrupted run, and the command that goes on with it."""
    if not (run_dir / "checkpoint.pt").exists():
        return f"nothing was saved in {run_dir} yet"
    command = shlex.join([*map(str, words), *options, "--resume"])
    return f"saved in {run_dir}; go on with: plainmask train {command}"
