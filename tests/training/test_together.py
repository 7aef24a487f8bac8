"""Several heads on one encoder pass, each as if alone; boards; the best head."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bricks import a_recipe, data_folder, weights
from plainmask.encoder.vit import Encoder
from plainmask.errors import InputError
from plainmask.heads.head import read_config
from plainmask.training import loop, outcome
from plainmask.training.loop import train, train_together
from plainmask.training.processes import Machines
from plainmask.training.recipe import Recipe
from plainmask.training.together import check_shared
from tiny import save_tiny_encoder


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """Eight pictures with two classes, and an encoder file."""
    data_folder(tmp_path / "data", train=8, val=2)
    save_tiny_encoder(tmp_path)
    return tmp_path


def two_recipes(workshop: Path) -> list[Recipe]:
    """Of heads that differ in all that may differ."""
    common: dict[str, Any] = {"data": {"root": workshop / "data"}, "steps": 5}
    changes: dict[str, Any] = {
        "name": "b",
        "task": "instance",
        "decoder": {"num_queries": 4, "num_blocks": 1, "upscale_stages": 2},
        "loss": {"num_points": 64},
        "supervise": "last",
        "masked_attention": False,
        "save_every": 2,
    }
    return [a_recipe(workshop, **common), a_recipe(workshop, **(common | changes))]


def test_heads_train_together_as_they_do_apart(workshop: Path, monkeypatch: pytest.MonkeyPatch):
    recipes = two_recipes(workshop)
    apart = [train(recipe, workshop / "apart" / recipe.name, device="cpu") for recipe in recipes]
    passes: list[int] = []
    forward = Encoder.forward

    def counted(self: Encoder, pixels: torch.Tensor, *args: Any, **options: Any) -> Any:
        passes.append(len(pixels))
        return forward(self, pixels, *args, **options)

    monkeypatch.setattr(Encoder, "forward", counted)
    folders = [workshop / "together" / recipe.name for recipe in recipes]
    together = train_together(recipes, folders, Machines("cpu"))
    assert passes == [2] * 5
    for one, other in zip(apart, together, strict=True):
        same_weights(one, other)
        assert (other / "head/config.json").is_file()


@pytest.mark.parametrize("killed", [4, 2])
def test_heads_that_were_saved_at_different_steps_go_on_alike(
    workshop: Path, monkeypatch: pytest.MonkeyPatch, killed: int
):
    """One was saved after 3 steps, the other after 4; or only one was saved at all."""
    recipes = two_recipes(workshop)
    whole = train_together(recipes, [workshop / "w" / r.name for r in recipes], Machines("cpu"))
    folders = [workshop / "p" / recipe.name for recipe in recipes]
    original = loop.train_step

    def dying(run: loop.Run, step: int) -> None:
        if step == killed:
            raise RuntimeError("the power is gone")
        original(run, step)

    monkeypatch.setattr(loop, "train_step", dying)
    with pytest.raises(RuntimeError):
        train_together(recipes, folders, Machines("cpu"))
    monkeypatch.undo()
    again = train_together(recipes, folders, Machines("cpu"), resume=True)
    for one, other in zip(whole, again, strict=True):
        same_weights(one, other)


def same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "agree in seed: it is 0 in tiny, 1 in b"),
        ({"augment": {"crop_size": [32, 64], "scale": [1, 1]}}, "agree in augment"),
        ({"data": {"root": Path("data"), "train": "val"}}, "agree in data.root"),
        ({"name": "tiny"}, "two recipes have the name 'tiny'"),
    ],
)
def test_heads_that_do_not_share_pixels(changes: dict[str, Any], message: str):
    recipes = [a_recipe(Path()), a_recipe(Path(), **({"name": "b"} | changes))]
    if "root" in message:
        recipes[1] = recipes[1].model_copy(
            update={"data": recipes[1].data.model_copy(update={"root": Path("elsewhere")})}
        )
    with pytest.raises(InputError, match=message):
        check_shared(recipes)


def test_the_best_head_is_kept(workshop: Path, monkeypatch: pytest.MonkeyPatch):
    scores = iter([40.0, 70.0, 55.0])

    def scored(*_: object, **options: object) -> SimpleNamespace:
        return SimpleNamespace(figures={"mIoU": next(scores), "seen": 3}, failed={})

    monkeypatch.setattr(outcome, "evaluate", scored)
    run = train(a_recipe(workshop, steps=6, evaluate_every=2), workshop / "run", device="cpu")
    assert read_config(run / "best").provenance.figures == {"val_mIoU": 70.0}
    assert read_config(run / "head").provenance.figures == {"val_mIoU": 55.0}


def test_weights_and_biases_if_asked(workshop: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"):
        train(a_recipe(workshop, steps=4), workshop / "none", device="cpu", wandb="p")
    shown: list[tuple[str, int]] = []
    run = SimpleNamespace(
        log=lambda figures, step: shown.extend((name, step) for name in figures),
        finish=lambda: shown.append(("finished", 0)),
    )
    asked: dict[str, Any] = {}

    def init(**options: Any) -> SimpleNamespace:
        asked.update(options)
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    train(a_recipe(workshop, steps=4), workshop / "run", device="cpu", wandb="bricks")
    assert (asked["project"], asked["name"], asked["config"]["steps"]) == ("bricks", "tiny", 4)
    assert ("train/loss", 4) in shown
    assert ("val/mIoU", 4) in shown
    assert shown[-1] == ("finished", 0)
