"""`plainmask segment` as a person would use it, with good and bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import Run, Workspace
from plainmask.cli import segment as command
from plainmask.cli.files import find_images, output_places
from plainmask.errors import InputError
from plainmask.pictures.images import image_size, read_label
from tiny import tiny_encoder, tiny_head


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_writes_three_files_and_says_where(work: Workspace, run: Run):
    photo = work.picture("photo.png")
    code, out, err = run("segment", photo, *work.model, "--out", "results")
    assert (code, err) == (0, "")
    assert names(work.folder / "results") == [
        "photo.json",
        "photo.labels.png",
        "photo.overlay.png",
    ]
    for file in names(work.folder / "results"):
        assert str(Path("results") / file) in out
    assert "photo.png (70 x 50)" in out
    labels = read_label(work.folder / "results/photo.labels.png")
    assert labels.shape == (50, 70)
    largest = np.bincount(labels.ravel()).argmax()
    assert out.index(f"class_{largest}") < min(
        (out.find(f"class_{other}") for other in set(labels.ravel().tolist()) - {largest}),
        default=len(out),
    )


def test_json_has_one_object_a_picture(work: Workspace, run: Run):
    photos = [work.picture("a.png"), work.picture("b.png", 40, 40)]
    code, out, _ = run("segment", *photos, *work.model, "--json")
    assert code == 0
    first, second = map(json.loads, out.splitlines())
    assert first["image"] == str(photos[0])
    assert second["image_size"] == [40, 40]
    assert sum(segment["area"] for segment in second["segments"]) == 1600
    assert {"label", "score", "box"} <= first["segments"][0].keys()
    assert all(Path(file).is_file() for file in first["files"])


def test_a_bad_file_is_reported_and_the_others_go_on(work: Workspace, run: Run):
    good = [work.picture("a.png"), work.picture("z.png")]
    text = work.folder / "notes.jpg"
    text.write_text("not a picture")
    code, out, err = run("segment", good[0], text, "missing.png", good[1], *work.model)
    assert code == 1
    assert f"error: {text}: this is not a picture" in err
    assert "error: missing.png: there is no such file" in err
    assert "error: 2 of 4 inputs failed" in err
    assert len(names(work.folder / "out")) == 6

    code, out, _ = run("segment", good[0], text, "missing.png", *work.model, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert {row["image"] for row in rows if "error" in row} == {str(text), "missing.png"}


def test_folders_and_globs(work: Workspace):
    for name in ("in/b.png", "in/a.jpg", "in/deep/c.png", "in/.hidden.png", "other/d.png"):
        work.picture(name)
    work.picture("in/a.overlay.png")  # the result of an earlier run
    (work.folder / "in/readme.txt").write_text("")
    (work.folder / "empty").mkdir()
    found, problems = find_images(["in", "in/a.jpg", "o*/*.png", "empty", "*.tif"])
    assert [path.as_posix() for path in found] == ["in/a.jpg", "in/b.png", "other/d.png"]
    assert problems == {
        "empty": "there is no picture in this folder",
        "*.tif": "no picture matches this",
    }


@pytest.mark.parametrize(
    ("paths", "places"),
    [
        (["a/x.jpg", "b/y.jpg"], ["out/x", "out/y"]),
        (["a/x.jpg", "b/x.jpg"], ["out/a/x", "out/b/x"]),
        (["a/x.jpg", "b/X.jpg", "a/y.jpg"], ["out/a/x", "out/b/X", "out/a/y"]),
        (["a/x.jpg", "a/x.png"], ["out/x.jpg", "out/x.png"]),
        (["x.jpg", "a/x.jpg"], ["out/x", "out/a/x"]),
    ],
)
def test_no_two_results_share_a_place(paths: list[str], places: list[str]):
    found = output_places([Path(path) for path in paths], Path("out"))
    assert [(folder / stem).as_posix() for folder, stem in found] == places


def test_same_names_in_two_folders_are_both_kept(work: Workspace, run: Run):
    work.picture("left/x.png")
    work.picture("right/x.png", 32, 32)
    code, _, _ = run("segment", "left", "right", *work.model)
    assert code == 0
    assert len(names(work.folder / "out")) == 6
    assert image_size(work.folder / "out/right/x.labels.png") == (32, 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.png",), "error: missing.png: there is no such file; check the path\n"),
        (("photo.png", "--out", "photo.png"), "error: the output folder photo.png cannot be"),
        (("photo.png", "--head", "strete-semantic"), "there is no head 'strete-semantic'"),
        (("photo.png", "--head", "broken"), "config.json is not valid JSON"),
        (("photo.png", "--encoder", "nowhere.pth"), "nowhere.pth"),
        (("photo.png", "--device", "cuda:99"), "the device cuda:99 cannot be used here"),
    ],
)
def test_what_cannot_start_is_one_message_and_exit_code_2(
    work: Workspace, run: Run, arguments: tuple[str, ...], message: str
):
    work.picture("photo.png")
    (work.folder / "broken").mkdir()
    (work.folder / "broken/config.json").write_text("{")
    code, out, err = run("segment", *work.model, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_head_without_whole_weights_is_named(work: Workspace, run: Run):
    (work.head / "model.safetensors").write_bytes(b"")
    code, _, err = run("segment", work.picture("photo.png"), *work.model)
    assert code == 2
    assert "model.safetensors cannot be read" in err


@pytest.mark.parametrize("place", [0, 2])
def test_debug_shows_the_stack_trace(run: Run, place: int):
    arguments = ["segment", "missing.png"]
    arguments.insert(place, "--debug")
    code, _, err = run(*arguments)
    assert code == 2
    assert "Traceback" in err
    assert err.endswith("error: missing.png: there is no such file; check the path\n")


def test_ctrl_c_keeps_what_is_done(work: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch):
    photos = [work.picture(f"{name}.png") for name in "abc"]
    original = command.segment_file

    def interrupted(segmenter: Any, path: Path, *places: Any) -> Any:
        if path == photos[1]:
            raise KeyboardInterrupt
        return original(segmenter, path, *places)

    monkeypatch.setattr(command, "segment_file", interrupted)
    code, _, err = run("segment", *photos, *work.model)
    assert code == 130
    assert "1 of 3 pictures are done" in err
    assert len(names(work.folder / "out")) == 3


def test_a_disk_that_fills_up_fails_that_picture_only(
    work: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
):
    photos = [work.picture("a.png"), work.picture("b.png")]

    def full(path: Path, content: bytes) -> Path:
        if path.stem.startswith("a"):
            raise InputError(f"{path} cannot be written: No space left on device")
        return path

    monkeypatch.setattr("plainmask.results.base.write_atomically", full)
    code, out, err = run("segment", *photos, *work.model)
    assert code == 1
    assert "No space left on device" in err
    assert "b.png" in out


def test_instances_of_little_confidence_are_not_listed(work: Workspace, run: Run):
    head = tiny_head("instance", tiny_encoder()).save(work.folder / "instance")
    photo = work.picture("a.png")
    code, out, _ = run("segment", photo, *work.model, "--head", head, "--json")
    assert code == 0
    listed = json.loads(out)["segments"]
    stored = json.loads((work.folder / "out/a.json").read_text())["segments"]
    assert all(segment["score"] >= 0.5 for segment in listed)
    assert len(listed) < len(stored)


def test_large_pictures_in_tiles(work: Workspace, run: Run):
    picture = work.picture("large.png")
    given = ("--head", work.head, "--encoder", work.encoder, "--device", "cpu", "--out", "out")
    code, out, err = run("segment", picture, *given, "--tiles", "2", "--json")
    assert code == 0, err
    row = json.loads(out)
    height, width = image_size(picture)
    assert row["image_size"] == [height, width]
    assert sum(segment["area"] for segment in row["segments"]) == height * width
    code, _, err = run("segment", picture, *given, "--tiles", "0")
    assert code == 2
    assert "--tiles is a factor on the size" in err
