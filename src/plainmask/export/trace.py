"""From modules to graphs: torch.export, with free batch and sides."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from plainmask.export.modules import BATCH, EncoderGraph, HeadGraph

NOISY = "torch.onnx._internal.exporter._registration"
"""A logger that tells of packages which are not needed here."""


def trace_encoder(graph: EncoderGraph) -> ExportedProgram:
    """The encoder's graph; any batch and any sides that are multiples of the patch."""
    patch = graph.encoder.config.patch_size
    # The tracer takes a side of 1 for a case of its own, so it says 2 patches; ONNX has no limit.
    return _trace(graph, {graph.inputs[0]: (2, 3, 3 * patch, 4 * patch)}, least=2 * patch)


def trace_head(graph: HeadGraph, prefix: int) -> ExportedProgram:
    """A head's graph; any batch and any grid.

    Args:
        graph: what to trace.
        prefix: R of its encoder.
    """
    config = graph.decoder.config
    patches, before = (2, 3, 4, config.width), (2, prefix, config.width)
    queries = (2, config.num_queries, config.width)
    shapes = {
        name: patches if name.startswith("patches") else before if "prefix" in name else queries
        for name in graph.inputs
    }
    return _trace(graph, shapes)


def _trace(
    graph: EncoderGraph | HeadGraph, shapes: dict[str, tuple[int, ...]], least: int = 1
) -> ExportedProgram:
    """The graph of a module for inputs of these shapes, its sides free where it says so."""
    # Each a tensor of its own: one that is given twice would be read twice.
    examples: list[Tensor] = [torch.zeros(shape) for shape in shapes.values()]
    names = {name for sides in graph.sides.values() for name in sides.values()}
    known = {name: Dim(name, min=1 if name == BATCH else least) for name in names}
    free = tuple(
        {place: known[name] for place, name in graph.sides[tensor].items()} for tensor in shapes
    )
    with exporting(), torch.no_grad():
        return torch.export.export(graph.eval(), tuple(examples), dynamic_shapes=(free,))


@contextmanager
def exporting() -> Generator[None]:
    """Without what torch's exporters say about themselves."""
    logger = logging.getLogger(NOISY)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
