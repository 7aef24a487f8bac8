"""The whole loop on made-up pictures: it learns, resumes to the same weights, and stops well."""

import os
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric.plugins import Precision
from PIL import Image

import plainmask
from bricks import a_recipe, data_folder, dtypes_of_a_run, weights
from plainmask.errors import InputError, PlainmaskError, WeightsError
from plainmask.heads.head import read_config
from plainmask.training import loop, run_log
from plainmask.training.checkpoint import Standing, save_checkpoint
from plainmask.training.loop import train
from plainmask.training.recipe import save_recipe
from plainmask.training.records import build_sampler, read_data
from tiny import save_tiny_encoder


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """A data set of eight pictures with two classes, and an encoder file."""
    data_folder(tmp_path / "data", train=8, val=2)
    save_tiny_encoder(tmp_path)
    return tmp_path


def test_learns_and_leaves_a_head(workshop: Path):
    recipe = a_recipe(workshop, steps=60, evaluate_every=30, save_every=100)
    run = train(recipe, workshop / "run", device="cpu")
    assert {"recipe.yaml", "log.csv", "checkpoint.pt", "head", "overlays", "tensorboard"} <= {
        path.name for path in run.iterdir()
    }
    assert sorted(path.name for path in (run / "overlays").iterdir()) == [
        "step_000030",
        "step_000060",
    ]
    rows = (run / "log.csv").read_text().splitlines()
    assert rows[0].startswith("step,seconds,loss,loss_mask,loss_dice,loss_cross_entropy")
    assert len(rows) == 31
    segmenter = plainmask.load(run / "head", device="cpu", encoder=recipe.encoder)
    head = segmenter.head
    assert head.config.provenance.figures["val_mIoU"] > 60
    assert head.config.provenance.recipe["steps"] == 60
    result = segmenter(workshop / "data/images/val/0.png")
    assert result.vocabulary.names == ("sea", "brick")


@pytest.mark.parametrize(("masked", "average"), [(True, None), (False, 0.9)])
def test_resumed_run_ends_with_the_same_weights(
    workshop: Path, masked: bool, average: float | None
):
    changes: dict[str, Any] = {
        "average": average,
        "masked_attention": masked,
        "supervise": "every_layer" if masked else "last",
        "cache": {"folder": workshop / "features", "views": 2},
        "data": {"root": workshop / "data"},
    }
    whole = train(a_recipe(workshop, **changes), workshop / "whole", device="cpu")

    stopped = stop_after(4)
    with pytest.raises(KeyboardInterrupt), stopped:
        train(a_recipe(workshop, **changes), workshop / "parts", device="cpu")
    again = train(a_recipe(workshop, **changes), workshop / "parts", resume=True, device="cpu")
    first, second = weights(whole), weights(again)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    heads = [run / "head/model.safetensors" for run in (whole, again)]
    assert heads[0].read_bytes() == heads[1].read_bytes()


def test_features_in_the_run_folder_go_with_the_run(workshop: Path):
    changes: dict[str, Any] = {"cache": {"views": 2}, "data": {"root": workshop / "data"}}
    with pytest.raises(KeyboardInterrupt), stop_after(4):
        train(a_recipe(workshop, **changes), workshop / "run", device="cpu")
    assert list((workshop / "run/features").iterdir())
    train(a_recipe(workshop, **changes), workshop / "run", resume=True, device="cpu")
    assert not (workshop / "run/features").exists()


class stop_after:  # noqa: N801
    """Presses Ctrl-C in the middle of the n-th step."""

    def __init__(self, step: int):
        self.left = step
        self.patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        original = loop.total_loss

        def pressing(*args: Any) -> torch.Tensor:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)
            return original(*args)

        self.patch.setattr(loop, "total_loss", pressing)

    def __exit__(self, *error: object) -> None:
        self.patch.undo()


def test_ctrl_c_finishes_the_step_and_saves(workshop: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(KeyboardInterrupt), stop_after(2):
        train(a_recipe(workshop), workshop / "run", device="cpu")
    saved = torch.load(workshop / "run/checkpoint.pt", weights_only=True)
    assert saved["step"] == 2
    assert "finishing this step" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("left", ["", "step,loss\n2,0.5\n4,", "step,seconds\n2,9\n"])
def test_a_run_that_was_killed_before_it_was_saved_is_resumed_from_the_start(
    workshop: Path, left: str, capsys: pytest.CaptureFixture[str]
):
    whole = train(a_recipe(workshop), workshop / "whole", device="cpu")
    run = workshop / "run"
    run.mkdir()
    save_recipe(a_recipe(workshop), run / "recipe.yaml")
    (run / "log.csv").write_text(left)
    train(a_recipe(workshop), run, resume=True, device="cpu")
    assert "nothing was saved in" in capsys.readouterr().err
    first, second = weights(whole), weights(run)
    assert all(torch.equal(first[key], second[key]) for key in first)
    rows = [row.split(",")[0] for row in (run / "log.csv").read_text().splitlines()]
    assert rows == ["step", "2", "4", "6", "8"]


def test_what_a_run_says(workshop: Path, capsys: pytest.CaptureFixture[str]):
    run = train(
        a_recipe(workshop, steps=8, log_every=8, evaluate_every=4), workshop / "run", device="cpu"
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "tiny: 8 steps of 2 of 8 pictures, 2 epochs; figures on 2 pictures"
    assert re.fullmatch(r"step 1/8  tiny  \d\.\d\d s/step, 0:00:\d\d left", lines[1])
    assert lines[2] == f"saved after 3 steps; {run / 'head'} can be tried meanwhile"
    assert lines[3] == "step 4/8  tiny  measuring on 2 validation pictures"
    assert lines[4].startswith("step 4/8  tiny  val_mIoU ")
    assert lines[5].startswith("step 8/8  tiny  0.")
    assert [line.split()[3] for line in lines[6:]] == ["measuring", "val_mIoU"]
    assert (run / "val.csv").read_text().splitlines()[0] == "step,val_mIoU"
    with Image.open(run / "curves.png") as curves:
        assert curves.size == (900, 600)


def test_a_long_wait_is_filled(workshop: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_log, "SPEAK_EVERY", 0.0)
    said: list[str] = []
    monkeypatch.setattr(run_log.RunLog, "_say", lambda log, step, text: said.append(text))
    train(a_recipe(workshop, steps=4, log_every=4), workshop / "run", device="cpu")
    assert [" left" in text for text in said] == [True] * 4 + [False, True, True, False]
    assert said[5].startswith("measured on 1 of 2, 0:00:0")


def test_a_head_can_be_used_from_the_first_save(workshop: Path):
    with pytest.raises(KeyboardInterrupt), stop_after(5):
        train(a_recipe(workshop), workshop / "run", device="cpu")
    encoder = workshop / "encoder.safetensors"
    segmenter = plainmask.load(workshop / "run/head", device="cpu", encoder=encoder)
    assert segmenter(workshop / "data/images/val/0.png").vocabulary.names == ("sea", "brick")


def test_a_run_ends_early_with_its_best_head(
    workshop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    scores = iter([40.0, 70.0, 55.0, 69.0, 68.0])
    monkeypatch.setattr(loop, "measure", lambda *_: {"val_mIoU": next(scores)})
    recipe = a_recipe(workshop, steps=100, evaluate_every=2, patience=3, save_every=100)
    run = train(recipe, workshop / "run", device="cpu")
    assert torch.load(run / "checkpoint.pt", weights_only=True)["step"] == 10
    assert read_config(run / "head").provenance.figures == {"val_mIoU": 70.0}
    assert "no better figures for 3 evaluations" in capsys.readouterr().err
    train(recipe, run, resume=True, device="cpu")  # it is at its end
    assert torch.load(run / "checkpoint.pt", weights_only=True)["step"] == 10


def test_runs_outside_the_main_thread(workshop: Path):
    runs: list[Path] = []
    thread = threading.Thread(
        target=lambda: runs.append(train(a_recipe(workshop, steps=4), workshop / "r", device="cpu"))
    )
    thread.start()
    thread.join()
    assert runs == [workshop / "r"]


def test_a_folder_is_never_overwritten_by_accident(workshop: Path):
    with pytest.raises(InputError, match="no checkpoint to resume"):
        train(a_recipe(workshop), workshop / "run", resume=True, device="cpu")
    run = train(a_recipe(workshop, steps=4), workshop / "run", device="cpu")
    with pytest.raises(InputError, match="go on with --resume"):
        train(a_recipe(workshop), run, device="cpu")


def test_nan_stops_before_it_reaches_the_weights(workshop: Path, monkeypatch: pytest.MonkeyPatch):
    original = loop.total_loss
    calls = iter(range(100))

    def poisoned(*args: Any) -> torch.Tensor:
        loss = original(*args)
        return loss * float("nan") if next(calls) == 4 else loss

    monkeypatch.setattr(loop, "total_loss", poisoned)
    with pytest.raises(
        PlainmaskError, match="became nan at step 5, in a batch of 1, 3; the last good"
    ):
        train(a_recipe(workshop), workshop / "run", device="cpu")
    assert all(t.isfinite().all() for t in weights(workshop / "run").values())


def test_a_full_disk_keeps_the_last_good_checkpoint(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
):
    run = train(a_recipe(workshop, steps=4), workshop / "run", device="cpu")
    before = (run / "checkpoint.pt").read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    model = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"No space left on device.*is kept"):
        save_checkpoint(
            run / "checkpoint.pt",
            model,
            None,
            torch.optim.AdamW(model.parameters()),
            Precision(),
            Standing(9, 1),
        )
    assert (run / "checkpoint.pt").read_bytes() == before
    assert not list(run.glob("*.tmp"))


def test_a_damaged_checkpoint_is_told_as_one(workshop: Path):
    run = train(a_recipe(workshop, steps=4), workshop / "run", device="cpu")
    path = run / "checkpoint.pt"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"PK not a checkpoint"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"checkpoint\.pt does not fit .* or is damaged"):
            train(a_recipe(workshop, steps=8), run, resume=True, device="cpu")
        assert path.read_bytes() == content, "it stays for the person to look at"


def test_hold_out_must_match_some_images(workshop: Path):
    held = a_recipe(workshop, data={"root": workshop / "data", "hold_out": "0"})
    data = read_data(held)
    assert [record.id for record in data.val] == ["0"]
    assert len(data.train) == 7
    none = a_recipe(workshop, data={"root": workshop / "data", "hold_out": "x"})
    with pytest.raises(InputError, match="must match some, not all"):
        read_data(none)


def test_frozen_encoder_keeps_no_activations(workshop: Path):
    encoder = loop.load_encoder(workshop / "encoder.safetensors")
    features = encoder(torch.zeros(1, 3, 48, 64, dtype=torch.uint8))
    assert all(tap.grad_fn is None and not tap.requires_grad for tap in features.taps)


def test_resuming_with_another_recipe_is_said(workshop: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(KeyboardInterrupt), stop_after(2):
        train(a_recipe(workshop), workshop / "run", device="cpu")
    train(a_recipe(workshop, steps=6), workshop / "run", resume=True, device="cpu")
    assert "going on with another recipe: steps 8 -> 6" in capsys.readouterr().err
    steps = [row.split(",")[0] for row in (workshop / "run/log.csv").read_text().splitlines()]
    assert steps == ["step", "2", "4", "6"]


def test_a_bad_validation_picture_does_not_end_a_run(
    workshop: Path, capsys: pytest.CaptureFixture[str]
):
    (workshop / "data/labels/val/0.png").write_bytes(b"broken")
    (workshop / "data/images/val/0.png").write_bytes(b"broken")
    run = train(a_recipe(workshop, steps=4), workshop / "run", device="cpu")
    assert "val_mIoU" in read_config(run / "head").provenance.figures
    assert re.search(r"0 is left out of the figures: .*0\.png", capsys.readouterr().err)


def test_the_head_is_saved_before_an_evaluation_that_fails(workshop: Path):
    for name in ("0", "1"):
        (workshop / f"data/labels/val/{name}.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"0\.png"):
        train(a_recipe(workshop, steps=4), workshop / "run", device="cpu")
    assert (workshop / "run/head/config.json").is_file()


def test_pictures_without_labels_are_not_trained_on(
    workshop: Path, capsys: pytest.CaptureFixture[str]
):
    whole = a_recipe(workshop, steps=9)
    data = read_data(whole)
    sparse = [replace(r, load_annotation=None) if r.id in "25" else r for r in data.train]
    sampler = build_sampler(whole, sparse, data.vocabulary, 16)
    assert sampler.names == ["0", "1", "3", "4", "6", "7"]
    assert "2 of 8 pictures have no annotation and are not trained on" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["bf16"])
def test_lower_precision_trains(workshop: Path, precision: str):
    run = train(a_recipe(workshop, steps=4, precision=precision), workshop / "run", device="cpu")
    assert all(t.isfinite().all() for t in weights(run).values())


@pytest.mark.parametrize("supervise", ["every_layer", "last"])
def test_lower_precision_is_the_decoders_and_losses_are_whole(
    workshop: Path, supervise: str, monkeypatch: pytest.MonkeyPatch
):
    changes: dict[str, Any] = {
        "masked_attention": False,
        "supervise": supervise,
        "precision": "bf16",
    }
    decoder, losses = dtypes_of_a_run(a_recipe(workshop, **changes), workshop / "run", monkeypatch)
    assert decoder == {torch.bfloat16}
    assert losses == {torch.float32}


def test_workers_give_the_same_run(workshop: Path):
    alone = train(a_recipe(workshop, steps=4), workshop / "alone", device="cpu")
    helped = train(a_recipe(workshop, steps=4, workers=2), workshop / "helped", device="cpu")
    first, second = weights(alone), weights(helped)
    assert all(torch.equal(first[key], second[key]) for key in first)
