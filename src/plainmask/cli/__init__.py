"""The command line: one file a command; each parses, calls the library and prints.

Heavy imports stand inside the commands, so that `--help` answers at once.

Exit codes: 0 fine, 1 something failed on the way (other inputs are done), 2 wrong usage or nothing
could be done, 130 Ctrl-C, 143 SIGTERM (what was finished is complete).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from plainmask import __version__
from plainmask.cli import (
    bench,
    cluster,
    data,
    doctor,
    encoders,
    evaluate,
    export,
    heads,
    label,
    segment,
    serve,
    track,
    train,
)
from plainmask.cli.console import complain, patient_streams
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
app.command("bench", cls=Command, epilog=bench.EXAMPLE)(bench.bench)
app.command("serve", cls=Command, epilog=serve.EXAMPLE)(serve.serve)
app.command("export", cls=Command, epilog=export.EXAMPLE)(export.export)
app.command("label", cls=Command, epilog=label.EXAMPLE)(label.label)
app.command("cluster", cls=Command, epilog=cluster.EXAMPLE)(cluster.cluster)
app.add_typer(data.app, name="data")
app.add_typer(heads.app, name="heads")
app.command("encoders", cls=Command, epilog=encoders.EXAMPLE)(encoders.encoders)
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
    ends: list[int] = []
    with patient_streams() as out, ending_as_ctrl_c(ends):
        code = run(words)
    if code == 130 and ends:
        code = 128 + ends[0]
    sys.exit(code or int(bool(out.lost)))


def run(words: Sequence[str]) -> int:
    """Run a command; its exit code."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: complain("warning", message)
            app([word for word in words if word != "--debug"], prog_name="plainmask")
    except PlainmaskError as error:
        if "--debug" in words:
            traceback.print_exc()
        complain("error", error)
        return 1 if type(error) is PlainmaskError else 2
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@contextmanager
def ending_as_ctrl_c(received: list[int]) -> Generator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, so that what is done is kept.

    They come from `docker stop`, systemd, SLURM, `timeout` and a terminal that is closed. What came
    is appended to `received`; once one came, others change nothing, as work is being finished.
    """
    process = os.getpid()
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What someone else handles, or ignores as nohup does, stays so.
    signals = [one for one in signals if signal.getsignal(one) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        signals = []

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a worker that inherited this ends as it would without it
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        received.append(number)
        for one in signals:
            signal.signal(one, signal.SIG_IGN)
        interrupted = signal.getsignal(signal.SIGINT)
        if not callable(interrupted):  # shells let programs in the background ignore Ctrl-C
            raise KeyboardInterrupt
        interrupted(signal.SIGINT, frame)

    for one in signals:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in signals:
            signal.signal(one, signal.SIG_DFL)
