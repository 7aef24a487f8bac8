"""One exported network, whichever runtime computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, TypeAlias, TypeGuard, get_args

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError, PlainmaskError
from plainmask.options import one_of

GraphFormat: TypeAlias = Literal["onnx", "torch", "openvino"]
Arrays: TypeAlias = "dict[str, NDArray[np.float32]]"
Compute: TypeAlias = "Callable[[Mapping[str, NDArray[np.float32]]], Arrays]"
"""What computes all outputs by name from all inputs by name."""

SUFFIXES: dict[str, GraphFormat] = {".onnx": "onnx", ".pt2": "torch", ".xml": "openvino"}
"""How files of each format end. Each format has a module of its own beside this one."""
KEY = "plainmask"
"""Under which a file says what it is, in its format's own metadata."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A network that is ready to run."""

    path: Path
    about: str
    """What the file says of itself: JSON, see `plainmask.heads.exported.About`."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    compute: Compute

    def __call__(self, inputs: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """All outputs by name.

        Raises:
            MemoryError: memory does not hold what it takes.
            PlainmaskError: the runtime fails; says what it said.
        """
        try:
            return self.compute(inputs)
        except Exception as error:  # each runtime has errors of its own
            if any(word in str(error).lower() for word in ("alloc", "out of memory")):
                raise MemoryError(str(error)) from error
            shapes = ", ".join(f"{name} {value.shape}" for name, value in inputs.items())
            reason = str(error).strip().splitlines()[0]
            raise PlainmaskError(f"{self.path} failed on {shapes}: {reason}") from error


def is_graph(name: object) -> TypeGuard[str | Path]:
    """Whether this names a file of an exported network."""
    return isinstance(name, str | Path) and Path(name).suffix in SUFFIXES


def open_graph(path: str | Path, threads: int) -> Graph:
    """Open an exported network.

    Args:
        path: a file; its suffix says the format.
        threads: how many the runtime may use.

    Raises:
        InputError: there is no such file, it is damaged or none that plainmask exported, or the
            runtime is not installed.
    """
    place = Path(path)
    if not place.is_file():
        raise InputError(f"{place}: there is no such file; plainmask export makes them")
    reader = import_module(f"plainmask.graphs.{SUFFIXES[place.suffix]}_file")
    graph: Graph = reader.open_file(place, threads)
    if not graph.about:
        raise InputError(
            f"{place} is no file that plainmask exported: it does not say which encoder or head it "
            "is; make one with plainmask export"
        )
    return graph


def check_graph_format(name: str) -> GraphFormat:
    """The format of this name.

    Raises:
        InputError: there is none.
    """
    return one_of(name, get_args(GraphFormat), f"the format {name!r} is unknown")


def cannot_open(path: Path, error: Exception) -> InputError:
    """The error for a file that a runtime does not take."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InputError(f"{path} cannot be opened: {reason}; export it again")
