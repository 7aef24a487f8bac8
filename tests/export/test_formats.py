"""The formats beside ONNX: the same logits, and what they cannot do said in one line."""

import sys
from pathlib import Path

import pytest

from exports import pixels
from goldens import relative_error
from plainmask.errors import InputError, PlainmaskError
from plainmask.export.folder import export_heads
from plainmask.graphs.graph import SUFFIXES, GraphFormat, check_graph_format
from plainmask.inference.loading import load
from plainmask.inference.segmenter import Segmenter
from tiny import tiny_encoder, tiny_video_head


@pytest.mark.slow
@pytest.mark.parametrize("format", ["torch", "openvino"])
def test_a_stream_is_followed_as_by_the_network(format: GraphFormat, tmp_path: Path):
    if format == "openvino":
        pytest.importorskip("openvino")
    encoder = tiny_encoder()
    ours = Segmenter(encoder, {"a": tiny_video_head("semantic", encoder)}, device="cpu")
    export_heads(ours, tmp_path, format=format)
    suffix = next(known for known, name in SUFFIXES.items() if name == format)
    theirs = load(tmp_path / f"a{suffix}")
    assert theirs.head.config == ours.heads["a"].config
    one, other = ours["a"].stream(), theirs.stream()
    for size in ((2, 32, 48), (2, 70, 50)):
        found = zip(other.logits(pixels(*size)), one.logits(pixels(*size)), strict=True)
        assert all(relative_error(their, our) < 1e-5 for their, our in found)
    if format == "torch":
        with pytest.raises(PlainmaskError, match=r"encoder\.pt2 failed on pixels \(1, 3, 16, 64\)"):
            theirs.logits(pixels(1, 16, 64))


def test_openvino_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    (tmp_path / "a.xml").write_text("")
    with pytest.raises(
        InputError, match=r'OpenVINO file needs .*openvino; pip install "plainmask\[openvino\]"'
    ):
        load(tmp_path / "a.xml")


@pytest.mark.parametrize("suffix", [".xml", ".pt2"])
def test_a_damaged_file(suffix: str, tmp_path: Path):
    if suffix == ".xml":
        pytest.importorskip("openvino")
    (tmp_path / f"a{suffix}").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=rf"a\{suffix} cannot be opened: .*; export it again"):
        load(tmp_path / f"a{suffix}")


def test_an_unknown_format():
    with pytest.raises(InputError, match=r"format 'onx' is unknown; did you mean 'onnx'\?"):
        check_graph_format("onx")
