"""Exported files that do not fit, each with one line that says so."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from exports import Exported, pixels
from plainmask.encoder.exported import ExportedEncoder
from plainmask.errors import HeadError, InputError
from plainmask.graphs.graph import Graph
from plainmask.heads.exported import encoder_of, load_exported_encoder, read_about
from plainmask.inference.loading import load, load_heads
from plainmask.inference.segmenter import Segmenter
from tiny import tiny_encoder, tiny_head


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"no\.onnx: there is no such file; plainmask export"):
        load(tmp_path / "no.onnx")


def test_a_damaged_file(tmp_path: Path):
    (tmp_path / "a.onnx").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"a\.onnx cannot be opened: .*; export it again"):
        load(tmp_path / "a.onnx")


def test_a_graph_that_is_not_ours(exported: Exported, tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    stranger = onnx.load(exported.file("tiny-instance"))
    del stranger.metadata_props[:]
    onnx.save(stranger, tmp_path / "a.onnx")
    with pytest.raises(InputError, match=r"a\.onnx is no file that plainmask exported"):
        load(tmp_path / "a.onnx")


def test_an_encoder_where_a_head_is_needed(exported: Exported):
    with pytest.raises(InputError, match=r"is an encoder .* give the file of a head beside it"):
        load(exported.folder / "encoder.onnx")


def test_a_head_where_an_encoder_is_needed(exported: Exported):
    head = exported.file("tiny-instance")
    with pytest.raises(InputError, match=r"is a head .* give the encoder\.onnx of an export"):
        load(head, encoder=head)


def test_a_head_without_its_encoder(exported: Exported, tmp_path: Path):
    alone = shutil.copy(exported.file("tiny-instance"), tmp_path)
    with pytest.raises(InputError, match=r"reads an encoder, .*encoder\.onnx, which is not there"):
        load(alone)
    assert load(alone, encoder=exported.folder / "encoder.onnx").name == "tiny-instance"


def test_a_head_on_another_encoder(exported: Exported):
    real = encoder_of(exported.file("tiny-instance"))
    names = {"name": "custom", "fingerprint": "another", "older_fingerprint": "another"}
    other = ExportedEncoder(real.graph, real.config, **names)
    head = load(exported.file("tiny-instance")).head
    with pytest.raises(HeadError, match=r"was trained on custom .* but this encoder is custom"):
        Segmenter(other, {"a": head})


def test_a_newer_format(exported: Exported):
    with pytest.raises(HeadError, match=r"exported by another plainmask \(format_version"):
        read_about('{"format_version": 2}', Path("a.onnx"))


def test_blocks_that_were_not_exported(exported: Exported):
    encoder = load_exported_encoder(exported.folder / "encoder.onnx")
    assert isinstance(encoder, ExportedEncoder)
    graph = encoder.graph
    fewer = Graph(graph.path, graph.about, graph.inputs, graph.outputs[:2], graph.compute)
    names = {"name": "custom", "fingerprint": "", "older_fingerprint": ""}
    with pytest.raises(InputError, match=r"gives the blocks \[0\], not \[3\]; export"):
        ExportedEncoder(fewer, encoder.config, **names)(pixels(1, 16, 16), taps=(0, 3))


@pytest.mark.parametrize(
    "option", [{"device": "meta"}, {"dtype": "bfloat16"}, {"compile": True}], ids=str
)
def test_what_exported_files_cannot_do(exported: Exported, option: dict[str, object]):
    with pytest.raises(InputError, match="exported files run on the CPU, with the precision"):
        load(exported.file("tiny-instance"), **option)  # pyright: ignore


def test_an_exported_head_beside_another_and_on_weights(exported: Exported):
    """Both kinds go together on a CPU."""
    encoder = tiny_encoder()
    segmenter = Segmenter(encoder, {"a": tiny_head("instance", encoder)}, device="cpu")
    segmenter.add("b", exported.file("tiny-instance"))
    found = segmenter.logits(pixels(1, 32, 48))
    np.testing.assert_allclose(found["a"].mask_logits, found["b"].mask_logits, atol=1e-3)


def test_a_head_twice(exported: Exported):
    with pytest.raises(InputError, match="two of the heads are called 'tiny-instance'"):
        load_heads([exported.file("tiny-instance")] * 2)


def test_an_exported_head_is_not_saved_as_a_folder(exported: Exported, tmp_path: Path):
    with pytest.raises(InputError, match="an exported file; save the head that was exported"):
        load(exported.file("tiny-instance")).head.save(tmp_path / "head")


def test_onnxruntime_is_missing(exported: Exported, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        InputError, match=r'ONNX file needs .*onnxruntime; pip install "plainmask\[export\]"'
    ):
        load(exported.file("tiny-instance"))


def test_pixels_that_fit_no_encoder(exported: Exported):
    segmenter = load(exported.file("tiny-instance"))
    with pytest.raises(InputError, match="smaller than one 16x16 patch"):
        segmenter.logits(pixels(1, 8, 8))
    with pytest.raises(InputError, match="must be uint8"):
        segmenter.logits(pixels(1, 32, 32).float())
