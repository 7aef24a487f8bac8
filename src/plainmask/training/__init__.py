"""Training a decoder on a frozen encoder: recipe, matching, losses, schedules, one flat loop."""

from typing import TYPE_CHECKING

from plainmask.public import resolver

if TYPE_CHECKING:
    from plainmask.training.loop import train, train_together
    from plainmask.training.processes import Machines
    from plainmask.training.recipe import Recipe, load_recipe

__all__ = [
    "Machines",
    "Recipe",
    "load_recipe",
    "train",
    "train_together",
]

__getattr__ = resolver(
    __name__,
    {
        "Machines": "training.processes",
        "Recipe": "training.recipe",
        "load_recipe": "training.recipe",
        "train": "training.loop",
        "train_together": "training.loop",
    },
)
