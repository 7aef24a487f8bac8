"""`plainmask segment` as a person would use it, with good and bad input."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import Run, Workspace, wait_until
from plainmask.encoder.vit import Encoder
from plainmask.errors import InputError
from plainmask.pictures.finding import find_images
from plainmask.pictures.images import image_size, read_label
from plainmask.vocabulary import Vocabulary
from tiny import tiny_encoder, tiny_head


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_writes_three_files_and_says_where(work: Workspace, run: Run):
    photo = work.picture("photo.png")
    code, out, err = run("segment", photo, *work.model, "--out", "results")
    assert (code, err) == (0, "")
    assert names(work.folder / "results") == [
        "photo.labels.png",
        "photo.overlay.png",
        "photo.segments.json",
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


def test_each_is_told_in_its_turn_whatever_becomes_of_the_others(work: Workspace, run: Run):
    for number in range(21):
        path = work.picture(f"in/{number:02}.png", *((50, 70) if number % 3 else (64, 48)))
        if number in (2, 9, 10, 20):
            path.write_text("not a picture")
    code, out, err = run("segment", "in", *work.model, "--json")
    assert code == 1
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["image"] for row in rows] == [f"in/{number:02}.png" for number in range(21)]
    assert [place for place, row in enumerate(rows) if "error" in row] == [2, 9, 10, 20]
    assert len(names(work.folder / "out")) == 3 * 17
    assert err.splitlines()[-1] == "error: 4 of 21 inputs failed"


@pytest.mark.filterwarnings("default")
def test_a_picture_that_memory_does_not_hold_fails_alone(
    work: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
):
    """Of the others, batches are halved, which is said once."""
    forward = Encoder.forward

    def narrow(self: Encoder, pixels: torch.Tensor, **options: Any) -> Any:
        if len(pixels) > 2 or pixels.shape[-1] > 100:
            torch.empty(2**50, dtype=torch.uint8)
        return forward(self, pixels, **options)

    monkeypatch.setattr(Encoder, "forward", narrow)
    photos = [work.picture(f"{number}.png") for number in range(12)]
    wide = work.picture("wide.png", 50, 150)
    code, out, err = run("segment", *photos, wide, *work.model, "--save", "labels")
    assert code == 1
    assert err.splitlines() == [
        "warning: memory does not hold 8 pictures at once; going on with 2 at a time",
        f"error: {wide}: memory does not hold what one picture takes; make it smaller, see it in "
        "tiles, or end other programs",
        "error: 1 of 13 inputs failed",
    ]
    assert "12 pictures, " in out
    assert len(names(work.folder / "out")) == 12


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


def test_ctrl_c_keeps_what_is_done(work: Workspace):
    """The real thing: another process, a signal, and whole files of each picture that is done."""
    for number in range(400):
        work.picture(f"in/{number:03}.png")
    command = [sys.executable, "-m", "plainmask", "segment", "in", *work.model]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=work.folder
    )
    out = work.folder / "out"
    wait_until(lambda: out.is_dir() and len(list(out.iterdir())) > 30, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    written = names(out)
    done = len(written) // 3
    assert 10 <= done < 400
    assert err.splitlines()[-1] == f"stopped: {done} of 400 pictures are done, in out"
    assert written == sorted(
        f"{number:03}.{end}"
        for number in range(done)
        for end in ("labels.png", "overlay.png", "segments.json")
    )


def test_a_disk_that_fills_up_fails_that_picture_only(
    work: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
):
    photos = [work.picture("a.png"), work.picture("b.png")]

    def full(path: Path, content: bytes) -> Path:
        if path.stem.startswith("a"):
            raise InputError(f"{path} cannot be written: No space left on device")
        return path

    monkeypatch.setattr("plainmask.results.saving.write_result", full)
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
    stored = json.loads((work.folder / "out/a.segments.json").read_text())["segments"]
    assert all(segment["score"] >= 0.5 for segment in listed)
    assert len(listed) == len(stored)
    code, out, _ = run("segment", photo, *work.model, "--head", head, "--json", "--score", "0")
    assert code == 0
    everything = json.loads(out)["segments"]
    assert len(everything) > len(listed)
    assert all(segment["area"] > 0 for segment in everything)


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


def test_an_annotation_beside_the_picture_stays(work: Workspace, run: Run):
    photo = work.picture("in/photo.png")
    (work.folder / "in/photo.json").write_text('{"shapes": []}')
    code, _, _ = run("segment", photo, *work.model, "--out", "in")
    assert code == 0
    assert (work.folder / "in/photo.json").read_text() == '{"shapes": []}'

    (work.folder / "in/photo.labels.png").write_bytes(photo.read_bytes())
    code, _, err = run("segment", photo, *work.model, "--out", "in")
    assert code == 1
    assert "photo.labels.png is there already and is no result of plainmask" in err
    assert (work.folder / "in/photo.labels.png").read_bytes() == photo.read_bytes()


def test_several_pictures_have_a_line_each_and_a_summary(work: Workspace, run: Run):
    photos = [work.picture("a.png"), work.picture("b.png", 30, 40)]
    code, out, _ = run("segment", *photos, *work.model)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith(f"{photos[0]} (70 x 50), ")
    assert lines[1].startswith(f"{photos[1]} (40 x 30), ")
    assert lines[2].startswith("2 pictures, ")
    assert lines[2].endswith(", results in out")
    assert "in pictures" in out


def test_tiles_have_no_scores_so_none_are_shown(work: Workspace, run: Run):
    picture = work.picture("large.png")
    code, out, _ = run("segment", picture, *work.model, "--tiles", "2")
    assert code == 0
    assert "pixels %" in out
    assert "score %" not in out
    code, out, _ = run("segment", picture, *work.model, "--tiles", "2", "--json")
    assert {segment["score"] for segment in json.loads(out)["segments"]} == {None}


def test_only_what_is_asked_for(work: Workspace, run: Run):
    photo = work.picture("photo.png")
    _, out, _ = run("segment", photo, *work.model, "--json")
    labels = [segment["label"] for segment in json.loads(out)["segments"]]
    options = ("--classes", f" {labels[0].upper()},", "--save", "segments,crops,yolo", "--json")
    code, out, err = run("segment", photo, *work.model, *options)
    assert code == 0, err
    row = json.loads(out)
    assert [segment["label"] for segment in row["segments"]] == labels[:1]
    assert row["files"] == ["out/photo.segments.json", "out/photo.crops", "out/yolo/photo.txt"]
    code, out, _ = run("segment", photo, *work.model, "--score", "1", "--json")
    assert code == 0
    assert json.loads(out)["segments"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--score", "1.5"), "--score is the least score to keep, from 0 to 1, not 1.5"),
        (("--classes", "clas_1"), "no class is called 'clas_1'; did you mean 'class_1'?"),
        (("--save", "overlay,lables"), "cannot be saved as 'lables'; did you mean 'labels'?"),
    ],
)
def test_wrong_wishes_are_told_before_the_work(
    work: Workspace, run: Run, options: tuple[str, ...], message: str
):
    code, out, err = run("segment", work.picture("photo.png"), *work.model, *options)
    assert (code, out) == (2, "")
    assert message in err


def test_links_in_a_circle_and_addresses_fail_alone(work: Workspace, run: Run):
    work.picture("in/good.png")
    (work.folder / "in/loop.png").symlink_to("loop.png")
    code, out, err = run("segment", "in", "https://example.com/a.jpg", *work.model)
    assert code == 1
    assert "loop.png: this cannot be opened" in err
    assert "https://example.com/a.jpg: this is an address; fetch it first" in err
    assert "good.png (70 x 50)" in out


@pytest.mark.parametrize("stem", ["x" * 234, "長い" * 39, "x" * 250])
def test_long_names_have_all_their_results(work: Workspace, run: Run, stem: str):
    photos = [work.picture(f"{stem}.png"), work.picture(f"{stem[:-1]}y.png")]
    code, _, err = run("segment", *photos, *work.model)
    assert code == 0, err
    assert len(names(work.folder / "out")) == 6


class TestSeveralHeads:
    @pytest.fixture
    def both(self, work: Workspace) -> list[str]:
        """Options that choose a semantic and an instance head."""
        other = tiny_head("instance", tiny_encoder()).save(work.folder / "other")
        encoder = ["--encoder", str(work.encoder), "--device", "cpu"]
        return ["--heads", f"{work.head}, {other}", *encoder]

    def test_each_has_its_files_and_there_is_a_sheet(
        self, work: Workspace, run: Run, both: list[str]
    ):
        code, out, err = run("segment", work.picture("a.png"), *both)
        assert (code, err) == (0, "")
        expected = [
            f"a.{head}.{end}"
            for head in ("tiny-instance", "tiny-semantic")
            for end in ("labels.png", "overlay.png", "segments.json")
        ]
        assert names(work.folder / "out") == sorted([*expected, "a.sheet.png"])
        for file in names(work.folder / "out"):
            assert f"out/{file}" in out
        again, _ = find_images([str(work.folder / "out")])
        assert again == []  # results are no pictures to segment

    def test_results_are_those_of_each_head_alone(self, work: Workspace, run: Run, both: list[str]):
        photo = work.picture("a.png")
        assert run("segment", photo, *both).code == 0
        assert run("segment", photo, *work.model, "--out", "alone").code == 0
        together = work.folder / "out/a.tiny-semantic.labels.png"
        assert together.read_bytes() == (work.folder / "alone/a.labels.png").read_bytes()

    def test_json_names_the_head(self, work: Workspace, run: Run, both: list[str]):
        _, out, _ = run("segment", work.picture("a.png"), *both, "--json")
        rows = [json.loads(line) for line in out.splitlines()]
        assert [row["head"] for row in rows] == ["tiny-semantic", "tiny-instance"]
        assert rows[1]["files"][-1].endswith("a.sheet.png")

    def test_classes_are_those_of_whichever_head_has_them(self, work: Workspace, run: Run):
        encoder = tiny_encoder()
        other = tiny_head("semantic", encoder)
        names = {"classes": [{"id": i, "name": name} for i, name in enumerate(("cat", "dog", "x"))]}
        config = other.config.model_copy(
            update={"name": "other", "vocabulary": Vocabulary.load(names)}
        )
        folder = replace(other, config=config).save(work.folder / "other")
        model = ["--heads", f"{work.head},{folder}", *work.model[2:]]
        photo = work.picture("a.png")

        def labels(*options: str) -> dict[str, set[str]]:
            code, out, err = run("segment", photo, *model, "--json", *options)
            assert code == 0, err
            rows = [json.loads(line) for line in out.splitlines()]
            return {row["head"]: {s["label"] for s in row["segments"]} for row in rows}

        found = labels()
        ours, theirs = min(found["tiny-semantic"]), min(found["other"])
        assert labels("--classes", f"{ours},{theirs}") == {
            "tiny-semantic": {ours}, "other": {theirs},
        }  # fmt: skip
        assert labels("--classes", theirs) == {"tiny-semantic": set(), "other": {theirs}}
        code, _, err = run("segment", photo, *model, "--classes", "zebra")
        assert code == 2
        assert "no class is called 'zebra'" in err

    def test_a_head_twice_or_none(self, work: Workspace, run: Run):
        photo, model = work.picture("a.png"), work.model[2:]
        code, _, err = run("segment", photo, "--heads", f"{work.head},{work.head}", *model)
        assert code == 2
        assert "two of the heads are called 'tiny-semantic'; give each once" in err
        code, _, err = run("segment", photo, "--heads", "a,,b", *model)
        assert code == 2
        assert "--heads takes names with commas between" in err

    def test_a_folder_with_a_comma(self, work: Workspace, run: Run):
        folder = work.head.rename(work.folder / "one,two")
        options = ["--head", str(folder), *work.model[2:]]
        assert run("segment", work.picture("a.png"), *options).code == 0
