"""Exported heads and encoders: what their files say of themselves, and how they are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from plainmask.decoder.exported import ExportedDecoder
from plainmask.encoder.exported import ExportedEncoder
from plainmask.encoder.vit import EncoderConfig
from plainmask.errors import HeadError, InputError
from plainmask.graphs.graph import Graph, is_graph, open_graph
from plainmask.heads.head import Head, HeadConfig, find_head

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


def load_head(name: str | Path) -> Head:
    """A head: an exported file, or whatever `find_head` finds.

    Raises:
        InputError, HeadError, WeightsError: as `Head.load` and `open_graph`.
    """
    if not is_graph(name):
        return Head.load(find_head(name))
    graph, about = open_exported(Path(name), "head")
    (config,) = about.heads
    decoder = ExportedDecoder(graph, config.decoder, config.encoder.taps, about.encoder.prefix)
    return Head(config, decoder)


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
    graph, about = open_exported(Path(path), "encoder")
    return ExportedEncoder(
        graph,
        about.encoder,
        name=about.encoder_name,
        fingerprint=about.fingerprint,
        older_fingerprint=about.older_fingerprint,
    )


def open_exported(path: Path, kind: Literal["encoder", "head", "merged"]) -> tuple[Graph, About]:
    """An exported file of this kind, and what it says of itself.

    Raises:
        InputError: see `open_graph`; or the file is of another kind.
        HeadError: written by a newer plainmask.
    """
    graph = open_graph(path, torch.get_num_threads())
    about = read_about(graph.about, path)
    if about.kind != kind:
        raise InputError(f"{path} is an exported {about.kind}, where {_a(kind)} is needed")
    return graph, about


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


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "encoder" else f"a {kind}"
