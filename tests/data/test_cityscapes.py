import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.cityscapes import read_cityscapes, read_cityscapes_panoptic
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

NAMES = Vocabulary.load("cityscapes").names
NAME = "bonn_000001_000019"


def save(path: Path, values) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path)


def add(root: Path, label, kind: str = "labelIds", split: str = "train", name: str = NAME) -> None:
    city = name.partition("_")[0]
    save(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", np.zeros((1, 4, 3)))
    save(root / f"gtFine/{split}/{city}/{name}_gtFine_{kind}.png", label)
    save(root / f"gtFine/{split}/{city}/{name}_gtFine_color.png", np.zeros((1, 4, 4)))


class TestClasses:
    @pytest.mark.parametrize(
        ("kind", "label"),
        [("labelIds", [[7, 33, 0, 29]]), ("labelTrainIds", [[0, 18, 255, 255]])],
    )
    def test_label_ids_and_train_ids(self, tmp_path: Path, kind: str, label):
        add(tmp_path, label, kind)
        (record,) = read_cityscapes(tmp_path, "train")
        segments = record.annotation()
        assert [NAMES[i] for i in segments.class_ids] == ["road", "bicycle"]
        assert segments.index_map.tolist() == [[0, 1, -1, -1]]
        assert record.id == NAME

    def test_label_ids_come_before_train_ids(self, tmp_path: Path):
        add(tmp_path, [[0, 0, 0, 0]], "labelTrainIds")
        add(tmp_path, [[33, 33, 33, 33]], "labelIds")
        (record,) = read_cityscapes(tmp_path, "train")
        assert record.annotation().class_ids.tolist() == [18]

    def test_the_test_split_is_unlabelled(self, tmp_path: Path):
        add(tmp_path, [[1, 1, 1, 1]], split="test")
        (record,) = read_cityscapes(tmp_path, "test")
        assert not record.labelled
        with pytest.raises(InputError, match="holds no annotation"):
            record.annotation()

    def test_problems(self, tmp_path: Path):
        for name in ("bonn_1_1", "bonn_1_2", "ulm_1_1"):
            add(tmp_path, [[7, 7, 7, 7]], name=name)
        (tmp_path / "gtFine/train/bonn/bonn_1_1_gtFine_labelIds.png").unlink()
        (tmp_path / "leftImg8bit/train/bonn/bonn_1_2_leftImg8bit.png").unlink()
        with pytest.raises(InputError) as refusal:
            read_cityscapes(tmp_path, "train")
        for line in ("bonn_1_1 has no label", "bonn_1_2 has no image"):
            assert line in str(refusal.value)
        (record,) = read_cityscapes(tmp_path, "train", problems=[])
        assert record.id == "ulm_1_1"
        with pytest.raises(InputError, match=r"val holds no pictures CITY/NAME_leftImg8bit\.png"):
            read_cityscapes(tmp_path, "val")
        with pytest.raises(InputError, match="name a split"):
            read_cityscapes(tmp_path, None)

    def test_a_colour_file_in_place_of_labels(self, tmp_path: Path):
        add(tmp_path, np.zeros((1, 4, 4)))
        (record,) = read_cityscapes(tmp_path, "train")
        with pytest.raises(InputError, match="has mode RGBA; a label needs one channel"):
            record.annotation()


class TestPanoptic:
    def write(self, root: Path, category: int, suffix: str = "") -> None:
        add(root, [[26, 26, 26, 0]])
        name = f"gtFine/cityscapes_panoptic_train{suffix}"
        ids = np.array([[26000, 26001, 26, 0]])
        save(root / name / f"{NAME}_gtFine_panoptic.png", np.stack([ids, ids >> 8, ids * 0], -1))
        rows = [
            {"id": number, "category_id": category, "iscrowd": int(number == 26)}
            for number in (26000, 26001, 26)
        ]
        entry = {"image_id": NAME, "file_name": f"{NAME}_gtFine_panoptic.png"}
        content = {
            # As published: this file does not exist.
            "images": [{"id": NAME, "file_name": f"{NAME}_gtFine_leftImg8bit.png"}],
            "annotations": [entry | {"segments_info": rows}],
            "categories": [{"id": category, "name": "car"}],
        }
        (root / f"{name}.json").write_text(json.dumps(content))

    @pytest.mark.parametrize(("category", "suffix"), [(26, ""), (13, "_trainId")])
    def test_pictures_are_found_by_their_ids(self, tmp_path: Path, category: int, suffix: str):
        self.write(tmp_path, category, suffix)
        (record,) = read_cityscapes_panoptic(tmp_path, "train")
        segments = record.annotation()
        assert {NAMES[i] for i in segments.class_ids} == {"car"}
        assert segments.track_ids.tolist() == [26, 26000, 26001]
        assert segments.crowd.tolist() == [True, False, False]
        assert segments.index_map.tolist() == [[1, 2, 0, -1]]
        assert record.image().shape == (1, 4, 3)

    def test_an_entry_without_a_picture(self, tmp_path: Path):
        self.write(tmp_path, 26)
        path = tmp_path / "gtFine/cityscapes_panoptic_train.json"
        path.write_text(path.read_text().replace(f'"image_id": "{NAME}"', '"image_id": "x"'))
        with pytest.raises(InputError, match="is of image x, which is unknown"):
            read_cityscapes_panoptic(tmp_path, "train")

    def test_without_the_file_of_the_converter(self, tmp_path: Path):
        add(tmp_path, [[7, 7, 7, 7]])
        with pytest.raises(InputError, match="made by the official converter"):
            read_cityscapes_panoptic(tmp_path, "train")
