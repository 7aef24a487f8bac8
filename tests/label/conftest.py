"""What tests of the page use."""

from collections.abc import Iterator
from typing import Any

import pytest

from pages import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    with chromium() as made:
        yield made
