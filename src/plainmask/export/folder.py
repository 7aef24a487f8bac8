"""A segmenter as a folder of exported files: the encoder once, and each head."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import get_args

from torch import Tensor

from plainmask.atomic import cannot_write, check_replaceable
from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.encoder.vit import Encoder
from plainmask.errors import InputError, PlainmaskError
from plainmask.export.formats import Piece, write, write_merged
from plainmask.export.modules import EncoderGraph, HeadGraph
from plainmask.export.precision import smoothed
from plainmask.export.trace import trace_encoder, trace_head
from plainmask.graphs.graph import SUFFIXES, GraphFormat, open_graph
from plainmask.heads.exported import ENCODER, MERGED, REPORT, About, Precision, read_about
from plainmask.inference.segmenter import Segmenter
from plainmask.results.places import check_writable


def export_heads(
    segmenter: Segmenter,
    out: Path,
    *,
    format: GraphFormat = "onnx",
    precision: Precision = "float32",
    merged: bool = False,
    pictures: Iterable[Tensor] = (),
    accept: Callable[[list[Path]], None] | None = None,
) -> list[Path]:
    """Write the encoder and each head of a segmenter as graphs, each of its own.

    What is there of an earlier export is replaced, after all is done; nothing else is touched.

    Args:
        segmenter: on the CPU, not compiled.
        out: the folder.
        format: of the files.
        precision: what weights are stored in; int8: what the encoder's linear layers are computed
            in, ONNX only, and only with `pictures` and `accept`.
        merged: as one graph from pixels to the logits of all heads; ONNX only.
        pictures: pixels (B, 3, H, W) uint8 such as the encoder will see, by which int8 is adjusted.
        accept: called with the finished files that heads are loaded from, in a folder that may get
            more; raises where they are not good, and then nothing is written.

    Returns:
        The files.

    Raises:
        InputError: the folder cannot be written or a file there is not ours, two heads have one
            name as a file, a package is missing, or the segmenter was itself exported.
    """
    suffix = next(known for known, name in SUFFIXES.items() if name == format)
    _check_choice(format, precision, merged=merged, proven=accept is not None)
    check_writable(out)
    names = file_names(segmenter)
    check_replaceable(out / REPORT)
    for name in [MERGED] if merged else [ENCODER, *names.values()]:
        _check_ours(out / f"{name}{suffix}", segmenter, precision)
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as scratch:
            pieces = pieces_of(segmenter, names, precision, pictures)
            heads = [Path(scratch) / f"{name}{suffix}" for name in names.values()]
            if merged:
                heads = [Path(scratch) / f"{MERGED}{suffix}"]
                write_merged(pieces, heads[0])
            else:
                for piece in pieces:
                    write(piece, Path(scratch) / f"{piece.name}{suffix}", format)
            if accept is not None:
                accept(heads)
            found = sorted(Path(scratch).iterdir())
            return [file.replace(out / file.name) for file in found]
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        if made:
            with suppress(OSError):  # with files in it, it stays
                out.rmdir()


def pieces_of(
    segmenter: Segmenter, names: dict[str, str], precision: Precision, pictures: Iterable[Tensor]
) -> list[Piece]:
    """The graphs of an encoder and its heads.

    Args:
        segmenter: what to trace.
        names: of the files, by head.
        precision, pictures: see `export_heads`. Heads stay in float32 beside an encoder in int8.
    """
    encoder = segmenter.encoder
    if not isinstance(encoder, Encoder):
        raise InputError(f"{encoder.graph.path} is an export already; export its head folders")
    wanted = {tap for head in segmenter.heads.values() for tap in head.config.encoder.taps}
    exported = smoothed(encoder, pictures) if precision == "int8" else encoder
    graph = EncoderGraph(exported, sorted(wanted | set(encoder.config.taps)))
    about = About(
        kind="encoder",
        precision=precision,
        encoder_name=encoder.name,
        fingerprint=encoder.fingerprint,
        older_fingerprint=encoder.older_fingerprint,
        encoder=encoder.config,
    )
    found = [Piece(ENCODER, graph, trace_encoder(graph), about)]
    for name, head in segmenter.heads.items():
        assert isinstance(head.decoder, PlainMaskDecoder)
        graph = HeadGraph(head.decoder, head.config.encoder.taps)
        own = about.model_copy(
            update={
                "kind": "head",
                "heads": (head.config,),
                "precision": "float32" if precision == "int8" else precision,
            }
        )
        found += [Piece(names[name], graph, trace_head(graph, encoder.config.prefix), own)]
    return found


def _check_choice(format: GraphFormat, precision: Precision, *, merged: bool, proven: bool) -> None:
    """Raise an InputError for what does not go together."""
    if merged and format != "onnx":
        raise InputError(f"a merged graph is for ONNX; leave --merged out for {format}")
    known: dict[GraphFormat, tuple[Precision, ...]] = {
        "onnx": get_args(Precision),
        "openvino": ("float32", "float16", "bfloat16"),
        "torch": ("float32",),
    }
    if precision not in known[format]:
        raise InputError(
            f"{precision} is not for {format}, which has {', '.join(known[format])}; choose one of "
            "these, or ONNX"
        )
    if precision == "int8" and not proven:
        raise InputError(
            "int8 changes what heads find, so it is written with a proof alone; give --check DATA"
        )


def file_names(segmenter: Segmenter) -> dict[str, str]:
    """What the files of the heads are called, without their suffix.

    Raises:
        InputError: two of them, or one and the encoder, have one name.
    """
    names = {name: name.replace("/", "--") for name in segmenter.heads}
    taken = [ENCODER, MERGED, *names.values()]
    if twice := {name for name in taken if taken.count(name) > 1}:
        raise InputError(f"two of the files would be called {twice.pop()}; rename one of the heads")
    return names


def _check_ours(path: Path, segmenter: Segmenter, precision: Precision) -> None:
    """See that no file is lost that is no export, and no other head loses its encoder."""
    if not path.exists():
        return
    try:
        about = read_about(open_graph(path, 1).about, path)
    except PlainmaskError as error:
        raise InputError(
            f"{path} is there already and no export of plainmask, so it is not replaced; move it, "
            "or give another folder"
        ) from error
    if about.fingerprint != segmenter.encoder.fingerprint:
        raise InputError(
            f"{path} was exported from {about.encoder_name} with the fingerprint "
            f"{about.fingerprint}, this encoder is {segmenter.encoder.name} with "
            f"{segmenter.encoder.fingerprint}; give another folder"
        )
    if about.kind == "encoder" and about.precision != precision:
        raise InputError(
            f"{path} is in {about.precision}, and other heads there may read it; give another "
            f"folder for {precision}"
        )
