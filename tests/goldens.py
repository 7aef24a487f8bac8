"""Golden files and the one measure of equality; `pytest --parity` prints what was measured."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(__file__).parents[2] / "shared" / "golden"

measured: dict[str, float] = {}
"""Test -> largest relative error that it saw."""


def golden(name: str) -> dict[str, Tensor]:
    """A recorded case; one that is too large for the repository lies beside the checkout only."""
    for folder in (GOLDEN, SHARED):
        if (path := folder / f"{name}.safetensors").is_file():
            return load_file(path)
    pytest.skip(f"needs the recorded case {SHARED / name}")


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def relative_error(found: Tensor, expected: Tensor, *, at_least: float = 1.0) -> float:
    """Largest difference as a share of the largest entry of `expected`, or of `at_least`."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    if expected.numel() == 0:
        return 0.0
    scale = max(at_least, float(expected.detach().abs().max()))
    error = float((found.double() - expected.double()).detach().abs().max()) / scale
    test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0]
    measured[test] = max(error, measured.get(test, 0.0))
    return error
