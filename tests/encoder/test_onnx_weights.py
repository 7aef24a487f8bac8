"""Weights out of an ONNX graph: named, anonymous, split; and files that are no such graph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from goldens import below, golden
from onnx_graphs import exported, field, model, node, tensor
from plainmask.encoder.onnx_weights import read_onnx_weights
from plainmask.encoder.weights import load_encoder
from plainmask.errors import WeightsError


@pytest.fixture
def state() -> dict[str, Tensor]:
    """A small DINOv2 in Hugging Face's old layout."""
    return below(below(golden("dinov2"), "base."), "encoder.")


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def test_every_tensor_comes_back_under_its_name(state: dict[str, Tensor], tmp_path: Path):
    found = read_onnx_weights(written(tmp_path, exported(state)))
    assert found.keys() == state.keys() - {"embeddings.mask_token"}
    for key, values in found.items():
        assert torch.equal(values, state[key]), key


def test_it_is_the_encoder_of_the_other_layouts(state: dict[str, Tensor], tmp_path: Path):
    from_graph = load_encoder(written(tmp_path, exported(state)), num_heads=3)
    from_state = load_encoder(state, num_heads=3)
    assert from_graph.fingerprint == from_state.fingerprint
    assert from_graph.config == from_state.config
    pixels = torch.randint(0, 256, (1, 3, 42, 56), dtype=torch.uint8)
    for tap, expected in zip(from_graph(pixels).taps, from_state(pixels).taps, strict=True):
        assert torch.equal(tap, expected)


def test_the_values_outlive_the_file(state: dict[str, Tensor], tmp_path: Path):
    path = written(tmp_path, exported(state))
    found = read_onnx_weights(path)
    path.write_bytes(b"")
    path.unlink()
    assert torch.equal(found["layernorm.weight"], state["layernorm.weight"])


@pytest.mark.parametrize(
    ("without", "reason"),
    [
        ("onnx::MatMul", "no matrix found beside encoder.layer"),
        ("onnx::Concat_2", "position table was not found"),
        ("cls_token", "holds no DINOv2 weights"),
    ],
)
def test_a_missing_part_is_named(
    state: dict[str, Tensor], tmp_path: Path, without: str, reason: str
):
    with pytest.raises(WeightsError, match=reason):
        read_onnx_weights(written(tmp_path, exported(state, without=without)))


def test_another_graph_is_refused(tmp_path: Path):
    nodes = [node("MatMul", ("x", "w"), "y")]
    other = model(nodes, [tensor("w", np.ones((2, 2), np.float32))])
    with pytest.raises(WeightsError, match="holds no DINOv2 weights"):
        read_onnx_weights(written(tmp_path, other))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no protobuf at all",
        field(1, 7),
        b"\xff" * 20,
        field(7, 3),
        field(7, field(5, field(1, 8) + field(2, 1) + field(9, b"abc"))),
    ],
    ids=["empty", "text", "no graph", "endless number", "graph is a number", "size is wrong"],
)
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes):
    with pytest.raises(WeightsError, match="cannot be read as an ONNX model"):
        read_onnx_weights(written(tmp_path, content))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.999])
def test_a_truncated_file_is_refused(state: dict[str, Tensor], tmp_path: Path, share: float):
    whole = exported(state)
    with pytest.raises(WeightsError, match="cannot be read as an ONNX model"):
        read_onnx_weights(written(tmp_path, whole[: int(len(whole) * share)]))
