"""What all readers owe, and how a format is told."""

import json
import pickle
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from datasets import MASK, WRITERS, picture, text
from plainmask.data.guess import guess_format
from plainmask.data.reader import (
    FORMATS,
    DataFormat,
    check_format,
    dataset_splits,
    dataset_vocabulary,
    read_dataset,
)
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary
from shared_data import SHARED_DATA, needs_data

VIDEO_FORMATS = {"camvid_clips", "youtube_vis", "vipseg", "vspw", "video_folder"}


def test_every_format_has_a_row_and_is_tested():
    assert set(WRITERS) == set(FORMATS) == set(get_args(DataFormat))
    assert {format for format, known in FORMATS.items() if known.of_videos} == VIDEO_FORMATS


def test_a_name_that_is_no_format():
    with pytest.raises(InputError, match="the format 'coco_instance' is unknown; did you mean"):
        check_format("coco_instance")


@pytest.mark.parametrize("format", WRITERS)
class TestContract:
    def test_one_record_of_one_mask(self, tmp_path: Path, format: DataFormat):
        WRITERS[format](tmp_path)
        (record,) = pickle.loads(pickle.dumps(read_dataset(format, tmp_path, "train")))
        segments = record.annotation()
        assert record.image().shape == (*segments.size, 3) == (2, 3, 3)
        np.testing.assert_array_equal(segments.masks()[-1], MASK)
        vocabulary = dataset_vocabulary(format, tmp_path, "train")
        assert segments.class_ids.max() < len(vocabulary)
        assert record.classes in (None, set(segments.class_ids.tolist()))
        is_video = format in VIDEO_FORMATS
        assert (record.sequence is not None) == (record.frame is not None) == is_video

    def test_the_format_is_told(self, tmp_path: Path, format: DataFormat):
        WRITERS[format](tmp_path)
        # Objects of PASCAL VOC come with its classes, and have to be asked for.
        assert guess_format(tmp_path) == ("voc" if format == "voc_objects" else format)

    def test_the_splits_are_told(self, tmp_path: Path, format: DataFormat):
        WRITERS[format](tmp_path)
        assert dataset_splits(format, tmp_path) == ["train"]

    def test_without_problems_the_list_of_them_stays_empty(
        self, tmp_path: Path, format: DataFormat
    ):
        WRITERS[format](tmp_path)
        problems: list[str] = []
        (record,) = read_dataset(format, tmp_path, "train", problems=problems)
        assert problems == []
        np.testing.assert_array_equal(record.annotation().masks()[-1], MASK)
        if format not in VIDEO_FORMATS:
            assert record.picture is not None
            assert record.picture.is_file()

    def test_a_vocabulary_is_used(self, tmp_path: Path, format: DataFormat):
        WRITERS[format](tmp_path)
        own = dataset_vocabulary(format, tmp_path, "train")
        turned = [
            {"id": place, "name": entry.name, "file_id": entry.file_id, "thing": entry.thing}
            for place, entry in enumerate(reversed(own.classes))
        ]
        vocabulary = Vocabulary.load({"classes": turned, "ignore_values": own.ignore_values})
        before = read_dataset(format, tmp_path, "train")[0].annotation()
        (record,) = read_dataset(format, tmp_path, "train", vocabulary)
        after = record.annotation()
        names = [own.names[i] for i in before.class_ids]
        assert sorted(vocabulary.names[i] for i in after.class_ids) == sorted(names)

    def test_an_empty_folder_is_refused(self, tmp_path: Path, format: DataFormat):
        with pytest.raises(InputError, match=str(tmp_path)):
            read_dataset(format, tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "format"),
    [
        pytest.param(name, format, marks=needs_data(name))
        for name, format in {
            "camvid": "camvid_clips",
            "coco_panoptic": "coco_panoptic",
            "davis2016_vis": "youtube_vis",
            "dsb2018": "coco_instances",
        }.items()
    ],
)
def test_real_data(name: str, format: str):
    assert guess_format(SHARED_DATA / name) == format
    known = check_format(format)
    assert {*dataset_splits(known, SHARED_DATA / name)} >= {"train", "val"}
    problems: list[str] = []
    record = read_dataset(known, SHARED_DATA / name, "val", problems=problems)[0]
    assert record.image().shape[:2] == record.annotation().size
    assert (problems, len(record.annotation()) > 0) == ([], True)


def test_lists_of_videos_that_are_not_utf_8(tmp_path: Path):
    for format in ("vspw", "video_folder"):
        WRITERS[format](tmp_path / format)
        (tmp_path / format / "val.txt").write_bytes(b"a\n\xff\n")
        with pytest.raises(InputError, match=r"val\.txt, line 2, is no UTF-8 text"):
            read_dataset(format, tmp_path / format, "val")


def test_names_of_videos_that_no_folder_can_have(tmp_path: Path):
    WRITERS["vipseg"](tmp_path)
    path = tmp_path / "panoptic_gt_VIPSeg_train.json"
    for name, words in (("x" * 300, "there is no file"), ("../a", "leads out of the folder")):
        content = json.loads(path.read_text())
        for row in (*content["videos"], *content["annotations"]):
            row["video_id"] = name
        text(tmp_path / "panoptic_gt_VIPSeg_val.json", content)
        with pytest.raises(InputError, match=words):
            read_dataset("vipseg", tmp_path, "val")


def test_ids_beyond_what_files_can_hold(tmp_path: Path):
    WRITERS["coco_panoptic"](tmp_path)
    path = tmp_path / "annotations/panoptic_train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segments_info"].append({"id": 10**30, "category_id": 1})
    text(path, content)
    problems: list[str] = []
    (record,) = read_dataset("coco_panoptic", tmp_path, "train", problems=problems)
    assert len(record.annotation()) == 1
    assert "segment id 1000000000000000000000000000000 is no id" in problems[0]
    WRITERS["youtube_vis"](tmp_path)
    content = json.loads((tmp_path / "train.json").read_text())
    content["annotations"][0]["id"] = 10**30
    text(tmp_path / "train.json", content)
    with pytest.raises(InputError, match="has more than 64 bits"):
        read_dataset("youtube_vis", tmp_path, "train")


def test_tracks_with_boxes_alone_are_no_background(tmp_path: Path):
    WRITERS["youtube_vis"](tmp_path)
    content = json.loads((tmp_path / "train.json").read_text())
    content["annotations"][0] |= {"segmentations": [None], "bboxes": [[0, 0, 2, 2]]}
    text(tmp_path / "train.json", content)
    with pytest.raises(InputError, match="annotation 1 has boxes, but no mask in any frame"):
        read_dataset("youtube_vis", tmp_path, "train")


def test_frames_beside_the_folders_of_videos(tmp_path: Path):
    WRITERS["video_folder"](tmp_path)
    picture(tmp_path / "images/train/stray.jpg")
    with pytest.raises(InputError, match=r"beside the folders of videos .*: stray\.jpg"):
        read_dataset("video_folder", tmp_path, "train")


def test_palettes_of_videos_of_classes_are_read_by_their_colours(tmp_path: Path):
    WRITERS["video_folder"](tmp_path)
    colors = [[0, 0, 0], [250, 0, 0]]
    rows = [{"id": n, "name": "ab"[n], "color": color} for n, color in enumerate(colors)]
    text(tmp_path / "classes.json", rows)
    label = Image.fromarray((~MASK).astype(np.uint8))
    label.putpalette([250, 0, 0, 0, 0, 0])
    label.save(tmp_path / "labels/train/a/0.png")
    (record,) = read_dataset("video_folder", tmp_path, "train")
    np.testing.assert_array_equal(record.annotation().masks()[-1], MASK)


def test_folders_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    WRITERS["label_folder"](tmp_path)

    def refuse(path: Path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied; check its perm"):
        read_dataset("label_folder", tmp_path, "train")
