"""A decoder learns from a data set, in a process of its own, for `Teaching`.

    python -m plainmask.label.pupil TASK DATA RUN DEVICE [KEY=VALUE ...]

It ends when its standard input does, that is with whoever started it.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from plainmask.allocator import keep_freed_memory
from plainmask.training.loop import train
from plainmask.training.open_recipe import open_recipe


def learn(task: str, data: Path, run: Path, device: str, settings: list[str]) -> Path:
    """Train as `plainmask train own-TASK data.root=DATA` does; the folder of the head.

    Args:
        task: semantic or instance.
        data: a data set, all of whose pictures are learnt from.
        run: folder of the training.
        device: where it computes.
        settings: KEY=VALUE, changes of the recipe.

    Raises:
        InputError, PlainmaskError: see `open_recipe` and `train`.
    """
    changes = [f"data.root={data}", "data.hold_out=null", *settings]
    recipe, records = open_recipe(Path(f"own-{task}"), changes, device)
    return train(recipe, run, device=device, data=records) / "head"


def _end_with_parent() -> None:
    while os.read(0, 1):  # `sys.stdin` has a lock, which would be missed at the end
        pass
    os._exit(1)


def main() -> None:
    """Learn as the command line says."""
    task, data, run, device, *settings = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    learn(task, Path(data), Path(run), device, settings)


if __name__ == "__main__":
    main()
