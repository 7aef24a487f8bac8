"""Encoder and heads as one graph: run as it is, and cut into its parts again."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from exports import Exported, pixels
from goldens import relative_error
from plainmask.encoder.vit import normalise
from plainmask.errors import InputError
from plainmask.export.folder import export_heads
from plainmask.inference.loading import load, load_heads
from plainmask.inference.segmenter import Segmenter


@pytest.fixture(scope="module")
def merged(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("merged")
    (file,) = export_heads(exported.segmenter, out, merged=True)
    return file


def test_the_graph_goes_from_pixels_to_the_logits_of_all_heads(exported: Exported, merged: Path):
    session = onnxruntime.InferenceSession(merged)
    picture = pixels(2, 48, 80)
    inputs = {"pixels": normalise(picture, exported.segmenter.encoder.config).numpy()}
    for name, head in exported.segmenter.heads.items():
        if head.config.decoder.propagation != "none":
            inputs[f"{name}.queries"] = head.decoder.first_queries(2).detach().numpy()
    names = [value.name for value in session.get_outputs()]
    found = dict(zip(names, session.run(names, inputs), strict=True))
    for name, expected in exported.segmenter.logits(picture).items():
        for kind, logits in expected._asdict().items():
            ours = torch.from_numpy(np.asarray(found[f"{name}.{kind}"]))
            assert relative_error(ours, logits) < 1e-5


def test_it_is_loaded_as_all_its_heads(exported: Exported, merged: Path):
    theirs = load_heads([merged])
    assert list(theirs.heads) == list(exported.segmenter.heads)
    ours, other = exported.segmenter.stream(), theirs.stream()
    for size in ((1, 32, 48), (1, 64, 16)):
        expected, found = ours.logits(pixels(*size)), other.logits(pixels(*size))
        for name in expected:
            for one, another in zip(found[name], expected[name], strict=True):
                assert relative_error(one, another) < 1e-5


def test_several_heads_where_one_is_needed(merged: Path):
    with pytest.raises(InputError, match=r"holds the heads tiny-instance, .* where one is needed"):
        load(merged)


def test_one_head_is_loaded_as_itself(exported: Exported, tmp_path: Path):
    name = "tiny-instance"
    one = Segmenter(exported.segmenter.encoder, {name: exported.segmenter.heads[name]})
    export_heads(one, tmp_path, merged=True)
    picture = np.zeros((40, 60, 3), np.uint8)
    found = load(tmp_path / "merged.onnx")(picture)
    assert len(found.segments) == len(exported.segmenter[name](picture).segments)


def test_other_formats_are_not_merged(exported: Exported, tmp_path: Path):
    with pytest.raises(InputError, match="a merged graph is for ONNX"):
        export_heads(exported.segmenter, tmp_path, format="torch", merged=True)


def test_onnx_is_missing(merged: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match="a merged ONNX file needs the package onnx; pip install"):
        load_heads([merged])
