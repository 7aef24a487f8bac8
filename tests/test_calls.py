"""The commands as calls: one line each, with the commands' names for things."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import plainmask
from bricks import a_recipe, data_folder
from plainmask.errors import InputError
from plainmask.training.recipe import save_recipe
from tiny import save_tiny_encoder, tiny_encoder, tiny_head


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Path | str]:
    head = tiny_head("semantic", tiny_encoder()).save(tmp_path / "head")
    return {"head": head, "encoder": save_tiny_encoder(tmp_path), "device": "cpu"}


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(0, 256, (50, 70, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


def test_a_folder_is_segmented_and_saved(tmp_path: Path, model: dict[str, Path | str]):
    folder = pictures(tmp_path / "in", 2)
    found = plainmask.segment(folder, out=tmp_path / "out", save=["labels"], **model)
    assert [path.name for path in found] == ["0.png", "1.png"]
    for path, result in found.items():
        assert result.image_size == (50, 70)
        assert (tmp_path / "out" / f"{path.stem}.labels.png").is_file()
    (again,) = plainmask.segment(folder / "0.png", **model).values()
    assert again.rows() == found[folder / "0.png"].rows()


def test_what_was_done_before_a_bad_picture_is_saved(tmp_path: Path, model: dict[str, Path | str]):
    folder = pictures(tmp_path / "in", 1)
    (folder / "bad.png").write_text("no picture")
    both = [folder / "0.png", folder / "bad.png"]
    with pytest.raises(InputError, match=r"bad\.png"):
        plainmask.segment(both, out=tmp_path / "out", **model)
    assert (tmp_path / "out/0.overlay.png").is_file()


def test_what_cannot_be_segmented_is_named(tmp_path: Path, model: dict[str, Path | str]):
    with pytest.raises(InputError, match=r"nowhere\.jpg: there is no such file"):
        plainmask.segment(tmp_path / "nowhere.jpg", **model)


def test_a_head_is_trained_and_evaluated(tmp_path: Path):
    workshop = tmp_path / "workshop"
    workshop.mkdir()
    save_tiny_encoder(workshop)
    data_folder(workshop / "data", train=4, val=2)
    save_recipe(a_recipe(workshop), workshop / "own.yaml")
    head = plainmask.train(workshop / "own.yaml", "steps=2", out=tmp_path / "run", device="cpu")
    assert head == tmp_path / "run/head"
    found = plainmask.evaluate(
        head, workshop / "data", split="val", out=tmp_path / "report",
        encoder=workshop / "encoder.safetensors", device="cpu",
    )  # fmt: skip
    assert "mIoU" in found.figures
    assert (tmp_path / "report/summary.json").is_file()
