"""Exported heads and encoders: what their files say of themselves, and how they are opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from plainmask.decoder.exported import NEXT, OUTPUTS, QUERIES, ExportedDecoder
from plainmask.encoder.exported import PIXELS, ExportedEncoder, tap_names
from plainmask.encoder.vit import EncoderConfig
from plainmask.errors import HeadError, InputError
from plainmask.graphs.graph import Graph, is_graph, open_graph
from plainmask.graphs.onnx_file import Cut, split_file
from plainmask.heads.head import Head, HeadConfig, find_head
from plainmask.options import one_of

Precision: TypeAlias = Literal["float32", "float16", "bfloat16", "int8"]
ENCODER = "encoder"
"""Stem of the encoder's file, beside the heads that were exported with it."""


class About(BaseModel):
    """What an exported file says of itself; nothing of it is part of the graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    kind: Literal["encoder", "head", "merged"]
    precision: Precision
    """What the weights are stored in; inputs and outputs are float32."""
    encoder_name: str
    fingerprint: str
    """Of the encoder that was exported, before it was narrowed."""
    older_fingerprint: str
    """Under which older heads know it; see `EncoderRef.means`."""
    encoder: EncoderConfig
    """With the patch size, and what pixels are normalised by."""
    heads: tuple[HeadConfig, ...] = ()
    """One, of a merged file several: names, colours, input, thresholds, licence."""


REPORT = "parity.json"
"""What was compared before an export was written."""
MERGED = "merged"
"""Stem of a file that holds an encoder and its heads as one graph."""


def check_precision(name: str) -> Precision:
    """The precision of this name.

    Raises:
        InputError: there is none.
    """
    return one_of(name, get_args(Precision), f"the precision {name!r} is unknown")


def load_head(name: str | Path) -> Head:
    """A head: an exported file of one head, or whatever `find_head` finds.

    Raises:
        InputError, HeadError, WeightsError: as `load_each`; or the file holds several heads.
    """
    heads = load_each(name)
    if len(heads) > 1:
        names = ", ".join(head.config.name for head in heads)
        raise InputError(f"{name} holds the heads {names}; where one is needed, export it alone")
    return heads[0]


def load_each(name: str | Path) -> list[Head]:
    """The heads of a name: of a merged file several, each with the encoder of the file.

    Raises:
        InputError, HeadError, WeightsError: as `Head.load` and `open_graph`.
    """
    if not is_graph(name):
        return [Head.load(find_head(name))]
    graph, about = open_exported(Path(name))
    if about.kind == "merged":
        return _split(Path(name), about)
    _expect("head", about, graph)
    return [_head(graph, about, about.heads[0])]


def encoder_of(head: str | Path) -> ExportedEncoder:
    """The encoder beside an exported head.

    Raises:
        InputError: it is not there, or cannot be opened.
    """
    path = Path(head).with_stem(ENCODER)
    if not path.is_file():
        raise InputError(
            f"{head} reads an encoder, {path}, which is not there; keep the files of an export "
            "together, or give encoder=PATH"
        )
    return load_exported_encoder(path)


def load_exported_encoder(path: str | Path) -> ExportedEncoder:
    """An exported encoder.

    Raises:
        InputError: see `open_graph`; or it is a head.
    """
    graph, about = open_exported(Path(path))
    _expect("encoder", about, graph)
    return _encoder(graph, about)


def open_exported(path: Path) -> tuple[Graph, About]:
    """An exported file, and what it says of itself.

    Raises:
        InputError: see `open_graph`.
        HeadError: written by another plainmask.
    """
    graph = open_graph(path, torch.get_num_threads())
    return graph, read_about(graph.about, path)


def read_about(text: str, path: Path) -> About:
    """What a file says of itself.

    Raises:
        HeadError: it is of a newer format, or damaged.
    """
    try:
        return About.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise HeadError(
            f"{path} was exported by another plainmask ({where}: {first['msg']}); export it again, "
            "or pip install -U plainmask"
        ) from error


def _split(path: Path, about: About) -> list[Head]:
    """The heads of a merged file: as its parts, each a graph of its own, they run as any other."""
    wanted = {tap for head in about.heads for tap in head.encoder.taps}
    taps = tap_names(sorted(wanted))
    parts = [Cut("", (PIXELS,), tuple(taps))]
    for head in about.heads:
        more = head.decoder.propagation != "none"
        inputs = (*tap_names(head.encoder.taps), *([f"{head.name}.{QUERIES}"] if more else []))
        outputs = [f"{head.name}.{name}" for name in (*OUTPUTS, *([NEXT] if more else []))]
        parts.append(Cut(f"{head.name}.", inputs, tuple(outputs)))
    first, *rest = split_file(path, torch.get_num_threads(), parts)
    encoder = _encoder(first, about)
    return [
        replace(_head(graph, about, head), encoder=encoder)
        for graph, head in zip(rest, about.heads, strict=True)
    ]


def _head(graph: Graph, about: About, config: HeadConfig) -> Head:
    taps = config.encoder.taps
    return Head(config, ExportedDecoder(graph, config.decoder, taps, about.encoder.prefix))


def _encoder(graph: Graph, about: About) -> ExportedEncoder:
    return ExportedEncoder(
        graph,
        about.encoder,
        name=about.encoder_name,
        fingerprint=about.fingerprint,
        older_fingerprint=about.older_fingerprint,
    )


def _expect(kind: Literal["encoder", "head"], about: About, graph: Graph) -> None:
    if about.kind == kind:
        return
    articles = {"encoder": "an encoder", "head": "a head", "merged": "a merged file"}
    if kind == "head":
        rest = "a head is needed; give the file of a head beside it, which finds it by itself"
    else:
        rest = f"an encoder is needed; give the {ENCODER}{graph.path.suffix} of an export"
    raise InputError(f"{graph.path} is {articles[about.kind]} that was exported, where {rest}")
