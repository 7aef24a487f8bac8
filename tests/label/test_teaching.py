"""A decoder that learns in another process: what it leaves, why it fails, and how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labelling import SIZE, fields, waited_for
from plainmask.errors import InputError, PlainmaskError
from plainmask.heads.head import Head
from plainmask.label import teaching
from plainmask.label.config import LabelClass, LabelTask, ProjectConfig
from plainmask.label.dataset import write_class_table, write_pair
from plainmask.label.planes import Planes
from plainmask.label.teaching import Start, Teaching
from plainmask.results.task import Task
from tiny import save_tiny_encoder, tiny_encoder, tiny_head


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a data set of two pictures, and an encoder beside it."""
    classes = tuple(LabelClass(id=k, name=str(k), color=(k, k, k)) for k in (0, 1))
    config = ProjectConfig(encoder="tiny", fingerprint="", classes=classes)
    root = tmp_path / "place/data"
    write_class_table(root, config)
    halves = np.zeros(SIZE, np.uint8)
    halves[:, SIZE[1] // 2 :] = 1
    for name in ("a.png", "b.png"):
        write_pair(root, fields(tmp_path / "in", name) / name, Planes(halves, None))
    save_tiny_encoder(tmp_path)
    return tmp_path / "place"


@pytest.mark.slow
def test_it_learns_a_head_and_goes_on_from_it(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(teaching, "FRESH", 21)
    monkeypatch.setattr(teaching, "AGAIN", 2)
    encoder = str(place.parent / "encoder.safetensors")
    first = Teaching(place, encoder, "cpu", None)
    if hasattr(os, "getpriority"):
        assert os.getpriority(os.PRIO_PROCESS, first._process.pid) == 19
    waited_for(lambda: first.is_over, 120)
    assert first.done == first.total == 21
    kept = Head.load(first.result()).save(place / "head")
    again = Teaching(place, encoder, "cpu", Start.load(kept, "semantic", tiny_encoder()))
    assert again.total == 2
    waited_for(lambda: again.is_over, 120)
    assert Head.load(again.result()).config.vocabulary.names == ("0", "1")
    assert "starting from" in (place / "run.log").read_text()


def test_a_failure_says_the_last_line(place: Path):
    made = Teaching(place, "nonsense", "cpu", None)
    waited_for(lambda: made.is_over, 60)
    with pytest.raises(PlainmaskError, match=r"^no decoder was learnt: .*nonsense"):
        made.result()


@pytest.mark.parametrize(
    ("made", "task", "told"),
    [
        ("instance", "semantic", "is instance, and this project is semantic; a decoder can begin "),
        ("panoptic", "instance", "from a semantic head or an instance head here"),
    ],
)
def test_a_head_of_another_task_is_no_start(tmp_path: Path, made: Task, task: LabelTask, told: str):
    kept = tiny_head(made, tiny_encoder()).save(tmp_path / "head")
    with pytest.raises(InputError, match=told):
        Start.load(kept, task, tiny_encoder())


def test_a_head_of_another_encoder_is_no_start():
    with pytest.raises(InputError, match=r"is for the encoder dinov2-small, and this project's is"):
        Start.load("nuclei-instance", "instance", tiny_encoder())


def test_there_is_no_such_start():
    with pytest.raises(InputError, match="there is no head 'nuclei-instanc'; did you mean"):
        Start.load("nuclei-instanc", "instance", tiny_encoder())


def test_all_of_a_start_is_taken_over(tmp_path: Path):
    kept = tiny_head("instance", tiny_encoder()).save(tmp_path / "head")
    start = Start.load(kept, "instance", tiny_encoder())
    assert start.settings[0] == f"start_from={kept}"
    assert "decoder.num_queries=6" in start.settings
    assert "decoder.num_blocks=1" in start.settings
    assert start.steps == teaching.OF_OBJECTS


def test_it_ends_with_the_process_that_began_it(place: Path):
    code = (
        "import sys, time; from pathlib import Path; from plainmask.label.teaching import Teaching;"
        f"t = Teaching(Path({str(place)!r}), {str(place.parent / 'encoder.safetensors')!r}, 'cpu',"
        " None); print(t._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    waited_for(lambda: not is_running(child), 60)


def is_running(process: int) -> bool:
    """Whether a process is there that is more than an entry which nobody has looked at."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
