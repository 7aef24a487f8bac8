"""What an encoder is computed in, and that it stays as it was given."""

from typing import Any

import pytest
import torch
from torch import nn

from plainmask.errors import InputError
from plainmask.inference import shared_pass
from plainmask.inference.segmenter import Segmenter
from plainmask.inference.shared_pass import SharedPass, pick_dtype
from tiny import tiny_encoder, tiny_head

CPU = torch.device("cpu")


def test_matrices_are_held_in_what_is_computed_and_the_rest_is_shared():
    encoder = tiny_encoder()
    held = SharedPass.of(encoder, CPU, torch.bfloat16).computing_encoder
    matrices = {
        f"{name}.weight"
        for name, part in encoder.named_modules()
        if isinstance(part, nn.Linear | nn.Conv2d)
    }
    given = dict(encoder.named_parameters())
    assert matrices
    for name, value in held.named_parameters():
        if name in matrices:
            assert value.dtype == torch.bfloat16
            assert torch.equal(value, given[name].bfloat16())
        else:
            assert value is given[name]
    assert all(value.dtype == torch.float32 for value in given.values())


def test_in_float32_there_is_one_encoder():
    encoder = tiny_encoder()
    assert SharedPass.of(encoder, CPU, torch.float32).computing_encoder is encoder


def test_held_matrices_give_what_autocast_gives():
    encoder = tiny_encoder()
    segmenter = Segmenter(encoder, {"one": tiny_head("semantic", encoder)}, dtype="bfloat16")
    pixels = torch.randint(0, 256, (1, 3, 64, 80), dtype=torch.uint8)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        wanted = segmenter.heads["one"].decoder(encoder(pixels)).float()
    found = segmenter.logits(pixels)["one"]
    assert torch.equal(found.mask_logits, wanted.mask_logits)
    assert torch.equal(found.class_logits, wanted.class_logits)


@pytest.mark.parametrize(
    ("units", "device", "wanted"),
    [
        (True, "cpu", torch.bfloat16),
        (False, "cpu", torch.float32),
        (True, "mps", torch.float32),
        (False, "cuda", torch.bfloat16),
    ],
)
def test_auto(units: bool, device: str, wanted: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PLAINMASK_DTYPE")
    monkeypatch.setattr(shared_pass, "has_bfloat16_units", lambda: units)
    assert pick_dtype("auto", torch.device(device)) == wanted


def test_the_variable_decides_what_auto_means(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAINMASK_DTYPE", "bfloat16")
    assert pick_dtype("auto", CPU) == torch.bfloat16
    assert pick_dtype("float32", CPU) == torch.float32


@pytest.mark.parametrize("given", ["int8", torch.float64, torch.int8])
def test_other_dtypes_are_refused(given: Any):
    with pytest.raises(InputError, match=r"must be auto, float32, bfloat16, float16"):
        pick_dtype(given, CPU)


def test_a_mistyped_variable_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAINMASK_DTYPE", "bf16")
    with pytest.raises(InputError, match=r"PLAINMASK_DTYPE: 'bf16' must be auto, float32"):
        pick_dtype("auto", CPU)


def test_the_encoder_that_people_see_is_the_one_they_gave():
    encoder = tiny_encoder()
    assert Segmenter(encoder, dtype="bfloat16").encoder is encoder
