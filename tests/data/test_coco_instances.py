import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.coco_instances import coco_instances_vocabulary, read_coco_instances
from plainmask.data.coco_panoptic import read_coco_panoptic
from plainmask.data.guess import guess_format
from plainmask.data.reader import dataset_splits
from plainmask.data.record import with_classes
from plainmask.errors import InputError
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary, from_coco
from shared_data import SHARED_DATA, needs_data

SIZE = (6, 8)
JOINED = {
    "classes": [
        {"id": 0, "name": "vessel", "thing": True, "joins": ["cup", "Wine_Glass"]},
        {"id": 1, "name": "person", "thing": True},
    ]
}
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
    categories=({"id": 0, "name": "zero"}, {"id": 1, "name": "one"}),
) -> Path:
    content = {
        "images": [
            {"id": id, "file_name": name, "width": 8, "height": 6} for id, name in images.items()
        ],
        "annotations": annotations,
        "categories": categories,
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
        segments = record.annotation()
        assert segments.class_ids.tolist() == [1, 0, 1]
        assert segments.crowd.tolist() == [False, False, True]
        assert segments.track_ids.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(segments.masks(), [SQUARE] * 3)
        assert record.classes == {0, 1}

    def test_pictures_without_objects_count(self, tmp_path: Path):
        rows = [row(2, RLE), row(2, [[1, 1, 2]], bbox=[1, 1, 1, 0])]  # as COCO holds some
        records = read_coco_instances(write(tmp_path, {1: "b.jpg", 2: "a.jpg"}, rows), "train")
        assert [record.id for record in records] == ["b", "a"]
        assert [len(record.annotation()) for record in records] == [0, 1]
        assert records[0].classes == frozenset()

    def test_names_with_folders_and_ids_of_both_kinds(self, tmp_path: Path):
        root = write(tmp_path, {"1": "x/a.jpg", "2": "y\\a.jpg"}, [row(1, RLE), row("2", RLE)])
        records = pickle.loads(pickle.dumps(read_coco_instances(root, "train")))
        assert [record.id for record in records] == ["x/a", "y/a"]
        assert all(len(record.annotation()) == 1 for record in records)

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


def edited(root: Path, change, json_path="annotations/instances_train.json") -> Path:
    content = json.loads((root / json_path).read_text())
    change(content)
    (root / json_path).write_text(json.dumps(content))
    return root


class TestClasses:
    def test_the_category_decides_however_alike_names_are(self, tmp_path: Path):
        names = ["a", "A", "b", "B", "-", "_", "no-entry", "no entry", "no_entry "]
        rows = [row(1, RLE, place + 1) for place in range(len(names))]

        def name(content: dict) -> None:
            content["categories"] = [{"id": i + 1, "name": n} for i, n in enumerate(names)]

        root = edited(write(tmp_path, {1: "a.jpg"}, rows), name)
        own = coco_instances_vocabulary(root, "train")
        for vocabulary in (None, own):
            (record,) = read_coco_instances(root, "train", vocabulary)
            assert [own.names[i] for i in record.annotation().class_ids] == names

    @pytest.mark.parametrize(
        ("categories", "names"),
        [
            ([(0, "cells", "none"), (1, "cells", "cells")], ("cells",)),
            ([(0, "animals", "none"), (1, "cat", "animals")], ("cat",)),
            ([(1, "cat", "animals"), (1, "cat", "animals")], ("cat",)),
            ([(0, "dog", "none"), (1, "cat", "none")], ("dog", "cat")),
            ([(1, "cat", "none")], ("cat",)),
            ([("1", 7, None)], ("7",)),
        ],
    )
    def test_roots_and_repeated_categories_are_no_classes(self, tmp_path, categories, names):
        def put(content: dict) -> None:
            content["categories"] = [
                {"id": id, "name": name, "supercategory": above} for id, name, above in categories
            ]

        root = edited(write(tmp_path, {1: "a.jpg"}, [row(1, RLE, "1")]), put)
        assert coco_instances_vocabulary(root, "train").names == names
        (record,) = read_coco_instances(root, "train")
        assert len(record.annotation()) == 1


class TestFormsOfExporters:
    @pytest.mark.parametrize(
        "change",
        [
            lambda c: [category.update(color="#a60f2f") for category in c["categories"]],
            lambda c: [category.update(color=[1, 2, 3, 255]) for category in c["categories"]],
            lambda c: [category.update(color="red") for category in c["categories"]],
            lambda c: c["images"][0].update(width=None, height=None),
            lambda c: c["annotations"][0].update(iscrowd=None, area=None),
            lambda c: c["annotations"][0].update(category_id="1", image_id="1"),
            lambda c: c["images"][0].update(file_name="/home/else/set/train/ä b.jpg"),
            lambda c: c["images"][0].update(file_name="C:\\set\\ä b.jpg"),
            lambda c: c["images"][0].update(file_name="../train/ä b.jpg"),
            lambda c: c["images"][0].update(file_name="%C3%A4%20b.jpg"),
            lambda c: c["images"][0].update(file_name="a\u0308 b.jpg"),
            lambda c: c["images"][0].update(file_name="https://x.org/i/%C3%A4%20b.jpg?w=9"),
            lambda c: c["images"][0].update(file_name="http://[broken/ä b.jpg"),
            lambda c: c["images"][0].update(file_name=None, coco_url="http://x.org/ä b.jpg"),
        ],
    )
    def test_they_are_read(self, tmp_path: Path, change):
        root = edited(write(tmp_path, {1: "ä b.jpg"}, [row(1, RLE)]), change)
        (record,) = read_coco_instances(root, "train")
        assert record.annotation().class_ids.tolist() == [1]
        assert record.picture == root / "train/ä b.jpg"
        assert record.id.endswith("ä b") or record.id.endswith("a\u0308 b")

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_marks_of_the_encoding(self, tmp_path: Path, encoding: str):
        root = write(tmp_path, {1: "a.jpg"}, [row(1, RLE)])
        path = root / "annotations/instances_train.json"
        path.write_bytes(path.read_text().encode(encoding))
        assert len(read_coco_instances(root, "train")) == 1

    def test_two_pictures_that_differ_by_suffix(self, tmp_path: Path):
        root = write(tmp_path, {1: "a.jpg", 2: "a.png", 3: "b.jpg"}, [row(1, RLE), row(3, RLE)])
        records = read_coco_instances(root, "train")
        assert [record.id for record in records] == ["a.jpg", "a.png", "b"]
        assert [len(record.annotation()) for record in records] == [1, 0, 1]

    def test_a_split_without_annotations_is_unlabelled(self, tmp_path: Path):
        root = edited(write(tmp_path, {1: "a.jpg"}, []), lambda c: c.pop("annotations"))
        (record,) = read_coco_instances(root, "train")
        assert not record.labelled

    @pytest.mark.parametrize("name", ["result.json", "annotations/any.json", "instances_val.json"])
    def test_the_only_file_needs_no_split(self, tmp_path: Path, name: str):
        root = write(tmp_path, {1: "images\\a.jpg"}, [row(1, RLE)], name, ".")
        for place in (root, root / name):
            assert guess_format(place) == "coco_instances"
            (split,) = dataset_splits("coco_instances", place)
            (record,) = read_coco_instances(place, split)
            assert record.picture == root / "images/a.jpg"
            assert coco_instances_vocabulary(place, split).names == ("zero", "one")

    def test_the_file_itself_finds_the_pictures_of_its_split(self, tmp_path: Path):
        root = write(tmp_path, {1: "a.jpg"}, [row(1, RLE)], folder="images/train")
        (record,) = read_coco_instances(root / "annotations/instances_train.json", None)
        assert record.picture == root / "images/train/a.jpg"


class TestObjectsWithoutOutline:
    @pytest.mark.parametrize(
        "form", [None, [], {}, [[1, 1, 5, 5]], [2, 1, 5, 4], {"size": [6, 8], "counts": [48]}]
    )
    def test_they_are_no_background(self, tmp_path: Path, form):
        rows = [row(1, RLE, id=3), row(1, form, id=17, bbox=[1, 1, 4, 4]), row(1, form, id=18)]
        root = write(tmp_path, {1: "a.jpg"}, rows)
        message = (
            r"2 objects have no outline .* background \(annotation 17 of a\.jpg, annotation 18"
        )
        with pytest.raises(InputError, match=message):
            read_coco_instances(root, "train")
        problems: list[str] = []
        (record,) = read_coco_instances(root, "train", problems=problems)
        assert (len(problems), len(record.annotation())) == (1, 1)

    def test_without_a_key(self, tmp_path: Path):
        rows = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4]}]
        with pytest.raises(InputError, match="1 object has no outline"):
            read_coco_instances(write(tmp_path, {1: "a.jpg"}, rows), "train")


class TestDefects:
    @pytest.mark.parametrize(
        "name",
        ["../../secret.jpg", "x/../../../secret.jpg", "{root}/../secret.jpg", "..\\..\\secret.jpg"],
    )
    def test_names_that_lead_out_are_never_opened(self, tmp_path: Path, name: str):
        root = write(tmp_path / "set", {1: "a.jpg", 2: "b.jpg"}, [row(1, RLE)])
        Image.new("RGB", (8, 6)).save(tmp_path / "secret.jpg")
        name = name.format(root=root)
        edited(root, lambda content: content["images"][1].update(file_name=name))
        with pytest.raises(InputError, match=r"secret\.jpg leads out of"):
            read_coco_instances(root, "train")
        assert len(read_coco_instances(root, "train", problems=[])) == 1

    def test_names_that_no_file_can_have(self, tmp_path: Path):
        root = write(tmp_path, {1: "a.jpg", 2: "b.jpg", 3: "c.jpg"}, [row(1, RLE)])
        edited(root, lambda c: c["images"][1].update(file_name="b\0.jpg"))
        edited(root, lambda c: c["images"][2].update(file_name="x" * 5000))
        problems: list[str] = []
        assert len(read_coco_instances(root, "train", problems=problems)) == 1
        assert len(problems) == 2

    def test_entries_are_named_by_their_id(self, tmp_path: Path):
        root = write(tmp_path, {1: "a.jpg"}, [row(1, RLE, id=31, iscrowd="maybe")])
        with pytest.raises(InputError, match=r"annotations\.0 \(id 31\)\.iscrowd: "):
            read_coco_instances(root, "train")
        root = write(tmp_path, {1: "a.jpg"}, [row(1, {"size": [6, 8], "counts": [3, 9]}, id=31)])
        with pytest.raises(InputError, match=r"a\.jpg, annotation 31: .*damaged"):
            read_coco_instances(root, "train")[0].annotation()

    def test_several_files_and_no_split(self, tmp_path: Path):
        for name in ("one.json", "two.json"):
            write(tmp_path, {1: "a.jpg"}, [row(1, RLE)], name)
        with pytest.raises(InputError, match=r"name a split, .* there are one\.json, two\.json"):
            read_coco_instances(tmp_path, None)

    def test_all_come_in_one_error(self, tmp_path: Path):
        rows = [row(1, RLE, id=4), row(2, RLE, id=4), row(9, RLE, id=5), row(1, RLE, 8, id=6)]
        root = write(tmp_path, {1: "a.jpg", 2: "./a.jpg", 3: "c.jpg"}, rows)
        (root / "train/c.jpg").unlink()
        with pytest.raises(InputError) as refusal:
            read_coco_instances(root, "train")
        assert [line.strip() for line in str(refusal.value).splitlines()[1:]] == [
            "annotation id 4 occurs 2 times",
            "annotation 5 is of image 9, which is unknown",
            "image name a occurs 2 times",
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
            record.annotation()

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
    assert sum(len(record.annotation()) for record in instances) == 357
    for record in instances[:10]:
        own, other = record.annotation(), thing_ids[record.id].annotation()
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
        segments = record.annotation()
        assert set(segments.class_ids[~segments.crowd].tolist()) == record.classes
        assert {video.names[i] for i in segments.class_ids} <= set(video.names)


@needs_data("dsb2018")
def test_dsb2018():
    records = read_coco_instances(SHARED_DATA / "dsb2018", "val")
    assert len(records) == 60
    assert len(records[0].annotation()) > 0


def test_categories_count_as_the_class_that_joins_them(tmp_path: Path):
    names = [{"id": 4, "name": "wine glass"}, {"id": 7, "name": "person"}, {"id": 9, "name": "cup"}]
    rows = [row(1, RLE, category) for category in (4, 7, 9)]
    root = write(tmp_path, {1: "a.jpg"}, rows, categories=names)
    (record,) = read_coco_instances(root, "train", Vocabulary.load(JOINED))
    assert record.annotation().class_ids.tolist() == [0, 1, 0]
    assert record.classes == {0, 1}


def test_a_category_that_no_class_joins_is_refused(tmp_path: Path):
    root = write(tmp_path, {1: "a.jpg"}, [row(1, RLE, 3)], categories=[{"id": 3, "name": "fork"}])
    with pytest.raises(InputError, match="category 3 'fork' of 1 annotations is no class"):
        read_coco_instances(root, "train", Vocabulary.load(JOINED))


def test_everyday_objects_join_all_of_cocos_categories():
    joined = [name for entry in Vocabulary.load("everyday_objects").classes for name in entry.joins]
    assert sorted(joined) == sorted(Vocabulary.load("coco_instance").names)
