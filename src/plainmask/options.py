"""Names that a person chooses from a list: the one that is meant, or what to say where none is."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TypeVar

from plainmask.errors import InputError

Name = TypeVar("Name", bound=str)

_MOST = 20


def one_of(name: str, known: Sequence[Name], problem: str) -> Name:
    """The known name that a text is.

    Args:
        name: what a person wrote.
        known: the names, such as `get_args` of a `Literal`.
        problem: begins the message, such as "the format 'x' is unknown".

    Raises:
        InputError: it is none; says which is near, or which there are.
    """
    for each in known:
        if name == each:
            return each
    raise InputError(f"{problem}; {hint(name, known)}")


def hint(name: str, known: Sequence[str]) -> str:
    """The known name that is most like one that is unknown; where none is, the known names."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" and {len(known) - _MOST} more" if len(known) > _MOST else ""
    return f"there are {', '.join(known[:_MOST])}{more}"
