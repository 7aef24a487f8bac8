"""The mean of the weights: by its formula, over norms' statistics, and what a run makes of it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bricks import a_recipe, data_folder, weights
from plainmask.training.averaging import averaged
from plainmask.training.loop import train
from tiny import save_tiny_encoder


def test_the_mean_moves_by_the_formula():
    model = nn.Linear(1, 1, bias=False)
    mean = averaged(model, decay=0.5)
    expected = None
    for step, value in enumerate([3.0, 5.0, 1.0, 7.0]):
        model.weight.data.fill_(value)
        mean.update_parameters(model)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert next(mean.module.parameters()).item() == pytest.approx(expected)
    assert model.weight.item() == 7.0


def test_statistics_of_norms_are_averaged_and_counts_are_copied():
    model = nn.BatchNorm1d(1)
    mean = averaged(model, decay=0.9)
    for value in (0.0, 10.0):
        model(torch.full((4, 1), value) + torch.arange(4.0)[:, None])
        mean.update_parameters(model)
    assert mean.module.state_dict()["num_batches_tracked"] == 2
    assert model.running_mean is not None
    first = 0.1 * 1.5
    assert mean.module.state_dict()["running_mean"].item() == pytest.approx(
        2 / 11 * first + 9 / 11 * model.running_mean.item()
    )


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """A data set of eight pictures with two classes, and an encoder file."""
    data_folder(tmp_path / "data", train=8, val=2)
    save_tiny_encoder(tmp_path)
    return tmp_path


def given(run: Path) -> dict[str, torch.Tensor]:
    """The weights, in half precision, of the head that a run leaves."""
    return load_file(run / "head/model.safetensors")


def test_a_run_gives_the_mean_and_learns_as_without_one(workshop: Path):
    changes: dict[str, Any] = {"steps": 4, "data": {"root": workshop / "data"}}
    run = train(a_recipe(workshop, average=0.5, **changes), workshop / "run", device="cpu")
    plain = train(a_recipe(workshop, **changes), workshop / "plain", device="cpu")
    learnt, mean = weights(plain), given(run)
    assert all(torch.equal(learnt[name], value) for name, value in weights(run).items())
    saved = torch.load(run / "checkpoint.pt", weights_only=True)["mean"]
    for name, value in mean.items():
        assert torch.equal(saved["module." + name].to(value.dtype), value)
    assert not torch.equal(mean["queries"], learnt["queries"].half())


def test_a_run_without_a_mean_can_go_on_with_one(workshop: Path):
    recipe = a_recipe(workshop, steps=4, data={"root": workshop / "data"})
    run = train(recipe, workshop / "run", device="cpu")
    before = given(run)
    again = recipe.model_copy(update={"average": 0.9})
    train(again, run, resume=True, device="cpu")  # it is at its end
    assert all(torch.equal(before[name], value) for name, value in given(run).items())
