"""Smaller weights: what is lost, what is not, and what is refused."""

import copy
from pathlib import Path

import onnx
import pytest
import torch

from exports import Exported, pixels
from goldens import relative_error
from images import labelled_images
from plainmask.encoder.vit import Encoder
from plainmask.errors import InputError
from plainmask.export.check import calibration, compare, read_checks
from plainmask.export.folder import export_heads
from plainmask.export.precision import narrow, smoothed
from plainmask.graphs.graph import GraphFormat
from plainmask.heads.exported import Precision, check_precision, load_exported_encoder
from plainmask.inference.loading import load_heads
from plainmask.inference.segmenter import Segmenter
from tiny import tiny_encoder

NAME = "tiny-instance"


def uneven() -> Encoder:
    """The tiny encoder, the same up to rounding, with one strong channel after each norm."""
    encoder = tiny_encoder()
    with torch.no_grad():
        for block in encoder.blocks:
            for norm, layer in ((block.norm1, block.attention.qkv), (block.norm2, block.ffn.up)):
                norm.weight[3] *= 300
                norm.bias[3] *= 300
                layer.weight[:, 3] /= 300
    return encoder


def taps_error(encoder: Encoder, expected: Encoder, picture: torch.Tensor) -> float:
    both = zip(encoder(picture).taps, expected(picture).taps, strict=True)
    return max(relative_error(one, other) for one, other in both)


@pytest.mark.parametrize(("precision", "logits"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_half_precision_takes_half_the_space(
    exported: Exported, precision: Precision, logits: float, tmp_path: Path
):
    one = Segmenter(exported.segmenter.encoder, {NAME: exported.segmenter.heads[NAME]})
    export_heads(one, tmp_path, precision=precision)
    before = (exported.folder / "encoder.onnx").stat().st_size
    graph = onnx.load(tmp_path / "encoder.onnx").graph
    matrices = [t for t in graph.initializer if len(t.dims) > 1 and t.data_type == 1]
    assert matrices == []
    assert (tmp_path / "encoder.onnx").stat().st_size < 0.65 * before
    theirs = load_heads([tmp_path / f"{NAME}.onnx"])
    found, expected = (each.logits(pixels(2, 48, 64))[NAME] for each in (theirs, one))
    assert 0 < relative_error(found.class_logits, expected.class_logits) < logits


def test_a_weight_that_float16_cannot_hold(exported: Exported):
    model = onnx.load(exported.folder / "encoder.onnx")
    place = next(k for k, t in enumerate(model.graph.initializer) if len(t.dims) == 2)
    tensor = model.graph.initializer[place]
    values = onnx.numpy_helper.to_array(tensor) * 1e6
    model.graph.initializer[place].CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    with pytest.raises(InputError, match="is too large for float16; use bfloat16"):
        narrow(model, "float16")


def test_smoothing_changes_nothing_but_how_even_channels_are():
    encoder = uneven()
    before = copy.deepcopy(encoder.state_dict())
    picture = pixels(1, 64, 80)
    smooth = smoothed(encoder, [picture])
    assert taps_error(smooth, encoder, picture) < 1e-4
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    largest = [
        block.norm1.weight.abs().amax() / block.norm1.weight.abs().median()
        for one in (encoder, smooth)
        for block in one.blocks
    ]
    assert max(largest[4:]) < 0.1 * max(largest[:4])


@pytest.mark.slow
def test_int8_is_written_with_a_proof(exported: Exported, tmp_path: Path):
    one = Segmenter(uneven(), device="cpu")
    one.encoder.fingerprint = exported.segmenter.encoder.fingerprint
    one.add(NAME, exported.segmenter.heads[NAME])
    data = labelled_images(tmp_path / "data", "instance")
    records, names = read_checks(one, [str(data)], "val")
    found = []

    def prove(files: list[Path]) -> None:
        found.append(compare(one, load_heads(files), "int8", records, names))

    out = tmp_path / "out"
    export_heads(one, out, precision="int8", pictures=calibration(one, records), accept=prove)
    assert found[0].precision == "int8"
    assert max(each.difference for each in found[0].logits) > 0
    kinds = {node.op_type for node in onnx.load(out / "encoder.onnx").graph.node}
    assert "MatMulInteger" in kinds
    assert "MatMulInteger" not in {n.op_type for n in onnx.load(out / f"{NAME}.onnx").graph.node}
    theirs = load_exported_encoder(out / "encoder.onnx")
    picture = pixels(1, 64, 80)
    for one_tap, exact in zip(theirs(picture).taps, one.encoder(picture).taps, strict=True):
        assert (one_tap - exact).square().mean().sqrt() < 0.1 * exact.square().mean().sqrt()


@pytest.mark.parametrize(("format", "precision"), [("torch", "float16"), ("openvino", "int8")])
def test_what_a_format_cannot_store(
    exported: Exported, format: GraphFormat, precision: Precision, tmp_path: Path
):
    with pytest.raises(InputError, match=f"{precision} is not for {format}"):
        export_heads(exported.segmenter, tmp_path, format=format, precision=precision)


def test_int8_without_a_proof(exported: Exported, tmp_path: Path):
    with pytest.raises(InputError, match="written with a proof alone; give --check DATA"):
        export_heads(exported.segmenter, tmp_path, precision="int8")


def test_an_unknown_precision():
    with pytest.raises(InputError, match=r"the precision 'int4' is unknown; did you mean 'int8'"):
        check_precision("int4")
