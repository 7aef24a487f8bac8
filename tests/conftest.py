"""What all tests may use: an export, and `pytest --parity`, a table of the golden cases' errors."""

import os
import sys

# Before torch comes, and whatever is set outside: tolerances are a CPU's in float32, sums that
# several threads share differ in their last bits, and tiny networks are done before threads have
# met, which beside other work takes ten times as long.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["PLAINMASK_DTYPE"] = "float32"

import absl.logging
import pytest
from hypothesis import settings

from exports import Exported
from goldens import measured
from plainmask.export.folder import export_heads
from plainmask.inference.segmenter import Segmenter
from tiny import tiny_encoder, tiny_head, tiny_video_head

# OpenVINO brings this logger, which would close the stderr that it saw first, pytest's own, as soon
# as a server sets up logging; the true one it leaves open.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__


# How long an example takes says how busy the machine is.
settings.register_profile("plainmask", deadline=None)
settings.load_profile("plainmask")


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


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The tiny heads and their export, which takes some seconds; tests change neither."""
    encoder = tiny_encoder()
    heads = [
        tiny_head("instance", encoder),
        tiny_video_head("semantic", encoder),
        tiny_video_head("instance", encoder, "linear"),
    ]
    segmenter = Segmenter(encoder, {head.config.name: head for head in heads}, device="cpu")
    folder = tmp_path_factory.mktemp("exported") / "out"
    export_heads(segmenter, folder)
    return Exported(segmenter, folder)
