import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.record import group_videos
from plainmask.data.youtube_vis import (
    read_youtube_vis,
    youtube_vis_vocabulary,
)
from plainmask.errors import InputError
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary
from shared_data import SHARED_DATA, needs_data

SIZE = (6, 8)
SQUARE = np.zeros(SIZE, bool)
SQUARE[1:4, 2:5] = True
RLE = Rle.encode(SQUARE).to_coco()
RUNS = {"size": list(SIZE), "counts": [13, 3, 3, 3, 3, 3, 20]}
POLYGON = [[2, 1, 5, 1, 5, 4, 2, 4]]
CATEGORIES = [{"id": 4, "name": "cat"}, {"id": 2, "name": "dog", "supercategory": "animal"}]


def video(id, name: str, frames: int = 3, **more) -> dict:
    names = [f"{name}/{5 * place:05}.jpg" for place in range(frames)]
    return {"id": id, "width": 8, "height": 6, "length": frames, "file_names": names, **more}


def track(id: int, video_id, segmentations: list | None, category_id: int = 2, **more) -> dict:
    row = {"id": id, "video_id": video_id, "category_id": category_id}
    return {**row, "segmentations": segmentations, "iscrowd": 0, "bboxes": None, **more}


def write(
    root: Path,
    videos: list[dict],
    annotations: list[dict] | None,
    categories=CATEGORIES,
    json_path="train.json",
    frames="train/JPEGImages",
) -> Path:
    content = {"videos": videos, "annotations": annotations, "categories": categories}
    (root / json_path).parent.mkdir(parents=True, exist_ok=True)
    (root / json_path).write_text(json.dumps(content))
    for row in videos:
        for name in row["file_names"]:
            path = root / frames / name.replace("\\", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", SIZE[::-1], "green").save(path)
    return root


class TestReading:
    def test_tracks_of_all_forms(self, tmp_path: Path):
        tracks = [track(7, 1, [RLE, None, POLYGON]), track(9, 1, [None, RUNS, []], 4)]
        records = read_youtube_vis(write(tmp_path, [video(1, "a")], tracks), "train")
        assert [record.id for record in records] == ["a/00000", "a/00005", "a/00010"]
        assert [(record.sequence, record.frame) for record in records] == [
            ("a", 0),
            ("a", 1),
            ("a", 2),
        ]
        assert [record.classes for record in records] == [{0}, {1}, {0}]
        for record, expected in zip(records, [7, 9, 7], strict=True):
            segments = record.annotation()
            assert segments.track_ids.tolist() == [expected]
            np.testing.assert_array_equal(segments.masks()[0], SQUARE)
        assert records[0].image().shape == (6, 8, 3)

    def test_objects_may_overlap_and_crowds_are_flagged(self, tmp_path: Path):
        tracks = [track(1, 1, [RLE] * 3), track(2, 1, [RLE] * 3, iscrowd=1)]
        record = read_youtube_vis(write(tmp_path, [video(1, "a")], tracks), "train")[0]
        segments = record.annotation()
        assert segments.crowd.tolist() == [False, True]
        assert segments.masks().sum((1, 2)).tolist() == [9, 9]
        assert record.classes == {0}

    def test_videos_come_by_id(self, tmp_path: Path):
        videos = [video(10, "a", 1), video(9, "b", 1), video(2, "c", 1)]
        records = read_youtube_vis(write(tmp_path, videos, [track(1, 2, [RLE])]), "train")
        assert [record.sequence for record in records] == ["c", "b", "a"]

    def test_ids_may_be_text(self, tmp_path: Path):
        root = write(tmp_path, [video("1", "a", 1)], [track(1, 1, [RLE], "2")])
        assert len(read_youtube_vis(root, "train")[0].annotation()) == 1

    def test_videos_in_one_folder_are_told_apart_by_id(self, tmp_path: Path):
        videos = [video(1, "a", 1), {**video(2, "a", 1), "file_names": ["a/9.jpg"]}]
        records = read_youtube_vis(write(tmp_path, videos, [track(1, 2, [RLE])]), "train")
        assert [record.id for record in records] == ["1/00000", "2/9"]

    def test_backslashes(self, tmp_path: Path):
        row = {**video(1, "a", 1), "file_names": ["a\\00000.jpg"]}
        (record,) = read_youtube_vis(write(tmp_path, [row], [track(1, 1, [RLE])]), "train")
        assert record.id == "a/00000"
        assert record.image().shape == (6, 8, 3)

    @pytest.mark.parametrize("annotations", [None, []])
    def test_without_annotations(self, tmp_path: Path, annotations):
        records = read_youtube_vis(write(tmp_path, [video(1, "a")], annotations), "train")
        assert len(records) == 3
        assert not any(record.labelled for record in records)

    def test_an_object_that_is_never_there(self, tmp_path: Path):
        tracks = [track(1, 1, [None] * 3), track(2, 1, [None, RLE, None])]
        records = read_youtube_vis(write(tmp_path, [video(1, "a")], tracks), "train")
        assert [len(record.annotation()) for record in records] == [0, 1, 0]

    def test_they_travel_to_worker_processes(self, tmp_path: Path):
        root = write(tmp_path, [video(1, "a", 1)], [track(1, 1, [RLE])])
        (record,) = pickle.loads(pickle.dumps(read_youtube_vis(root, "train")))
        assert len(record.annotation()) == 1


class TestLayouts:
    @pytest.mark.parametrize(
        ("split", "json_path", "frames"),
        [
            ("train", "train.json", "train/JPEGImages"),
            ("train", "train/instances.json", "train/JPEGImages"),
            ("gt_long", "gt_long.json", "valid/JPEGImages"),
            ("train", "annotations/annotations_train.json", "train"),
            ("train", "annotations_train.json", "train"),
            ("val", "instances_val.json", "val/images"),
        ],
        ids=["2019", "2021", "2022", "OVIS", "OVIS flat", "davis2016_vis"],
    )
    def test_known_places(self, tmp_path: Path, split: str, json_path: str, frames: str):
        tracks = [track(1, 1, [RLE] * 3)]
        write(tmp_path, [video(1, "a")], tracks, json_path=json_path, frames=frames)
        records = read_youtube_vis(tmp_path, split)
        assert records[2].image().shape == (6, 8, 3)

    def test_a_split_that_is_not_there(self, tmp_path: Path):
        write(tmp_path, [video(1, "a")], [track(1, 1, [RLE] * 3)])
        with pytest.raises(InputError, match=r"no video annotations, .*there are train\.json"):
            read_youtube_vis(tmp_path, "valid")
        with pytest.raises(InputError, match="name a split"):
            read_youtube_vis(tmp_path, None)

    def test_no_frames_at_all(self, tmp_path: Path):
        write(tmp_path, [video(1, "a")], [track(1, 1, [RLE] * 3)], frames="elsewhere")
        with pytest.raises(InputError, match=r"no folder of video frames .* a/00000\.jpg"):
            read_youtube_vis(tmp_path, "train")

    def test_no_videos(self, tmp_path: Path):
        with pytest.raises(InputError, match="lists no videos"):
            read_youtube_vis(write(tmp_path, [], []), "train")


class TestVocabulary:
    def test_that_of_the_file(self, tmp_path: Path):
        write(tmp_path, [video(1, "a")], None)
        vocabulary = youtube_vis_vocabulary(tmp_path, "train")
        assert vocabulary.names == ("dog", "cat")
        assert not vocabulary.stuff_ids

    def test_names_decide(self, tmp_path: Path):
        root = write(tmp_path, [video(1, "a", 1)], [track(1, 1, [RLE], 4)])
        other = Vocabulary.load(
            {"classes": [{"id": 0, "name": "Cat", "file_id": 2}, {"id": 1, "name": "hen"}]}
        )
        (record,) = read_youtube_vis(root, "train", other)
        assert record.annotation().class_ids.tolist() == [0]


class TestDefects:
    def test_all_come_in_one_error(self, tmp_path: Path):
        videos = [video(1, "a"), video(1, "b"), video(3, "c", 0), video(4, "d", 2)]
        wide = {"size": [6, 9], "counts": [54]}
        tracks = [
            track(1, 4, [RLE] * 3),
            track(1, 4, [RLE, RLE]),
            track(2, 99, [RLE]),
            track(3, 4, None),
            track(4, 4, [None, wide]),
            track(5, 4, [{"counts": "a"}, None]),
            track(6, 4, [RLE, RLE], category_id=77),
        ]
        root = write(tmp_path, videos, tracks)
        (root / "train/JPEGImages/a/00005.jpg").unlink()
        (root / "train/JPEGImages/d/00000.jpg").write_bytes(b"")
        with pytest.raises(InputError) as refusal:
            read_youtube_vis(root, "train")
        message = str(refusal.value)
        lines = [line.strip() for line in message.splitlines()[1:]]
        assert str(root / "train.json") in message
        assert lines[:-1] == [
            "video id 1 occurs 2 times",
            "video 3 has no frames",
            "annotation id 1 occurs 2 times",
            "annotation 1 has 3 segmentations, its video 4 2 frames",
            "annotation 2 is of video 99, which is unknown",
            "annotation 3 has no segmentations",
            "annotation 4, frame 1: run lengths are for a size of (6, 9), the video's is (6, 8)",
            "annotation 5, frame 0: run lengths need a size [height, width], not None",
            "category 77 '' of 1 annotations is no class of the vocabulary 'train'",
            f"there is no file {root / 'train/JPEGImages/a/00005.jpg'}",
        ]
        assert lines[-1] == "and 1 more"

    def test_a_frame_of_another_size_is_found_when_read(self, tmp_path: Path):
        root = write(tmp_path, [video(1, "a", 2)], [track(1, 1, [RLE, RLE])])
        Image.new("RGB", (16, 12)).save(root / "train/JPEGImages/a/00005.jpg")
        records = read_youtube_vis(root, "train")
        assert len(records[0].annotation()) == 1
        with pytest.raises(InputError, match=r"00005\.jpg is \(12, 16\).*made for \(6, 8\)"):
            records[1].annotation()

    def test_a_size_that_makes_no_sense_is_not_believed(self, tmp_path: Path):
        row = video(1, "a", 1, width=-1, height=-1)
        root = write(tmp_path, [row], [track(1, 1, [RLE])])
        assert len(read_youtube_vis(root, "train")[0].annotation()) == 1

    def test_a_damaged_outline_is_found_when_read(self, tmp_path: Path):
        damaged = {"size": list(SIZE), "counts": [3, 4]}
        root = write(tmp_path, [video(1, "a", 1)], [track(8, 1, [damaged])])
        (record,) = read_youtube_vis(root, "train")
        with pytest.raises(InputError, match=r"00000\.jpg, annotation 8: .*cover 7 pixels of 48"):
            record.annotation()


@needs_data("davis2016_vis")
@pytest.mark.parametrize(("split", "videos"), [("train", 11), ("val", 5)])
def test_davis2016_vis(split: str, videos: int):
    root = SHARED_DATA / "davis2016_vis"
    found = group_videos(read_youtube_vis(root, split))
    assert len(found) == videos
    for video in found:
        assert len(video) == 20
        for record in (video.frames[0], video.frames[19]):
            name = f"{record.id}.png"
            with Image.open(root / split / "masks" / name) as mask:
                expected = np.array(mask) != 0
            segments = record.annotation()
            assert segments.class_ids.tolist() == [0]
            np.testing.assert_array_equal(segments.masks()[0], expected)
    tracks = [int(video.frames[0].annotation().track_ids[0]) for video in found]
    assert len(set(tracks)) == videos
