"""ONNX files, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.extra import need
from plainmask.graphs.graph import KEY, Arrays, Graph, cannot_open


def open_file(path: Path, threads: int) -> Graph:
    """See `open_graph`."""
    ort = need("onnxruntime", "an ONNX file", 'pip install "plainmask[export]"')
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; they come as exceptions, too
    try:
        session: Any = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base but this
        raise cannot_open(path, error) from error
    outputs = tuple(value.name for value in session.get_outputs())

    def compute(inputs: Mapping[str, NDArray[np.float32]]) -> Arrays:
        return dict(zip(outputs, session.run(outputs, dict(inputs)), strict=True))

    about = session.get_modelmeta().custom_metadata_map.get(KEY, "")
    return Graph(path, about, tuple(one.name for one in session.get_inputs()), outputs, compute)
