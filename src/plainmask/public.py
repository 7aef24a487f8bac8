"""Public names of the package and its rooms, resolved when they are first used.

So importing costs little, and what needs an extra is loaded only by those who ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def resolver(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` for names that live deeper.

    Args:
        package: the module, such as "plainmask.video".
        homes: by name the module below `plainmask` that holds it, such as "video.sources".
    """

    def find(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"plainmask.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
