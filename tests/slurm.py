"""Stands in for srun: starts the tasks of a step as SLURM does, all on this machine, and waits."""

import os
import subprocess
import sys
from pathlib import Path


def main(command: list[str]) -> int:
    nodes, tasks = (int(os.environ[f"SLURM_{name}"]) for name in ("NNODES", "NTASKS"))
    step = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": tasks, "SLURM_STEP_NUM_NODES": nodes}
    started: list[subprocess.Popen[bytes]] = []
    for number in range(tasks):
        node, local = divmod(number, tasks // nodes)
        own = {"SLURM_PROCID": number, "SLURM_LOCALID": local, "SLURM_NODEID": node}
        env = os.environ | {name: str(value) for name, value in (step | own).items()}
        started.append(subprocess.Popen(command, env=env))
    ids = " ".join(str(process.pid) for process in started)
    Path(os.environ["TASKS"]).write_text(ids)  # where signals of the controller go
    codes = [process.wait() for process in started]
    return max(code if code >= 0 else 128 - code for code in codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
