"""`plainmask heads` and `plainmask doctor`: what there is, for people and for programs."""

import json
from importlib import metadata
from pathlib import Path

import huggingface_hub
import pytest

from commands import Run, Workspace
from plainmask.encoder.presets import PRESETS
from plainmask.heads import head as head_room


@pytest.fixture
def shipped(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny head, as if it came with the package."""
    monkeypatch.setattr(head_room, "shipped_heads", lambda: {"tiny-semantic": work.head})


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_list(run: Run, arguments: tuple[str, ...]):
    code, out, err = run("heads", *arguments)
    assert (code, err) == (0, "")
    assert "tiny-semantic" in out
    assert "not measured" in out
    code, out, _ = run("heads", *arguments, "--json")
    (head,) = json.loads(out)
    assert head["task"] == "semantic"
    assert head["classes"] == ["class_0", "class_1", "class_2"]


@pytest.mark.usefixtures("shipped")
def test_show(work: Workspace, run: Run):
    by_name = run("heads", "show", "tiny-semantic")
    by_folder = run("heads", "show", work.head)
    assert by_name == by_folder
    assert "class_0, class_1, class_2" in by_name.out
    assert "stride 48" in by_name.out
    head = json.loads(run("heads", "show", work.head, "--json").out)
    assert head["encoder"]["patch_size"] == 16


@pytest.mark.usefixtures("shipped")
def test_a_misspelt_head_is_guessed(run: Run):
    code, _, err = run("heads", "show", "tiny-semantik")
    assert code == 2
    assert "did you mean 'tiny-semantic'?" in err


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without hub and without anything cached."""

    def unreachable(*arguments: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *names: None)
    monkeypatch.setenv("PLAINMASK_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("offline", "shipped")
def test_doctor(run: Run, tmp_path: Path):
    code, out, err = run("doctor")
    assert (code, err) == (0, "")
    assert metadata.version("torch") in out
    assert "hub                  not reachable: no route to host" in out
    assert "--encoder PATH" in out
    assert "tiny-semantic        semantic, on custom" in out
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("offline", "shipped")
def test_doctor_json(run: Run, tmp_path: Path):
    ready = tmp_path / "cache/encoders/dinov2-base.safetensors"
    ready.parent.mkdir(parents=True)
    ready.write_bytes(b"weights")
    report = json.loads(run("doctor", "--json").out)
    encoders = {line["name"]: line for line in report["encoders"]}
    assert encoders.keys() == {preset.name for preset in PRESETS}
    assert encoders["dinov2-base"]["state"] == f"ready: {ready}"
    assert "by pip" in encoders["dinov2-small"]["state"]
    assert "gated: Meta's own DINOv3 licence" in encoders["dinov3-large"]["state"]
    assert "hf auth login" in encoders["dinov3-large"]["advice"]
    assert {"train", "export"} <= {line["name"] for line in report["optional parts"]}
