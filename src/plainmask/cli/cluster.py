"""`plainmask cluster`: heads over very many pictures or videos, as rows of a table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plainmask.cli.console import complain
from plainmask.cli.options import Device, EncoderSource, head_names
from plainmask.errors import InputError
from plainmask.progress import Progress, counted, pace

if TYPE_CHECKING:
    from plainmask.cluster.work import Done

EXAMPLE = (
    "Example:  plainmask cluster photos --heads scenes,person-parts --out rows\n\n"
    "Example:  plainmask cluster s3://bucket/list.parquet --address auto --out s3://bucket/rows"
)
PART = 64


def cluster(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST|FOLDER",
            help="A Parquet file with the columns id and path, or a folder with all in it; a path "
            "or an address (s3://, gs://).",
            show_default=False,
        ),
    ],
    heads: Annotated[
        str,
        typer.Option(
            "--head",
            "--heads",
            metavar="NAME[,NAME...]",
            help="Heads on one encoder: shipped ones, head folders, hub repositories (user/name).",
        ),
    ] = "scenes",
    out: Annotated[str, typer.Option(help="Folder or address for the rows.")] = "out",
    videos: Annotated[
        bool, typer.Option("--videos", help="Follow videos: files, and folders of frames.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster, or auto.", show_default="only this machine"),
    ] = None,
    actors: Annotated[
        int | None,
        typer.Option(min=1, help="Networks at work.", show_default="one a GPU, else one a core"),
    ] = None,
    part: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pictures that are one file of rows, and lost at most where a worker ends.",
            show_default=f"{PART}; 1 video",
        ),
    ] = None,
    max_failures: Annotated[
        float, typer.Option(min=0, max=1, help="Stop if a larger share of the pictures fails.")
    ] = 0.1,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do again what failed in earlier runs.")
    ] = False,
    device: Device = "auto",
    encoder: EncoderSource = None,
) -> None:
    """Ask heads about very many pictures, on all cores or a cluster; rows go to OUT/rows/*.parquet.

    The same command goes on after whatever ended it, and does what is missing: new or changed
    pictures, new heads. Each picture and head has one row (docs/scale.md); a picture that cannot
    be used has a row that says why, and the exit code is 1.
    """
    try:
        from plainmask.cluster import run
    except ImportError as error:
        raise InputError(
            f"cluster needs the package {error.name}; pip install 'plainmask[cluster]'"
        ) from error
    from plainmask.cluster.manifest import read_manifest
    from plainmask.cluster.parts import parts_of
    from plainmask.cluster.segment_batch import SegmentBatch
    from plainmask.cluster.store import Store
    from plainmask.cluster.work import Work, within

    names = [_from_anywhere(name) for name in head_names(heads)]
    weights = None if encoder is None else _from_anywhere(encoder)
    manifest = read_manifest(source, videos=videos)
    fingerprints = SegmentBatch(names, encoder=weights, device="cpu").fingerprints
    store = Store(out, videos=videos)
    store.begin(manifest)
    if retry_failed:
        store.forget_failed()
    size = part or (1 if videos else PART)
    parts = list(parts_of(manifest, fingerprints, store.done(), size))
    thing = "video" if videos else "picture"
    left, there = sum(len(one.ids) for one in parts), counted(len(manifest.ids), thing)
    if not left:
        print(f"all of {there} are done, in {out}")
        return
    print(f"{left} of {there}, {counted(len(fingerprints), 'head')}", flush=True)
    segment = SegmentBatch(
        names, encoder=weights, device=device, videos=videos, fingerprints=fingerprints
    )
    progress = Progress(left, thing)
    # Ray tells of every worker that ends on stdout, and has it in its own files.
    with run.cluster(address), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123
        number, each = run.actors_of(device, actors)
        with closing(run.run_parts(Work(segment, store), parts, number, **each)) as outcomes:
            failed = _watch(within(outcomes, max_failures), progress, out)
    print(f"{counted(left, thing)}, {pace(progress.seconds_each)}, rows in {out}")
    if failed:
        complain("error", f"{failed} of {counted(left, thing)} failed; their rows say why")
        raise typer.Exit(1)


def _watch(outcomes: Iterable[Done], progress: Progress, out: str) -> int:
    """Tell how far the work has come, to its end; how many failed."""
    failed = 0
    try:
        for one in outcomes:
            failed += one.failed
            progress.step(progress.done + one.pictures)
    except BaseException as end:
        progress.clear()
        if not isinstance(end, KeyboardInterrupt):
            raise
        of = counted(progress.total or 0, progress.one)
        complain("stopped", f"{progress.done} of {of} are done, in {out}; the same command goes on")
        raise typer.Exit(130) from None
    return failed


def _from_anywhere(name: str) -> str:
    """A name that means the same in workers, which have another folder."""
    return str(Path(name).absolute()) if Path(name).exists() else name
