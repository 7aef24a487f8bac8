"""Options and arguments that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

HeadName: TypeAlias = Annotated[
    str, typer.Argument(help="A shipped head, a head folder, or a hub repository (user/name).")
]
Device: TypeAlias = Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:1.")]
EncoderSource: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="PATH",
        help="Encoder weights instead of those that the head names: a file, folder or preset.",
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
