"""`plainmask heads`: what is shipped, and what a head is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from plainmask.cli.console import print_table
from plainmask.cli.options import Command, Group, HeadName, Json

if TYPE_CHECKING:
    from plainmask.heads.head import HeadConfig

LIST_EXAMPLE = "Example:  plainmask heads list --json"
SHOW_EXAMPLE = "Example:  plainmask heads show street-semantic"

VIDEOS = {
    "none": "frame by frame, each as an image",
    "linear": "followed, by a linear link (PMT)",
    "gru": "followed, by a GRU (LVMT)",
}

app = typer.Typer(cls=Group, invoke_without_command=True, epilog=SHOW_EXAMPLE)


@app.callback()
def heads(context: typer.Context, as_json: Json = False) -> None:
    """List the shipped heads, or show one."""
    if context.invoked_subcommand is None:
        list_heads(as_json)


@app.command("list", cls=Command, epilog=LIST_EXAMPLE)
def list_heads(as_json: Json = False) -> None:
    """List the heads that come with plainmask."""
    from plainmask.heads.head import read_config, shipped_heads

    folders = shipped_heads().values()
    found = [(read_config(folder), megabytes(folder)) for folder in folders]
    if as_json:
        print(json.dumps([summary(config) | {"megabytes": size} for config, size in found]))
        return
    print_table(
        ("head", "task", "classes", "MB", "first figure", "licence"),
        [
            (
                c.name,
                c.task,
                str(len(c.vocabulary)),
                f"{size:.1f}",
                first_figure(c),
                c.provenance.licence.partition(";")[0] or "not stated",
            )
            for c, size in found
        ],
    )
    encoders = ", ".join(sorted({config.encoder.name for config, _ in found}))
    print(f"for the encoder {encoders}; all figures: plainmask heads show HEAD")


@app.command("show", cls=Command, epilog=SHOW_EXAMPLE)
def show(head: HeadName, as_json: Json = False) -> None:
    """Show one head: classes, encoder, figures, training data and its terms."""
    from plainmask.heads.head import find_head, read_config

    folder = find_head(head)
    config = read_config(folder)
    if as_json:
        print(json.dumps(summary(config)))
        return
    print_table(
        ("", config.name),
        [
            ("task", config.task),
            ("classes", ", ".join(config.vocabulary.names)),
            ("encoder", f"{config.encoder.name} (fingerprint {config.encoder.fingerprint})"),
            ("input", str(config.input)),
            ("videos", VIDEOS[config.decoder.propagation]),
            ("figures", figures(config)),
            ("training data", config.provenance.data or "not stated"),
            ("licence", config.provenance.licence or "not stated"),
            ("folder", str(folder)),
        ],
    )


def megabytes(folder: Path) -> float:
    """Size of a head folder, in millions of bytes."""
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


def figures(config: HeadConfig) -> str:
    """The measured figures in one line."""
    stated = config.provenance.figures.items()
    return ", ".join(f"{name} {value:.1f} %" for name, value in stated) or "not measured"


def first_figure(config: HeadConfig) -> str:
    """The first of them, without how many pictures it was measured on."""
    for name, value in config.provenance.figures.items():
        return f"{value:.1f} % {name.partition(' (')[0]}"
    return "not measured"


def summary(config: HeadConfig) -> dict[str, Any]:
    """The facts about a head that programs ask for."""
    provenance = config.provenance
    return {
        "name": config.name,
        "task": config.task,
        "classes": list(config.vocabulary.names),
        "encoder": config.encoder.model_dump(mode="json"),
        "input": config.input.model_dump(mode="json"),
        "propagation": config.decoder.propagation,
        "figures": provenance.figures,
        "per_class": provenance.per_class,
        "data": provenance.data,
        "licence": provenance.licence,
    }
