"""Real data sets beside the checkout, for tests that skip where they are absent."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def needs_data(name: str) -> pytest.MarkDecorator:
    """Skip a test where a data set is not there."""
    return pytest.mark.skipif(
        not (SHARED_DATA / name).is_dir(), reason=f"needs the data set {SHARED_DATA / name}"
    )
