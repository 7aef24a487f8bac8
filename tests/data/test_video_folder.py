import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.record import group_videos
from plainmask.data.video_folder import read_video_folder
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary
from shared_data import SHARED_DATA, needs_data

OBJECTS = np.array([[0, 2, 1], [255, 2, 0]], np.uint8)


def add_frames(folder: Path, names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names.split():
        Image.new("RGB", (3, 2)).save(folder / f"{name}.jpg")


def add_labels(folder: Path, names: str, values: np.ndarray = OBJECTS, palette=False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names.split():
        picture = Image.fromarray(values)
        if palette:
            picture = picture.convert("P")
            picture.putpalette(list(range(255, -1, -1)) * 3)
        picture.save(folder / f"{name}.png")


class TestObjects:
    @pytest.mark.parametrize("palette", [False, True])
    def test_values_are_numbers_of_objects(self, tmp_path: Path, palette: bool):
        add_frames(tmp_path / "JPEGImages/bear", "00000 00001")
        add_labels(tmp_path / "Annotations/bear", "00000 00001", palette=palette)
        records = pickle.loads(pickle.dumps(read_video_folder(tmp_path)))
        assert [(r.id, r.sequence, r.frame) for r in records] == [
            ("bear/00000", "bear", 0),
            ("bear/00001", "bear", 1),
        ]
        segments = records[0].annotation()
        assert segments.track_ids.tolist() == [1, 2]
        assert segments.class_ids.tolist() == [0, 0]
        assert segments.index_map.tolist() == [[-1, 1, 0], [-1, 1, -1]]

    def test_one_object_of_0_and_255(self, tmp_path: Path):
        """DAVIS 2016."""
        add_frames(tmp_path / "JPEGImages/480p/bear", "00000")
        add_labels(tmp_path / "Annotations/480p/bear", "00000", np.uint8([[0, 255, 0]] * 2))
        segments = read_video_folder(tmp_path)[0].annotation()
        assert segments.index_map.tolist() == [[-1, 0, -1]] * 2
        assert segments.track_ids.tolist() == [1]

    def test_the_meaning_can_be_given(self, tmp_path: Path):
        add_frames(tmp_path / "JPEGImages/bear", "00000")
        add_labels(tmp_path / "Annotations/bear", "00000")
        (record,) = read_video_folder(tmp_path, values="mask")
        assert record.annotation().index_map.tolist() == [[-1, 0, 0], [0, 0, -1]]

    def test_an_empty_label(self, tmp_path: Path):
        add_frames(tmp_path / "JPEGImages/bear", "00000")
        add_labels(tmp_path / "Annotations/bear", "00000", np.zeros((2, 3), np.uint8))
        segments = read_video_folder(tmp_path)[0].annotation()
        assert (len(segments), segments.size) == (0, (2, 3))


class TestClasses:
    def test_a_class_table_says_that_values_are_classes(self, tmp_path: Path):
        rows = [{"id": place, "name": name} for place, name in enumerate("abc")]
        table = {"ignore_value": 255, "classes": rows}
        (tmp_path / "classes.json").write_text(json.dumps(table))
        add_frames(tmp_path / "images/drive", "1")
        add_labels(tmp_path / "labels/drive", "1")
        segments = read_video_folder(tmp_path)[0].annotation()
        assert segments.class_ids.tolist() == segments.track_ids.tolist() == [0, 1, 2]
        assert segments.index_map.tolist() == [[0, 2, 1], [-1, 2, 0]]

    def test_frames_without_a_folder_are_one_video(self, tmp_path: Path):
        """As `plainmask label VIDEO` leaves them."""
        root = tmp_path / "street"
        add_frames(root / "images", "000010 000000 000005")
        add_labels(root / "labels", "000000 000010", np.uint8([[0, 1, 255]] * 2))
        classes = [{"id": 0, "name": "road"}, {"id": 1, "name": "car"}]
        table = {"classes": classes, "ignore_values": [255]}
        (root / "classes.json").write_text(json.dumps(table))
        (video,) = group_videos(read_video_folder(root))
        assert video.id == "street"
        assert [frame.id for frame in video.frames] == [
            "street/000000",
            "street/000005",
            "street/000010",
        ]
        assert video.frames[2].annotation().class_ids.tolist() == [0, 1]
        assert video.frames[1].load_annotation is None
        with pytest.raises(InputError, match="has no split 'train'"):
            read_video_folder(root, "train")

    def test_a_vocabulary(self, tmp_path: Path):
        add_frames(tmp_path / "images/drive", "1")
        add_labels(tmp_path / "labels/drive", "1")
        rows = [{"id": 0, "name": "x", "file_id": 2}]
        vocabulary = Vocabulary.load({"classes": rows, "ignore_values": [0, 255]})
        (record,) = read_video_folder(tmp_path, None, vocabulary, values="classes")
        with pytest.raises(InputError, match=r"1\.png: label value 1 \(1 pixels\)"):
            record.annotation()


class TestFrames:
    def test_natural_order_and_zeros_before_numbers(self, tmp_path: Path):
        add_frames(tmp_path / "JPEGImages/v2", "2 10 1")
        add_frames(tmp_path / "JPEGImages/v10", "7")
        add_labels(tmp_path / "Annotations/v2", "00010 00001")
        records = read_video_folder(tmp_path)
        assert [record.id for record in records] == ["v2/1", "v2/2", "v2/10", "v10/7"]
        assert [record.labelled for record in records] == [True, False, True, False]

    @pytest.mark.parametrize(
        ("frames", "labels", "listing"),
        [
            ("val/JPEGImages", "val/Annotations", None),
            ("images/val", "masks/val", None),
            ("JPEGImages/480p", "Annotations/480p", ("ImageSets/2017/val.txt", "b\n\na")),
            (
                "JPEGImages/480p",
                "Annotations/480p",
                (
                    "ImageSets/480p/val.txt",
                    "/JPEGImages/480p/b/0.jpg /Annotations/480p/b/0.png\n/JPEGImages/480p/a/0.jpg",
                ),
            ),
            ("images", "labels", ("val.txt", "b\na\n")),
        ],
        ids=["split above", "split below", "DAVIS 2017", "DAVIS 2016", "list"],
    )
    def test_splits(self, tmp_path: Path, frames: str, labels: str, listing):
        for name in ("a", "b") if listing is None else ("a", "b", "c"):
            add_frames(tmp_path / frames / name, "0")
            add_labels(tmp_path / labels / name, "0")
        if listing is not None:
            (tmp_path / listing[0]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / listing[0]).write_text(listing[1])
        videos = group_videos(read_video_folder(tmp_path, "val"))
        assert [video.id for video in videos] == (["a", "b"] if listing is None else ["b", "a"])
        assert all(video.frames[0].labelled for video in videos)

    def test_a_split_without_labels(self, tmp_path: Path):
        for name in ("train", "test"):
            add_frames(tmp_path / f"JPEGImages/{name}/{name}1", "0 1")
        add_labels(tmp_path / "Annotations/train/train1", "0")
        records = read_video_folder(tmp_path, "test")
        assert [record.id for record in records] == ["test1/0", "test1/1"]
        assert not any(record.labelled for record in records)


class TestRefusals:
    def test_problems_come_in_one_error(self, tmp_path: Path):
        add_frames(tmp_path / "JPEGImages/a", "1 2 02")
        add_labels(tmp_path / "Annotations/a", "1 9")
        add_labels(tmp_path / "Annotations/b", "1")
        (tmp_path / "JPEGImages/c").mkdir()
        (tmp_path / "Annotations/a/1.png").write_bytes(b"")
        with pytest.raises(InputError) as refusal:
            read_video_folder(tmp_path)
        assert [line.strip() for line in str(refusal.value).splitlines()[1:]] == [
            "labels without a video: b",
            "two files of one name: a/02.jpg and 2.jpg",
            f"the file is empty: {tmp_path / 'Annotations/a/1.png'}",
            "label without a frame: a/9.png",
            "video c has no frames",
        ]

    def test_what_is_not_there(self, tmp_path: Path):
        with pytest.raises(InputError, match=r"no folder of videos; looked for as JPEGImages"):
            read_video_folder(tmp_path)
        add_frames(tmp_path / "JPEGImages/a", "1")
        (tmp_path / "train.txt").write_text("a")
        with pytest.raises(InputError, match=r"no split 'val'.*the lists there are train"):
            read_video_folder(tmp_path, "val")
        (tmp_path / "val.txt").write_text("z")
        with pytest.raises(InputError, match="video z has no frames"):
            read_video_folder(tmp_path, "val")


@needs_data("davis2016_vis")
def test_davis2016_vis_as_folders():
    records = read_video_folder(SHARED_DATA / "davis2016_vis", "val")
    assert [len(video) for video in group_videos(records)] == [20] * 5
    assert records[0].annotation().track_ids.tolist() == [1]
