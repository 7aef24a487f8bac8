"""Exported heads: the same answers through another runtime, for any size and batch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from exports import Exported, pixels
from goldens import relative_error
from plainmask.encoder.positions import TableResize
from plainmask.encoder.vit import Encoder, EncoderConfig
from plainmask.errors import InputError
from plainmask.export.folder import export_heads
from plainmask.heads.exported import load_exported_encoder, open_exported
from plainmask.inference.loading import load, load_heads
from plainmask.inference.segmenter import Segmenter
from tiny import tiny_encoder

SIZES = ((1, 16, 16), (1, 48, 80), (3, 96, 32), (2, 70, 50))
"""Batch, height and width; the last are no multiples of the patch."""
LOGITS = 1e-5
"""Of a tensor's largest entry, float32; measured are 1e-6."""


def has_doubles(path: Path) -> bool:
    graph, double = onnx.load(path).graph, onnx.TensorProto.DOUBLE
    casts = [node.attribute[0].i for node in graph.node if node.op_type == "Cast"]
    return double in casts or double in [each.data_type for each in graph.initializer]


def test_logits_are_those_of_the_network_at_any_size_and_batch(exported: Exported):
    files = [exported.file(name) for name in exported.segmenter.heads]
    theirs = load_heads(files)
    for size in SIZES:
        expected, found = (one.logits(pixels(*size)) for one in (exported.segmenter, theirs))
        assert found.keys() == expected.keys()
        for name in expected:
            for one, other in zip(found[name], expected[name], strict=True):
                assert relative_error(one, other) < LOGITS


def test_results_are_those_of_the_network(exported: Exported):
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    for name, ours in exported.heads():
        expected, found = ours(picture), load(exported.file(name))(picture)
        assert len(found.segments) == len(expected.segments)
        for one, other in zip(found.segments, expected.segments, strict=True):
            assert (one.class_id, one.area) == (other.class_id, other.area)
            assert one.score == pytest.approx(other.score, abs=1e-5)


def test_streams_go_on_alike_and_a_state_goes_from_one_to_the_other(exported: Exported):
    for name in ("tiny-video-semantic", "tiny-video-instance", "tiny-instance"):
        ours, theirs = exported.segmenter[name].stream(), load(exported.file(name)).stream()
        for turn in range(4):
            if turn == 2:
                ours.state, theirs.state = theirs.state, ours.state
            frame = pixels(1, 64, 48 + 16 * turn)
            for one, other in zip(ours.logits(frame), theirs.logits(frame), strict=True):
                assert relative_error(one, other) < LOGITS
        assert ours.state is not None
        assert theirs.state is not None
        assert relative_error(theirs.state.queries, ours.state.queries) < LOGITS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("resize", "antialias"), [("bicubic", False), ("bicubic", True), ("square", False)]
)
def test_encoders_with_position_tables_are_those_of_the_network(
    resize: TableResize, antialias: bool, tmp_path: Path
):
    config = EncoderConfig(
        width=48,
        depth=2,
        heads=3,
        ffn_hidden=96,
        registers=1,
        patch_size=8,
        positions="table",
        table_grid=(9, 9),
        table_antialias=antialias,
        table_resize=resize,
        final_norm=resize == "bicubic",
        norm_eps=1e-6,
        taps=(0, 1),
    )
    encoder = Encoder(config)
    generator = torch.Generator().manual_seed(0)
    for weight in encoder.parameters():
        weight.normal_(0, 0.3, generator=generator)
    export_heads(Segmenter(encoder, device="cpu"), tmp_path)
    assert not has_doubles(tmp_path / "encoder.onnx")  # which WebGPU does not compute
    theirs = load_exported_encoder(tmp_path / "encoder.onnx")
    for grid in ((1, 1), (9, 9), (3, 11), (23, 2)):
        picture = pixels(2, grid[0] * 8, grid[1] * 8 + 3)
        expected, found = encoder(picture), theirs(picture)
        assert (found.grid, found.prefix) == (expected.grid, expected.prefix)
        for one, other in zip(found.taps, expected.taps, strict=True):
            assert relative_error(one, other) < LOGITS


def test_files_say_what_they_are_and_nothing_of_it_is_in_the_graph(exported: Exported):
    graph, about = open_exported(exported.folder / "tiny-instance.onnx")
    assert about.heads == (exported.segmenter.heads["tiny-instance"].config,)
    assert about.fingerprint == exported.segmenter.encoder.fingerprint
    assert about.encoder == exported.segmenter.encoder.config
    assert graph.outputs == ("mask_logits", "class_logits", "first_queries")
    model = onnx.load(exported.folder / "encoder.onnx")
    (pixels_in,) = model.graph.input
    sides = [d.dim_param or d.dim_value for d in pixels_in.type.tensor_type.shape.dim]
    assert sides == ["batch", 3, "height", "width"]
    assert {"patches_3", "prefix_3"} < {value.name for value in model.graph.output}
    assert model.opset_import[0].version >= 18
    assert b"plainmask/" not in (exported.folder / "encoder.onnx").read_bytes()  # no source files


def test_what_is_there_is_replaced_if_it_is_an_export_of_this_encoder(
    exported: Exported, tmp_path: Path
):
    out = tmp_path / "out"
    one = Segmenter(
        exported.segmenter.encoder, {"a": exported.segmenter.heads["tiny-instance"]}, device="cpu"
    )
    export_heads(one, out)
    (out / "notes.txt").write_text("mine")
    export_heads(one, out)
    assert sorted(file.name for file in out.iterdir()) == ["a.onnx", "encoder.onnx", "notes.txt"]
    (out / "a.onnx").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"a\.onnx is there already and no export of plainmask"):
        export_heads(one, out)
    assert (out / "a.onnx").read_bytes() == b"mine"


def test_a_folder_holds_one_encoder(exported: Exported):
    before = (exported.folder / "encoder.onnx").read_bytes()
    other = tiny_encoder()
    other.fingerprint = "another"
    with pytest.raises(InputError, match=r"encoder\.onnx was exported from custom with the finger"):
        export_heads(Segmenter(other, device="cpu"), exported.folder)
    assert (exported.folder / "encoder.onnx").read_bytes() == before


def test_a_folder_holds_one_precision(exported: Exported):
    with pytest.raises(InputError, match=r"encoder\.onnx is in float32, and other heads there may"):
        export_heads(exported.segmenter, exported.folder, precision="float16")


def test_what_is_not_accepted_is_not_written(exported: Exported, tmp_path: Path):
    def refuse(files: list[Path]) -> None:
        assert all(file.is_file() for file in files)
        raise InputError("not good")

    with pytest.raises(InputError, match="not good"):
        export_heads(
            Segmenter(exported.segmenter.encoder, device="cpu"), tmp_path / "out", accept=refuse
        )
    assert not [*tmp_path.rglob("*.onnx")]


def test_a_place_that_cannot_be_written_is_one_line(exported: Exported, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"the output folder .* cannot be written"):
        export_heads(exported.segmenter, tmp_path / "file" / "out")


def test_an_export_is_not_exported_again(exported: Exported, tmp_path: Path):
    twice = load_heads([exported.folder / "tiny-instance.onnx"])
    with pytest.raises(InputError, match=r"encoder\.onnx is an export already"):
        export_heads(twice, tmp_path / "out")


def test_a_head_named_as_the_encoder_is_refused(exported: Exported, tmp_path: Path):
    one = Segmenter(
        exported.segmenter.encoder,
        {"encoder": exported.segmenter.heads["tiny-instance"]},
        device="cpu",
    )
    with pytest.raises(InputError, match="two of the files would be called encoder"):
        export_heads(one, tmp_path / "out")
