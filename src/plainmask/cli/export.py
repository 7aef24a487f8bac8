"""`plainmask export`: heads as files for other runtimes, the encoder once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from plainmask.cli.options import EncoderSource

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
    merged: Annotated[
        bool, typer.Option("--merged", help="One ONNX graph, from pixels to the logits of all.")
    ] = False,
    encoder: EncoderSource = None,
) -> None:
    """Write the encoder and each head as a graph of its own, for any batch and any size.

    The files say what they are: encoder, classes, colours, thresholds and how pictures come in.
    Wherever a head is asked for, the file of one will do.
    """
    from plainmask.export.folder import export_heads
    from plainmask.graphs.graph import check_graph_format
    from plainmask.inference.loading import load_heads

    kind = check_graph_format(format)
    segmenter = load_heads(heads, device="cpu", dtype="float32", encoder=encoder)
    for file in export_heads(segmenter, out, format=kind, merged=merged):
        print(f"wrote {file}", file=sys.stderr)
