"""The command line: one file a command; each parses, calls the library and prints.

Heavy imports stand inside the commands, so that `--help` answers at once.

Exit codes: 0 fine, 1 something failed on the way (other inputs are done), 2 wrong usage or nothing
could be done, 130 Ctrl-C (what was finished is complete).
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from plainmask import __version__
from plainmask.cli import data, doctor, evaluate, heads, segment, track, train
from plainmask.cli.console import complain
from plainmask.cli.options import Command, Group
from plainmask.errors import PlainmaskError

app = typer.Typer(
    name="plainmask",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="One frozen vision encoder, many small segmentation heads.",
    epilog="Example:  plainmask segment street.jpg",
)
app.command("segment", cls=Command, epilog=segment.EXAMPLE)(segment.segment)
app.command("track", cls=Command, epilog=track.EXAMPLE)(track.track)
app.command("train", cls=Command, epilog=train.EXAMPLE)(train.train)
app.command("eval", cls=Command, epilog=evaluate.EXAMPLE)(evaluate.evaluate)
app.add_typer(data.app, name="data")
app.add_typer(heads.app, name="heads")
app.command("doctor", cls=Command, epilog=doctor.EXAMPLE)(doctor.doctor)


def print_version(wanted: bool) -> None:
    """Print the version and end, if it is wanted."""
    if wanted:
        print(f"plainmask {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the stack trace of an error; works anywhere.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Describe the options of no command; `main` reads --debug itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `plainmask` command: always ends in SystemExit.

    An error that plainmask raises on purpose becomes one message; anything else is a bug, and
    keeps its stack trace. The bare PlainmaskError means that something went wrong on the way.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: complain("warning", message)
            app([word for word in words if word != "--debug"], prog_name="plainmask")
    except PlainmaskError as error:
        if "--debug" in words:
            traceback.print_exc()
        complain("error", error)
        sys.exit(1 if type(error) is PlainmaskError else 2)
