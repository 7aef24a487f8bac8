"""Options and arguments that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from typer.core import TyperCommand, TyperGroup

from plainmask.errors import InputError

if TYPE_CHECKING:
    from plainmask.vocabulary import Vocabulary

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
Compile: TypeAlias = Annotated[
    bool, typer.Option("--compile", help="Compile the network: slow to start, then faster.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Score: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="LEAST",
        help="Keep what is at least so sure, 0 to 1; 0 keeps every candidate.",
        show_default="as the head says",
    ),
]
Classes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="NAMES", help="Keep only these classes, with commas.", show_default="all"),
]


def words(given: str) -> list[str]:
    """The words of an option that takes several, with commas."""
    return [word.strip() for word in given.split(",") if word.strip()]


def head_names(given: str) -> list[str]:
    """The heads that an option names; a folder may have a comma in its name.

    Raises:
        InputError: a name is empty.
    """
    if Path(given).exists():
        return [given]
    names = [name.strip() for name in given.split(",")]
    if not all(names):
        raise InputError(f"--heads takes names with commas between, such as a,b, not {given!r}")
    return names


def check_score(score: float | None) -> None:
    """Raise an InputError unless a score is one."""
    if score is not None and not 0 <= score <= 1:
        raise InputError(f"--score is the least score to keep, from 0 to 1, not {score:g}")


def class_ids(given: Sequence[str] | None, vocabulary: Vocabulary) -> list[int] | None:
    """The ids of the classes that --classes names; None: of all.

    Raises:
        InputError: there is no such class.
    """
    if not given:
        return None
    names = {name.casefold() for name in vocabulary.names}
    words: list[str] = []
    for value in given:  # a name may hold a comma of its own
        words += [value] if value.casefold() in names else value.split(",")
    asked = [word.strip() for word in words if word.strip()]
    return vocabulary.ids_of(
        [int(one) if one.isdecimal() and one not in names else one for one in asked]
    )


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
