"""Nothing is lost: a program that is killed at any moment loses at most the stroke in hand."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from labelling import fields
from plainmask.data.check import check_dataset
from plainmask.label.canvas import Canvas
from plainmask.label.config import LABEL_TASKS, LabelTask
from plainmask.label.project import FOLDER, Project
from plainmask.label.stroke import Stroke
from plainmask.pictures.geometry import Geometry

KILLS = 10

DRAW = """
import sys
from pathlib import Path
from plainmask.label.canvas import Canvas
from plainmask.label.project import FOLDER, Project
from plainmask.label.stroke import Stroke
from plainmask.pictures.geometry import Geometry

folder = Path(sys.argv[1])
known = {"encoder": "tiny", "fingerprint": "abc", "task": sys.argv[2]}
project = Project.open(folder, folder / FOLDER, classes=["dark", "bright"], **known)
geometry, objects = Geometry((60, 80), (60, 80), (60, 80), ((0, 0),)), project.tells_objects
canvas = Canvas.of(geometry, 10, project.history.of_picture("a.png"), with_objects=objects)
for number in range(10_000):
    points = [[float(number % 70 + k % 5), float(k % 60)] for k in range(50)]
    stroke = {"picture": "a.png", "kind": "brush", "points": points, "radius": 3}
    stroke |= {"class": number % 2} | ({"object": number % 2} if objects else {})
    stroke = Stroke.read(stroke)
    canvas.draw(project.add_stroke(stroke), stroke)
    print(project.history.applied[-1], flush=True)
    if number % 3 == 0:
        project.undo()
        project.redo()
    if number % 5 == 0:
        project.write_labels("a.png", canvas.planes)
"""


def killed(folder: Path, task: str, after: float) -> int:
    """Draw strokes for so many seconds, then end as by kill -9; the last that was confirmed."""
    with subprocess.Popen(
        [sys.executable, "-c", DRAW, str(folder), task],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    ) as drawing:
        assert drawing.stdout is not None
        first = drawing.stdout.readline()
        assert first.strip().isdecimal()
        time.sleep(after)
        drawing.send_signal(signal.SIGKILL)
        # A line that was cut short was not confirmed.
        lines = [line for line in (first + drawing.stdout.read()).splitlines(True) if "\n" in line]
    return int(lines[-1])


@pytest.mark.slow
@pytest.mark.parametrize("task", LABEL_TASKS)
def test_kill_at_any_moment_loses_at_most_the_stroke_in_hand(tmp_path: Path, task: LabelTask):
    folder = fields(tmp_path / "in", "a.png")
    moments = random.Random(0)
    before = 0
    for _ in range(KILLS):
        confirmed = killed(folder, task, moments.uniform(0, 0.3))
        assert confirmed > before
        project = Project.open(folder, folder / FOLDER, encoder="tiny", fingerprint="abc")
        strokes = project.history.strokes
        assert confirmed in strokes
        if project.history.undone:  # it was killed between an undo and its redo
            assert len(project.history.undone) == 1
            project.redo()
        assert project.history.applied == list(strokes)
        assert sum(number > confirmed for number in strokes) <= 1
        drawn = list(project.history.of_picture("a.png"))
        geometry = Geometry((60, 80), (60, 80), (60, 80), ((0, 0),))
        canvas = Canvas.of(geometry, 10, drawn, with_objects=project.tells_objects)
        project.write_labels("a.png", canvas.planes)
        before = next(reversed(strokes))
        project.close()
        assert check_dataset(folder / FOLDER).all_problems == []
        assert np.count_nonzero(canvas.labels != 255)
        assert isinstance(drawn[-1][1], Stroke)
