"""ONNX files written by hand, as the exporter of the pinned wheel writes them (no onnx package).

Linear layers have a named bias and an anonymous, transposed matrix; the position table is split;
the mask token is absent.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from torch import Tensor

FLOAT, INT64, TENSOR_ATTRIBUTE = 1, 7, 4


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | bytes | str) -> bytes:
    """One protobuf field: a varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    payload = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def tensor(name: str, values: np.ndarray, *, packed: bool = False) -> bytes:
    """A TensorProto; `packed` uses the other of the two legal forms of sizes and values."""
    dtype, kind = (INT64, "<i8") if values.dtype == np.int64 else (FLOAT, "<f4")
    raw = values.astype(kind).tobytes()
    if packed:
        sizes = field(1, b"".join(varint(size) for size in values.shape))
        return sizes + field(2, dtype) + field(4, raw) + field(8, name)
    sizes = b"".join(field(1, size) for size in values.shape)
    return sizes + field(2, dtype) + field(8, name) + field(9, raw)


def node(op: str, inputs: Iterable[str], output: str, constant: bytes | None = None) -> bytes:
    """A NodeProto; `constant` is the tensor of a Constant."""
    parts = [field(1, name) for name in inputs] + [field(2, output), field(4, op)]
    if constant is not None:
        parts.append(field(5, field(1, "value") + field(5, constant) + field(20, TENSOR_ATTRIBUTE)))
    return b"".join(parts)


def model(nodes: Iterable[bytes], initializers: Iterable[bytes]) -> bytes:
    graph = b"".join(field(1, n) for n in nodes) + b"".join(field(5, i) for i in initializers)
    return field(1, 7) + field(2, "pytorch") + field(7, graph)


def exported(state: Mapping[str, Tensor], *, without: str = "") -> bytes:
    """The graph of a DINOv2 encoder, from its state in Hugging Face's old layout.

    Initialisers whose name contains `without` are left out, to see that this is noticed.
    """
    named = {key: value.numpy() for key, value in state.items() if "mask_token" not in key}
    table = named.pop("embeddings.position_embeddings")
    initializers = [tensor("onnx::Shape_1", np.array([1, -1]))]
    initializers.append(tensor("onnx::Concat_2", table[:, :1], packed=True))
    nodes = [node("Constant", (), "/Constant_3", tensor("", table[:, 1:]))]
    for place, (key, values) in enumerate(named.items()):
        if values.ndim != 2:
            initializers.append(tensor(f"backbone.{key}", values))
            continue
        matrix, product = f"onnx::MatMul_{place}", f"/MatMul_{place}_output"
        bias = f"backbone.{key.removesuffix('weight')}bias"
        initializers.append(tensor(matrix, np.ascontiguousarray(values.T)))
        nodes.append(node("MatMul", ("x", matrix), product))
        nodes.append(node("Add", (bias, product) if place % 2 else (product, bias), f"y{place}"))
    kept = (each for each in initializers if not without or without.encode() not in each)
    return model(nodes, kept)
