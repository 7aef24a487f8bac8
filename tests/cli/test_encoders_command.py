"""`plainmask encoders`: what heads can stand on, for people and for programs."""

import json
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save

from commands import Run
from plainmask.encoder.releases import PRESETS


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Our cache, empty, and an empty one of the hub."""
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *names: None)
    monkeypatch.setenv("PLAINMASK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(folder: Path, name: str) -> Path:
    file = folder / f"encoders/{name}.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(save({"a": torch.zeros(9)}))
    return file


def test_every_encoder_has_a_line_that_is_whole_in_80_columns(
    run: Run, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    put(cache, "tipsv2-large")
    code, out, err = run("encoders")
    assert (code, err) == (0, "")
    lines = [[cell.strip() for cell in line.strip("│\n").split("│")] for line in out.splitlines()]
    found = {cells[0]: cells[1:] for cells in lines if len(cells) == 6 and cells[0]}
    assert found.keys() == {preset.name for preset in PRESETS}
    assert found["dinov2-small"] == ["22.1", "Apache-2.0", "no", "pip, hub", "no"]
    assert found["dinov3-7b"] == ["6,716.0", "DINOv3 License", "yes", "hub", "no"]
    assert found["tipsv2-large"] == ["304.0", "Apache-2.0", "no", "hub", "yes"]
    assert out.count("Noncommercial") == 3


def test_json(run: Run, cache: Path):
    file = put(cache, "eupe-tiny")
    found = {one["name"]: one for one in json.loads(run("encoders", "--json").out)}
    assert list(found) == [preset.name for preset in PRESETS]
    assert found["eupe-tiny"] == {
        "name": "eupe-tiny",
        "parameters": 5_489_664,
        "licence": "FAIR Noncommercial Research License (Meta)",
        "gated": False,
        "pip": False,
        "hub": "facebook/EUPE-ViT-T",
        "cached": str(file),
    }
    assert found["dinov2-small"]["pip"]
    assert found["dinov3-small"]["gated"]
    assert not found["lingbot-large"]["gated"]
    assert found["dinov3-small"]["cached"] is None


def test_a_file_in_the_hub_s_cache_counts(
    run: Run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "model.pt").write_bytes(b"weights")
    hub = {("robbyant/lingbot-vision-vit-base", "model.pt"): str(tmp_path / "model.pt")}
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *names: hub.get(names))
    found = {one["name"]: one["cached"] for one in json.loads(run("encoders", "--json").out)}
    assert found["lingbot-base"] == str(tmp_path / "model.pt")
    assert sum(path is not None for path in found.values()) == 1


def test_a_damaged_file_does_not_count(run: Run, cache: Path):
    file = put(cache, "dinov2-base")
    file.write_bytes(file.read_bytes()[:-1])
    found = {one["name"]: one for one in json.loads(run("encoders", "--json").out)}
    assert found["dinov2-base"]["cached"] is None
