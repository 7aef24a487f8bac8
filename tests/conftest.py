"""`pytest --parity`: a table of the golden cases and the largest error of each."""

import os

# Before torch comes, and whatever is set outside: tolerances are a CPU's in float32, sums that
# several threads share differ in their last bits, and tiny networks are done before threads have
# met, which beside other work takes ten times as long.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["PLAINMASK_DTYPE"] = "float32"

import pytest

from goldens import measured


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--parity", action="store_true", help="print the errors of golden cases")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not config.getoption("--parity"):
        return
    terminalreporter.section("parity: largest difference / largest entry (at least 1)")
    for test, error in sorted(measured.items()):
        terminalreporter.write_line(f"{error:.1e}  {test.removeprefix('tests/')}")
