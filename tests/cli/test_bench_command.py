"""`plainmask bench` as a person would use it, with good and bad input."""

import json
from typing import Any

import pytest
import torch

from commands import Run, Workspace
from plainmask.encoder.vit import Encoder


def test_prints_a_table_that_fits_80_columns(
    work: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    photo = work.picture("photo.png")
    code, out, err = run("bench", photo, *work.model, "--runs", 2, "--dtype", "float32")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    for text in (
        "70 x 50",
        "float32 on cpu",
        "post-processing: tiny-semantic",
        "Medians of 2 runs",
    ):
        assert text in out
    assert not (work.folder / "out").exists()


def test_json_is_one_object(work: Workspace, run: Run):
    pytest.importorskip("transformers")
    photo = work.picture("photo.png")
    code, out, _ = run("bench", photo, *work.model, "--runs", 1, "--json", "--compare")
    found = json.loads(out)
    assert code == 0
    assert found["heads"] == ["tiny-semantic"]
    assert found["comparison"]["ratio"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dtype", "int8"), "dtype 'int8' must be auto, float32, bfloat16, float16"),
        (("--device", "cuda:99"), "the device cuda:99 cannot be used here"),
        (("--head", "nothing"), "nothing"),
        (("--runs", "0"), "at least 1 run must be measured, not 0"),
        (("--size", "-3"), "a size of -3: "),
    ],
)
def test_bad_options_are_one_line(
    work: Workspace, run: Run, options: tuple[str, ...], message: str
):
    code, out, err = run("bench", work.picture("photo.png"), *work.model, *options)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_missing_picture_is_one_line(work: Workspace, run: Run):
    code, out, err = run("bench", "absent.png", *work.model)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "absent.png" in err


def test_a_size_that_memory_does_not_hold(
    work: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
):
    def huge(self: Encoder, pixels: torch.Tensor, **options: Any) -> Any:
        return torch.empty(2**50, dtype=torch.uint8)

    monkeypatch.setattr(Encoder, "forward", huge)
    photo = work.picture("photo.png")
    code, _, err = run("bench", photo, *work.model)
    assert code == 1
    assert err == (
        f"error: memory does not hold what {photo} takes; give a smaller --size, or fewer heads\n"
    )
