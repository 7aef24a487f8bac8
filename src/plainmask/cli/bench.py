"""`plainmask bench`: where the time of a picture goes, for one's own heads on one's own machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from plainmask.cli.console import print_table
from plainmask.cli.options import Compile, Device, EncoderSource, Json, head_names
from plainmask.progress import counted

if TYPE_CHECKING:
    from plainmask.inference.bench import Bench, Step

EXAMPLE = "Example:  plainmask bench street.jpg --heads scenes,person-parts --compare"


def bench(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    heads: Annotated[
        str,
        typer.Option(
            "--head",
            "--heads",
            metavar="NAME[,NAME...]",
            help="Shipped heads, head folders or hub repositories, with commas between.",
        ),
    ] = "scenes",
    size: Annotated[
        int | None,
        typer.Option(
            help="Side at which the heads see the picture, in pixels.",
            show_default="as the head says",
        ),
    ] = None,
    runs: Annotated[int, typer.Option(help="Runs that are measured.")] = 5,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    compiled: Compile = False,
    encoder: EncoderSource = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Measure transformers' EoMT of the same size, random weights, too."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure each step of a picture: reading, network, results, files.

    Medians after runs that warm up; other work on the machine shows in the spread.
    """
    from plainmask.allocator import keep_freed_memory
    from plainmask.inference.bench import bench as measure
    from plainmask.inference.loading import load_heads

    keep_freed_memory()
    segmenter = load_heads(
        head_names(heads),
        device=device,
        dtype=cast(Any, dtype),
        compile=compiled,
        encoder=encoder,
    )
    found = measure(segmenter, image, size=size, runs=runs, compare=compare)
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        report(found)


def report(found: Bench) -> None:
    """Print a table of the steps, and what belongs to them."""
    from plainmask.inference.bench import WARM_UP

    height, width = found.picture
    where = found.device
    if where == "cpu":
        where += f", {counted(found.threads, 'thread')}"
    print_table(
        ("step", "ms", "least - most", "GFLOP", "peak %"),
        [_row(step, found) for step in (*found.steps, found.whole)],
        numbers=4,
        title=f"{width} x {height}, {found.encoder}, {found.dtype} on {where}",
    )
    measured = f"Medians of {counted(found.runs, 'run')} after {WARM_UP} that warm up"
    print(f"{measured}; one picture at a time.\nNot included: start, imports, loading of weights.")
    peak = f"the peak, a product of matrices, is {found.peak_gflops:.0f} GFLOP/s"
    print(f"{found.tokens} tokens; {peak}.")
    weights = ", ".join(f"{name} {size:.1f}" for name, size in found.weight_megabytes.items())
    print(f"Weights in MB: {weights}.")
    if found.memory_megabytes is not None:
        print(f"Most memory, with all that is loaded: {found.memory_megabytes:.0f} MB.")
    if found.comparison is not None:
        c, count = found.comparison, len(found.heads)
        ours = f"{counted(count, 'head')} {_ms(c.ours.median)} ms"
        theirs = f"{count} {c.peer} with random weights {_ms(c.theirs.median)} ms"
        print(f"Networks alone, {c.side} x {c.side}: {ours};\n{theirs}, {c.ratio:.2f} times ours.")


def _row(step: Step, found: Bench) -> tuple[str, ...]:
    name = f"{step.name}: {', '.join(step.heads)}" if step.heads else step.name
    rate = step.gflops
    return (
        name,
        _ms(step.median),
        f"{_ms(min(step.seconds))} - {_ms(max(step.seconds))}",
        "" if step.gflop is None else f"{step.gflop:.1f}",
        "" if rate is None else f"{100 * rate / found.peak_gflops:.0f}",
    )


def _ms(seconds: float) -> str:
    """Milliseconds with three digits or more."""
    return f"{1e3 * seconds:.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.1f}"
