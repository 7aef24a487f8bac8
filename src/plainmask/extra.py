"""Packages of other tools, which an installation may lack."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from plainmask.errors import InputError


def need(module: str, purpose: str, install: str) -> Any:
    """A module of a tool, imported now.

    Args:
        module: its full name.
        purpose: what needs it, to begin the message with.
        install: what to do where it is missing.

    Raises:
        InputError: it, or something that it imports, is not installed; says what and how to get it.
    """
    try:
        return import_module(module)
    except ImportError as cause:
        missing = getattr(cause, "name", None) or module
        raise InputError(f"{purpose} needs the package {missing}; {install}") from cause
