"""VIPSeg results, good and bad."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark_files import Benchmark, write_json, write_png, write_vipseg
from plainmask.errors import InputError
from plainmask.result_files.panoptic_maps import read_result_map, read_target_map
from plainmask.result_files.vipseg import (
    find_panoptic_results,
    read_panoptic_results,
    read_panoptic_targets,
)
from plainmask.results.formats import id_colors

SIZE = (24, 36)


@pytest.fixture
def files(tmp_path: Path) -> Benchmark:
    return write_vipseg(tmp_path, "id_switch")


def change(files: Benchmark, edit: Callable[[Any], None]) -> None:
    """Edit `pred.json`; `edit` gets the list of videos."""
    path = files.result / "pred.json"
    content = json.loads(path.read_text())
    edit(content["annotations"])
    write_json(path, content)


def read(files: Benchmark):
    targets = read_panoptic_targets(files.data, "val")
    return read_panoptic_results(*find_panoptic_results([files.result]), targets)


def test_reads(files: Benchmark):
    targets = read_panoptic_targets(files.data, None)
    assert targets.vocabulary.names == ("c0", "c1", "c2", "c3", "c4", "c8")
    assert targets.vocabulary.stuff_ids == {0, 1, 3}
    frames = targets.videos["v0"]
    target = read_target_map(frames[0])
    assert target.ids.tolist() == [11, 12, 13, 14, 70000]
    assert target.areas.sum() == (target.runs.to_map() >= 0).sum() < 24 * 36
    result = read_result_map(read(files)["v0"][0], SIZE)
    assert result.ids.tolist() == [5, 6, 7, 8, 9]


def test_stated_areas_and_crowds_of_the_annotation_count(files: Benchmark):
    path = files.data / "panoptic_gt_VIPSeg_val.json"
    truth = json.loads(path.read_text())
    truth["annotations"][0]["annotations"][0]["segments_info"][0] |= {"area": 999.0, "iscrowd": 1}
    write_json(path, truth)
    target = read_target_map(read_panoptic_targets(files.data, "val").videos["v0"][0])
    assert target.areas[0] == 999
    assert target.crowd.tolist() == [True, False, False, False, False]


def test_an_id_that_the_annotation_does_not_list_is_void(files: Benchmark):
    path = files.data / "panoptic_gt_VIPSeg_val.json"
    truth = json.loads(path.read_text())
    del truth["annotations"][0]["annotations"][0]["segments_info"][0]
    write_json(path, truth)
    target = read_target_map(read_panoptic_targets(files.data, "val").videos["v0"][0])
    assert (target.runs.values == -1).any()
    assert 11 not in target.ids


def test_an_id_may_be_listed_twice_for_one_class(files: Benchmark):
    def repeat(videos: Any) -> None:
        infos = videos[0]["annotations"][0]["segments_info"]
        infos.append(infos[0])

    change(files, repeat)
    assert len(read_result_map(read(files)["v0"][0], SIZE)) == 5


def test_names_decide_the_order_of_frames(files: Benchmark):
    expected = [frame.segments for frame in read(files)["v0"]]
    change(files, lambda videos: videos[0]["annotations"].reverse())
    assert [frame.segments for frame in read(files)["v0"]] == expected


def test_frames_without_names_are_in_order(files: Benchmark):
    expected = [frame.segments for frame in read(files)["v0"]]

    def forget(videos: Any) -> None:
        for frame in videos[0]["annotations"]:
            del frame["file_name"]

    change(files, forget)
    assert [frame.segments for frame in read(files)["v0"]] == expected
    change(files, lambda videos: videos[0]["annotations"].pop())
    with pytest.raises(InputError, match="video v0 has 9 frames, the annotation 10"):
        read(files)


def frame(videos: Any, index: int = 3) -> Any:
    return videos[0]["annotations"][index]


def segment(videos: Any, index: int = 3) -> Any:
    return frame(videos, index)["segments_info"][0]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda videos: videos.clear(), "video v0 is missing"),
        (lambda videos: videos.append({"video_id": "x", "annotations": []}), "video x is unknown"),
        (lambda videos: videos.append(videos[0]), "video id v0 occurs 2 times"),
        (lambda videos: videos[0]["annotations"].pop(), "video v0: frame 00000009 is missing"),
        (
            lambda videos: frame(videos).update(file_name="x.jpg"),
            r"frame 00000003 is missing\n.*frame x is unknown",
        ),
        (
            lambda videos: frame(videos).update(file_name="00000004.jpg"),
            r"video v0: frame 00000004 occurs 2 times\n.*frame 00000003 is missing",
        ),
        (
            lambda videos: segment(videos).update(category_id=99),
            r"v0/00000003\.png: category 99 of segment 5 is unknown",
        ),
        (lambda videos: segment(videos).update(id=0), "id 0 is no id, which are 1..16777215"),
        (
            lambda videos: segment(videos).update(category_id=1),
            "the id 5 is c0 in frame 00000000 and c1 in frame 00000003; an id stands for one",
        ),
        (
            lambda videos: frame(videos)["segments_info"].append({"id": 5, "category_id": 8}),
            "segment 5 is listed for two categories",
        ),
        (lambda videos: segment(videos).pop("id"), "annotations.0.annotations.3.*Field required"),
    ],
)
def test_lists_that_do_not_fit(files: Benchmark, edit: Callable[[Any], None], message: str):
    change(files, edit)
    with pytest.raises(InputError, match=message):
        read(files)


def test_missing_pngs_are_listed(files: Benchmark):
    (files.result / "pan_pred/v0/00000003.png").unlink()
    (files.result / "pan_pred/v0/00000004.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"no file .*00000003\.png\n.*is empty: .*00000004\.png"):
        read(files)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.full(SIZE, 5), r"00000000\.png: the JSON file lists the id 6 for it, which no pixel"),
        (np.full(SIZE, 77), r"00000000\.png: the map holds the id 77 \(864 pixels\)"),
        (np.full((12, 18), 5), r"is \(12, 18\) high and wide, the annotation \(24, 36\)"),
    ],
)
def test_pngs_that_do_not_fit(files: Benchmark, ids: np.ndarray, message: str):
    write_png(files.result / "pan_pred/v0/00000000.png", id_colors(ids.astype(np.int32)))
    with pytest.raises(InputError, match=message):
        read_result_map(read(files)["v0"][0], SIZE)


def test_incomplete_results(files: Benchmark, tmp_path: Path):
    (files.result / "pred.json").rename(tmp_path / "other.json")
    with pytest.raises(InputError, match=r"pred\.json is not in or beside it"):
        find_panoptic_results([files.result])
    assert find_panoptic_results([tmp_path / "other.json", files.result]) == (
        tmp_path / "other.json",
        files.result / "pan_pred",
    )
    with pytest.raises(InputError, match="the folder pan_pred is not in or beside it"):
        find_panoptic_results([tmp_path / "other.json"])
    with pytest.raises(InputError, match="one JSON file and one folder of PNGs, not"):
        find_panoptic_results([files.result, files.data])


def test_damaged_annotations(files: Benchmark):
    path = files.data / "panoptic_gt_VIPSeg_val.json"
    truth = json.loads(path.read_text())
    del truth["annotations"][0]["annotations"][2]
    write_json(path, truth)
    with pytest.raises(InputError, match="video v0 has no annotation of its image v0_00000002"):
        read_panoptic_targets(files.data, "val")
    write_json(path, truth | {"videos": []})
    with pytest.raises(InputError, match="lists no videos"):
        read_panoptic_targets(files.data, "val")
