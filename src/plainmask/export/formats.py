"""Traced graphs as files of each format, with what they are in the format's own metadata."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from plainmask.export.modules import EncoderGraph, HeadGraph
from plainmask.export.precision import narrow, quantise
from plainmask.export.trace import exporting
from plainmask.extra import need
from plainmask.graphs.graph import KEY, GraphFormat
from plainmask.graphs.onnx_file import INSTALL
from plainmask.graphs.torch_file import NAMES
from plainmask.heads.exported import About

OPSET = 18
LARGEST = 1_900_000_000
"""Bytes that an ONNX file holds; beyond, weights lie beside it, as the format ends at 2 GiB."""


@dataclass(frozen=True, eq=False)
class Piece:
    """One graph on its way to a file."""

    name: str
    """Of the file, without its suffix."""
    graph: EncoderGraph | HeadGraph
    traced: ExportedProgram
    about: About


def write(piece: Piece, path: Path, format: GraphFormat) -> None:
    """Write a piece as a file of this format.

    Raises:
        InputError: a package is missing.
        OSError: the file cannot be written.
    """
    match format:
        case "onnx":
            save_onnx(to_onnx(piece), piece.about, path)
        case "torch":
            names = json.dumps([piece.graph.inputs, piece.graph.outputs])
            extra = {KEY: piece.about.model_dump_json(), NAMES: names}
            torch.export.save(piece.traced, path, extra_files=extra)
        case "openvino":
            _save_openvino(piece, path)


def write_merged(pieces: Sequence[Piece], path: Path) -> None:
    """Write the encoder's piece and those of heads as one ONNX graph, from pixels to logits.

    What a head takes and gives is called as in its own file, after its name and a dot.
    """
    encoder, *heads = pieces
    model = to_onnx(encoder)
    graph = model.graph
    graph.value_info.extend(graph.output)  # with their shapes, so that they can be cut out again
    del graph.output[:]
    for head in heads:
        _join(graph, to_onnx(head), f"{head.about.heads[0].name}.", set(encoder.graph.outputs))
    configs = tuple(config for head in heads for config in head.about.heads)
    about = encoder.about.model_copy(update={"kind": "merged", "heads": configs})
    save_onnx(model, about, path)


def _join(graph: Any, head: Any, prefix: str, taps: Container[str]) -> None:
    """Add a head's graph to the encoder's; all but the taps is renamed."""
    onnx = need("onnx", "an export to ONNX", INSTALL)
    assert not head.functions
    own: Any = onnx.compose.add_prefix(head, prefix).graph
    for node in own.node:
        names = [name.removeprefix(prefix) for name in node.input]
        node.input[:] = [
            name if name in taps else given for name, given in zip(names, node.input, strict=True)
        ]
    graph.node.extend(own.node)
    graph.initializer.extend(own.initializer)
    graph.input.extend(one for one in own.input if one.name.removeprefix(prefix) not in taps)
    graph.output.extend(own.output)


def to_onnx(piece: Piece) -> Any:
    """A piece as an ONNX model (`onnx.ModelProto`), in the precision that it says."""
    need("onnxscript", "an export to ONNX", INSTALL)
    with exporting():
        program = torch.onnx.export(
            piece.traced,
            input_names=piece.graph.inputs,
            output_names=piece.graph.outputs,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model: Any = program.model_proto
    _tidy(model, piece.graph.sides)
    match piece.about.precision:
        case "float16" | "bfloat16":
            narrow(model, piece.about.precision)
        case "int8":
            return quantise(model)
        case "float32":
            pass
    return model


def save_onnx(model: Any, about: About, path: Path) -> None:
    """Write a model that says what it is."""
    onnx = need("onnx", "an export to ONNX", INSTALL)
    onnx.helper.set_model_props(model, {KEY: about.model_dump_json()})
    if model.ByteSize() > LARGEST:
        onnx.save_model(
            model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0
        )
    else:
        onnx.save_model(model, path)


def _save_openvino(piece: Piece, path: Path) -> None:
    """OpenVINO reads our ONNX better than torch's graphs: free sides stay free."""
    openvino = need("openvino", "an export to OpenVINO", 'pip install "plainmask[openvino]"')
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        between = Path(scratch) / "model.onnx"
        save_onnx(to_onnx(piece), piece.about, between)
        model: Any = openvino.convert_model(between)
        model.set_rt_info(piece.about.model_dump_json(), KEY)
        openvino.save_model(model, path, compress_to_fp16=False)
        del model  # it has the file between open


def _tidy(model: Any, sides: Mapping[str, Mapping[int, str]]) -> None:
    """Name free sides by what they are, and leave out what the tracer says of where it was."""
    names: dict[str, str] = {}
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]  # lines of source files, a third of a small graph
    for value in model.graph.input:
        for place, name in sides[value.name].items():
            names[value.type.tensor_type.shape.dim[place].dim_param] = name
    del model.graph.value_info[:]  # what lies between says nothing to people
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(
                    r"[A-Za-z_]\w*", lambda found: names.get(found[0], found[0]), dim.dim_param
                )
