"""Compiled networks: the same answers, the parts apart, and no compiling for what was seen."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from plainmask.inference.segmenter import Segmenter
from tiny import tiny_encoder, tiny_head, tiny_video_head

pytestmark = pytest.mark.slow


def apart(check: Callable[[], None]) -> None:
    """Run in a process of its own: torch's compiler minds what other tests have imported."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(check).result()


def pixels(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (1, 3, height, width), np.uint8)
    )


def graphs() -> int:
    return counters["stats"]["unique_graphs"]


def test_results_are_those_of_the_plain_network_and_sizes_are_compiled_once():
    apart(check_results_and_sizes)


def check_results_and_sizes():
    encoder = tiny_encoder()
    head = tiny_head("semantic", encoder)
    plain = Segmenter(encoder, {"a": head}, device="cpu")
    fast = Segmenter(encoder, {"a": head}, device="cpu", compile=True)
    for size in ((56, 56), (56, 84)):
        expected, found = (one.logits(pixels(*size))["a"] for one in (plain, fast))
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert not counters["graph_break"]
    before = graphs()
    assert before > 0
    for size in ((56, 56), (56, 84), (84, 56), (112, 56)):
        fast.logits(pixels(*size))
    assert graphs() == before


def test_another_head_compiles_itself_alone_and_what_was_given_stays_plain():
    apart(check_another_head)


def check_another_head():
    encoder = tiny_encoder()
    one, two = tiny_head("semantic", encoder), tiny_head("instance", encoder, num_classes=5)
    fast = Segmenter(encoder, {"one": one}, device="cpu", compile=True)
    fast.logits(pixels(56, 56))
    fast.logits(pixels(56, 84))
    fast.add("two", two)
    before = graphs()
    fast.features(np.zeros((56, 56, 3), np.uint8))
    assert graphs() == before
    fast.logits(pixels(56, 56))
    now = graphs()
    for name, head in {"one": one, "two": two}.items():  # what was given
        Segmenter(encoder, {name: head}, device="cpu").logits(pixels(112, 140))
    assert graphs() == now


def test_a_stream_is_followed_as_without():
    apart(check_stream)


def check_stream():
    encoder = tiny_encoder()
    head = tiny_video_head("instance", encoder)
    frames = [np.full((56, 70, 3), shade, np.uint8) for shade in (10, 90, 200)]
    found: list[Any] = []
    for compile in (False, True):
        segmenter = Segmenter(encoder, {"a": head}, device="cpu", compile=compile)
        found.append([step["a"].candidates for step in segmenter.track(frames)])
    for plain, fast in zip(*found, strict=True):
        np.testing.assert_allclose(fast.scores, plain.scores, atol=1e-4)


def test_without_a_compiler_one_line_says_so(tmp_path: Path):
    code = (
        "import torch; from plainmask.inference.compiled import check_compiler; "
        "check_compiler(torch.device('cpu'))"
    )
    lacking = {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | lacking, capture_output=True, text=True
    )
    assert re.search(
        r"InputError: compile: .*no-such-compiler.*install a C\+\+ compiler", ran.stderr
    )
