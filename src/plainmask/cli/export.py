"""`plainmask export`: heads as files for other runtimes, the encoder once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plainmask.cli.console import print_table
from plainmask.cli.options import EncoderSource, Json
from plainmask.errors import InputError

if TYPE_CHECKING:
    from plainmask.export.check import Parity

EXAMPLE = (
    "Example:  plainmask export scenes person-parts --out exported\n\n"
    "Example:  plainmask segment photo.jpg --head exported/scenes.onnx"
)


def export(
    heads: Annotated[
        list[str],
        typer.Argument(
            metavar="HEAD...",
            help="Shipped heads, head folders or hub repositories, on one encoder.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("exported"),
    format: Annotated[str, typer.Option(help="onnx, torch (torch.export) or openvino.")] = "onnx",
    precision: Annotated[
        str,
        typer.Option(
            help="float32; float16 or bfloat16, to store weights in half the space; or int8, to "
            "compute the encoder in, which needs --check."
        ),
    ] = "float32",
    merged: Annotated[
        bool, typer.Option("--merged", help="One ONNX graph, from pixels to the logits of all.")
    ] = False,
    triton: Annotated[
        Path | None,
        typer.Option(help="A folder for a model repository of NVIDIA's Triton; ONNX, not merged."),
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA",
            help="Labelled data: compare logits and figures before and after the export, and "
            "write nothing where they differ by too much; once for all heads, or once for each.",
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of the data, such as val.")] = None,
    encoder: EncoderSource = None,
    as_json: Json = False,
) -> None:
    """Write the encoder and each head as a graph of its own, for any batch and any size.

    The files say what they are: encoder, classes, colours, thresholds and how pictures come in.
    Wherever a head is asked for, the file of one will do.
    """
    from plainmask.export.check import calibration, compare, read_checks
    from plainmask.export.folder import export_heads
    from plainmask.export.triton import write_repository
    from plainmask.graphs.graph import check_graph_format
    from plainmask.heads.exported import check_precision
    from plainmask.inference.loading import load_heads

    kind, stored = check_graph_format(format), check_precision(precision)
    if triton is not None and (kind != "onnx" or merged):
        raise InputError("--triton is for ONNX, the encoder and each head; leave out the others")
    segmenter = load_heads(heads, device="cpu", dtype="float32", encoder=encoder)
    records, names = read_checks(segmenter, check, split) if check else ({}, {})

    def prove(files: list[Path]) -> None:
        found = compare(segmenter, load_heads(files), stored, records, names)
        print_parity(found, as_json=as_json)
        found.demand()
        found.save(files[0].parent)

    files = export_heads(
        segmenter,
        out,
        format=kind,
        precision=stored,
        merged=merged,
        pictures=calibration(segmenter, records),
        accept=prove if check else None,
    )
    if triton is not None:
        files += write_repository(files, triton)
    for file in files:
        print(f"wrote {file}", file=sys.stderr)


def print_parity(found: Parity, *, as_json: bool) -> None:
    """Print what was compared: of each output the largest difference, and the figures."""
    if as_json:
        print(json.dumps(found.to_json()))
        return
    rows = [
        (one.head, one.output, f"{one.difference:.1e}", f"{one.pictures} {one.shape}")
        for one in found.worst
    ]
    print_table(("head", "output", "largest difference", "on"), rows)
    figures = [
        (one.head, f"{one.name} on {one.data}", f"{one.ours:.2f}", f"{one.exported:.2f}")
        for one in found.figures
    ]
    print_table(("head", "figure", "before %", "exported %"), figures)
