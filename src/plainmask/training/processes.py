"""Where a run happens: one device, several, or several machines, by way of Lightning Fabric.

A recipe does not say: the same batches give the same kind of step, shared out or not
(docs/model.md 7.9: 16 pictures are 4 on each of 4 devices). Every process makes the same calls in
the same order; whatever one of them alone finds out is told to all before anybody acts on it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, cast

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn
from torch.distributed import distributed_c10d

from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.errors import InputError
from plainmask.evaluation.sharing import ALONE, Share
from plainmask.inference.shared_pass import pick_device
from plainmask.training.points import NOBODY, Counts, Others
from plainmask.training.recipe import Recipe
from plainmask.training.watch import PATIENCE, Watch

Value = TypeVar("Value")

START = timedelta(minutes=10)
"""How long a process waits for all others to be there."""
PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


@dataclass(frozen=True)
class Machines:
    """What a run may use; it does not change what is learnt."""

    device: str = "auto"
    """"auto", "cpu", "cuda" or "cuda:0"."""
    devices: int = 1
    """How many on each machine, a process for each."""
    nodes: int = 1
    """How many machines."""
    compiled: bool = False
    """Compile the blocks with torch.compile."""


def start(machines: Machines, recipe: Recipe) -> Fabric:
    """Start all processes of a run; each of them returns from here.

    Without torchrun or SLURM, the command is run again for each further device.

    Raises:
        InputError: there is no such device, batches cannot be shared out, or other processes than
            were asked for are there.
    """
    _check_launcher(machines)
    place = pick_device(machines.device)
    world = machines.devices * machines.nodes
    if recipe.batch_size % (world * recipe.accumulate):
        raise InputError(
            f"batch_size {recipe.batch_size} cannot be shared out to {world} process(es) in "
            f"{recipe.accumulate} part(s) each: make it a multiple of {world * recipe.accumulate}"
        )
    if world > 1 and place.type == "cpu" and not recipe.freeze_norms:
        raise InputError(
            "several processes on CPUs need freeze_norms: true, since torch has no batch norm over "
            "processes there; use GPUs, or one process"
        )
    if world > 1 and recipe.carry:
        raise InputError("carry needs one process: what clips leave behind is saved for one only")
    precision = PRECISION[recipe.precision]
    if place.type == "cuda":
        torch.set_float32_matmul_precision("medium")  # TF32, as published
    accelerator = "gpu" if place.type == "cuda" else place.type
    if world == 1:
        devices = [place.index or 0] if place.type == "cuda" else 1
        return Fabric(accelerator=accelerator, devices=devices, precision=precision)
    fabric = Fabric(
        accelerator=accelerator,
        devices=machines.devices,
        num_nodes=machines.nodes,
        precision=precision,
        # In a chunk of a clip some parameters have no part.
        strategy=DDPStrategy(find_unused_parameters=recipe.clip is not None, timeout=START),
    )
    try:
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"the {world} processes of --devices {machines.devices} --nodes {machines.nodes} did "
            f"not come together ({str(error).splitlines()[0]}); start all of them, where each "
            "reaches the first one's MASTER_ADDR and MASTER_PORT"
        ) from error
    # What is waited for longer than PATIENCE the watch says, before torch would.
    distributed_c10d._set_pg_timeout(PATIENCE + START)  # pyright: ignore[reportPrivateUsage]
    return fabric


def _check_launcher(machines: Machines) -> None:
    """Raise InputError if torchrun or SLURM start other processes than the command is to use.

    Each would train for itself, or wait for those that do not come.
    """
    own = os.environ
    if "TORCHELASTIC_RUN_ID" in own:
        tool, count = "torchrun", int(own["WORLD_SIZE"])
        nodes = count // int(own["LOCAL_WORLD_SIZE"])
    elif "SLURM_STEP_NUM_TASKS" in own and own.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        tool, count = "srun", int(own["SLURM_STEP_NUM_TASKS"])
        nodes = int(own.get("SLURM_STEP_NUM_NODES", 1))
    else:
        return
    if (machines.devices * machines.nodes, machines.nodes) != (count, nodes):
        raise InputError(
            f"{tool} starts {count} process(es) on {nodes} machine(s), not those of --devices "
            f"{machines.devices} --nodes {machines.nodes}; "
            f"give --devices {count // nodes} --nodes {nodes}"
        )


def watch(fabric: Fabric) -> Watch:
    """The context in which the processes work together."""
    if fabric.world_size == 1:
        return Watch()
    store = cast(Any, distributed_c10d._get_default_store())  # pyright: ignore[reportPrivateUsage]
    children = cast(Any, fabric.strategy.launcher).procs  # none, where torchrun started them
    return Watch(store.clone(), fabric.global_rank, fabric.world_size, children)


def join_norms(decoder: PlainMaskDecoder, recipe: Recipe) -> None:
    """Have batch norms see the batches of all processes, unless their statistics are kept."""
    if count() > 1 and not recipe.freeze_norms:
        nn.SyncBatchNorm.convert_sync_batchnorm(decoder)  # in place; state keys stay the same


def others(fabric: Fabric, own: Counts) -> Others:
    """What the other processes have of a batch; all of them ask."""
    if fabric.world_size == 1:
        return NOBODY
    mine = torch.tensor(own, device=fabric.device)
    found = [torch.empty_like(mine) for _ in range(fabric.world_size)]
    dist.all_gather(found, mine)
    table, here = torch.stack(found).cpu(), fabric.global_rank
    before, after = (part.sum(0).tolist() for part in (table[:here], table[here + 1 :]))
    return Others(Counts(*before), Counts(*after), fabric.world_size)


def anywhere(fabric: Fabric, flag: bool) -> bool:
    """Whether it holds in some process; all of them ask."""
    if fabric.world_size == 1:
        return flag
    number = torch.tensor(float(flag), device=fabric.device)
    dist.all_reduce(number)
    return bool(number > 0)


def meet(fabric: Fabric) -> None:
    """Wait for all processes."""
    anywhere(fabric, False)


def check_alike(fabric: Fabric, resumed: Sequence[bool]) -> None:
    """Raise InputError unless all processes found the same runs to resume."""
    if any(other != resumed for other in gathered(fabric, resumed)):
        raise InputError(
            "not all machines see the same checkpoints: the folder of the run must be one that "
            "all of them share"
        )


def gathered(fabric: Fabric, mine: Value) -> list[Value]:
    """What each process has, in their order; all of them ask."""
    if fabric.world_size == 1:
        return [mine]
    found: list[Any] = [None] * fabric.world_size
    dist.all_gather_object(found, mine)
    return found


def share(fabric: Fabric, watch: Watch) -> Share:
    """The part of this process in an evaluation."""
    if fabric.world_size == 1:
        return ALONE

    def gather(mine: Value) -> list[Value]:
        with watch.waiting("the figures of the other processes"):
            return gathered(fabric, mine)

    return Share(fabric.global_rank, fabric.world_size, gather)


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """Which of them this is; the first one, 0, writes and says everything."""
    return dist.get_rank() if count() > 1 else 0


def say(text: str) -> None:
    """Print a line on stderr, once for all processes."""
    if number() == 0:
        print(text, file=sys.stderr, flush=True)
