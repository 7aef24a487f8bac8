"""Several processes and parts of batches give the step of one process with the whole batch."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gradients
import measured
from bricks import a_recipe, data_folder, weights
from plainmask.errors import InputError
from plainmask.training import loop, processes
from plainmask.training.loop import train
from plainmask.training.processes import Machines
from plainmask.training.recipe import save_recipe
from plainmask.training.records import build_sampler, read_records, read_vocabulary
from plainmask.training.samples.batches import Batch, training_batches
from several import environment, frozen
from tiny import PATCH, save_tiny_encoder, tiny_encoder, tiny_head


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """Eight pictures, an encoder file and a head to start from."""
    data_folder(tmp_path / "data", train=8, val=2)
    save_tiny_encoder(tmp_path)
    tiny_head("semantic", tiny_encoder(), num_classes=2).save(tmp_path / "start")
    return tmp_path


def test_two_processes_give_the_gradients_of_one(workshop: Path):
    """Also where one has more masks than the other, in parts, and of clips in chunks."""
    data_folder(workshop / "sea", train=8)
    Image.fromarray(np.zeros((40, 56), np.uint8)).save(workshop / "sea/labels/train/0.png")
    clips = {
        "decoder": {"num_queries": 6, "num_blocks": 2, "propagation": "gru"},
        "clip": {"frames": 3, "reach": 1},
        "chunk": 2,
        "masked_attention": False,
    }
    varied = {"augment": {"crop_size": [48, 64], "scale": [0.7, 1.4]}}
    cases = [
        {},
        {"data": {"root": workshop / "sea"}, "batch_size": 8},  # all pictures
        varied | {"accumulate": 2, "rope_rescale": True, "steps": 3},
        varied | clips,
    ]
    recipes = [str(workshop / f"{number}.yaml") for number in range(len(cases))]
    for case, path in zip(cases, recipes, strict=True):
        save_recipe(frozen(workshop, **case), Path(path))
    in_two_processes([gradients.__file__, str(workshop), "2", *recipes])
    gradients_of_one(workshop, recipes)
    for number in range(len(cases)):
        same_gradients(workshop, f"{number}_1", f"{number}_2")


def gradients_of_one(workshop: Path, recipes: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", torch.optim.AdamW.step)
        gradients.main(workshop, 1, recipes)


def in_two_processes(script: list[str]) -> None:
    both = environment(WORLD_SIZE=2, NODE_RANK=0)
    started = [
        subprocess.Popen(
            [sys.executable, *script],
            env=both | {"LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=300)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0], errors


def same_gradients(folder: Path, first: str, second: str) -> None:
    ours, theirs = (torch.load(folder / f"gradients_{name}.pt") for name in (first, second))
    assert len(ours) == len(theirs) > 20
    for a, b in zip(ours, theirs, strict=True):
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert max(float(a.abs().max()) for a in ours if a is not None) > 1e-3


def test_parts_of_a_batch_give_the_gradients_of_the_whole(workshop: Path):
    recipes: list[str] = []
    for number, accumulate in enumerate((1, 2)):
        path = workshop / f"{number}.yaml"
        save_recipe(frozen(workshop, accumulate=accumulate), path)
        recipes.append(str(path))

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        """The same for every mask: parts draw one after the other, the whole at once."""
        generator = torch.Generator().manual_seed(5)
        return torch.rand(shape[1:], generator=generator).expand(shape).clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "uniform_points", lambda *_: draw)
        gradients_of_one(workshop, recipes)
    same_gradients(workshop, "0_1", "1_1")


def test_the_command_trains_with_two_processes(workshop: Path):
    recipe = frozen(workshop, steps=2, data={"root": workshop / "data", "val": "val"})
    save_recipe(recipe, workshop / "recipe.yaml")
    run = workshop / "run"
    command = [sys.executable, "-m", "plainmask", "train", str(workshop / "recipe.yaml")]
    options = ["--out", str(run), "--device", "cpu", "--devices", "2"]
    done = subprocess.run(
        command + options, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 1
    for line in ("step 1/2", "step 2/2  tiny  0", "measuring on 2 ", "val_mIoU"):
        assert done.stderr.count(line) == 1, done.stderr  # the first process alone reports
    assert {"head", "best", "checkpoint.pt", "log.csv"} <= {path.name for path in run.iterdir()}


def test_two_processes_measure_videos_as_one_does(workshop: Path):
    """Also where there is one video, and where one of them fails: then both say so."""
    save_recipe(frozen(workshop), workshop / "recipe.yaml")
    in_two_processes([measured.__file__, str(workshop), "2"])
    both = [json.loads((workshop / f"figures_{rank}.json").read_text()) for rank in range(2)]
    alone = measured.figures_of(workshop, 1)
    assert alone["three"].keys() >= {"val_AP", "val_J", "val_IDF1"}
    assert alone["three"] != alone["one"]
    for case in ("three", "one"):
        assert both[0][case] == both[1][case] == alone[case]
    reason = alone["broken"]
    assert reason == "video 2: 4.jpg is cut off"
    assert [found["broken"] for found in both] == [
        f"rank 1 could not evaluate the head: {reason}",
        reason,
    ]


@pytest.mark.parametrize(("count", "parts"), [(2, 1), (4, 1), (1, 2), (2, 2)])
def test_samples_of_a_step_do_not_depend_on_processes_and_parts(
    workshop: Path, count: int, parts: int
):
    recipe = a_recipe(workshop)
    vocabulary = read_vocabulary(recipe)
    sampler = build_sampler(recipe, read_records(recipe, vocabulary)[0], vocabulary, PATCH)

    def batches(first: int, **options: Any) -> list[Batch]:
        found = training_batches(sampler, batch_size=4, seed=3, first=first, last=4, **options)
        return list(found)

    whole = batches(0)
    shares = [batches(0, share=(process, count), parts=parts) for process in range(count)]
    mine = [part for turn in zip(*shares, strict=True) for part in turn]
    for step, batch in enumerate(whole):
        of_step = mine[step * count * parts : (step + 1) * count * parts]
        assert [name for part in of_step for name in part.names or ()] == batch.names
        assert torch.equal(torch.cat([part.pixels for part in of_step]), batch.pixels)
    again = batches(2, share=(0, count), parts=parts)  # resumed
    assert [batch.names for batch in again] == [batch.names for batch in shares[0][2 * parts :]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 3}, "batch_size 3 cannot be shared out to 2 process"),
        ({"accumulate": 4}, "make it a multiple of 8"),
        ({"freeze_norms": False}, "several processes on CPUs need freeze_norms: true"),
    ],
)
def test_what_cannot_be_shared_out(workshop: Path, changes: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        processes.start(Machines("cpu", devices=2), frozen(workshop, **changes))


def test_blocks_are_compiled_when_asked(workshop: Path, monkeypatch: pytest.MonkeyPatch):
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self))
    asked: list[torch.device] = []
    monkeypatch.setattr(loop, "check_compiler", asked.append)
    machines = Machines("cpu", compiled=True)
    train(frozen(workshop), workshop / "run", machines=machines)
    assert len(compiled) == 4 + 1  # of the encoder and the decoder
    assert asked == [torch.device("cpu")]


def test_a_killed_run_ends_with_the_same_weights(workshop: Path):
    """SIGKILL between two saves, with masked attention annealed, from a real command."""
    recipe = a_recipe(workshop, steps=12, log_every=1, save_every=3)
    whole = train(recipe, workshop / "whole", device="cpu")
    save_recipe(recipe, workshop / "recipe.yaml")
    command = [sys.executable, "-m", "plainmask", "train", str(workshop / "recipe.yaml")]
    options = ["--out", str(workshop / "parts"), "--device", "cpu"]
    with subprocess.Popen(command + options, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("step 5/"):
                process.kill()
        assert process.wait(timeout=60) == -signal.SIGKILL
    saved = torch.load(workshop / "parts/checkpoint.pt", weights_only=True)
    assert saved["step"] in (3, 6, 9)
    assert (workshop / "parts/head/config.json").is_file()
    again = train(recipe, workshop / "parts", resume=True, device="cpu")
    first, second = weights(whole), weights(again)
    assert all(torch.equal(first[key], second[key]) for key in first)
    rows = [(run / "log.csv").read_text().splitlines() for run in (whole, again)]
    without_time = [[row.split(",", 2)[::2] for row in table] for table in rows]
    assert without_time[0] == without_time[1]
