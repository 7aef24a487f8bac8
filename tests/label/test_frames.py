"""A video as pictures: which frames are taken, going on after a kill, and what cannot be used."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import plainmask
from labelling import dot, session, waited_for
from plainmask.data.check import check_dataset
from plainmask.errors import InputError
from plainmask.label import frames
from plainmask.label.frames import (
    check_pictures,
    is_video,
    project_beside,
    read_note,
    write_frames,
)
from plainmask.label.journal import Journal
from plainmask.label.planes import Planes
from plainmask.label.project import FOLDER, Project
from plainmask.label.stroke import Stroke
from plainmask.training.loop import train
from plainmask.training.recipe import Recipe
from tiny import save_tiny_encoder, tiny_encoder
from videos import cut, pictures, write_audio, write_video

TINY: dict[str, Any] = {"encoder": "tiny", "fingerprint": "abc"}
WRITE = """
import sys
from pathlib import Path
from typing import Any
from plainmask.label.frames import write_frames
write_frames(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def street(tmp_path: Path) -> Path:
    return write_video(tmp_path / "street.mp4", pictures(12))


def test_the_frames_of_a_video_are_the_pictures_of_its_project(street: Path):
    before, said = street.read_bytes(), list[str]()
    place = project_beside(street)
    folder = write_frames(street, place, say=said.append)
    assert place == street.parent / "street.plainmask-label"
    assert names(folder) == [f"{number:06d}.jpg" for number in range(12)]
    for path, image in zip(sorted(folder.iterdir()), pictures(12), strict=True):
        assert np.abs(np.asarray(Image.open(path)).astype(int) - image).mean() < 16
    assert said == [
        f"each frame of {street} is taken, 12 pictures; --every, with another --project, takes "
        "others"
    ]
    assert street.read_bytes() == before
    note = read_note(place)
    assert note is not None
    assert note.seconds["000005.jpg"] == 0.2
    project = Project.open(folder, place, classes=["road"], **TINY)
    assert project.video == note
    point = {"kind": "brush", "class": 0, "points": [[9, 9]], "radius": 3}
    project.add_stroke(Stroke.read(point | {"picture": "000003.jpg"}))
    project.write_labels("000003.jpg", Planes(np.zeros((48, 64), np.uint8), None))
    project.close()
    assert check_dataset(place).all_problems == []
    assert write_frames(street, place, say=said.append) == folder
    assert len(said) == 1


@pytest.mark.slow
def test_a_head_with_memory_learns_from_a_labelled_video(street: Path, tmp_path: Path):
    """As docs/label.md tells it."""
    place = project_beside(street)
    encoder = save_tiny_encoder(tmp_path)
    with session(write_frames(street, place), place=place, encoder=str(encoder)) as made:
        for name in ("000000.jpg", "000007.jpg"):
            made.draw(dot(name, 10, 0))
            made.draw(dot(name, 50, 1))
        waited_for(lambda: made.linear)
        made.label_rest()
        waited_for(lambda: made.status()["job"]["state"] == "done")
    recipe = Recipe.model_validate(
        {
            "name": "street",
            "task": "semantic",
            "encoder": str(encoder),
            "data": {"root": place / "whole/data", "format": "video_folder", "train": None},
            "input": {"kind": "stride", "size": 48},
            "decoder": {"num_queries": 6, "num_blocks": 1, "propagation": "gru"},
            "augment": {"crop_size": [48, 48], "scale": [0.9, 1.2]},
            "clip": {"frames": 5, "reach": 2},
            "carry": 0.7,
            "loss": {"num_points": 64},
            "optimizer": {"warmup": 1},
            "steps": 2,
            "masked_attention": False,
            "batch_size": 1,
        }
    )
    head = train(recipe, tmp_path / "run") / "head"
    results = list(plainmask.load(head, encoder=tiny_encoder()).track(street))
    assert len(results) == 12
    assert results[0].vocabulary.names == ("dark", "bright")


@pytest.mark.parametrize(("every", "last"), [(1, 11), (5, 10), (100, 0)])
def test_one_frame_in_so_many(street: Path, every: int, last: int):
    folder = write_frames(street, project_beside(street), every)
    assert names(folder) == [f"{number:06d}.jpg" for number in range(0, last + 1, every)]
    with pytest.raises(InputError, match=f"has one frame in {every} of .*leave --every out"):
        write_frames(street, project_beside(street), 3)


def test_of_a_long_video_frames_are_taken_evenly(tmp_path: Path):
    long = write_video(tmp_path / "long.mp4", pictures(2 * frames.MOST + 1, (16, 16)))
    folder = write_frames(long, project_beside(long))
    assert names(folder)[:2] == ["000000.jpg", "000003.jpg"]
    assert len(names(folder)) == 201


def test_a_video_that_does_not_say_how_long_it_is(tmp_path: Path):
    raw = write_video(tmp_path / "raw.h264", pictures(frames.MOST + 1, (16, 16)))
    assert len(names(write_frames(raw, project_beside(raw)))) == 151


def test_the_project_of_another_video(street: Path, tmp_path: Path):
    place = project_beside(street)
    write_frames(street, place)
    other = write_video(tmp_path / "other.mp4", pictures(12, seed=1))
    with pytest.raises(InputError, match=r"is the project of another video, street.mp4; give"):
        write_frames(other, place)
    moved = street.rename(tmp_path / "moved.mp4")
    assert write_frames(moved, place) == place / "frames"


def test_pictures_and_videos_have_projects_of_their_own(street: Path, tmp_path: Path):
    place = project_beside(street)
    folder = write_frames(street, place)
    with pytest.raises(InputError, match=r"is the project of the video street.mp4; give that"):
        check_pictures(tmp_path / "photos", place)
    Project.open(folder, folder / FOLDER, **TINY, classes=["road"]).close()
    with pytest.raises(InputError, match=r"is a project of pictures; give another --project"):
        write_frames(street, folder / FOLDER)


def test_what_is_a_video(street: Path, tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    assert is_video(street)
    assert not is_video(tmp_path)
    assert not is_video(tmp_path / "photo.jpg")
    assert not is_video(tmp_path / "gone.mp4")


def bad(folder: Path, kind: str) -> Path:
    path = folder / "bad.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no video at all")
    elif kind == "cut off":
        cut(write_video(path, pictures(12)), 0.5)
    elif kind == "sound":
        write_audio(path)
    elif kind == "no frame":
        write_video(path, pictures(1))
        content = path.read_bytes()
        path.write_bytes(content.replace(b"avc1", b"zzzz"))
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "is empty; get or export it again"),
        ("text", "is not a video that can be read"),
        ("cut off", "is cut off"),
        ("sound", "holds no pictures, only audio; give a video"),
        ("no frame", "is of a codec that the FFmpeg inside PyAV does not know; convert it"),
    ],
)
def test_a_video_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path, kind: str, reason: str):
    path = bad(tmp_path, kind)
    with pytest.raises(InputError, match=reason):
        write_frames(path, project_beside(path))
    assert names(tmp_path) == ["bad.mp4"]


def test_frames_before_a_video_breaks_off(tmp_path: Path):
    fast = {"movflags": "faststart"}
    path = cut(write_video(tmp_path / "torn.mp4", pictures(40), container=fast), 0.7)
    said = list[str]()
    folder = write_frames(path, project_beside(path), say=said.append)
    assert 0 < len(names(folder)) < 40
    assert "breaks off after" in said[0]
    assert said[0].endswith("the frames before are taken")


def test_a_project_that_another_program_has_open(street: Path):
    place = project_beside(street)
    journal = Journal.open(place / "journal.jsonl")
    with pytest.raises(InputError, match="is open in another program that labels"):
        write_frames(street, place)
    journal.close()


def test_a_note_that_is_damaged(street: Path):
    place = project_beside(street)
    write_frames(street, place)
    (place / "video.json").write_text("{")
    with pytest.raises(InputError, match=r"video.json cannot be read \(.*put back a copy"):
        write_frames(street, place)


def limit() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))


def test_a_disk_that_takes_no_more(tmp_path: Path):
    """A limit of the size of files, beyond which writing fails as on a full disk."""
    path = write_video(tmp_path / "large.mp4", pictures(3, (240, 320)))
    place = project_beside(path)
    found = subprocess.run(
        [sys.executable, "-c", WRITE, str(path), str(place)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert "000000.jpg cannot be written: File too large; give a folder" in found.stderr
    assert names(place / "frames") == []
    assert len(names(write_frames(path, place))) == 3


@pytest.mark.slow
def test_kill_at_any_moment_leaves_whole_frames(tmp_path: Path):
    path = write_video(tmp_path / "large.mp4", pictures(60, (480, 640)), gop=60)
    place = project_beside(path)
    for wanted in (1, 20, 40):
        with subprocess.Popen([sys.executable, "-c", WRITE, str(path), str(place)]) as writing:
            while len(list(place.glob("frames/*.jpg"))) < wanted:
                assert writing.poll() is None
                time.sleep(0.001)
            writing.kill()
        for frame in place.glob("frames/*.jpg"):
            Image.open(frame).load()
    (place / "frames" / ".12345678.part").write_bytes(b"half")
    kept = {frame: frame.stat().st_mtime_ns for frame in place.glob("frames/*.jpg")}
    assert len(names(write_frames(path, place))) == 60
    assert all(frame.stat().st_mtime_ns == when for frame, when in kept.items())
    note = read_note(place)
    assert note is not None
    assert len(note.seconds) == 60
