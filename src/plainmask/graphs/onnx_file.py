"""ONNX files, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainmask.extra import need
from plainmask.graphs.graph import KEY, Arrays, Graph, cannot_open

INSTALL = 'pip install "plainmask[export]"'


class Cut(NamedTuple):
    """A part of a graph, by the tensors where it is cut out."""

    prefix: str
    """Of its own tensors, for whom it is not there when the part runs alone."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def open_file(path: Path, threads: int) -> Graph:
    """See `open_graph`."""
    return _graph(path, path, threads, "")


def split_file(path: Path, threads: int, parts: Sequence[Cut]) -> list[Graph]:
    """Parts of a graph, each as a graph of its own.

    Raises:
        InputError: the package onnx is not installed.
    """
    onnx = need("onnx", "a merged ONNX file", INSTALL)
    cutter: Any = onnx.utils.Extractor(onnx.load(path))
    models = (cutter.extract_model(list(part.inputs), list(part.outputs)) for part in parts)
    return [
        _graph(path, model.SerializeToString(), threads, part.prefix)
        for model, part in zip(models, parts, strict=True)
    ]


def _graph(path: Path, model: Path | bytes, threads: int, prefix: str) -> Graph:
    ort = need("onnxruntime", "an ONNX file", INSTALL)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; they come as exceptions, too
    try:
        session: Any = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base but this
        raise cannot_open(path, error) from error
    inputs = {value.name.removeprefix(prefix): value.name for value in session.get_inputs()}
    outputs = {value.name.removeprefix(prefix): value.name for value in session.get_outputs()}

    def compute(given: Mapping[str, NDArray[np.float32]]) -> Arrays:
        feed = {inputs[name]: value for name, value in given.items()}
        return dict(zip(outputs, session.run([*outputs.values()], feed), strict=True))

    about = session.get_modelmeta().custom_metadata_map.get(KEY, "")
    return Graph(path, about, tuple(inputs), tuple(outputs), compute)
