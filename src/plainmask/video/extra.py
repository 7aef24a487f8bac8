"""PyAV, which video files need and an installation may lack."""

from __future__ import annotations

from importlib.util import find_spec

from plainmask.errors import InputError


def need_pyav(purpose: str) -> None:
    """Say how to get PyAV where it is missing; called before a module that imports it.

    Raises:
        InputError: it is not installed.
    """
    if find_spec("av") is None:
        raise InputError(f'{purpose} needs PyAV; pip install "plainmask[video]"')
