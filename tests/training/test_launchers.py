"""Runs that torchrun or SLURM start, on one machine and on two, learn what one process learns."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import slurm
from bricks import data_folder, weights
from plainmask.errors import InputError
from plainmask.training import loop
from plainmask.training.loop import train
from plainmask.training.recipe import Recipe, save_recipe
from plainmask.training.run import Run
from several import environment, frozen
from tiny import save_tiny_encoder, tiny_encoder, tiny_head

SCRIPT = Path(__file__).parents[2] / "deploy/train.sbatch"
STEPS, HALF = 30, 20


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """Eight pictures, four to measure on, of which one is damaged, an encoder file and a head."""
    data_folder(tmp_path / "data", train=8, val=4)
    broken = tmp_path / "data/images/val/3.png"
    broken.write_bytes(broken.read_bytes()[:60])
    save_tiny_encoder(tmp_path)
    tiny_head("semantic", tiny_encoder(), num_classes=2).save(tmp_path / "start")
    save_recipe(the_recipe(tmp_path), tmp_path / "recipe.yaml")
    return tmp_path


def the_recipe(workshop: Path) -> Recipe:
    return frozen(
        workshop,
        data={"root": workshop / "data", "val": "val"},
        augment={"crop_size": [48, 64], "scale": [0.7, 1.4], "color_jitter": True},
        steps=STEPS,
        save_every=1,
    )


@pytest.fixture
def whole(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run of one process; how it stood half-way is in the folder `half`."""

    def keeping(run: Run, done: int) -> None:
        save(run, done)
        if done == HALF and run.folder.name == "whole":
            shutil.copytree(run.folder, workshop / "half")

    save = loop.save
    monkeypatch.setattr(loop, "save", keeping)
    return train(the_recipe(workshop), workshop / "whole", device="cpu")


Start = Callable[[list[str], list[str], dict[str, str]], subprocess.Popen[str]]


@pytest.fixture
def torchrun(workshop: Path) -> Iterator[Start]:
    """Starts torchrun with options of its own, and of the command."""
    started: list[subprocess.Popen[str]] = []

    def start(options: list[str], words: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", "plainmask"]
        command += ["train", str(workshop / "recipe.yaml"), "--device=cpu", *words]
        process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def same_weights(first: Path, second: Path) -> None:
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=2e-5, msg=name)


def figures(run: Path) -> str:
    return (run / "val.csv").read_text()


@pytest.mark.slow
def test_two_machines_go_on_with_what_one_process_began(
    workshop: Path, whole: Path, torchrun: Start
):
    env = environment(OMP_NUM_THREADS=1)
    meet = f"127.0.0.1:{env['MASTER_PORT']}"
    words = ["--out", str(workshop / "half"), "--resume", "--nodes=2"]
    both = [
        torchrun(
            ["--nnodes=2", f"--node-rank={rank}", "--rdzv-backend=c10d", f"--rdzv-endpoint={meet}"],
            words,
            env,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    same_weights(whole, workshop / "half")
    assert figures(workshop / "half") == figures(whole)
    # The first process alone reports, also what was left out on the other machine.
    assert "".join(said).count("3.png") == 1


@pytest.mark.slow
def test_one_process_goes_on_with_what_two_began(workshop: Path, whole: Path, torchrun: Start):
    run = workshop / "parts"
    env = environment(OMP_NUM_THREADS=1)
    options = ["--nproc-per-node=2", f"--master-port={env['MASTER_PORT']}"]
    process = torchrun(options, ["--out", str(run), "--devices=2"], env)
    wait_for(run / "checkpoint.pt")
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1]
    assert f"saved in {run}; go on with: plainmask train" in said
    assert 1 <= torch.load(run / "checkpoint.pt", weights_only=True)["step"] < STEPS
    train(the_recipe(workshop), run, resume=True, device="cpu")
    same_weights(whole, run)
    assert figures(run) == figures(whole)


@pytest.mark.slow
def test_a_slurm_job_is_saved_before_its_time_is_up_and_goes_on(workshop: Path, whole: Path):
    """With stand-ins for srun and scontrol, as two machines with a process each."""
    tools, run = workshop / "tools", workshop / "run"
    tools.mkdir()
    stand_in = f'#!/bin/sh\nexec "{sys.executable}" "{slurm.__file__}" "$@"\n'
    for name, text in {"srun": stand_in, "scontrol": '#!/bin/sh\necho "$@"\n'}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    env = environment(
        PATH=os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]),
        OMP_NUM_THREADS=1,
        TASKS=workshop / "tasks",
        SLURM_JOB_ID=4242,
        SLURM_JOB_NAME="plainmask",
        SLURM_NNODES=2,
        SLURM_NTASKS=2,
        SLURM_NTASKS_PER_NODE=1,
        SLURM_NODELIST="127.0.0.1",
    )
    del env["MASTER_ADDR"]  # found by the list
    command = ["bash", str(SCRIPT), str(workshop / "recipe.yaml"), str(run), "--device=cpu"]
    job = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    wait_for(run / "checkpoint.pt")
    for task in (workshop / "tasks").read_text().split():
        os.kill(int(task), signal.SIGTERM)
    said = job.communicate(timeout=30)[0]
    assert (job.returncode, said) == (143, "requeue 4242\n")
    assert 1 <= torch.load(run / "checkpoint.pt", weights_only=True)["step"] < STEPS
    again = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, timeout=40)
    assert again.returncode == 0
    assert again.stdout.startswith(f"wrote {run / 'head'}; ")
    same_weights(whole, run)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 40
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        (
            {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"},
            "torchrun starts 4 process(es) on 2 machine(s), not those of --devices 1 --nodes 1; "
            "give --devices 2 --nodes 2",
        ),
        (
            {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "1"},
            "srun starts 8 process(es) on 1 machine(s), not those of --devices 1 --nodes 1; "
            "give --devices 8 --nodes 1",
        ),
    ],
)
def test_other_processes_than_asked_for_are_refused(
    workshop: Path, launcher: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as refused:
        train(the_recipe(workshop), workshop / "run", device="cpu")
    assert str(refused.value) == message
