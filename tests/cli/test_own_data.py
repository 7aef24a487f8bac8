"""The three commands of docs/train-on-your-data.md, on a small set of each kind."""

import json
from pathlib import Path

import pytest

from commands import Run, Workspace
from images import labelled_images
from labelling import on_object, session, things, waited_for
from plainmask.label.project import FOLDER
from plainmask.label.session import WHOLE

TINY = (
    "steps=2",
    "batch_size=2",
    "optimizer.warmup=1",
    "augment.crop_size=48",
    "input={kind: stride, size: 48}",
    "decoder={num_queries: 8, num_blocks: 1, upscale_stages: 1}",
    "loss.num_points=64",
)


@pytest.mark.parametrize(
    ("task", "convert", "main"),
    [
        ("semantic", None, "mIoU"),
        ("instance", None, "AP"),
        ("instance", "yolo", "AP"),
        ("panoptic", None, "PQ"),
        ("panoptic", "label_folder", "mIoU"),
    ],
)
def test_check_train_evaluate(work: Workspace, run: Run, task: str, convert: str | None, main: str):
    data = labelled_images(work.folder / "made", task, "train")
    if convert is not None:
        code, _, err = run("data", "convert", data, "--to", convert, "--out", work.folder / "mine")
        assert code == 0, err
        data = work.folder / "mine"
    code, out, err = run("data", "check", data, "--out", work.folder / "sheet.png")
    assert code == 0, out + err
    kind = {"mIoU": "own-semantic", "AP": "own-instance", "PQ": "own-panoptic"}[main]
    settings = (f"data.root={data}", f"encoder={work.encoder}", *TINY)
    code, out, err = run("train", kind, *settings, "--out", "runs/mine", "--device", "cpu")
    assert code == 0, err
    assert "4 training images" in err
    assert "no val split" in err
    head = Path("runs/mine/head")
    assert json.loads((head / "config.json").read_text())["name"] == data.name
    given = ("--encoder", work.encoder, "--device", "cpu", "--split", "train", "--json")
    code, out, err = run("eval", head, data, *given, "--out", "report")
    assert code == 0, err
    assert main in json.loads(out)
    assert Path("report/index.html").is_file()


@pytest.mark.slow
def test_objects_that_were_labelled_by_strokes(work: Workspace, run: Run):
    folder = things(work.folder / "photos", "a.png", "b.png", "c.png")
    with session(folder, task="instance", classes=["cat"]) as made:
        for x, y in ((5, 5), (75, 55), (40, 5), (40, 55)):
            made.draw(on_object("a.png", x, 0, 0, y))
        made.draw(on_object("a.png", 25, 1))
        made.draw(on_object("a.png", 55, 2))
        waited_for(lambda: made.status()["shown_by"])
        made.label_rest()
        waited_for(lambda: made.status()["job"]["state"] == "done")
    for data in (folder / FOLDER, folder / FOLDER / WHOLE):
        code, out, err = run("data", "check", data)
        assert code == 0, out + err
        options = ("--format", "voc_objects", "--to", "coco_instances")
        code, out, err = run("data", "convert", data, *options, "--out", f"coco/{data.name}")
        assert code == 0, out + err
        settings = (f"data.root={data}", f"encoder={work.encoder}", *TINY)
        out = f"runs/{data.name}"
        code, _, err = run("train", "own-instance", *settings, "--out", out, "--device", "cpu")
        assert code == 0, err
        assert "1 class," in err
    given = ("--encoder", work.encoder, "--device", "cpu", "--json", "--out", "report")
    code, out, err = run("eval", f"{out}/head", folder / FOLDER / WHOLE, *given)
    assert code == 0, err
    assert "AP" in json.loads(out)


def test_the_data_must_be_named(run: Run):
    code, _, err = run("train", "own-semantic", "steps=5")
    assert code == 2
    assert "plainmask train own-semantic data.root=FOLDER" in err
