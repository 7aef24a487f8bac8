import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.coco_instances import coco_instances_vocabulary, read_coco_instances
from plainmask.data.coco_panoptic import read_coco_panoptic
from plainmask.data.record import with_classes
from plainmask.errors import InputError
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary, from_coco
from shared_data import SHARED_DATA, needs_data

SIZE = (6, 8)
SQUARE = np.zeros(SIZE, bool)
SQUARE[1:4, 2:5] = True
RLE = Rle.encode(SQUARE).to_coco()
RUNS = {"size": list(SIZE), "counts": [13, 3, 3, 3, 3, 3, 20]}
POLYGON = [[2, 1, 5, 1, 5, 4, 2, 4]]


def row(image_id, form, category_id=1, **more) -> dict:
    return {"image_id": image_id, "category_id": category_id, "segmentation": form, **more}


def write(
    root: Path,
    images: dict,
    annotations: list[dict],
    json_path="annotations/instances_train.json",
    folder="train",
) -> Path:
    content = {
        "images": [
            {"id": id, "file_name": name, "width": 8, "height": 6} for id, name in images.items()
        ],
        "annotations": annotations,
        "categories": [{"id": 0, "name": "zero"}, {"id": 1, "name": "one"}],
    }
    (root / json_path).parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content).encode()
    (root / json_path).write_bytes(gzip.compress(text) if json_path.endswith("gz") else text)
    for name in images.values():
        path = root / folder / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1]).save(path)
    return root


class TestReading:
    def test_all_forms_overlapping(self, tmp_path: Path):
        rows = [row(1, RLE), row(1, RUNS, 0), row(1, POLYGON, iscrowd=1)]
        (record,) = read_coco_instances(write(tmp_path, {1: "a.jpg"}, rows), "train")
        segments = record.segments()
        assert segments.class_ids.tolist() == [1, 0, 1]
        assert segments.crowd.tolist() == [False, False, True]
        assert segments.track_ids.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(segments.masks(), [SQUARE] * 3)
        assert record.classes == {0, 1}

    def test_pictures_without_objects_count(self, tmp_path: Path):
        rows = [row(2, RLE), row(2, [[1, 1, 2]]), row(2, [])]
        records = read_coco_instances(write(tmp_path, {1: "b.jpg", 2: "a.jpg"}, rows), "train")
        assert [record.id for record in records] == ["b", "a"]
        assert [len(record.segments()) for record in records] == [0, 1]
        assert records[0].classes == frozenset()

    def test_names_with_folders_and_ids_of_both_kinds(self, tmp_path: Path):
        root = write(tmp_path, {"1": "x/a.jpg", "2": "y\\a.jpg"}, [row(1, RLE), row("2", RLE)])
        records = pickle.loads(pickle.dumps(read_coco_instances(root, "train")))
        assert [record.id for record in records] == ["x/a", "y/a"]
        assert all(len(record.segments()) == 1 for record in records)

    @pytest.mark.parametrize(
        ("json_path", "folder"),
        [
            ("annotations/instances_train2017.json", "train2017"),
            ("annotations/instances_train2017.json", "images/train2017"),
            ("annotations/instances_train.json.gz", "images/train"),
            ("train/_annotations.coco.json", "train"),
            ("instances_train.json", "images"),
        ],
    )
    def test_known_places(self, tmp_path: Path, json_path: str, folder: str):
        root = write(tmp_path, {1: "a.jpg"}, [row(1, RLE)], json_path, folder)
        (record,) = read_coco_instances(root, "train")
        assert record.image().shape == (6, 8, 3)
        assert coco_instances_vocabulary(root, "train").names == ("zero", "one")


class TestDefects:
    def test_all_come_in_one_error(self, tmp_path: Path):
        rows = [row(1, RLE, id=4), row(2, RLE, id=4), row(9, RLE, id=5), row(1, RLE, 8, id=6)]
        root = write(tmp_path, {1: "a.jpg", 2: "a.png", 3: "c.jpg"}, rows)
        (root / "train/c.jpg").unlink()
        with pytest.raises(InputError) as refusal:
            read_coco_instances(root, "train")
        assert [line.strip() for line in str(refusal.value).splitlines()[1:]] == [
            "image name a occurs 2 times",
            "annotation id 4 occurs 2 times",
            "annotation 5 is of image 9, which is unknown",
            "category 8 '' of 1 annotations is no class of the vocabulary 'instances_train'",
            f"there is no file {root / 'train/c.jpg'}",
        ]

    def test_a_turned_picture_is_found_when_read(self, tmp_path: Path):
        """The annotation tool did not look at the EXIF orientation, or the other way round."""
        root = write(tmp_path, {1: "a.jpg"}, [row(1, RLE)])
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", SIZE[::-1]).save(root / "train/a.jpg", exif=exif)
        (record,) = read_coco_instances(root, "train")
        with pytest.raises(InputError, match=r"is \(8, 6\).*made for \(6, 8\).*EXIF"):
            record.segments()

    def test_nothing_there(self, tmp_path: Path):
        with pytest.raises(InputError, match="name a split"):
            read_coco_instances(tmp_path, None)
        with pytest.raises(InputError, match="lists no images"):
            read_coco_instances(write(tmp_path, {}, []), "train")


@needs_data("coco_panoptic")
def test_coco_instances_equal_the_things_of_the_panoptic_set():
    vocabulary, root = Vocabulary.load("coco_panoptic"), SHARED_DATA / "coco_panoptic"
    instances = read_coco_instances(root, "val", vocabulary)
    kept = {entry.id: entry.id for entry in vocabulary.classes if entry.thing}
    things = with_classes(read_coco_panoptic(root, "val", vocabulary), kept)
    thing_ids = {record.id: record for record in things}
    assert sum(len(record.segments()) for record in instances) == 357
    for record in instances[:10]:
        own, other = record.segments(), thing_ids[record.id].segments()
        assert sorted(own.class_ids) == sorted(other.class_ids)
        np.testing.assert_array_equal(own.masks().any(0), other.masks().any(0))


@needs_data("coco_panoptic")
def test_pictures_for_clips_in_the_classes_of_a_video_set():
    coco, video = Vocabulary.load("coco_instance"), Vocabulary.load("ytvis2019")
    table = {
        coco.by_file_id[old]: video.by_file_id[new] for old, new in from_coco("ytvis2019").items()
    }
    records = read_coco_instances(SHARED_DATA / "coco_panoptic", "train", coco)
    kept = with_classes(records, table)
    assert 0 < len(kept) < len(records)
    for record in kept[:10]:
        segments = record.segments()
        assert set(segments.class_ids[~segments.crowd].tolist()) == record.classes
        assert {video.names[i] for i in segments.class_ids} <= set(video.names)


@needs_data("dsb2018")
def test_dsb2018():
    records = read_coco_instances(SHARED_DATA / "dsb2018", "val")
    assert len(records) == 60
    assert len(records[0].segments()) > 0
