"""A model repository for NVIDIA's Triton: encoder and heads as models, and all of them as one.

OUT/encoder/1/model.onnx, config.pbtxt    each graph as a model of its own
OUT/HEAD/1/model.onnx, config.pbtxt
OUT/heads/1/, config.pbtxt                an ensemble: pixels to the logits of all heads of images
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plainmask.atomic import cannot_write, temporary_beside, write_atomically
from plainmask.decoder.exported import QUERIES
from plainmask.errors import InputError
from plainmask.extra import need
from plainmask.graphs.onnx_file import INSTALL
from plainmask.heads.exported import ENCODER

ENSEMBLE = "heads"
"""What the model of all heads is called."""
MOST = 8
"""Pictures of one size that Triton may put into a batch."""

Sides = Mapping[str, list[int]]
"""Tensors by name, with their sides less the batch; -1 for a free one."""


def write_repository(files: Sequence[Path], out: Path) -> list[Path]:
    """Write a model repository.

    Args:
        files: an export to ONNX, not merged: the encoder's file and those of heads.
        out: the folder; models of these names are replaced.

    Returns:
        The configurations.

    Raises:
        InputError: a head is called as the ensemble, or the folder cannot be written.
    """
    heads = sorted(file for file in files if file.suffix == ".onnx" and file.stem != ENCODER)
    if ENSEMBLE in {file.stem for file in heads}:
        raise InputError(f"a head is called {ENSEMBLE!r}, as the model of all of them; rename it")
    sides: dict[str, tuple[Sides, Sides]] = {}
    written: list[Path] = []
    try:
        for file in (heads[0].with_stem(ENCODER), *heads) if heads else files:
            version = out / file.stem / "1"
            version.mkdir(parents=True, exist_ok=True)
            _place(file, version / "model.onnx")
            weights = file.with_name(f"{file.name}.data")
            if weights.is_file():  # by the name that the graph says
                _place(weights, version / weights.name)
            sides[file.stem] = _sides(file)
            written.append(_config(out, file.stem, model_config(file.stem, *sides[file.stem])))
        together = [file.stem for file in heads if QUERIES not in sides[file.stem][0]]
        if together:
            (out / ENSEMBLE / "1").mkdir(parents=True, exist_ok=True)
            written.append(_config(out, ENSEMBLE, ensemble_config(together, sides)))
    except OSError as error:
        raise cannot_write(out, error) from error
    return written


def model_config(name: str, inputs: Sides, outputs: Sides) -> str:
    """The configuration of a graph."""
    return (
        f'name: "{name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: {MOST}\n'
        + _tensors("input", inputs)
        + _tensors("output", outputs)
        + "dynamic_batching { }\n"
    )


def ensemble_config(heads: Sequence[str], sides: Mapping[str, tuple[Sides, Sides]]) -> str:
    """The configuration of the model of all heads; what a head gives begins with its name."""
    inputs, taps = sides[ENCODER]
    outputs = {
        f"{head}.{name}": shape
        for head in heads
        for name, shape in sides[head][1].items()
        if name.endswith("_logits")
    }
    read = {name: name for name in taps if any(name in sides[head][0] for head in heads)}
    steps = [_step(ENCODER, {name: name for name in inputs}, read)]
    for head in heads:
        own = {name: f"{head}.{name}" for name in sides[head][1] if name.endswith("_logits")}
        steps.append(_step(head, {name: name for name in sides[head][0]}, own))
    return (
        f'name: "{ENSEMBLE}"\nplatform: "ensemble"\nmax_batch_size: {MOST}\n'
        + _tensors("input", inputs)
        + _tensors("output", outputs)
        + "ensemble_scheduling {\n"
        + "".join(steps)
        + "}\n"
    )


def _step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    maps = [("input_map", inputs), ("output_map", outputs)]
    lines = [
        f'    {kind} {{ key: "{key}" value: "{value}" }}\n'
        for kind, names in maps
        for key, value in names.items()
    ]
    return f'  step {{\n    model_name: "{model}"\n    model_version: -1\n{"".join(lines)}  }}\n'


def _tensors(kind: str, tensors: Sides) -> str:
    return "".join(
        f'{kind} {{ name: "{name}" data_type: TYPE_FP32 dims: {shape} }}\n'
        for name, shape in tensors.items()
    )


def _sides(file: Path) -> tuple[Sides, Sides]:
    """Of the inputs and of the outputs of a graph."""
    onnx = need("onnx", "a model repository", INSTALL)
    graph: Any = onnx.load(file, load_external_data=False).graph

    def shapes(values: Any) -> dict[str, list[int]]:
        return {
            value.name: [dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim][1:]
            for value in values
        }

    return shapes(graph.input), shapes(graph.output)


def _place(file: Path, target: Path) -> None:
    """The same file under another name, without a copy where the disk allows."""
    temporary = temporary_beside(target)
    try:
        os.link(file, temporary)
    except OSError:
        shutil.copyfile(file, temporary)
    temporary.replace(target)


def _config(out: Path, name: str, text: str) -> Path:
    return write_atomically(out / name / "config.pbtxt", text.encode())
