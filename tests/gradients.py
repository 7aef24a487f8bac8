"""Writes the gradients of one training step: python gradients.py FOLDER PROCESSES RECIPE…

For test_processes.py, which runs it once for each process. Random points do not depend on how many
masks or pictures they are drawn for, so they are the same whoever draws them.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plainmask.training import loop, processes
from plainmask.training.recipe import load_recipe


def the_same_for_every_mask(shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(shape[1:], generator=generator).expand(shape).clone()


def main(folder: Path, count: int, recipes: list[str]) -> None:
    loop.uniform_points = lambda *_: the_same_for_every_mask
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
