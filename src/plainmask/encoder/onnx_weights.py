"""Reading the weights that an ONNX graph carries, without the onnx package (docs/model.md 1.6).

Only what is needed of the protobuf wire format: initialisers, and nodes to find the linear
layers, whose matrices an exporter stores transposed and without a name.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from plainmask.errors import WeightsError

_FLOAT = 1  # TensorProto.DataType


@dataclass(frozen=True)
class _Node:
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_onnx_weights(path: Path) -> dict[str, Tensor]:
    """The DINOv2 weights in an ONNX file by `Dinov2Model`, under their Hugging Face names.

    Named initialisers below `backbone.` keep their names; the matrix of a linear layer is found
    as the second input of the MatMul whose output meets the layer's named bias in an Add, and is
    transposed back to (out, in). The position table is put together from its two parts.

    Raises:
        WeightsError: the file is no such graph, or a matrix or the table is not found.
    """
    try:
        with path.open("rb") as file:
            # Never closed by hand: the traceback of an error may still hold a view of it.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        tensors, nodes = _parse_model(memoryview(data))
    except (ValueError, IndexError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as an ONNX model: {error}") from error
    prefix = "backbone."
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    if "embeddings.cls_token" not in state:
        raise WeightsError(f"{path} holds no DINOv2 weights named backbone.embeddings.*")
    state |= _linear_matrices(tensors, nodes, prefix)
    missing = [k for k in _biases(state) if f"{k.removesuffix('bias')}weight" not in state]
    if missing:
        raise WeightsError(f"{path}: no matrix found beside {', '.join(missing[:5])}")
    state["embeddings.position_embeddings"] = _position_table(tensors, state, path)
    return state


def _biases(state: dict[str, Tensor]) -> list[str]:
    return [key for key in state if key.endswith(".bias")]


def _linear_matrices(
    tensors: dict[str, Tensor], nodes: list[_Node], prefix: str
) -> dict[str, Tensor]:
    products = {node.outputs[0]: node for node in nodes if node.op == "MatMul"}
    matrices: dict[str, Tensor] = {}
    for add in (node for node in nodes if node.op == "Add"):
        biases = [name for name in add.inputs if name.startswith(prefix) and name.endswith("bias")]
        matmuls = [products[name] for name in add.inputs if name in products]
        if biases and matmuls and matmuls[0].inputs[1] in tensors:
            name = biases[0].removeprefix(prefix).removesuffix("bias") + "weight"
            matrices[name] = tensors[matmuls[0].inputs[1]].T.contiguous()
    return matrices


def _position_table(tensors: dict[str, Tensor], state: dict[str, Tensor], path: Path) -> Tensor:
    """The (1, 1 + h*w, D) table: the exporter split it into class row and grid rows."""
    width = state["embeddings.cls_token"].shape[-1]
    anonymous = [
        tensor
        for name, tensor in tensors.items()
        if not name.startswith("backbone.") and tensor.ndim == 3 and tensor.shape[-1] == width
    ]
    class_rows = [tensor for tensor in anonymous if tensor.shape[1] == 1]
    grids = [tensor for tensor in anonymous if tensor.shape[1] > 1]
    if len(class_rows) != 1 or len(grids) != 1:
        raise WeightsError(f"{path}: the position table was not found in the graph")
    return torch.cat([class_rows[0], grids[0]], dim=1)


def _parse_model(data: memoryview) -> tuple[dict[str, Tensor], list[_Node]]:
    tensors: dict[str, Tensor] = {}
    nodes: list[_Node] = []
    graph = next((value for field, value in _fields(data) if field == 7), None)
    if graph is None:
        raise ValueError("it holds no graph")
    for field, value in _fields(_bytes(graph)):
        if field == 1:
            node, constant = _parse_node(_bytes(value))
            nodes.append(node)
            if constant is not None:
                tensors[node.outputs[0]] = constant
        elif field == 5:
            name, tensor = _parse_tensor(_bytes(value))
            if tensor is not None:
                tensors[name] = tensor
    return tensors, nodes


def _parse_node(data: memoryview) -> tuple[_Node, Tensor | None]:
    """A node, and its tensor when it is a Constant."""
    inputs: list[str] = []
    outputs: list[str] = []
    op, constant = "", None
    for field, value in _fields(data):
        if field == 1:
            inputs.append(_text(value))
        elif field == 2:
            outputs.append(_text(value))
        elif field == 4:
            op = _text(value)
        elif field == 5:  # attribute, whose field 5 is a tensor
            for inner, payload in _fields(_bytes(value)):
                if inner == 5:
                    constant = _parse_tensor(_bytes(payload))[1]
    return _Node(op, tuple(inputs), tuple(outputs)), constant if op == "Constant" else None


def _parse_tensor(data: memoryview) -> tuple[str, Tensor | None]:
    """Name and values of a TensorProto; None for types other than float32."""
    name, dtype, raw = "", 0, b""
    dims: list[int] = []
    for field, value in _fields(data):
        if field == 1:
            dims += [value] if isinstance(value, int) else _packed_varints(value)
        elif field == 2:
            dtype = value
        elif field == 8:
            name = _text(value)
        elif field in (4, 9):  # float_data (packed) and raw_data hold the same bytes
            raw = _bytes(value)
    if dtype != _FLOAT:
        return name, None
    values = np.frombuffer(raw, dtype="<f4").astype(np.float32)  # a copy: the file may go away
    return name, torch.from_numpy(values.reshape(dims))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field number and payload of every field of a protobuf message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield field, value
        elif wire == 2:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise ValueError("the file is truncated")
            yield field, data[position : position + length]
            position += length
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            yield field, data[position : position + size]
            position += size
        else:
            raise ValueError(f"unknown protobuf wire type {wire}")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7


def _packed_varints(data: memoryview) -> list[int]:
    values: list[int] = []
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a message was expected, a number found")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode()
