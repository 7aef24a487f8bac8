"""A process that is forked after torch has computed goes on, instead of waiting for ever."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import multiprocessing
import torch
from plainmask.encoder.vit import Encoder

torch.set_num_threads(2)
weights = torch.randn(600, 600)
torch.relu(weights) @ weights  # the threads are there now


def work(_):
    return float((torch.relu(weights) @ weights).sum())


if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert len(set(pool.map_async(work, range(2)).get(60))) == 1
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_computes():
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, timeout=120, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
