"""`plainmask eval` on a small labelled folder, good and bad."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import plainmask
from commands import Outcome, Run, Workspace
from datasets import write_video_folder
from images import labelled_images
from plainmask.atomic import check_replaceable
from plainmask.results.task import Task
from tiny import tiny_encoder, tiny_video_head

FILE_IDS = (40, 10, 30)
VOID = 99


@pytest.fixture
def data(work: Workspace) -> Path:
    """Three pictures whose labels are what the head says, in other numbers, with a void strip."""
    folder = work.folder / "data"
    segmenter = plainmask.load(work.head, device="cpu", encoder=work.encoder)
    (folder / "labels/test").mkdir(parents=True)
    for name in ("a", "b", "c"):
        label = segmenter(work.picture(f"data/images/test/{name}.png")).label_map
        numbers = np.array(FILE_IDS, np.uint8)[label]
        numbers[:5] = VOID
        Image.fromarray(numbers).save(folder / f"labels/test/{name}.png")
    classes = [{"id": i, "name": f"class_{i}", "file_id": n} for i, n in enumerate(FILE_IDS)]
    (folder / "classes.json").write_text(json.dumps({"ignore_values": [VOID], "classes": classes}))
    return folder


def evaluate(run: Run, work: Workspace, data: Path, *more: object, split: str = "test") -> Outcome:
    encoder = ("--encoder", work.encoder, "--device", "cpu")
    return run("eval", work.head, data, "--split", split, *encoder, *more)


def test_table_and_protocol(work: Workspace, run: Run, data: Path):
    code, out, err = evaluate(run, work, data)
    assert (code, err) == (0, "")
    assert "mIoU" in out
    assert "100.00" in out
    assert "class_0" in out
    assert "3 images; input stride 48" in out


def test_json_is_one_object(work: Workspace, run: Run, data: Path):
    code, out, _ = evaluate(run, work, data, "--json")
    figures = json.loads(out)
    assert code == 0
    assert figures["mIoU"] == 100
    assert figures["images"] == 3
    assert set(figures["per_class"]) == {"class_0", "class_1", "class_2"}


def test_one_bad_picture_is_named_and_does_not_end_the_evaluation(
    work: Workspace, run: Run, data: Path
):
    Image.fromarray(np.full((50, 70), 7, np.uint8)).save(data / "labels/test/b.png")
    (data / "images/test/c.png").write_bytes(b"cut off")
    code, out, err = evaluate(run, work, data, "--json", "--out", "report")
    assert (code, json.loads(out)["mIoU"], json.loads(out)["images"]) == (1, 100, 1)
    assert "labels/test/b.png: label value 7 (3500 pixels) is neither a class nor ignored" in err
    assert "problem: c: images/test/c.png: this is not a picture" in err.replace(f"{data}/", "")
    assert "error: 2 of 3 images failed; the figures are of the others" in err
    assert json.loads((work.folder / "report/summary.json").read_text())["failed"].keys() == {
        "b",
        "c",
    }
    (data / "images/test/a.png").write_bytes(b"cut off")
    code, out, err = evaluate(run, work, data)
    assert (code, out) == (2, "")
    assert "none of the 3 images could be looked at; a: " in err


def test_unpaired_pictures_are_listed(work: Workspace, run: Run, data: Path):
    (data / "labels/test/b.png").unlink()
    shutil.copy(data / "labels/test/a.png", data / "labels/test/d.png")
    code, _, err = evaluate(run, work, data)
    assert code == 2
    assert "image without label: images/test/b.png" in err
    assert "label without image: labels/test/d.png" in err


def test_a_folder_that_is_missing_is_told_as_missing(work: Workspace, run: Run):
    for more in ((), ("--format", "voc")):
        code, out, err = run("eval", work.head, "nowhere", "--encoder", work.encoder, *more)
        assert (code, out, err) == (
            2,
            "",
            "error: nowhere: there is no such folder; check the path\n",
        )


def test_an_unknown_split_names_the_splits(work: Workspace, run: Run, data: Path):
    code, _, err = evaluate(run, work, data, split="val")
    assert code == 2
    assert "the splits there are test" in err


def test_other_classes_are_refused_by_name(work: Workspace, run: Run, data: Path):
    table = (data / "classes.json").read_text()
    (data / "classes.json").write_text(table.replace("class_1", "boat"))
    code, _, err = evaluate(run, work, data)
    assert code == 2
    assert "classes.json has no class 'class_1'" in err


@pytest.mark.parametrize(("task", "main"), [("instance", "AP"), ("panoptic", "PQ")])
def test_things_and_a_report(work: Workspace, run: Run, task: Task, main: str):
    tiny_video_head(task, tiny_encoder(), "none").save(work.head)
    data = labelled_images(work.folder / "coco", task)
    out_folder = work.folder / "report"
    code, out, err = evaluate(run, work, data, "--out", out_folder, "--json", split="val")
    assert code == 0, err
    figures = json.loads(out)
    assert figures["images"] == 4
    assert main in figures
    summary = json.loads((out_folder / "summary.json").read_text())
    assert len(summary["per_image"]) == 4
    assert (out_folder / "per_class.csv").read_text().startswith('class,"percent"\nclass_0,')
    assert (out_folder / "index.html").is_file()
    for written in out_folder.rglob("*.*"):  # so a second evaluation takes their places
        check_replaceable(written)
    name = "instances.json" if task == "instance" else "panoptic.json"
    code, again, err = run("eval", "--results", out_folder / name, data, "--json")
    assert code == 0, err
    assert json.loads(again)[main] == pytest.approx(figures[main], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "report"), "plainmask track --save writes result files of videos"),
        (("--processes", "2"), "--out and --processes are for images"),
        (("--metrics", "pmt"), "--metrics and --max-detections are for images, not for videos"),
        (("--max-detections", "5"), "--metrics and --max-detections are for images"),
        (
            ("--protocol", "stride"),
            "the protocol 'stride' is unknown; there are online, offline",
        ),
    ],
)
def test_what_is_for_images_is_refused_for_videos(
    work: Workspace, run: Run, options: tuple[str, ...], message: str
):
    write_video_folder(work.folder / "videos")
    encoder = tiny_encoder()
    head = tiny_video_head("semantic", encoder).save(work.folder / "video-head")
    model = ("--encoder", work.encoder, "--device", "cpu", "--format", "video_folder")
    code, out, err = run("eval", head, "videos", "--split", "train", *model, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert not (work.folder / "report").exists()


@pytest.mark.parametrize("name", ["summary.json", "per_class.csv", "index.html"])
def test_a_file_of_someone_else_is_not_replaced_by_a_report(
    work: Workspace, run: Run, data: Path, name: str
):
    mine = work.folder / "report" / name
    mine.parent.mkdir()
    mine.write_text("mine")
    code, out, err = evaluate(run, work, data, "--out", "report")
    assert (code, out) == (2, "")
    assert f"report/{name} is there already and is no result of plainmask" in err
    assert list(mine.parent.iterdir()) == [mine]
    assert mine.read_text() == "mine"


def test_other_rules_and_geometry(work: Workspace, run: Run, data: Path):
    code, out, _ = evaluate(run, work, data, "--metrics", "pmt", "--protocol", "stride")
    assert code == 0
    assert "all classes, absent ones as 0" in out
    code, _, err = evaluate(run, work, data, "--metrics", "mine")
    assert code == 2
    assert "there are official and pmt" in err
    code, _, err = evaluate(run, work, data, "--protocol", "online")
    assert code == 2
    assert "images know stride" in err
