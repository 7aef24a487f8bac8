"""`plainmask train`: a recipe in, a head folder out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from plainmask.cli.console import complain
from plainmask.cli.options import Device
from plainmask.errors import InputError

EXAMPLE = (
    "Example:  plainmask train recipes/street-semantic.yaml data.root=camvid --out runs/street"
)


def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML recipe (see recipes/).")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings to change, such as optimizer.lr=1e-4."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run.", show_default="runs/NAME of the recipe"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that was stopped in this folder.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Train a head on the frozen encoder; ends with a head folder, RUN/head.

    Ctrl-C finishes the step and saves; with --resume the run goes on from there and ends with the
    same weights.
    """
    try:
        from plainmask.training.loop import train as train_head
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("lightning_fabric", "tensorboard"):
            raise
        raise InputError(
            f'training needs {error.name}, which is missing: pip install "plainmask[train]"'
        ) from error
    from plainmask.allocator import keep_freed_memory
    from plainmask.head import read_config
    from plainmask.training.recipe import load_recipe

    settings = load_recipe(recipe, overrides or ())
    run_dir = out or Path("runs") / settings.name
    keep_freed_memory()
    try:
        train_head(settings, run_dir, resume=resume, device=device)
    except KeyboardInterrupt:
        complain("stopped", how_to_resume(recipe, overrides or [], run_dir))
        raise typer.Exit(130) from None
    folder = run_dir / "head"
    needs_encoder = read_config(folder).encoder.name == "custom"
    encoder = f" --encoder {settings.encoder}" if needs_encoder else ""
    print(f"wrote {folder}; try it: plainmask segment IMAGE --head {folder}{encoder}")


def how_to_resume(recipe: Path, overrides: list[str], run_dir: Path) -> str:
    """What is saved of an interrupted run, and the command that goes on with it."""
    if not (run_dir / "checkpoint.pt").exists():
        return f"nothing was saved in {run_dir} yet"
    words = [str(recipe), *overrides, "--out", str(run_dir), "--resume"]
    return f"saved in {run_dir}; go on with: plainmask train {shlex.join(words)}"
