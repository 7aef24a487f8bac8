"""What the tests of training in several processes share."""

import os
import socket
from pathlib import Path
from typing import Any

from bricks import a_recipe
from plainmask.training.recipe import Recipe


def frozen(workshop: Path, **changes: Any) -> Recipe:
    """One step of four whole pictures, with batch norms that keep their statistics."""
    settings: dict[str, Any] = {
        "data": {"root": workshop / "data"},
        "start_from": str(workshop / "start"),
        "freeze_norms": True,
        "decoder": {"num_queries": 6, "num_blocks": 1, "upscale_stages": 1},
        "augment": {"crop_size": [48, 64], "scale": [1.0, 1.0]},
        "loss": {"num_points": 256},
        "optimizer": {"lr": 1e-3, "warmup": 0, "clip": None},
        "steps": 1,
        "batch_size": 4,
    }
    return a_recipe(workshop, **(settings | changes))


def environment(**more: object) -> dict[str, str]:
    """Of a process in a group of two on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(places), "MASTER_ADDR": "127.0.0.1"}
    return os.environ | own | {"MASTER_PORT": str(port)} | {k: str(v) for k, v in more.items()}
