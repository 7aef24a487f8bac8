"""Where the time of a training step goes, part by part.

    python benchmarks/training_step.py RECIPE [--steps 10] [SETTING ...]

RECIPE and settings are those of `plainmask train`: a file, a shipped name, or own-instance
data.root=FOLDER. Takes a few steps in a folder that is thrown away; milliseconds a step, medians
after two steps that warm up. "other" is what the parts leave of a step: learning rates, checks for
NaN, the log. With a cache the first epochs fill it; give --steps enough to see it full.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from plainmask.encoder.weights import load_encoder
from plainmask.training import loop, loss, objective, processes
from plainmask.training.open_recipe import open_recipe
from plainmask.training.processes import Machines
from plainmask.training.records import read_data
from plainmask.training.run import Run, build_run
from plainmask.training.setup import feature_source

WARM_UP = 2
PARTS = ("data", "encoder", "decoder", "matching", "losses", "backward", "optimiser", "other")


class Clock:
    """Seconds of each part of a step; a part within another counts for itself alone."""

    def __init__(self):
        self.open: list[tuple[str, float]] = []
        self.step: dict[str, float] = {}

    def timed(self, part: str, act: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose time counts for a part."""

        def measured(*args: Any, **kwargs: Any) -> Any:
            now = time.perf_counter()
            if self.open:
                self._count(now)
            self.open.append((part, now))
            try:
                return act(*args, **kwargs)
            finally:
                now = time.perf_counter()
                self._count(now)
                self.open.pop()
                if self.open:
                    self.open[-1] = (self.open[-1][0], now)

        return measured

    def _count(self, now: float) -> None:
        part, since = self.open[-1]
        self.step[part] = self.step.get(part, 0.0) + now - since


def build(args: argparse.Namespace, folder: Path) -> Run:
    """The run, up to its first step."""
    recipe, data = open_recipe(Path(args.recipe), args.settings, "cpu")
    steps = {"steps": max(recipe.steps, args.steps + WARM_UP), "workers": 0}
    recipe = recipe.model_copy(update=steps)
    fabric = processes.start(Machines("cpu"), recipe)
    encoder = load_encoder(recipe.encoder)
    source = feature_source(recipe, encoder, folder)

    found = data or read_data(recipe)
    return build_run(recipe, folder, fabric, encoder, source, found, resume=False, wandb=None)


def measure(run: Run, clock: Clock, steps: int) -> list[dict[str, float]]:
    """Seconds by part of each step."""

    def batches(inner: Iterator[Any]) -> Iterator[Any]:
        fetch = clock.timed("data", lambda: next(inner))
        while True:
            yield fetch()

    target = run.objective
    target.features_of = clock.timed("encoder", target.features_of)
    for name in ("every_layer", "clips"):
        setattr(target.model, name, clock.timed("decoder", getattr(target.model, name)))
    inner: Any = getattr(target.model, "module", target.model)  # Fabric's wrapper calls it
    inner.forward = clock.timed("decoder", inner.forward)
    loss.match_costs = clock.timed("matching", loss.match_costs)
    loss.assign_all = clock.timed("matching", loss.assign_all)
    objective.set_loss = clock.timed("losses", objective.set_loss)
    run.fabric.backward = clock.timed("backward", run.fabric.backward)
    run.optimizer.step = clock.timed("optimiser", run.optimizer.step)
    run = replace(run, batches=batches(run.batches))
    step = clock.timed("other", loop.train_step)
    found: list[dict[str, float]] = []
    for number in range(WARM_UP + steps):
        clock.step = {}
        step(run, number)
        found.append(clock.step)
    return found[WARM_UP:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = build(args, Path(folder))
        found = measure(run, Clock(), args.steps)
    whole = [sum(step.values()) for step in found]
    print(f"{run.recipe.name}: ms a step, medians of {len(found)}")
    for part in PARTS:
        seconds = [step.get(part, 0.0) for step in found]
        share = sum(seconds) / sum(whole)
        print(f"  {part:<10} {1e3 * statistics.median(seconds):7.0f}  {share:4.0%}")
    print(f"  {'step':<10} {1e3 * statistics.median(whole):7.0f}")


if __name__ == "__main__":
    main()
