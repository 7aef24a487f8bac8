"""The recipe that a person means: a file, a shipped one, or one that is chosen for their data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plainmask.inference.shared_pass import pick_device
from plainmask.training.own import OWN, own_recipe_by_name
from plainmask.training.processes import say
from plainmask.training.recipe import Recipe, find_recipe_file, load_recipe
from plainmask.training.records import TrainingData


def open_recipe(
    path: Path, overrides: Sequence[str], device: str
) -> tuple[Recipe, TrainingData | None]:
    """Read a recipe, or choose one for someone's own data and say why it is as it is.

    The data come with one that was chosen, as they were read for it.

    Raises:
        InputError: there is no such recipe, or it or the data cannot be used.
    """
    if str(path) not in OWN:
        return load_recipe(find_recipe_file(path, others=OWN), overrides), None
    found = own_recipe_by_name(str(path), overrides, gpu=pick_device(device).type == "cuda")
    for reason in found.reasons:
        say(reason)
    return found.recipe, found.data
