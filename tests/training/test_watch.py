"""A run of several processes ends, and says why, when one of them fails, is killed or hangs."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bricks import data_folder
from plainmask.training.recipe import save_recipe
from plainmask.training.records import build_sampler, read_records, read_vocabulary
from plainmask.training.samples.batches import training_batches
from several import environment, frozen
from tiny import PATCH, save_tiny_encoder, tiny_encoder, tiny_head

STEPS = 400
HOST = socket.gethostname()

COMMAND = """
import sys
from datetime import timedelta
from plainmask.cli import main
from plainmask.training import processes, watch
watch.SILENCE = 4.0
processes.START = timedelta(seconds=4)
main(sys.argv[1:])
"""
"""The command with less patience."""


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """Eight pictures, an encoder file, and a recipe that goes on for long and saves every step."""
    data_folder(tmp_path / "data", train=8, val=4)
    save_tiny_encoder(tmp_path)
    tiny_head("semantic", tiny_encoder(), num_classes=2).save(tmp_path / "start")
    recipe = frozen(tmp_path, steps=STEPS, save_every=1, log_every=1)
    save_recipe(recipe, tmp_path / "recipe.yaml")
    return tmp_path


class Pair:
    """Two processes, as if on machines of their own; what they say goes into files."""

    def __init__(self, workshop: Path):
        self.workshop = workshop
        self.both = environment(WORLD_SIZE=2, OMP_NUM_THREADS=1, LOCAL_RANK=0)
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, rank: int) -> None:
        words = [str(self.workshop / "recipe.yaml"), "--out", str(self.workshop / "run")]
        words += ["--device=cpu", "--devices=1", "--nodes=2"]
        with (self.workshop / f"said_{rank}").open("wb") as said:
            self.started.append(
                subprocess.Popen(
                    [sys.executable, "-c", COMMAND, "train", *words],
                    env=self.both | {"NODE_RANK": str(rank)},
                    stderr=said,
                )
            )

    def begin(self) -> None:
        """Start both, until something is saved."""
        for rank in range(2):
            self.start(rank)
        deadline = time.monotonic() + 60
        while not (self.workshop / "run/checkpoint.pt").exists():
            assert time.monotonic() < deadline, self.said(0)
            assert self.started[0].poll() is None, self.said(0)
            time.sleep(0.05)

    def said(self, rank: int) -> str:
        return (self.workshop / f"said_{rank}").read_text()

    def end_of(self, rank: int, seconds: float) -> tuple[int, str]:
        """Exit code, and what was said last."""
        code = self.started[rank].wait(seconds)
        return code, self.said(rank).strip().splitlines()[-1]


@pytest.fixture
def pair(workshop: Path) -> Iterator[Pair]:
    pair = Pair(workshop)
    yield pair
    for process in pair.started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_picture_that_one_process_cannot_read_ends_both(workshop: Path, pair: Pair):
    broken = picture_of(workshop, rank=1, step=1)
    path = workshop / "data/images/train" / f"{broken}.png"
    path.write_bytes(path.read_bytes()[:60])
    pair.begin()
    code, said = pair.end_of(1, 30)
    assert code == 2
    assert path.name in said
    reason = said.removeprefix("error: ")
    assert pair.end_of(0, 10) == (1, f"error: rank 1 of 2 on {HOST}: {reason}")
    assert saved(workshop) == 1


def picture_of(workshop: Path, rank: int, step: int) -> str:
    """What a process gets first in a step, counted from 0."""
    recipe = frozen(workshop)
    vocabulary = read_vocabulary(recipe)
    sampler = build_sampler(recipe, read_records(recipe, vocabulary)[0], vocabulary, PATCH)
    options: dict[str, Any] = {"batch_size": 4, "seed": recipe.seed, "share": (rank, 2)}
    batches = training_batches(sampler, first=step, last=step + 1, **options)
    return (next(batches).names or [""])[0]


def saved(workshop: Path) -> int:
    return torch.load(workshop / "run/checkpoint.pt", weights_only=True)["step"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "number", "message"),
    [
        (1, signal.SIGKILL, f"rank 1 of 2 on {HOST} fell silent, while rank 0 of 2 on {HOST} "),
        (1, signal.SIGSTOP, f"rank 1 of 2 on {HOST} fell silent, while rank 0 of 2 on {HOST} "),
        (0, signal.SIGKILL, f"rank 0 of 2 on {HOST} is gone, through which all others are reached"),
    ],
)
def test_a_process_that_is_gone_ends_the_other(
    workshop: Path, pair: Pair, victim: int, number: signal.Signals, message: str
):
    pair.begin()
    pair.started[victim].send_signal(number)
    code, said = pair.end_of(1 - victim, 20)
    assert code == 1
    assert said.startswith(f"error: {message}"), said
    assert 1 <= saved(workshop) < STEPS


def test_a_process_whose_others_do_not_come_ends(pair: Pair):
    pair.start(0)
    code, said = pair.end_of(0, 30)
    assert code == 2
    assert said.startswith("error: the 2 processes of --devices 1 --nodes 2 did not come together")


WAITING = """
import time
from datetime import timedelta
import torch.distributed as dist
from plainmask.training import watch
watch.FAREWELL = 0
store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
store.set("beat/1", "0 elsewhere")
with watch.Watch(store, 0, 2) as guard, guard.waiting("the figures", timedelta(seconds=0.5)):
    time.sleep(60)
"""


@pytest.mark.slow
def test_others_that_live_are_not_waited_for_without_end():
    done = subprocess.run([sys.executable, "-c", WAITING], capture_output=True, timeout=30)
    assert done.returncode == 1
    said = f"error: rank 0 of 2 on {HOST} has waited too long for the figures"
    assert done.stderr.decode().splitlines() == [said]
