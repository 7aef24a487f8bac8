"""Results of images in the official forms, good and bad."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmark_files import write_png
from datasets import WRITERS
from plainmask.data.coco_panoptic import SegmentInfo
from plainmask.data.reader import read_dataset
from plainmask.errors import InputError
from plainmask.result_files.images import (
    ResultWriter,
    label_picture,
    read_label_picture,
    read_panoptic_images,
)
from plainmask.result_files.panoptic_maps import PanopticFrame, panoptic_segments, read_result_map
from plainmask.results import SemanticResult
from plainmask.results.formats import id_colors
from plainmask.vocabulary import Vocabulary


def vocabulary(*numbers: int) -> Vocabulary:
    rows = [{"id": i, "name": f"c{i}", "file_id": number} for i, number in enumerate(numbers)]
    return Vocabulary.load({"classes": rows})


def semantic(*numbers: int) -> SemanticResult:
    return SemanticResult(np.array([[0, 1, -1]], np.int16), vocabulary(*numbers))


@pytest.mark.parametrize(
    ("numbers", "values", "mode"),
    [
        ((7, 254), [7, 254, 255], "L"),
        ((7, 255), [7, 255, 65535], "I;16"),
        ((0, 65534), [0, 65534, 65535], "I;16"),
    ],
)
def test_labels_have_as_many_bits_as_they_need(
    numbers: tuple[int, int], values: list[int], mode: str
):
    picture = label_picture(semantic(*numbers))
    assert (picture.mode, np.asarray(picture)[0].tolist()) == (mode, values)


def test_numbers_that_no_label_picture_holds():
    with pytest.raises(InputError, match=r"the number 65535 in its data set; .* up to 65534"):
        label_picture(semantic(0, 65535))


def test_label_pictures(tmp_path: Path):
    path = tmp_path / "a.png"
    write_png(path, np.array([[7, 9, 200]], np.uint8))
    assert read_label_picture(path, (1, 3), vocabulary(9, 7)).tolist() == [[1, 0, -1]]
    with pytest.raises(InputError, match=r"a\.png is \(1, 3\) high and wide, its picture \(2, 3\)"):
        read_label_picture(path, (2, 3), vocabulary(9, 7))
    path.write_text("nothing")
    with pytest.raises(InputError, match="not a picture"):
        read_label_picture(path, (1, 3), vocabulary(9, 7))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[5, 5]], r"lists the id 6 for it, which no pixel has"),
        ([[5, 6], [7, 7]], r"is \(2, 2\) high and wide, the annotation \(1, 2\)"),
        ([[5, 77]], r"the map holds the id 77 \(1 pixels\)"),
    ],
)
def test_panoptic_pictures_that_do_not_fit(tmp_path: Path, ids: list[list[int]], message: str):
    write_png(tmp_path / "a.png", id_colors(np.array(ids, np.int32)))
    infos = [SegmentInfo(5, 9), SegmentInfo(6, 7)]
    segments, problems = panoptic_segments(infos, "a.png", vocabulary(9, 7))
    assert problems == []
    with pytest.raises(InputError, match=rf"a\.png.*{message}"):
        read_result_map(PanopticFrame(tmp_path / "a.png", segments), (1, 2))


def test_panoptic_lists_that_do_not_fit(tmp_path: Path):
    WRITERS["coco_panoptic"](tmp_path)
    records = read_dataset("coco_panoptic", tmp_path, "train")
    truth = json.loads((tmp_path / "annotations/panoptic_train.json").read_text())
    (entry,) = truth["annotations"]
    number = entry["segments_info"][0]["category_id"]
    entry["segments_info"] = [
        {"id": 1, "category_id": number},
        {"id": 1, "category_id": number + 1},
        {"id": 2**24, "category_id": number},
        {"id": 2, "category_id": 99},
    ]
    other = {"image_id": "elsewhere", "file_name": "b.png", "segments_info": []}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"annotations": [entry, other]}))
    with pytest.raises(InputError) as refusal:
        read_panoptic_images(path, tmp_path / "mine", records, vocabulary(number, number + 1))
    message = str(refusal.value)
    for words in (
        "image elsewhere is unknown",
        f"{tmp_path / 'mine' / entry['file_name']} is not there",
        "segment id 16777216 is no id",
        "segment 1 is listed for two categories",
        "category 99 of segment 2 is unknown",
    ):
        assert words in message


@pytest.mark.parametrize("name", ["instances.json", "panoptic.json"])
def test_results_of_others_are_refused_before_the_work(tmp_path: Path, name: str):
    (tmp_path / name).write_text("[]")
    with pytest.raises(InputError, match=f"{name} is there already and is no result of plainmask"):
        ResultWriter(tmp_path)


def test_labels_of_a_person_stay(tmp_path: Path):
    WRITERS["label_folder"](tmp_path)
    (record,) = read_dataset("label_folder", tmp_path, "train")
    path = tmp_path / "labels" / f"{record.id}.png"
    write_png(path, np.zeros((2, 3), np.uint8))
    before = path.read_bytes()
    with pytest.raises(InputError, match="is no result of plainmask, so it is not replaced"):
        ResultWriter(tmp_path).write(record, semantic(0, 1))
    assert path.read_bytes() == before


def test_own_results_are_replaced(tmp_path: Path):
    for _ in range(2):
        writer = ResultWriter(tmp_path)
        writer.finish("instance", [{"image_id": 1}])
        writer.finish("panoptic", [{"image_id": 1}])
    assert json.loads((tmp_path / "instances.json").read_text()) == [{"image_id": 1}]
    assert json.loads((tmp_path / "panoptic.json").read_text())["annotations"] == [{"image_id": 1}]
