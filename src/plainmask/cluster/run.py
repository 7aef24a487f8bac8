"""Parts on Ray Data, on this machine or a cluster: the only module that knows it.

Ray gives each actor one part after the other, starts an actor anew that was ended, and gives the
part to another. It keeps no account of what is done: that is in the store (see `store`).
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
import ray.data
from ray.exceptions import AuthenticationError, RayError, RayTaskError

from plainmask.allocator import keep_freed_memory
from plainmask.cluster.parts import WorkPart, part_name
from plainmask.cluster.work import Done, Work
from plainmask.errors import InputError, PlainmaskError
from plainmask.progress import counted

PATIENCE = 10.0
"""Seconds that a cluster has to answer."""
TRIES = 4
"""How often a part is begun at most: what ends its actor so often would end any."""
STORE_BYTES = 256 * 2**20
"""Shared memory of a Ray of our own: only names of pictures and counts go through it."""
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
"""Report nothing to anybody, and write no notes for Ray's own developers on stderr (which would say
that it was told so: `_silence`)."""


@contextmanager
def cluster(address: str | None) -> Generator[None]:
    """Ray for the block: a cluster's, one that the program has begun, or one of our own.

    Nothing that was started here is left behind, however the block ends. No usage is reported.

    Args:
        address: of a cluster, such as "10.0.0.1:6379" or "auto"; None: this machine.

    Raises:
        InputError: no cluster answers there, or it asks for a token.
    """
    if ray.is_initialized():
        yield
        return
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    try:
        with _own_signals(), _silence():
            if address is None:
                _start("local", include_dashboard=False, object_store_memory=STORE_BYTES)
            else:
                _connect(address)
        yield
    finally:
        ray.shutdown()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _start(address: str, **options: Any) -> None:
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)


def _connect(address: str) -> None:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if host and port.isdecimal():  # where nobody listens, Ray itself waits for many minutes
            socket.create_connection((host, int(port)), timeout=PATIENCE).close()
        _start(address)
    except (OSError, ValueError, RuntimeError, AuthenticationError) as cause:
        if AuthenticationError.__name__ in f"{cause!r} {cause.__cause__}":  # or told as text only
            raise InputError(
                f"the Ray cluster at {address} asks for its token: export RAY_AUTH_MODE=token, "
                "with the token in RAY_AUTH_TOKEN or ~/.ray/auth_token (ray get-auth-token prints "
                "it where the cluster was started)"
            ) from cause
        raise InputError(
            f"no Ray cluster answers at {address} ({' '.join(str(cause).split())}); start one with "
            "ray start --head, or leave --address out"
        ) from cause


@contextmanager
def _own_signals() -> Generator[None]:
    """Keep what SIGTERM does, which Ray takes over as it starts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _silence() -> Generator[None]:
    """Let nothing of what is not Python write on stderr for the block, which may raise."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def actors_of(device: str, wanted: int | None) -> tuple[int, dict[str, Any]]:
    """How many actors there will be, and what each takes of the cluster. Inside of `cluster`.

    Args:
        device: where there are GPUs and it is not "cpu", actors share these, else the cores.
        wanted: None: one a GPU, or one a core, as several cores at one network wait for each other.
    """
    there = ray.cluster_resources()
    gpus, cores = int(there.get("GPU", 0)), int(there.get("CPU", 1))
    kind, amount = ("num_gpus", gpus) if gpus and device != "cpu" else ("num_cpus", max(1, cores))
    number = wanted or amount
    return number, {kind: amount // number or amount / number}


def run_parts(work: Work, parts: Sequence[WorkPart], actors: int, **each: Any) -> Generator[Done]:
    """Do parts on several actors; what came of each, as they are done. Inside of `cluster`.

    Close it where it is left before its end: what Ray made for it is to go before Ray does.

    Args:
        work: is sent to each actor.
        parts: in any number.
        actors: at most.
        each: what an actor takes, as `num_cpus` or `num_gpus`.

    Raises:
        PlainmaskError: as `Work`; or a part ended its actor `TRIES` times. What was done before is
            in the store.
    """
    _be_quiet()
    tries = ray.remote(_Tries).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    rows = ray.data.from_items(
        [{"part": json.dumps(part)} for part in parts], override_num_blocks=len(parts)
    )
    found = rows.map_batches(
        _Actor,
        fn_constructor_args=(work, tries),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(actors, len(parts))),
        **each,
    )
    try:
        for batch in found.iter_batches(batch_size=None, prefetch_batches=0):
            for outcome in batch["outcome"]:
                done: Done | PlainmaskError = pickle.loads(outcome)
                if isinstance(done, PlainmaskError):
                    raise done
                yield done
    except RayTaskError:  # a mistake of ours: with its stack trace
        raise
    except RayError as error:
        *_, last = str(error).strip().splitlines()
        raise PlainmaskError(
            f"Ray cannot go on: {last.strip()}; see that every machine has plainmask and enough "
            "memory. What is done is kept, and the same command goes on"
        ) from error


class _Tries:
    """How often each part was begun, by its name: Ray itself would try for ever."""

    def __init__(self):
        self.begun: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """Begin a part; how often it has been by now."""
        self.begun[name] += 1
        return self.begun[name]


class _Actor:
    """What lives in an actor: heads are loaded once, with its first part."""

    def __init__(self, work: Work, tries: Any):
        keep_freed_memory()
        self.work, self.tries = work, tries

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        done = [self.do(WorkPart(*json.loads(part))) for part in batch["part"]]
        return {"outcome": [pickle.dumps(one) for one in done]}

    def do(self, part: WorkPart) -> Done | PlainmaskError:
        """Do a part, unless that was tried too often; what came of it, or what is wrong.

        An error is given back, as one that is raised would reach the command in Ray's wrapping.
        """
        if int(ray.get(self.tries.begin.remote(part_name(part.ids)))) > TRIES:
            return PlainmaskError(
                f"a worker was ended {TRIES} times, mostly for want of memory, at the "
                f"{counted(len(part.paths), 'picture')} from {part.paths[0]} to {part.paths[-1]}; "
                "take fewer --actors, or find the one with --part 1; what is done is kept, and the "
                "same command goes on"
            )
        try:
            return self.work(part)
        except PlainmaskError as error:
            return error


def _be_quiet() -> None:
    """Progress is told in our way; what Ray tells stands in its own files."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
