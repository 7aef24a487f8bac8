"""What is said of the progress of work."""

import sys

import pytest

from plainmask import progress


def test_progress_estimates(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    now = iter([0.0, 20.0, 40.0, 60.0, 80.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    work = progress.Progress(100)
    for _ in range(4):
        work.step()
    work.clear()
    assert capsys.readouterr().err.splitlines() == [
        "2/100 images, 20.0 s each, 33 min left",
        "4/100 images, 20.0 s each, 32 min left",
    ]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress.time, "monotonic", iter([0.0, 1.0, 2.0]).__next__)
    work = progress.Progress(2)
    work.step()
    work.step()
    assert capsys.readouterr().err == (
        "\r\x1b[K1/2 images, 1.0 s each, 1 s left\r\x1b[K2/2 images, 1.0 s each, 0 s left\n"
    )


def test_nothing_is_estimated_before_the_first_that_come_together(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def said(total: int | None, *seconds: float) -> list[str]:
        monkeypatch.setattr(progress.time, "monotonic", iter([0.0, *seconds]).__next__)
        work = progress.Progress(total, "frame", together=3)
        for _ in seconds:
            work.step()
        return capsys.readouterr().err.splitlines()

    assert said(20, 40, 40, 71, 80, 120) == [
        "1/20 frames",
        "3/20 frames, 23.7 s each, 7 min left",
        "5/20 frames, 24.0 s each, 6 min left",
    ]
    assert said(2, 31, 62) == ["1/2 frames", "2/2 frames, 31.0 s each, 0 s left"]
    assert said(None, 31, 62, 93) == ["1 frame", "2 frames", "3 frames, 31.0 s each"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_durations(seconds: float, text: str):
    assert progress.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "one", "text"),
    [
        (1, "picture", "1 picture"),
        (0, "picture", "0 pictures"),
        (2, "class", "2 classes"),
        (1, "class", "1 class"),
        ("1", "epoch", "1 epoch"),
        ("0.5", "epoch", "0.5 epochs"),
        ("no", "picture", "no pictures"),
    ],
)
def test_numbers_of_things(number: int | str, one: str, text: str):
    assert progress.counted(number, one) == text
    assert progress.counted(3, "frame seen", "frames seen") == "3 frames seen"
