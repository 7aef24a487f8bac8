"""`plainmask data check` and `plainmask data convert`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Run
from datasets import WRITERS, picture


@pytest.fixture
def data(tmp_path: Path) -> Path:
    WRITERS["coco_panoptic"](tmp_path / "data")
    return tmp_path / "data"


class TestCheck:
    def test_sound_data(self, run: Run, data: Path, tmp_path: Path):
        code, out, err = run("data", "check", data, "--out", tmp_path / "sheets/sheet.png")
        assert (code, err) == (0, "")
        assert f"{data}: coco_panoptic" in out
        assert "1 image, 1 segment; 50.0 % of pixels in no segment" in out
        assert "1 size (height x width): from 2 x 3 by 2 x 3 to 2 x 3" in out
        with Image.open(tmp_path / "sheets/sheet.png") as sheet:
            assert sheet.format == "PNG"

    def test_the_sheet_replaces_sheets_only(self, run: Run, data: Path, tmp_path: Path):
        """Not even a picture of the data set, and it is said before everything is read."""
        for _ in range(2):
            assert run("data", "check", data, "--out", tmp_path / "sheet.png").code == 0
        (tmp_path / "notes.txt").write_text("mine")
        for path in (tmp_path / "notes.txt", data / "train/a.jpg"):
            before = path.read_bytes()
            code, out, err = run("data", "check", data, "--out", path)
            assert (code, out) == (2, "")
            assert f"{path} is there already and is no result of plainmask" in err
            assert path.read_bytes() == before

    def test_a_sheet_that_cannot_be_written(self, run: Run, data: Path, tmp_path: Path):
        (tmp_path / "file").write_text("mine")
        code, out, err = run("data", "check", data, "--out", tmp_path / "file/sheet.png")
        assert (code, out) == (2, "")
        assert f"the output folder {tmp_path / 'file'} cannot be written" in err
        assert err.count("\n") == 1

    def test_json_is_one_object(self, run: Run, data: Path):
        code, out, _ = run("data", "check", data, "--format", "coco_panoptic", "--json")
        found = json.loads(out)
        assert code == 0
        assert found["format"] == "coco_panoptic"
        assert found["splits"]["train"]["classes"]["thing"]["pixels"] == 50
        assert found["problems"] == []

    def test_problems_end_with_1(self, run: Run, data: Path):
        picture(data / "annotations/panoptic_train/a.png", np.ones((4, 4, 3)))
        code, out, err = run("data", "check", data, "--split", "train")
        assert code == 1
        assert "1 image" in out
        assert "problem: " in err
        assert "a.png is (4, 4) high and wide" in err
        assert f"error: 1 problem in {data}" in err
        code, out, _ = run("data", "check", data, "--json")
        assert code == 1
        assert len(json.loads(out)["problems"]) == 1

    def test_no_data_set_ends_with_2(self, run: Run, tmp_path: Path):
        code, _, err = run("data", "check", tmp_path)
        assert code == 2
        assert "looks like no data set" in err

    def test_a_vocabulary(self, run: Run, tmp_path: Path):
        WRITERS["label_folder"](tmp_path)
        (tmp_path / "classes.json").write_text('["one"]')
        assert run("data", "check", tmp_path).code == 1
        code, out, _ = run("data", "check", tmp_path, "--vocabulary", "voc")
        assert code == 0
        assert "aeroplane" in out


class TestConvert:
    def test_goes_on_without_what_is_wrong(self, run: Run, tmp_path: Path):
        WRITERS["yolo"](tmp_path / "a")
        with (tmp_path / "a/labels/train/a.txt").open("a") as label:
            label.write("\n0 0.5 0.5 0.2 0.2\n")
        arguments = ("data", "convert", tmp_path / "a", "--to", "coco_instances", "--out")
        code, _, err = run(*arguments, tmp_path / "b")
        assert code == 2
        assert "1 line is a box, not a polygon" in err
        assert "data convert … --skip-problems" in err
        code, out, err = run(*arguments, tmp_path / "b", "--skip-problems")
        assert code == 0
        assert "left out: 1 line is a box" in err
        assert "1 image of train" in out

    def test_says_what_it_did(self, run: Run, data: Path, tmp_path: Path):
        code, out, err = run(
            "data", "convert", data, "--to", "label_folder", "--out", tmp_path / "b"
        )
        assert (code, err) == (0, "")
        assert "(coco_panoptic) -> " in out
        assert "(label_folder): 1 image of train" in out
        assert run("data", "check", tmp_path / "b").code == 0

    def test_json_and_what_is_lost(self, run: Run, data: Path, tmp_path: Path):
        path = data / "annotations/panoptic_train.json"
        path.write_text(path.read_text().replace('"isthing": 1', '"isthing": 0'))
        arguments = ("data", "convert", data, "--to", "coco_instances", "--out")
        code, out, _ = run(*arguments, tmp_path / "b", "--json")
        assert code == 0
        assert json.loads(out)["lost"] == {"segments of stuff": 1}
        assert "lost: 1 segments of stuff" in run(*arguments, tmp_path / "c").out

    def test_wrong_usage(self, run: Run, data: Path, tmp_path: Path):
        code, _, err = run("data", "convert", data, "--to", "voc", "--out", tmp_path / "b")
        assert code == 2
        assert "'voc' cannot be written" in err
