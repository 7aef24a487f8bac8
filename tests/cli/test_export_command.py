"""`plainmask export`: files that all commands take, and what it refuses."""

import json

import pytest

from commands import Run, Workspace
from images import labelled_images
from plainmask.export.check import BOUNDS, Bounds
from tiny import save_with_encoder, tiny_encoder, tiny_head


def test_exported_heads_are_heads(work: Workspace, run: Run):
    model = (work.head, "--encoder", work.encoder)
    done = run("export", *model, "--out", "exported", "--triton", "models")
    assert done.code == 0, done.err
    assert (work.folder / "models" / "tiny-semantic" / "1" / "model.onnx").is_file()
    assert (work.folder / "models" / "heads" / "config.pbtxt").is_file()
    files = sorted(file.name for file in (work.folder / "exported").iterdir())
    assert files == ["encoder.onnx", "tiny-semantic.onnx"]
    work.picture("photo.png")
    done = run("segment", "photo.png", "--head", "exported/tiny-semantic.onnx")
    assert done.code == 0, done.err
    assert (work.folder / "out" / "photo.labels.png").is_file()


def test_an_unknown_format(work: Workspace, run: Run):
    done = run("export", work.head, "--encoder", work.encoder, "--format", "onx")
    assert done.code == 2
    assert "the format 'onx' is unknown; did you mean 'onnx'?" in done.err


def test_a_head_of_another_encoder(work: Workspace, run: Run):
    encoder, other = tiny_encoder(), tiny_encoder()
    save_with_encoder(tiny_head("semantic", encoder), encoder, work.folder / "a")
    other.fingerprint = "another"
    tiny_head("instance", other).save(work.folder / "other")
    done = run("export", "a", "other")
    assert done.code == 2
    assert "the head 'tiny-instance' was trained on custom (fingerprint another)" in done.err
    assert not (work.folder / "exported").exists()


def test_a_place_that_cannot_be_written(work: Workspace, run: Run):
    done = run("export", work.head, "--encoder", work.encoder, "--out", work.encoder / "out")
    assert done.code == 2
    assert "the output folder" in done.err


def test_the_proof_is_printed_and_kept(work: Workspace, run: Run):
    data = labelled_images(work.folder / "data", "semantic")
    model = (work.head, "--encoder", work.encoder)
    done = run("export", *model, "--check", data, "--split", "val")
    assert done.code == 0, done.err
    assert "mIoU" in done.out
    assert "class_logits" in done.out
    report = json.loads((work.folder / "exported" / "parity.json").read_text())
    assert report["problems"] == []


def test_a_failed_proof_leaves_nothing(work: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch):
    data = labelled_images(work.folder / "data", "semantic")
    monkeypatch.setitem(BOUNDS, "float32", Bounds(0.0, 0.0))
    done = run("export", work.head, "--encoder", work.encoder, "--check", data, "--split", "val")
    assert done.code == 1
    assert "does not answer as the network does, so nothing was written" in done.err
    assert not (work.folder / "exported").exists()


def test_a_merged_file_is_no_model_repository(work: Workspace, run: Run):
    done = run("export", work.head, "--encoder", work.encoder, "--merged", "--triton", "models")
    assert done.code == 2
    assert "--triton is for ONNX, the encoder and each head" in done.err
