"""Tables of a run: whatever a killed process left of them, the next one goes on."""

from pathlib import Path

import pytest

from plainmask.training.table import Table


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (None, []),
        ("", []),
        ("step,loss", []),
        ("step,loss\n", []),
        ("step,loss\n2,0.5\n4,0.25\n", [["2", "0.5"], ["4", "0.25"]]),
        ("step,loss\n2,0.5\n4,0.25", [["2", "0.5"]]),
        ("step,loss\n2,0.5\n4", [["2", "0.5"]]),
        ("step,loss\n2,0.5\n\n", [["2", "0.5"]]),
        ("step,loss\n2,0.5\n9,0.5\n", [["2", "0.5"]]),
        ("step,loss\n9,0.5\n", []),
    ],
)
def test_what_a_killed_run_left_is_tidied(tmp_path: Path, left: str | None, kept: list[list[str]]):
    table = Table(tmp_path / "log.csv")
    if left is not None:
        table.path.write_text(left)
    table.forget_after(4)
    assert table.read()[1] == kept
    table.add({"step": 6, "loss": 0.125})
    assert table.read() == (["step", "loss"], [*kept, ["6", "0.125"]])
