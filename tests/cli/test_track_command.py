"""`plainmask track` as a person would use it, with good and bad input."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import Run, Workspace, wait_until
from plainmask.cli.videos import video_places
from plainmask.errors import InputError
from plainmask.results.task import Task
from plainmask.video.sources import open_video
from tiny import tiny_encoder, tiny_video_head
from videos import cut, pictures, write_video


def head(work: Workspace, task: Task = "panoptic") -> tuple[str, ...]:
    """Options that choose a tiny video head."""
    folder = work.folder / f"video-{task}"
    if not folder.exists():
        tiny_video_head(task, tiny_encoder()).save(folder)
    return "--head", str(folder), "--encoder", str(work.encoder), "--device", "cpu"


def clip(work: Workspace, name: str = "street.mp4", count: int = 12) -> Path:
    return write_video(work.folder / name, pictures(count))


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_writes_a_video_and_a_table_and_says_where(work: Workspace, run: Run):
    code, out, err = run("track", clip(work), *head(work))
    assert (code, err) == (0, "")
    assert names(work.folder / "out") == ["street.overlay.mp4", "street.segments.jsonl"]
    for name in names(work.folder / "out"):
        assert f"out/{name}" in out
    assert "street.mp4: 12 frames, " in out
    assert "track" in out
    lines = (work.folder / "out/street.segments.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame_index"] for line in lines] == list(range(12))
    assert len(list(open_video(work.folder / "out/street.overlay.mp4"))) == 12
    last = json.loads(lines[-1])["segments"]
    assert last
    for segment in last:
        assert f" {segment['label']} " in out


def test_json_has_one_object_a_video(work: Workspace, run: Run):
    videos = [clip(work, "a.mp4"), clip(work, "b.mkv", 5)]
    code, out, err = run("track", *videos, *head(work), "--json", "--save", "jsonl")
    assert (code, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert (first["video"], first["frames"]) == (str(videos[0]), 12)
    assert (second["frames"], second["damaged_frames"]) == (5, 0)
    assert second["files"] == ["out/b.segments.jsonl"]
    assert second["seconds_per_frame"] > 0
    assert {"id", "label", "frames", "score"} == second["tracks"][0].keys()
    assert max(track["frames"] for track in second["tracks"]) <= 5


@pytest.mark.parametrize(
    ("task", "kind", "file"),
    [
        ("semantic", "png", "out/street.labels/00003.png"),
        ("instance", "ytvis", "out/street.ytvis.json"),
        ("panoptic", "vipseg", "out/vipseg/pan_pred/street/00003.png"),
    ],
)
@pytest.mark.parametrize("protocol", ["online", "offline"])
def test_other_forms(work: Workspace, run: Run, task: Task, kind: str, file: str, protocol: str):
    options = (*head(work, task), "--save", f"mp4,{kind}", "--protocol", protocol)
    code, _, err = run("track", clip(work, count=4), *options)
    assert (code, err) == (0, "")
    assert (work.folder / file).is_file()
    assert len(list(open_video(work.folder / "out/street.overlay.mp4"))) == 4


def test_an_image_head_sees_each_frame_alone(work: Workspace, run: Run):
    code, out, err = run("track", clip(work, count=3), *work.model, "--save", "jsonl")
    assert (code, err) == (0, "")
    assert "class_" in out


def test_a_folder_of_frames_names_its_results(work: Workspace, run: Run):
    for place, image in enumerate(pictures(3)):
        path = work.folder / f"data/clip.one/origin/{9 + place}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    options = (*head(work, "semantic"), "--save", "png")
    code, _, err = run("track", "data/clip.one/origin", *options)
    assert (code, err) == (0, "")
    assert names(work.folder / "out") == [
        "clip.one.labels/10.png",
        "clip.one.labels/11.png",
        "clip.one.labels/9.png",
    ]


def test_a_bad_video_is_reported_and_the_others_go_on(work: Workspace, run: Run):
    front = {"movflags": "+faststart"}
    whole = write_video(work.folder / "whole.mp4", pictures(30), container=front)
    torn = cut(write_video(work.folder / "torn.mp4", pictures(60), container=front), 0.6)
    (work.folder / "text.mp4").write_text("hello")
    given = ("missing.mp4", torn, "text.mp4", whole)
    code, out, err = run("track", *given, *head(work), "--save", "jsonl")
    assert code == 1
    assert "error: missing.mp4: there is no such file; check the path\n" in err
    assert "error: text.mp4 is not a video that can be read" in err
    assert f"error: {torn} breaks off after " in err
    assert err.endswith("error: 3 of 4 videos failed\n")
    kept = (work.folder / "out/torn.segments.jsonl").read_text().splitlines()
    assert f"torn.mp4: {len(kept)} frames" in out
    assert f"breaks off after {len(kept)} frames" in err
    assert len((work.folder / "out/whole.segments.jsonl").read_text().splitlines()) == 30

    code, out, _ = run("track", *given, *head(work), "--save", "jsonl", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert {row["video"] for row in rows if "error" in row} == {
        "missing.mp4",
        "text.mp4",
        str(torn),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.mp4",), "error: missing.mp4: there is no such file; check the path\n"),
        (("97",), "error: camera 97 cannot be opened"),
        (("street.mp4", "--save", "gif"), "error: results cannot be saved as 'gif'"),
        (("street.mp4", "--save", "ytvis"), "error: ytvis is for instance results, and the head"),
        (
            ("street.mp4", "--protocol", "later"),
            "the protocol 'later' is unknown",
        ),
        (("street.mp4", "--out", "street.mp4"), "error: the output folder street.mp4 cannot be"),
        (("street.mp4", "--head", "strete-video"), "there is no head 'strete-video'"),
        (("empty",), "error: empty holds no pictures"),
    ],
)
def test_what_cannot_start_is_one_message_and_exit_code_2(
    work: Workspace, run: Run, arguments: tuple[str, ...], message: str
):
    clip(work, count=2)
    (work.folder / "empty").mkdir()
    code, out, err = run("track", *head(work), *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_disk_that_fills_up_keeps_what_is_written(
    work: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
):
    from plainmask.video.growing import GrowingFile

    append = GrowingFile.append

    def full(self: GrowingFile, piece: bytes) -> None:
        if b'"frame_index": 5' in piece:
            raise InputError(f"{self.path} cannot be written: No space left on device")
        append(self, piece)

    monkeypatch.setattr(GrowingFile, "append", full)
    code, _, err = run("track", clip(work), *head(work), "--save", "jsonl,mp4")
    assert code == 1
    assert "No space left on device. What was written of 5 frames is kept" in err
    assert len((work.folder / "out/street.segments.jsonl").read_text().splitlines()) == 5
    assert len(list(open_video(work.folder / "out/street.overlay.mp4"))) == 5


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_ctrl_c_and_its_like_keep_what_is_done(work: Workspace, sent: signal.Signals, code: int):
    """The real thing: another process, a signal, and files that can be read."""
    clip(work, count=400)
    options = [*head(work, "semantic"), "--save", "mp4,jsonl,png"]
    command = [sys.executable, "-m", "plainmask", "track", "street.mp4", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=work.folder
    )
    labels = work.folder / "out/street.labels"
    wait_until(lambda: labels.is_dir() and len(list(labels.iterdir())) > 20, process)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    frames = len((work.folder / "out/street.segments.jsonl").read_text().splitlines())
    assert 20 < frames < 400
    assert err.splitlines() == [
        f"stopped: street.mp4 after {frames} of 400 frames, whose results are in out"
    ]
    assert len(list(open_video(work.folder / "out/street.overlay.mp4"))) == frames
    assert len(list(labels.iterdir())) == frames
    assert not list((work.folder / "out").glob(".*"))


def test_ctrl_c_before_the_first_frame_leaves_nothing(
    work: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object, **__: object) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("plainmask.inference.follow.follow", interrupted)
    code, _, err = run("track", clip(work), *head(work))
    assert code == 130
    assert "street.mp4 after 0 of 12 frames; nothing was written" in err
    assert names(work.folder / "out") == []


def test_no_two_results_share_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("one/origin", "two/origin", "clip.v2"):
        Path(folder).mkdir(parents=True)

    def places(*videos: str | int) -> list[str]:
        return [f"{folder}/{stem}" for folder, stem in video_places(videos, Path("out"))]

    assert places("one/origin", "two/origin") == ["out/one", "out/two"]
    assert places("clip.v2", "a.mp4", 0) == ["out/clip.v2", "out/a", "out/camera-0"]
    assert places("one/a.mp4", "two/a.mp4") == ["out/one/a", "out/two/a"]
    assert places("rtsp://me:secret@10.0.0.1:554/live/1?x=2") == ["out/10.0.0.1-554-live-1-x-2"]


def test_the_pictures_are_those_of_the_video(work: Workspace, run: Run):
    """Labels lie where the results say, frame by frame."""
    code, _, _ = run("track", clip(work, count=3), *head(work, "semantic"), "--save", "png,jsonl")
    assert code == 0
    for line in (work.folder / "out/street.segments.jsonl").read_text().splitlines():
        row = json.loads(line)
        labels = np.asarray(Image.open(work.folder / f"out/street.labels/{row['name']}.png"))
        for segment in row["segments"]:
            assert (labels == segment["class_id"]).sum() == segment["area"]


def test_tables_of_a_person_are_never_replaced(work: Workspace, run: Run):
    video = clip(work, count=2)
    (work.folder / "street.jsonl").write_text("mine")
    code, _, _ = run("track", video, *head(work), "--out", ".", "--save", "jsonl")
    assert code == 0
    assert (work.folder / "street.jsonl").read_text() == "mine"
    for name in ("street.segments.jsonl", "street.overlay.mp4"):
        (work.folder / name).write_text("mine")
        code, _, err = run("track", video, *head(work), "--out", ".", "--save", "jsonl,mp4")
        assert code == 1
        assert f"{name} is there already and is no result of plainmask" in err
        assert (work.folder / name).read_text() == "mine"
        (work.folder / name).unlink()
    for _ in range(2):  # its own are
        code, _, err = run("track", video, *head(work), "--save", "jsonl,mp4,png")
        assert code == 0, err


def test_only_what_is_asked_for(work: Workspace, run: Run):
    video = clip(work, count=2)
    _, out, _ = run("track", video, *head(work), "--json")
    labels = {track["label"] for track in json.loads(out)["tracks"]}
    wanted = sorted(labels)[0]
    code, out, err = run("track", video, *head(work), "--classes", wanted, "--json")
    assert code == 0, err
    assert {track["label"] for track in json.loads(out)["tracks"]} == {wanted}
    lines = (work.folder / "out/street.segments.jsonl").read_text().splitlines()
    assert {row["label"] for line in lines for row in json.loads(line)["segments"]} == {wanted}
    code, _, err = run("track", video, *head(work), "--score", "2")
    assert code == 2
    assert "--score is the least score to keep" in err


def test_cameras_are_opened_in_their_turn(
    work: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
):
    """A second camera that waits for the first would show what is past."""
    from plainmask.video import live
    from plainmask.video.frames import Frame, Video

    events: list[str] = []

    def camera(number: int) -> Video:
        events.append(f"open {number}")

        def read() -> Any:
            for place, image in enumerate(pictures(2)):
                yield Frame(image, place / 25, f"{place:05d}")

        def release() -> None:
            events.append(f"close {number}")

        return Video(f"camera {number}", read, live=True, repeatable=False, release=release)

    monkeypatch.setattr(live, "open_camera", camera)
    code, _, err = run("track", "0", "1", *head(work), "--save", "jsonl")
    assert code == 0, err
    assert events == ["open 0", "close 0", "open 1", "close 1"]
