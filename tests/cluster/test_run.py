"""Parts on a Ray of this machine: the rows of one process, and what is said when workers end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="the extra cluster is not installed")

from plainmask.cluster import run
from plainmask.cluster.parts import WorkPart
from plainmask.cluster.segment_batch import SegmentBatch
from plainmask.cluster.store import Store
from plainmask.cluster.work import Done, Work
from plainmask.errors import HeadError, InputError, PlainmaskError
from rows import alone, contents, photographs, planned, tiny_heads

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def ray_of_the_module() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers are sent classes of ours
        with run.cluster(None):
            yield


def test_two_actors_write_what_one_process_writes_to_the_last_byte(tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 19, broken=[7]), tiny_heads(tmp_path)
    alone(heads, folder, tmp_path / "one")
    work = Work(SegmentBatch(heads, device="cpu"), Store(str(tmp_path / "many")))
    done = list(run.run_parts(work, planned(work, folder, 4), 2, num_cpus=1))
    assert sorted(one.pictures for one in done) == [3, 4, 4, 4, 4]
    assert sum(one.failed for one in done) == 1
    assert any("007.png" in one.reason for one in done)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert planned(work, folder, 4) == []


def test_what_is_wrong_in_a_worker_is_one_message_here(tmp_path: Path):
    folder, heads = photographs(tmp_path / "in", 2), tiny_heads(tmp_path)
    store = Store(str(tmp_path / "out"))
    parts = planned(Work(SegmentBatch(heads, device="cpu"), store), folder, 4)
    gone = Work(SegmentBatch([tmp_path / "nowhere"], device="cpu"), store)
    with pytest.raises(InputError, match=r"there is no head .*nowhere"):
        list(run.run_parts(gone, parts, 1, num_cpus=1))
    other = Work(SegmentBatch(heads, device="cpu", fingerprints={"first": "0" * 16}), store)
    with pytest.raises(HeadError, match="the head 'first' is another one here"):
        list(run.run_parts(other, parts, 1, num_cpus=1))
    (tmp_path / "file").touch()
    unwritable = Work(SegmentBatch(heads, device="cpu"), Store(str(tmp_path / "file")))
    with pytest.raises(InputError, match="cannot be written"):
        list(run.run_parts(unwritable, parts, 1, num_cpus=1))


@dataclass(frozen=True)
class Deadly:
    """Work that ends its process as the system does where memory is short, the first `times`."""

    log: Path
    times: int

    def __call__(self, part: WorkPart) -> Done:
        with self.log.open("a") as file:
            file.write("x")
        if len(self.log.read_text()) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return Done(len(part.ids), 0, "")


PART = WorkPart(["a", "b"], ["in/a.png", "in/b.png"], [["x"], ["x"]])


def test_a_part_whose_worker_was_ended_is_done_by_another(tmp_path: Path):
    assert list(run.run_parts(Deadly(tmp_path / "log", 2), [PART], 1, num_cpus=1)) == [
        Done(2, 0, "")
    ]


def test_a_part_that_ends_every_worker_is_named(tmp_path: Path):
    with pytest.raises(PlainmaskError) as error:
        list(run.run_parts(Deadly(tmp_path / "log", 99), [PART], 1, num_cpus=1))
    assert str(error.value) == (
        "a worker was ended 4 times, mostly for want of memory, at the 2 pictures from in/a.png to "
        "in/b.png; take fewer --actors, or find the one with --part 1; what is done is kept, and "
        "the same command goes on"
    )
    assert len((tmp_path / "log").read_text()) == run.TRIES


def test_machines_that_lack_something_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "only_here.py").write_text("def work(part): ...")
    monkeypatch.syspath_prepend(tmp_path)
    work = import_module("only_here").work
    with pytest.raises(
        PlainmaskError, match=r"Ray cannot go on: .*No module named 'only_here'; see"
    ):
        list(run.run_parts(work, [PART], 1, num_cpus=1))


def test_actors_share_what_there_is(monkeypatch: pytest.MonkeyPatch):
    there = {"CPU": 8.0, "GPU": 2.0}
    monkeypatch.setattr("ray.cluster_resources", lambda: there)
    assert run.actors_of("auto", None) == (2, {"num_gpus": 1})
    assert run.actors_of("cuda", 4) == (4, {"num_gpus": 0.5})
    assert run.actors_of("cpu", None) == (8, {"num_cpus": 1})
    assert run.actors_of("cpu", 2) == (2, {"num_cpus": 4})
    there.pop("GPU")
    assert run.actors_of("auto", None) == (8, {"num_cpus": 1})
    assert run.actors_of("auto", 16) == (16, {"num_cpus": 0.5})


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"])
def test_a_cluster_that_does_not_answer_is_named(address: str):
    code = f"from plainmask.cluster.run import cluster\nwith cluster({address!r}): pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"plainmask.errors.InputError: no Ray cluster answers at {address} ("), (
        done.stderr
    )
    assert last.endswith("start one with ray start --head, or leave --address out")


def test_a_cluster_that_asks_for_a_token_says_so(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as there:
        address = f"127.0.0.1:{there.getsockname()[1]}"
        code = f"from plainmask.cluster.run import cluster\nwith cluster({address!r}): pass"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"plainmask.errors.InputError: the Ray cluster at {address} asks for its token: export "
        "RAY_AUTH_MODE=token, with the token in RAY_AUTH_TOKEN or ~/.ray/auth_token"
    ), done.stderr
