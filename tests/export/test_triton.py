"""A model repository: its configurations, and that what they say is true of the graphs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from exports import Exported
from plainmask.errors import InputError
from plainmask.export.triton import write_repository

protobuf = pytest.importorskip("google.protobuf.text_format")
configs = pytest.importorskip("tritonclient.grpc.model_config_pb2")


@pytest.fixture
def repository(exported: Exported, tmp_path: Path) -> Path:
    files = sorted(exported.folder.iterdir())
    written = write_repository(files, tmp_path / "triton")
    assert sorted(written) == sorted((tmp_path / "triton").glob("*/config.pbtxt"))
    return tmp_path / "triton"


def config(repository: Path, name: str) -> Any:
    """By Triton's own description of its configurations."""
    text = (repository / name / "config.pbtxt").read_text()
    found = protobuf.Parse(text, configs.ModelConfig())
    assert found.name == name
    return found


def shapes(tensors: Any) -> dict[str, list[int]]:
    return {tensor.name: [*tensor.dims] for tensor in tensors}


def test_each_graph_is_a_model(exported: Exported, repository: Path):
    for name in ("encoder", *exported.segmenter.heads):
        session = onnxruntime.InferenceSession(repository / name / "1" / "model.onnx")
        found = config(repository, name)
        assert found.platform == "onnxruntime_onnx"
        assert found.max_batch_size > 1
        for said, true in (
            (found.input, session.get_inputs()),
            (found.output, session.get_outputs()),
        ):
            free = [[s if isinstance(s, int) else -1 for s in one.shape[1:]] for one in true]
            assert shapes(said) == {one.name: s for one, s in zip(true, free, strict=True)}


def test_the_ensemble_goes_from_pixels_to_the_logits_of_heads_of_images(repository: Path):
    """Walked by hand, step by step, as Triton does."""
    found = config(repository, "heads")
    assert shapes(found.output).keys() == {
        "tiny-instance.mask_logits",
        "tiny-instance.class_logits",
    }
    tensors = {"pixels": np.random.default_rng(0).normal(size=(2, 3, 32, 48)).astype(np.float32)}
    for step in found.ensemble_scheduling.step:
        session = onnxruntime.InferenceSession(repository / step.model_name / "1" / "model.onnx")
        assert {value.name for value in session.get_inputs()} == set(step.input_map)
        names = list(step.output_map)
        feed = {name: tensors[given] for name, given in step.input_map.items()}
        given = [step.output_map[name] for name in names]
        tensors |= zip(given, session.run(names, feed), strict=True)
    assert tensors["tiny-instance.mask_logits"].shape == (2, 6, 4, 6)


def test_a_head_called_as_the_ensemble(tmp_path: Path):
    with pytest.raises(InputError, match="a head is called 'heads', as the model of all of them"):
        write_repository([tmp_path / "heads.onnx"], tmp_path / "triton")


def test_a_place_that_cannot_be_written(exported: Exported, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/out cannot be written"):
        write_repository(sorted(exported.folder.iterdir()), tmp_path / "file" / "out")
