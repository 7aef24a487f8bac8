"""OpenVINO files (a .xml with its .bin beside it), run by OpenVINO."""

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
    openvino = need("openvino", "an OpenVINO file", 'pip install "plainmask[openvino]"')
    # As exported: by itself it would compute in half precision where a CPU is faster at it.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    try:
        model: Any = openvino.Core().read_model(path)
        compiled: Any = openvino.compile_model(model, "CPU", settings)
    except Exception as error:  # its errors have no common base but this
        raise cannot_open(path, error) from error
    about = str(model.get_rt_info(KEY).astype(str)) if model.has_rt_info(KEY) else ""
    names = [port.get_any_name() for port in compiled.outputs]

    def compute(inputs: Mapping[str, NDArray[np.float32]]) -> Arrays:
        found = compiled(dict(inputs))
        return {name: found[place].copy() for place, name in enumerate(names)}

    inputs = tuple(port.get_any_name() for port in compiled.inputs)
    return Graph(path, about, inputs, tuple(names), compute)
