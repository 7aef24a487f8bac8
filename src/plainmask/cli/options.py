"""Options and arguments that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperCommand, TyperGroup

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


class Command(TyperCommand):
    """A command whose help says no type after flags, which take no value."""

    def get_params(self, ctx: Any) -> Any:
        """See `click.Command`."""
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    """Commands under one name, likewise."""

    def get_params(self, ctx: Any) -> Any:
        """See `click.Command`."""
        return _without_types(super().get_params(ctx))


def _without_types(parameters: Any) -> Any:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters
