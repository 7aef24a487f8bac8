"""`plainmask train`: a run of two steps, and what is said when it cannot start or is stopped."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from commands import Run, Workspace
from plainmask.cli.train import announce
from plainmask.errors import PlainmaskError
from plainmask.training import loop
from tiny import tiny_encoder, tiny_video_head


@pytest.fixture
def recipe(work: Workspace) -> Path:
    """A recipe on two pictures."""
    (work.folder / "data/labels/train").mkdir(parents=True)
    for name in ("a", "b"):
        work.picture(f"data/images/train/{name}.png")
        label = np.arange(50 * 70, dtype=np.uint8).reshape(50, 70) % 2
        Image.fromarray(label).save(work.folder / f"data/labels/train/{name}.png")
    (work.folder / "data/classes.json").write_text(
        '{"classes": [{"id": 0, "name": "sea"}, {"id": 1, "name": "land"}]}'
    )
    settings = {
        "name": "coast",
        "task": "semantic",
        "encoder": str(work.encoder),
        "data": {"root": "data", "val": "train"},
        "input": {"kind": "stride", "size": 48},
        "decoder": {"num_queries": 4, "num_blocks": 1, "upscale_stages": 1},
        "augment": {"crop_size": [32, 48], "scale": [1.0, 1.0]},
        "loss": {"num_points": 64},
        "steps": 100,
        "optimizer": {"warmup": 1},
        "batch_size": 2,
    }
    path = work.folder / "coast.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_the_trained_head_segments(work: Workspace, run: Run, recipe: Path):
    code, out, err = run("train", recipe, "steps=2", "--device", "cpu")
    assert code == 0, err
    assert "step 2/2" in err
    command = out.strip().split("try it: plainmask ")[1]
    assert command == f"segment IMAGE --head runs/coast/head --encoder {work.encoder}"
    photo = str(work.picture("photo.png"))
    code, out, _ = run(*command.replace("IMAGE", photo).split(), "--device", "cpu")
    assert code == 0
    assert "sea" in out or "land" in out


def test_ctrl_c_says_how_to_resume(run: Run, recipe: Path, monkeypatch: pytest.MonkeyPatch):
    def stopped(recipe: Any, run_dir: Path, **options: Any) -> None:
        run_dir.mkdir(parents=True)
        (run_dir / "checkpoint.pt").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", stopped)
    code, _, err = run("train", recipe, "steps=9", "--out", "my runs/1")
    assert code == 130
    assert f"plainmask train {recipe} steps=9 --out 'my runs/1' --resume" in err


def test_ctrl_c_before_the_first_checkpoint(
    run: Run, recipe: Path, monkeypatch: pytest.MonkeyPatch
):
    def stopped(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", stopped)
    code, _, err = run("train", recipe)
    assert code == 130
    assert "nothing was saved in runs/coast yet" in err


def test_a_failure_on_the_way_has_exit_code_1(
    run: Run, recipe: Path, monkeypatch: pytest.MonkeyPatch
):
    def failing(*arguments: Any, **options: Any) -> None:
        raise PlainmaskError("the loss became nan")

    monkeypatch.setattr(loop, "train", failing)
    code, _, err = run("train", recipe)
    assert (code, err) == (1, "error: the loss became nan\n")


@pytest.mark.parametrize("package", ["lightning_fabric", "tensorboard"])
def test_a_missing_extra_is_one_line(
    run: Run, recipe: Path, package: str, monkeypatch: pytest.MonkeyPatch
):
    loaded = ("torch.utils.tensorboard", "plainmask.training.")
    names = [name for name in sys.modules if name.startswith(loaded)]
    for name in names:  # packages know their modules, too, and get these back at the end
        parent, _, child = name.rpartition(".")
        monkeypatch.setattr(sys.modules[parent], child, sys.modules[name])
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    code, _, err = run("train", recipe)
    assert code == 2
    assert err == f"error: training needs {package}, which is missing: pip install " + (
        '"plainmask[train]"\n'
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.yaml",), "the recipe nowhere.yaml cannot be read"),
        (("coast.yaml", "optimizer.rate=1"), "optimizer.rate: unknown key"),
        (("coast.yaml", "data.root=nowhere"), "nowhere"),
        (("coast.yaml", "--resume"), "there is no checkpoint to resume"),
    ],
)
def test_what_cannot_start(
    work: Workspace, run: Run, recipe: Path, arguments: tuple[str, ...], message: str
):
    code, _, err = run("train", *arguments, "--device", "cpu")
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("propagation", "command"), [("none", "segment IMAGE"), ("gru", "track VIDEO")]
)
def test_the_last_line_is_a_command_that_fits_the_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], propagation: str, command: str
):
    folder = tiny_video_head("semantic", tiny_encoder(), propagation).save(tmp_path / "head")
    announce(folder, "dinov2-small")
    assert f"try it: plainmask {command} --head {folder}" in capsys.readouterr().out
