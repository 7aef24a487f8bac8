"""Writes the figures of some videos: python measured.py FOLDER PROCESSES.

For test_processes.py, which runs it once for each process. Of the cases of `videos_of` each file
has the figures, or what is said instead of them.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from moving import MovingConfig, make_scene, records_of
from plainmask.data.record import Record
from plainmask.errors import InputError, PlainmaskError
from plainmask.training import processes
from plainmask.training.outcome import measure
from plainmask.training.recipe import load_recipe
from plainmask.training.watch import Watch
from tiny import tiny_encoder, tiny_video_head

SCENE = MovingConfig(size=48, frames=6, objects=3, diameter=(14, 18), bar=(0, 0))


def broken() -> np.ndarray:
    raise InputError("4.jpg is cut off")


def videos_of(case: str) -> list[Record]:
    """Three videos, one alone, or three of which the last cannot be read."""
    count = 1 if case == "one" else 3
    records = [r for seed in range(count) for r in records_of(make_scene(SCENE, seed), str(seed))]
    if case == "broken":
        records[-2] = replace(records[-2], load_image=broken)
    return records


def figures_of(folder: Path, count: int) -> dict[str, Any]:
    fabric = processes.start(processes.Machines("cpu", count), load_recipe(folder / "recipe.yaml"))
    share = processes.share(fabric, Watch())
    encoder = tiny_encoder()
    head = tiny_video_head("instance", encoder)
    found: dict[str, Any] = {}
    for case in ("three", "one", "broken"):
        try:
            found[case] = measure(head, encoder, videos_of(case), share, lambda done, total: None)
        except PlainmaskError as error:
            found[case] = str(error)
    return found


if __name__ == "__main__":
    found = figures_of(Path(sys.argv[1]), int(sys.argv[2]))
    Path(sys.argv[1], f"figures_{processes.number()}.json").write_text(json.dumps(found))
