"""`plainmask export`: files that all commands take, and what it refuses."""

from commands import Run, Workspace
from tiny import save_with_encoder, tiny_encoder, tiny_head


def test_exported_heads_are_heads(work: Workspace, run: Run):
    done = run("export", work.head, "--encoder", work.encoder, "--out", "exported")
    assert done.code == 0, done.err
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
