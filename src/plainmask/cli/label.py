"""`plainmask label`: label one's own pictures by strokes, in the browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plainmask.cli.options import words
from plainmask.cli.serve import listen
from plainmask.errors import InputError
from plainmask.options import one_of
from plainmask.progress import counted

if TYPE_CHECKING:
    from plainmask.label.config import LabelTask
    from plainmask.label.session import Session

EXAMPLE = "Example:  plainmask label photos --classes cat,dog,background"
ENCODER = "dinov2-small"
GIGABYTES = 4.0
"""Of features that are kept on disk."""


def label(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|VIDEO",
            help="Pictures, or a video; they stay as they are.",
            show_default=False,
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            help="What to label: semantic, the class of each pixel, or instance, objects.",
            show_default="the project's, else semantic",
        ),
    ] = None,
    classes: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="With commas; the page adds more.", show_default="as they are"
        ),
    ] = "",
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="What gives features: a preset, a file or a folder.",
            show_default=f"the project's, else {ENCODER}",
        ),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where labels and all else is kept.",
            show_default="FOLDER/.plainmask-label, or VIDEO.plainmask-label",
        ),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of a video, take one frame in so many.",
            show_default="all, but about 300",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8060,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="HEAD",
            help="What the decoder that learns meanwhile begins from; from a head of objects it "
            "learns these.",
            show_default="the project's, else nothing",
        ),
    ] = None,
    no_decoder: Annotated[
        bool,
        typer.Option(
            "--no-decoder",
            help="Let no decoder learn meanwhile; proposals are then the linear head's alone.",
        ),
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, and open nothing.")
    ] = False,
) -> None:
    """Label pictures, or a video, by strokes; what is learnt from them is proposed at once.

    Every stroke is kept on disk before it counts, and the project folder is a data set for train,
    eval and data. Ctrl-C ends, and the same command goes on.
    """
    try:
        import uvicorn

        from plainmask.label.app import build_app
    except ImportError as error:
        raise InputError(
            f"label needs the package {error.name}; pip install 'plainmask[label]'"
        ) from error
    from plainmask.label.config import LABEL_TASKS
    from plainmask.label.events import Events

    if head is not None and no_decoder:
        raise InputError("--head is what a decoder begins from; leave it or --no-decoder out")
    what = None if task is None else one_of(task, LABEL_TASKS, f"{task!r} cannot be labelled")
    with listen("127.0.0.1", port) as listening:
        folder, place = _pictures(source, project, every)
        events = Events()
        begun = folder, place, what, words(classes), encoder, head, events.tell
        session = _session(*begun, learns=not no_decoder)
        app = build_app(session, events, is_over=lambda: server.should_exit)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False))
        opened = session.project
        where = f"http://127.0.0.1:{listening.getsockname()[1]}"
        print(
            f"{counted(len(opened.pictures), 'picture')}, "
            f"{counted(len(opened.config.classes), 'class')}, encoder {opened.config.encoder}; "
            f"everything is kept in {opened.place}\n{where}  (Ctrl-C ends)",
            flush=True,
        )
        if not no_browser:
            webbrowser.open(where)
        server.run(sockets=[listening])


def _pictures(source: Path, project: Path | None, every: int | None) -> tuple[Path, Path]:
    """The folder of the pictures, and where the project is. Before the encoder, which is slow."""
    from plainmask.cli.console import complain
    from plainmask.label.frames import check_pictures, is_video, project_beside, write_frames
    from plainmask.label.project import FOLDER, find_pictures

    if is_video(source):
        place = project or project_beside(source)
        return write_frames(source, place, every, lambda line: complain("video", line)), place
    place = project or source / FOLDER
    find_pictures(source)
    if every is not None:
        raise InputError(f"--every chooses frames of a video, and {source} is none; leave it out")
    check_pictures(source, place)
    return source, place


def _session(
    folder: Path,
    place: Path,
    task: LabelTask | None,
    classes: list[str],
    encoder: str | None,
    head: str | None,
    tell: Callable[[dict[str, Any]], None],
    *,
    learns: bool,
) -> Session:
    """The project of a folder with an encoder, begun or gone on with."""
    from plainmask.allocator import keep_freed_memory
    from plainmask.cli.console import complain
    from plainmask.encoder.weights import load_encoder
    from plainmask.inference.shared_pass import SharedPass, pick_device, pick_dtype, placed
    from plainmask.label.config import read_config
    from plainmask.label.features import KeptTaps
    from plainmask.label.project import Project
    from plainmask.label.session import Session
    from plainmask.label.teaching import Start

    config = read_config(place)
    source = encoder or (ENCODER if config is None else config.encoder)
    keep_freed_memory()
    device = pick_device("auto")
    frozen = placed(load_encoder(source), device)
    known = task or "semantic" if config is None else config.task
    # Before a project is begun, of which nothing is to stay where a head is refused.
    start = None if head is None else Start.load(head, known, frozen)
    opened = Project.open(
        folder,
        place,
        encoder=source,
        fingerprint=frozen.fingerprint,
        classes=classes,
        task=task,
        head=str(Path(head).resolve()) if head and Path(head).is_dir() else head,
    )
    for name, reason in opened.skipped.items():
        complain("left out", f"{name}: {reason}")
    if learns and start is None and (kept := opened.config.head) is not None:
        try:
            start = Start.load(kept, known, frozen)
        except InputError as error:  # it was moved, say; labels are worth more than it
            complain("going on without --head", error)
    shared = SharedPass.of(frozen, device, pick_dtype("auto", device))
    taps = KeptTaps(place / "features", shared, int(1e9 * GIGABYTES))
    return Session(opened, taps, tell, learns=learns, start=start)
