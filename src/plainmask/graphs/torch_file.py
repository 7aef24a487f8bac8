"""torch.export's files (.pt2), run by torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plainmask.graphs.graph import KEY, Arrays, Graph, cannot_open

NAMES = "names"
"""Beside `KEY` among the extra files: JSON, the inputs and outputs in order."""


def open_file(path: Path, threads: int) -> Graph:
    """See `open_graph`; torch has one number of threads for everything, which stays as it is."""
    extra: dict[str, Any] = {KEY: "", NAMES: ""}
    try:
        module = torch.export.load(path, extra_files=extra).module()
    except Exception as error:  # archives, pickles and schemas each have errors of their own
        raise cannot_open(path, error) from error
    inputs, outputs = json.loads(extra[NAMES] or "[[], []]")

    def compute(given: Mapping[str, NDArray[np.float32]]) -> Arrays:
        with torch.inference_mode():
            found = module(*(torch.from_numpy(given[name]) for name in inputs))
        return {name: value.numpy() for name, value in zip(outputs, found, strict=True)}

    return Graph(path, extra[KEY] or "", tuple(inputs), tuple(outputs), compute)
