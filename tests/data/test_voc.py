from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.reader import dataset_splits, dataset_vocabulary
from plainmask.data.voc import read_voc
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

COLORS = {entry.id: entry.color for entry in Vocabulary.load("voc").classes}
BORDER = (224, 224, 192)
RED, GREEN = (128, 0, 0), (0, 128, 0)


def save(path: Path, values, palette: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.array(values, np.uint8))
    if palette and picture.mode == "L":
        picture.putpalette([channel for i in range(21) for channel in COLORS[i]])
    picture.save(path)


def write(root: Path, classes, objects=None, split: str = "train", folder="SegmentationClass"):
    save(root / "JPEGImages/a.jpg", np.zeros((1, 4, 3)))
    save(root / f"{folder}/a.png", classes)
    if objects is not None:
        save(root / "SegmentationObject/a.png", objects)
    (root / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
    (root / f"ImageSets/Segmentation/{split}.txt").write_text("a\n")


def test_indices_are_classes_and_255_is_void(tmp_path: Path):
    write(tmp_path, [[0, 20, 255, 1]])
    (record,) = read_voc(tmp_path, "train")
    assert record.annotation().class_ids.tolist() == [0, 1, 20]
    assert record.annotation().index_map.tolist() == [[0, 2, -1, 1]]


def test_masks_that_a_tool_saved_as_colours(tmp_path: Path):
    write(tmp_path, [[COLORS[0], COLORS[20], BORDER, COLORS[1]]])
    (record,) = read_voc(tmp_path, "train")
    assert record.annotation().class_ids.tolist() == [0, 1, 20]
    assert record.annotation().index_map.tolist() == [[0, 2, -1, 1]]


def test_the_list_of_sbd_has_its_own_folder(tmp_path: Path):
    write(tmp_path, [[0, 0, 0, 1]], split="trainaug", folder="SegmentationClassAug")
    (record,) = read_voc(tmp_path, "trainaug")
    assert record.annotation().class_ids.tolist() == [0, 1]


class TestOwnClasses:
    LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nscratch:250,50,83::\n"
    SCRATCH = (250, 50, 83)

    def own(self, root: Path, classes, objects=None) -> None:
        write(root, classes, objects)
        (root / "labelmap.txt").write_text(self.LABELMAP)

    @pytest.mark.parametrize("classes", [[[0, 1, 1, 255]], [[(0, 0, 0), SCRATCH, SCRATCH, BORDER]]])
    def test_by_number_and_by_colour(self, tmp_path: Path, classes):
        self.own(tmp_path, classes)
        vocabulary = dataset_vocabulary("voc", tmp_path, "train")
        assert vocabulary.names == ("background", "scratch")
        (record,) = read_voc(tmp_path, "train")
        assert record.annotation().index_map.tolist() == [[0, 1, 1, -1]]

    @pytest.mark.parametrize("objects", [[[0, 1, 2, 255]], [[(0, 0, 0), RED, GREEN, BORDER]]])
    def test_objects(self, tmp_path: Path, objects):
        self.own(tmp_path, [[(0, 0, 0), self.SCRATCH, self.SCRATCH, BORDER]], objects)
        assert dataset_vocabulary("voc_objects", tmp_path, "train").names == ("scratch",)
        (record,) = read_voc(tmp_path, "train", objects=True)
        assert record.annotation().class_ids.tolist() == [0, 0]
        assert len(np.unique(record.annotation().index_map)) == 3

    def test_a_palette_of_objects_sorted_anew(self, tmp_path: Path):
        self.own(tmp_path, [[0, 1, 1, 1]], [[1, 0, 0, 2]])
        picture = Image.open(tmp_path / "SegmentationObject/a.png")
        picture.putpalette([*RED, 0, 0, 0, *GREEN])
        picture.save(tmp_path / "SegmentationObject/a.png")
        (record,) = read_voc(tmp_path, "train", objects=True)
        assert record.annotation().index_map.tolist() == [[-1, 0, 0, 1]]

    @pytest.mark.parametrize(
        ("line", "name"),
        [
            ("my picture 1", "my picture 1.png"),
            ("a", "a.jpeg"),
            ("a.jpg", "a.jpg"),
            ("a 1", "a.jpg"),
            ("sub/a", "sub/a.webp"),
            ("u\u0308", "\u00fc.jpg"),
        ],
    )
    def test_names_of_pictures(self, tmp_path: Path, line: str, name: str):
        self.own(tmp_path, [[0, 1, 1, 1]])
        for folder, own in (("JPEGImages", name), ("SegmentationClass", Path(name).stem + ".png")):
            place = tmp_path / folder / Path(name).parent
            place.mkdir(exist_ok=True)
            old = next((tmp_path / folder).glob("a.*"))
            old.rename(place / Path(own).name)
        (tmp_path / "ImageSets/Segmentation/train.txt").write_text(f"{line}\n")
        (record,) = read_voc(tmp_path, "train")
        assert record.annotation().class_ids.tolist() == [0, 1]

    def test_without_lists_all_pictures_are_one(self, tmp_path: Path):
        self.own(tmp_path, [[0, 1, 1, 1]])
        (tmp_path / "ImageSets/Segmentation/train.txt").unlink()
        assert dataset_splits("voc", tmp_path) == [None]
        assert len(read_voc(tmp_path, None)) == 1

    def test_a_list_that_is_not_utf_8(self, tmp_path: Path):
        self.own(tmp_path, [[0, 1, 1, 1]])
        (tmp_path / "ImageSets/Segmentation/train.txt").write_bytes(b"a\nb\xe4r\n")
        with pytest.raises(InputError, match=r"train\.txt, line 2, is no UTF-8 text"):
            read_voc(tmp_path, "train")


class TestObjects:
    def test_classes_come_from_the_other_file(self, tmp_path: Path):
        write(tmp_path, [[3, 255, 5, 5]], [[7, 255, 2, 1]])
        (record,) = read_voc(tmp_path, "train", objects=True)
        segments = record.annotation()
        assert segments.track_ids.tolist() == [1, 2, 7]
        assert segments.class_ids.tolist() == [4, 4, 2]  # of 20: without background
        assert segments.index_map.tolist() == [[2, -1, 1, 0]]

    def test_a_class_is_that_of_most_pixels(self, tmp_path: Path):
        write(tmp_path, [[3, 5, 5, 255]], [[1, 1, 1, 1]])
        (record,) = read_voc(tmp_path, "train", objects=True)
        assert record.annotation().class_ids.tolist() == [4]

    def test_an_object_without_a_class(self, tmp_path: Path):
        write(tmp_path, [[0, 0, 5, 5]], [[1, 1, 2, 2]])
        (record,) = read_voc(tmp_path, "train", objects=True)
        with pytest.raises(InputError, match=r"object 1 lies where .* has no class"):
            record.annotation()


class TestProblems:
    def test_files_and_lists(self, tmp_path: Path):
        write(tmp_path, [[0, 0, 0, 0]])
        listing = tmp_path / "ImageSets/Segmentation/train.txt"
        listing.write_text("a\nb\n")
        with pytest.raises(InputError) as refusal:
            read_voc(tmp_path, "train")
        assert str(refusal.value).count("there is no file") == 2
        problems: list[str] = []
        assert [record.id for record in read_voc(tmp_path, "train", problems=problems)] == ["a"]
        assert len(problems) == 2
        with pytest.raises(InputError, match="name a split: train"):
            read_voc(tmp_path, None)
        with pytest.raises(InputError, match="no list of the split"):
            read_voc(tmp_path, "val")
        listing.write_text("")
        with pytest.raises(InputError, match="it names no pictures"):
            read_voc(tmp_path, "train")

    def test_the_test_split_needs_no_labels(self, tmp_path: Path):
        write(tmp_path, [[0, 0, 0, 0]], split="test")
        (tmp_path / "SegmentationClass/a.png").unlink()
        (record,) = read_voc(tmp_path, "test")
        assert not record.labelled
