"""Sinks together: which fit a head, one thread for all, and what is left after trouble."""

import errno
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from plainmask.errors import InputError
from plainmask.evaluation.result_files import evaluate_results
from plainmask.heads.head import HeadConfig
from plainmask.results.task import Task
from plainmask.video.sinks import Sinks, check_kinds, known_kinds, open_sinks
from plainmask.video.sources import open_video
from plainmask.vocabulary import Vocabulary
from tiny import tiny_encoder, tiny_head
from video_results import made, vocabulary


def config(task: Task, propagation: str = "gru", classes: Vocabulary | None = None) -> HeadConfig:
    head = tiny_head(task, tiny_encoder()).config
    decoder = head.decoder.model_copy(update={"propagation": propagation})
    return head.model_copy(update={"decoder": decoder, "vocabulary": classes or vocabulary()})


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("task", "kind", "files"),
    [
        ("semantic", "vspw", ["vspw/clip/00000.png", "vspw/clip/00001.png"]),
        (
            "panoptic",
            "vipseg",
            [
                "vipseg/pan_pred/clip/00000.png",
                "vipseg/pan_pred/clip/00001.png",
                "vipseg/pred.json",
            ],
        ),
        ("instance", "ytvis", ["clip.ytvis.json"]),
    ],
)
def test_every_kind_of_a_task(tmp_path: Path, task: Task, kind: str, files: list[str]):
    items = made(task, 2)
    sinks = open_sinks(["mp4", "png", kind, "jsonl", "png"], tmp_path, "clip", config(task))
    with sinks:
        for frame, result in items:
            sinks.write(frame, result)
    pngs = ["clip.labels/00000.png", "clip.labels/00001.png"]
    common = ["clip.segments.jsonl", *pngs, "clip.overlay.mp4"]
    assert names(tmp_path) == sorted(common + files)
    assert sinks.frames == 2
    assert all(path.exists() for path in sinks.paths)
    assert len(sinks.paths) == (5 if kind == "vipseg" else 4)
    assert {row.id for row in sinks.summary.rows()} == set(items[-1][1].track_ids)


def test_the_same_frames_whatever_ends_the_block(tmp_path: Path):
    sinks = open_sinks(["jsonl", "mp4"], tmp_path, "clip", config("semantic"))

    def run() -> None:
        with sinks:
            for frame, result in made("semantic", 7):
                sinks.write(frame, result)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert sinks.frames == 7
    assert len((tmp_path / "clip.segments.jsonl").read_text().splitlines()) == 7
    assert len(list(open_video(tmp_path / "clip.overlay.mp4"))) == 7
    assert names(tmp_path) == ["clip.overlay.mp4", "clip.segments.jsonl"]


def test_without_a_frame_nothing_is_left(tmp_path: Path):
    with open_sinks(["mp4", "png", "jsonl"], tmp_path, "clip", config("semantic")) as sinks:
        pass
    assert sinks.paths == []
    assert names(tmp_path) == []


class FullAfter:
    """A sink on a disk that is full after some frames, and stays so."""

    def __init__(self, frames: int):
        self.left = frames

    def write(self, *_: Any) -> None:
        if not self.left:
            raise InputError(f"out.mp4 cannot be written: {os.strerror(errno.ENOSPC)}")
        self.left -= 1

    def close(self) -> list[Path]:
        raise InputError(f"pred.json cannot be written: {os.strerror(errno.ENOSPC)}")


def test_a_full_disk_is_one_error_and_keeps_what_is_written(tmp_path: Path):
    kept = open_sinks(["jsonl"], tmp_path, "clip", config("semantic"))._sinks
    sinks = Sinks([*kept, FullAfter(3)])
    items = made("semantic", 30)

    def run() -> None:
        with sinks:
            for item in items:
                sinks.write(*item)

    with (
        pytest.warns(UserWarning, match=r"pred.json cannot be written"),
        pytest.raises(InputError, match=r"out.mp4 cannot .*What was written of 3 frames is kept"),
    ):
        run()
    assert sinks.frames == 3
    assert len((tmp_path / "clip.segments.jsonl").read_text().splitlines()) in (3, 4)


def test_errors_in_the_last_frames_are_not_lost():
    sinks = Sinks([FullAfter(1)])
    items = made("semantic", 2)
    for item in items:
        sinks.write(*item)
    with pytest.raises(InputError, match=r"out.mp4 cannot be written"):
        sinks.close()


def test_writing_does_not_hold_up_the_caller_nor_pile_up():
    gate = threading.Event()

    class Slow:
        def write(self, *_: Any) -> None:
            gate.wait(5)

        def close(self) -> list[Path]:
            return []

    sinks = Sinks([Slow()])
    items = made("semantic", 8)
    for item in items[:4]:
        sinks.write(*item)  # returns at once
    fifth = threading.Thread(target=sinks.write, args=items[4])
    fifth.start()
    fifth.join(0.1)
    assert fifth.is_alive()  # waits, so that memory does not grow
    gate.set()
    fifth.join(5)
    sinks.close()
    assert sinks.frames == 5


@pytest.mark.parametrize(
    ("kinds", "task", "message"),
    [
        (["mp5"], "semantic", "results cannot be saved as 'mp5'; did you mean 'mp4'"),
        (["gif"], "semantic", "there are mp4, png, jsonl, ytvis, vipseg, vspw"),
        ([], "semantic", "results are saved as nothing"),
        (["ytvis"], "semantic", "ytvis is for instance results, and the head 'tiny-semantic' is"),
        (["mp4", "vspw"], "panoptic", "vspw is for semantic results"),
        (["vipseg"], "instance", "vipseg is for panoptic results"),
    ],
)
def test_kinds_that_do_not_fit(tmp_path: Path, kinds: list[str], task: Task, message: str):
    with pytest.raises(InputError, match=message):
        open_sinks(kinds, tmp_path, "clip", config(task))
    assert list(tmp_path.iterdir()) == []


def test_tracks_and_numbers_are_needed_by_some():
    assert known_kinds(["png", "mp4", "png"]) == ["png", "mp4"]
    with pytest.raises(InputError, match="sees each frame alone; give a video head"):
        check_kinds(["vipseg"], config("panoptic", propagation="none"))
    with pytest.raises(InputError, match="numbers of classes from 1 to 254, and 'class_0' of"):
        check_kinds(["vspw"], config("semantic", classes=Vocabulary.numbered(3)))
    check_kinds(["vspw"], config("semantic", propagation="none"))


def test_a_sink_that_cannot_be_opened_takes_the_others_along(tmp_path: Path):
    (tmp_path / "vipseg").mkdir()
    (tmp_path / "vipseg" / "pred.json").write_text("[]")
    with pytest.raises(InputError, match="no list of panoptic results"):
        open_sinks(["jsonl", "mp4", "vipseg"], tmp_path, "clip", config("panoptic"))
    assert names(tmp_path) == ["vipseg/pred.json"]


def save_as(kind: str, task: Task, folder: Path, video: str = "clip") -> None:
    with open_sinks([kind], folder, video, config(task)) as sinks:
        for frame, result in made(task, 8):
            sinks.write(frame, result)


def test_vspw_files_are_read_by_the_evaluation(tmp_path: Path):
    save_as("vspw", "semantic", tmp_path)
    masks = tmp_path / "data" / "clip" / "mask"
    masks.mkdir(parents=True)
    (tmp_path / "val.txt").write_text("clip\n")
    for path in (tmp_path / "vspw" / "clip").iterdir():
        Image.open(path).point(lambda value: value + 1).save(masks / path.name)
    found = evaluate_results([tmp_path / "vspw"], tmp_path, "val")
    assert found.figures["mIoU"] == 100


CATEGORIES = [
    {"id": entry.file_id, "name": entry.name, "isthing": int(entry.thing)}
    for entry in vocabulary().classes
]


def test_vipseg_files_are_read_by_the_evaluation(tmp_path: Path):
    for video in ("one", "two"):
        save_as("vipseg", "panoptic", tmp_path, video)
    maps = tmp_path / "vipseg" / "pan_pred"
    shutil.copytree(maps, tmp_path / "panomasksRGB")
    truth = json.loads((tmp_path / "vipseg" / "pred.json").read_text())
    truth["categories"] = CATEGORIES
    truth["videos"] = [
        {
            "video_id": video["video_id"],
            "images": [
                {"id": Path(frame["file_name"]).stem, "file_name": frame["file_name"]}
                for frame in video["annotations"]
            ],
        }
        for video in truth["annotations"]
    ]
    for video in truth["annotations"]:
        for frame in video["annotations"]:
            frame["image_id"] = Path(frame["file_name"]).stem
    (tmp_path / "panoptic_gt_VIPSeg_val.json").write_text(json.dumps(truth))
    found = evaluate_results([tmp_path / "vipseg"], tmp_path, "val")
    assert found.figures["VPQ"] == pytest.approx(100)


def test_youtube_vis_files_are_read_by_the_evaluation(tmp_path: Path):
    save_as("ytvis", "instance", tmp_path, "7")
    entries = json.loads((tmp_path / "7.ytvis.json").read_text())
    truth = {
        "videos": [
            {"id": 7, "width": 64, "height": 48, "length": 8, "file_names": list("abcdefgh")}
        ],
        "categories": CATEGORIES,
        "annotations": [
            {"id": place, "iscrowd": 0, **{key: entry[key] for key in entry if key != "score"}}
            for place, entry in enumerate(entries[:2], 1)
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    found = evaluate_results([tmp_path / "7.ytvis.json"], tmp_path / "truth.json")
    assert found.figures["AP"] == pytest.approx(100)
