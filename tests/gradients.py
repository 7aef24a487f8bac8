"""Writes the gradients of the last training step: python gradients.py FOLDER PROCESSES RECIPE…

For test_processes.py, which runs it once for each process.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from plainmask.training import loop, processes
from plainmask.training.recipe import load_recipe


def main(folder: Path, count: int, recipes: list[str]) -> None:
    for number, recipe in enumerate(recipes):

        def keep(self: torch.optim.AdamW, closure: Any = None, number: int = number) -> None:
            if processes.number() == 0:
                gradients = [p.grad for p in self.param_groups[0]["params"]]
                torch.save(gradients, folder / f"gradients_{number}_{count}.pt")

        torch.optim.AdamW.step = keep
        run_dir = folder / f"run_{number}_{count}"
        loop.train(load_recipe(Path(recipe)), run_dir, machines=loop.Machines("cpu", count))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
