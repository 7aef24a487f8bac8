import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.label_folder import (
    label_folder_splits,
    label_folder_vocabulary,
    read_label_folder,
)
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

# File values and class ids differ on purpose.
TABLE = {
    "name": "street",
    "task": "semantic",
    "ignore": {"pixel_values": [0, 255]},
    "classes": [
        {"id": 0, "file_id": 10, "name": "road", "thing": False, "color": [1, 2, 3]},
        {"id": 1, "file_id": 5, "name": "car", "thing": True, "color": [4, 5, 6]},
        {"id": 2, "file_id": 300, "name": "sky", "thing": False, "color": [7, 8, 9]},
    ],
}


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.load(TABLE)


def add_image(root: Path, name: str, size=(4, 6), split: str = "train") -> None:
    path = root / "images" / split / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), 50, np.uint8)).save(path)


def add_label(root: Path, name: str, values, split: str = "train", dtype=np.uint8) -> None:
    path = root / "labels" / split / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype)).save(path)


def add_pair(root: Path, stem: str, split: str = "train") -> None:
    add_image(root, f"{stem}.jpg", split=split)
    add_label(root, f"{stem}.png", np.full((4, 6), 10), split=split)


class TestReading:
    def test_records_come_sorted_and_lazily(self, tmp_path: Path, vocabulary: Vocabulary):
        for stem in ("b", "a10", "a9"):
            add_pair(tmp_path, stem)
        records = read_label_folder(tmp_path, "train", vocabulary)
        assert [record.id for record in records] == ["a10", "a9", "b"]
        assert records[0].image().shape == (4, 6, 3)
        (tmp_path / "images" / "train" / "b.jpg").unlink()
        with pytest.raises(InputError, match=r"b\.jpg: there is no such file"):
            records[2].image()

    def test_one_segment_per_class_by_ascending_id(self, tmp_path: Path, vocabulary: Vocabulary):
        label = [[0, 5, 5, 10], [255, 300, 5, 10]]
        add_image(tmp_path, "a.png", size=(2, 4))
        add_label(tmp_path, "a.png", label, dtype=np.uint16)
        (record,) = read_label_folder(tmp_path, "train", vocabulary)
        segments = record.annotation()
        np.testing.assert_array_equal(segments.class_ids, [0, 1, 2])
        np.testing.assert_array_equal(segments.index_map, [[-1, 1, 1, 0], [-1, 2, 1, 0]])
        assert not segments.crowd.any()
        assert segments.index_map.dtype == np.int32
        assert segments.class_ids.dtype == np.int64

    def test_indices_skip_absent_classes(self, tmp_path: Path, vocabulary: Vocabulary):
        add_image(tmp_path, "a.png", size=(1, 3))
        add_label(tmp_path, "a.png", [[5, 0, 300]], dtype=np.uint16)
        segments = read_label_folder(tmp_path, "train", vocabulary)[0].annotation()
        np.testing.assert_array_equal(segments.class_ids, [1, 2])
        np.testing.assert_array_equal(segments.index_map, [[0, -1, 1]])

    def test_an_all_ignore_label_has_no_segments(self, tmp_path: Path, vocabulary: Vocabulary):
        add_image(tmp_path, "a.png")
        add_label(tmp_path, "a.png", np.full((4, 6), 255))
        segments = read_label_folder(tmp_path, "train", vocabulary)[0].annotation()
        assert len(segments) == 0
        assert (segments.index_map == -1).all()

    def test_the_label_takes_the_size_of_the_image(self, tmp_path: Path, vocabulary: Vocabulary):
        add_image(tmp_path, "a.png", size=(4, 6))
        add_label(tmp_path, "a.png", [[10, 5, 0], [5, 0, 10]])
        segments = read_label_folder(tmp_path, "train", vocabulary)[0].annotation()
        small = np.array([[0, 1, -1], [1, -1, 0]])
        np.testing.assert_array_equal(segments.index_map, small.repeat(2, 0).repeat(2, 1))

    def test_suffixes_of_any_case_and_no_split(self, tmp_path: Path, vocabulary: Vocabulary):
        for name in ("a.JPG", "b.jpeg", "c.Png"):
            add_image(tmp_path, name, split="")
            add_label(tmp_path, f"{Path(name).stem}.PNG", np.full((4, 6), 5), split="")
        (tmp_path / "images" / "notes.txt").write_text("not a picture")
        (tmp_path / "images" / "._a.JPG").write_bytes(b"what some systems leave behind")
        records = read_label_folder(tmp_path, vocabulary=vocabulary)
        assert [record.id for record in records] == ["a", "b", "c"]

    def test_records_travel_to_worker_processes(self, tmp_path: Path, vocabulary: Vocabulary):
        add_pair(tmp_path, "a")
        (record,) = pickle.loads(pickle.dumps(read_label_folder(tmp_path, "train", vocabulary)))
        assert len(record.annotation()) == 1

    def test_without_a_vocabulary_classes_json_is_read(self, tmp_path: Path):
        add_pair(tmp_path, "a")
        (tmp_path / "classes.json").write_text(json.dumps(TABLE))
        (record,) = read_label_folder(tmp_path, "train")
        np.testing.assert_array_equal(record.annotation().class_ids, [0])


def save(path: Path, values, dtype=np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype)).save(path)


class TestLayouts:
    """Other places and names than images/SPLIT/NAME and labels/SPLIT/NAME."""

    IMAGE = np.zeros((1, 2, 3))

    @pytest.mark.parametrize(
        ("image", "label", "split"),
        [
            ("images/train/a.jpg", "masks/train/a.png", "train"),
            ("images/a.jpg", "annotations/a.png", None),
            ("train/images/a.jpg", "train/labels/a_mask.png", "train"),
            ("train/a.png", "trainannot/a.png", "train"),
            ("images/train/a_leftImg8bit.png", "labels/train/a_gtFine_labelIds.png", "train"),
            ("images/train/a_seg.jpg", "labels/train/a_seg.png", "train"),
        ],
    )
    def test_places(self, tmp_path: Path, vocabulary: Vocabulary, image, label, split):
        save(tmp_path / image, self.IMAGE)
        save(tmp_path / label, [[5, 10]])
        (record,) = read_label_folder(tmp_path, split, vocabulary)
        assert record.id == record.picture.stem == Path(image).stem
        assert record.annotation().class_ids.tolist() == [0, 1]
        assert label_folder_splits(tmp_path) == ([] if split is None else [split])

    @pytest.mark.parametrize(
        "line", ["b", "b.jpg", "images/b.jpg", "/SegNet/images/b.jpg /SegNet/labels/b.png"]
    )
    def test_a_split_may_be_a_list(self, tmp_path: Path, vocabulary: Vocabulary, line: str):
        for stem in ("a", "b", "c"):
            add_pair(tmp_path, stem, split="")
        (tmp_path / "val.txt").write_bytes(f"\ufeffa\r\n{line}\r\n\r\n".encode())
        records = read_label_folder(tmp_path, "val", vocabulary)
        assert [record.id for record in records] == ["a", "b"]
        assert label_folder_splits(tmp_path) == ["val"]
        (tmp_path / "val.txt").write_text("a\nd\n")
        with pytest.raises(InputError, match="listed, but not there: d"):
            read_label_folder(tmp_path, "val", vocabulary)
        (tmp_path / "val.txt").write_text("\n")
        with pytest.raises(InputError, match=r"val\.txt is empty"):
            read_label_folder(tmp_path, "val", vocabulary)

    def test_in_an_archive(self, tmp_path: Path, vocabulary: Vocabulary):
        add_pair(tmp_path, "a")
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            for path in sorted(tmp_path.rglob("*.[jp]*g")):
                archive.write(path, path.relative_to(tmp_path))
        (record,) = read_label_folder(tmp_path / "b.zip/.", "train", vocabulary)
        assert len(record.annotation()) == 1


class TestFoldersWithin:
    def test_folders_beside_pictures_are_read(self, tmp_path: Path, vocabulary: Vocabulary):
        add_pair(tmp_path, "a", split="")
        add_pair(tmp_path, "a", split="s1/x")
        assert label_folder_splits(tmp_path) == []
        assert [r.id for r in read_label_folder(tmp_path, None, vocabulary)] == ["a", "s1/x/a"]

    def test_folders_within_a_split(self, tmp_path: Path, vocabulary: Vocabulary):
        for split in ("train/x", "train/y"):
            add_pair(tmp_path, "a", split=split)
        assert label_folder_splits(tmp_path) == ["train"]
        assert [r.id for r in read_label_folder(tmp_path, "train", vocabulary)] == ["x/a", "y/a"]
        (tmp_path / "labels/train/y/a.png").unlink()
        with pytest.raises(InputError, match=r"image without label: images/train/y/a\.jpg"):
            read_label_folder(tmp_path, "train", vocabulary)

    def test_pictures_beside_the_folders_of_splits(self, tmp_path: Path, vocabulary: Vocabulary):
        add_pair(tmp_path, "a")
        add_image(tmp_path, "b.jpg", split="")
        with pytest.raises(InputError, match=r"in no split, beside the folders .*: b\.jpg"):
            read_label_folder(tmp_path, "train", vocabulary)

    def test_names_composed_otherwise(self, tmp_path: Path, vocabulary: Vocabulary):
        add_image(tmp_path, "u\u0308.jpg")
        add_label(tmp_path, "\u00fc.png", np.full((4, 6), 10))
        (record,) = read_label_folder(tmp_path, "train", vocabulary)
        assert record.id == "\u00fc"

    @pytest.mark.parametrize("suffix", ["jfif", "gif", "avif", "jp2", "ppm"])
    def test_suffixes(self, tmp_path: Path, vocabulary: Vocabulary, suffix: str):
        path = tmp_path / f"images/train/a.{suffix}"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (6, 4)).save(path, format="JPEG" if suffix == "jfif" else None)
        add_label(tmp_path, "a.png", np.full((4, 6), 10))
        (record,) = read_label_folder(tmp_path, "train", vocabulary)
        assert record.image().shape == (4, 6, 3)


class TestWithoutAClassTable:
    def classes(self, root: Path, *labels) -> Vocabulary:
        for place, values in enumerate(labels):
            add_image(root, f"{place}.jpg", np.shape(values)[:2])
            add_label(root, f"{place}.png", values)
        assert len(read_label_folder(root, "train")) == len(labels)
        return label_folder_vocabulary(root)

    @pytest.mark.parametrize(
        ("values", "names", "ignored"),
        [
            ([[0, 255]], ("class_0", "class_255"), ()),
            ([[0, 7, 255]], ("class_0", "class_7"), (255,)),
            ([[3, 3]], ("class_3",), ()),
            ([[(0, 0, 0), (255, 0, 9)]], ("color_0_0_0", "color_255_0_9"), ()),
        ],
    )
    def test_values_are_the_classes(self, tmp_path: Path, values, names, ignored):
        vocabulary = self.classes(tmp_path, values, values)
        assert (vocabulary.names, vocabulary.ignore_values) == (names, ignored)

    def test_of_all_splits(self, tmp_path: Path):
        add_label(tmp_path, "v.png", [[9]], split="val")
        add_image(tmp_path, "v.jpg", (1, 1), split="val")
        assert self.classes(tmp_path, [[0]]).names == ("class_0", "class_9")

    def test_photographs_tell_none(self, tmp_path: Path):
        noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3))
        with pytest.raises(InputError, match=r"holds no classes\.json, and its labels tell no"):
            self.classes(tmp_path, noise)


class TestRefusals:
    def test_with_a_list_of_problems_the_rest_is_read(self, tmp_path: Path, vocabulary: Vocabulary):
        for stem in ("a", "b", "c", "d"):
            add_pair(tmp_path, stem)
        (tmp_path / "labels/train/a.png").unlink()
        (tmp_path / "images/train/b.jpg").write_bytes(b"")
        problems: list[str] = []
        records = read_label_folder(tmp_path, "train", vocabulary, problems=problems)
        assert [record.id for record in records] == ["c", "d"]
        assert problems == [
            "image without label: images/train/a.jpg",
            f"the file is empty: {tmp_path / 'images/train/b.jpg'}",
        ]
        save(tmp_path / "labels/train/c.png", [[5]])
        with pytest.raises(InputError, match=r"c\.png is \(1, 1\) .* its picture \(4, 6\)"):
            records[0].annotation()

    def test_pairing_problems_come_in_one_error(self, tmp_path: Path, vocabulary: Vocabulary):
        for stem in ("a", "b", "c", "d"):
            add_pair(tmp_path, stem)
        (tmp_path / "labels" / "train" / "a.png").unlink()
        (tmp_path / "images" / "train" / "b.jpg").unlink()
        add_image(tmp_path, "c.png")
        add_label(tmp_path, "d.tif", np.full((4, 6), 10))
        with pytest.raises(InputError) as refusal:
            read_label_folder(tmp_path, "train", vocabulary)
        message = str(refusal.value)
        assert str(tmp_path) in message
        assert "image without label: images/train/a.jpg" in message
        assert "label without image: labels/train/b.png" in message
        assert "images/train/c.jpg, images/train/c.png, labels/train/c.png" in message
        assert "images/train/d.jpg, labels/train/d.png, labels/train/d.tif" in message

    def test_at_most_ten_problems_are_listed(self, tmp_path: Path, vocabulary: Vocabulary):
        add_pair(tmp_path, "a")
        for number in range(13):
            add_image(tmp_path, f"{number:02}.jpg")
        with pytest.raises(InputError) as refusal:
            read_label_folder(tmp_path, "train", vocabulary)
        assert str(refusal.value).count("image without label") == 10
        assert "and 3 more" in str(refusal.value)

    def test_values_without_a_class(self, tmp_path: Path, vocabulary: Vocabulary):
        add_image(tmp_path, "a.png", size=(1, 5))
        add_label(tmp_path, "a.png", [[5, 7, 7, 11, 0]])
        (record,) = read_label_folder(tmp_path, "train", vocabulary)
        with pytest.raises(InputError, match=r"a\.png: label value 7 \(2 pixels\), 11 \(1 pixel"):
            record.annotation()

    def test_a_missing_split_names_those_that_are_there(
        self, tmp_path: Path, vocabulary: Vocabulary
    ):
        add_pair(tmp_path, "a", split="train")
        add_pair(tmp_path, "a", split="val")
        for split in ("test", None):
            with pytest.raises(InputError, match="the splits there are train, val"):
                read_label_folder(tmp_path, split, vocabulary)

    def test_missing_and_empty_folders(self, tmp_path: Path, vocabulary: Vocabulary):
        with pytest.raises(InputError, match=r"images is not there; .*images is expected"):
            read_label_folder(tmp_path, None, vocabulary)
        add_image(tmp_path, "a.jpg")
        with pytest.raises(InputError, match=r"labels.train is not there"):
            read_label_folder(tmp_path, "train", vocabulary)
        (tmp_path / "labels" / "train").mkdir(parents=True)
        with pytest.raises(InputError, match=r"labels.train holds no pictures"):
            read_label_folder(tmp_path, "train", vocabulary)
