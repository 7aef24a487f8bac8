"""Curves: every table has a panel, whose lines lie where the figures say."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from plainmask.training.curves import COLORS, MARGIN, SIZE, write_curves
from plainmask.training.table import Table

WIDTH, HEIGHT = SIZE


def columns(picture: np.ndarray, color: str) -> dict[int, float]:
    """Mean height of a colour below the captions, by column."""
    hits = (picture == ImageColor.getrgb(color)).all(-1)
    hits[: MARGIN // 2] = False
    return {int(x): float(np.flatnonzero(hits[:, x]).mean()) for x in np.flatnonzero(hits.any(0))}


def test_lines_lie_where_the_figures_say(tmp_path: Path):
    losses, figures = Table(tmp_path / "log.csv"), Table(tmp_path / "val.csv")
    for step, loss in ((0, 4.0), (50, 2.0), (100, 0.0)):
        losses.add({"step": step, "seconds": 1000 * step, "loss": loss, "lr": 1e6})
    figures.add({"step": 50, "val_PQ": 10.0})
    path = tmp_path / "curves.png"
    write_curves(path, {"coast": losses.path, "validation": figures.path}, last=100)
    with Image.open(path) as image:
        picture = np.asarray(image)
    assert picture.shape == (2 * HEIGHT, WIDTH, 3)
    line = columns(picture[:HEIGHT], COLORS[0])
    assert abs(min(line) - MARGIN) <= 3
    assert abs(max(line) - (WIDTH - MARGIN)) <= 3
    assert abs(line[MARGIN + 10] - (MARGIN + 10 * (HEIGHT - 2 * MARGIN) / (WIDTH - 2 * MARGIN))) < 3
    assert abs(line[WIDTH // 2] - HEIGHT / 2) < 3
    dot = columns(picture[HEIGHT:], COLORS[0])
    assert abs(np.mean(list(dot)) - WIDTH / 2) < 2
    assert not columns(picture, COLORS[1])  # times and rates have no curves


def test_nothing_to_draw_is_no_picture(tmp_path: Path):
    (tmp_path / "log.csv").write_text("step,loss\n")
    write_curves(tmp_path / "c.png", {"a": tmp_path / "log.csv", "b": tmp_path / "no"}, last=9)
    assert not (tmp_path / "c.png").exists()


def test_figures_that_never_change_are_drawn(tmp_path: Path):
    table = Table(tmp_path / "log.csv")
    table.add({"step": 1, "loss": 0.0})
    table.add({"step": 2, "loss": float("nan")})
    write_curves(tmp_path / "c.png", {"a": table.path}, last=2)
    with Image.open(tmp_path / "c.png") as image:
        assert image.size == SIZE
