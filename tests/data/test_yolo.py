from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.yolo import read_yolo, yolo_splits, yolo_vocabulary
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

SQUARE = "0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"
LOWER_HALF = "0 0.5 1 0.5 1 1 0 1"
YAML = "path: .\ntrain: images/train\nval: images/val\nnames: [cat, dog]\nnc: 2\n"


def write(root: Path, labels: dict[str, str], yaml: str = YAML, folder: str = "images/train"):
    for name, content in labels.items():
        image = root / folder / name
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 4)).save(image, "jpeg")
        label = root / folder.replace("images", "labels") / f"{image.stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_bytes(content.encode())
    (root / "data.yaml").write_text(yaml)
    return root


def read(root: Path, *, problems: list[str] | None = None):
    return read_yolo(root, "train", problems=problems)


class TestReading:
    def test_objects_may_overlap(self, tmp_path: Path):
        write(tmp_path, {"a.JPG": f"1 {SQUARE}\r\n0.0 {LOWER_HALF}  \r\n\r\n"})
        (record,) = read(tmp_path)
        segments = record.annotation()
        assert segments.class_ids.tolist() == [1, 0]
        square = np.zeros((4, 8), bool)
        square[1:3, 2:6] = True
        np.testing.assert_array_equal(segments.masks()[0], square)
        assert segments.masks()[1].sum() == 16
        assert (record.id, record.classes) == ("a", {0, 1})

    def test_images_without_objects(self, tmp_path: Path):
        write(tmp_path, {"a.jpg": "", "b.jpg": ""})
        (tmp_path / "labels/train/b.txt").unlink()
        for record in read(tmp_path):
            assert len(record.annotation()) == 0

    def test_equal_lines_are_one_object_and_borders_are_cut(self, tmp_path: Path):
        line = "0 -0.01 0.5 1.02 0.5 1 1.01 0 1"
        write(tmp_path, {"a.jpg": f"{line}\n{line}\n"})
        (record,) = read(tmp_path)
        assert record.annotation().masks().sum((1, 2)).tolist() == [16]

    def test_names_decide_in_another_vocabulary(self, tmp_path: Path):
        write(tmp_path, {"a.jpg": f"1 {SQUARE}"}, YAML.replace("[cat, dog]", "{1: dog, 0: cat}"))
        assert yolo_vocabulary(tmp_path).names == ("cat", "dog")
        other = Vocabulary.load({"classes": [{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}]})
        (record,) = read_yolo(tmp_path, "train", other)
        assert record.annotation().class_ids.tolist() == [0]

    @pytest.mark.parametrize(
        "entry",
        [
            "images/train",
            "../images/train",  # exports whose path is missing
            "[images/train]",
            "list.txt",
        ],
    )
    def test_where_images_are(self, tmp_path: Path, entry: str):
        write(tmp_path, {"a.jpg": f"0 {SQUARE}"}, f"train: {entry}\nnames: [cat]\n")
        (tmp_path / "list.txt").write_text("./images/train/a.jpg\n")
        (record,) = read(tmp_path)
        assert len(record.annotation()) == 1
        assert yolo_splits(tmp_path) == ["train"]

    def test_a_path_of_another_machine_and_folders_by_split(self, tmp_path: Path):
        yaml = "path: /home/someone/data\ntrain: train/images\nnames: {0: cat}\n"
        write(tmp_path, {"a.jpg": f"0 {SQUARE}"}, yaml, "train/images")
        (record,) = read_yolo(tmp_path / "data.yaml", "train")
        assert len(record.annotation()) == 1


class TestPlaces:
    def test_folders_within_a_split(self, tmp_path: Path):
        for folder in ("images/train", "images/train/2024/01", "images/train/2024/02"):
            write(tmp_path, {"a.jpg": f"0 {SQUARE}"}, folder=folder)
        records = read(tmp_path)
        assert [record.id for record in records] == ["a", "2024/01/a", "2024/02/a"]
        assert all(len(record.annotation()) == 1 for record in records)
        (tmp_path / "images/train/2024/02/a.jpg").unlink()
        with pytest.raises(InputError, match=r"labels without an image: .*2024/02/a\.txt"):
            read(tmp_path)

    def test_folders_that_are_one_split_may_share_names(self, tmp_path: Path):
        yaml = "train: [images/a, images/b/]\nnames: [cat]\n"
        for folder in ("images/a", "images/b"):
            write(tmp_path, {"1.jpg": f"0 {SQUARE}"}, yaml, folder)
        assert [record.id for record in read(tmp_path)] == ["a/1", "b/1"]

    def test_labels_beside_their_images(self, tmp_path: Path):
        write(tmp_path, {"a.jpg": f"0 {SQUARE}", "b.jpg": f"1 {SQUARE}"})
        (tmp_path / "labels/train/b.txt").rename(tmp_path / "images/train/b.txt")
        assert [record.annotation().class_ids.tolist() for record in read(tmp_path)] == [[0], [1]]

    def test_names_composed_otherwise(self, tmp_path: Path):
        write(tmp_path, {"u\u0308.jpg": f"0 {SQUARE}"})
        (tmp_path / "labels/train/u\u0308.txt").rename(tmp_path / "labels/train/\u00fc.txt")
        assert len(read(tmp_path)[0].annotation()) == 1

    @pytest.mark.parametrize(
        "line",
        [
            "data/images/train/a.jpg",
            "/home/me/set/images/train/a.jpg",
            "C:\\x\\images\\train\\a.jpg",
        ],
    )
    def test_lists_of_other_machines(self, tmp_path: Path, line: str):
        write(tmp_path, {"a.jpg": f"0 {SQUARE}"}, "path: ./\ntrain: train.txt\nnames: {0: cat}\n")
        (tmp_path / "train.txt").write_text(f"{line}\n")
        assert len(read(tmp_path)[0].annotation()) == 1

    def test_lists_that_share_a_folder_of_labels(self, tmp_path: Path):
        yaml = "train: train.txt\nval: val.txt\nnames: [cat]\n"
        write(tmp_path, {"a.jpg": f"0 {SQUARE}", "b.jpg": ""}, yaml)
        (tmp_path / "train.txt").write_text("images/train/a.jpg\n")
        (tmp_path / "val.txt").write_text("images/train/b.jpg\n")
        assert len(read(tmp_path)) == len(read_yolo(tmp_path, "val")) == 1

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("classes.txt", b"cat\ndog\n"),
            ("notes.txt", b"drawn by Ann\n"),
            ("._a.txt", b"\0\5\x16\7Mac OS X"),
            ("train.cache", b"\x80"),
        ],
    )
    def test_harmless_files_among_labels(self, tmp_path: Path, name: str, content: bytes):
        write(tmp_path, {"a.jpg": f"0 {SQUARE}"})
        (tmp_path / "labels/train" / name).write_bytes(content)
        assert len(read(tmp_path)) == 1

    def test_scores_at_the_ends_of_all_lines(self, tmp_path: Path):
        write(tmp_path, {"a.jpg": f"0 {SQUARE} 0.9\n1 {LOWER_HALF} 0.5", "b.jpg": ""})
        assert [len(record.annotation()) for record in read(tmp_path)] == [2, 0]


class TestYaml:
    @pytest.mark.parametrize(
        ("stated", "names"),
        [
            ("[yes, no]", ("yes", "no")),
            ("[null, on]", ("null", "on")),
            ("cat", ("cat",)),
            ("{'0': 1, 1: 2.50}", ("1", "2.50")),
            ("[07, 1e3]", ("07", "1e3")),
        ],
    )
    def test_names_as_they_are_written(self, tmp_path: Path, stated: str, names: tuple[str, ...]):
        write(tmp_path, {"a.jpg": ""}, f"train: images/train\nval: null\nnames: {stated}\n")
        assert yolo_vocabulary(tmp_path).names == names
        assert yolo_splits(tmp_path) == ["train"]

    @pytest.mark.parametrize("key", ["val", "valid", "validation"])
    def test_spellings_of_val(self, tmp_path: Path, key: str):
        write(tmp_path, {"a.jpg": ""}, f"train: x\n{key}: images/train\nnc: '1'\nnames: [cat]\n")
        assert yolo_splits(tmp_path) == ["train", "val"]
        assert len(read_yolo(tmp_path, "val")) == len(read_yolo(tmp_path, "valid")) == 1


class TestProblems:
    def test_all_lines_come_in_one_error(self, tmp_path: Path):
        lines = {
            "0 0.1 0.1": "2 coordinates; a polygon has three points",
            f"2 {SQUARE}": "class 2, which is none of the classes 0, 1",
            f"0.5 {SQUARE}": "class 0.5",
            "0 10 10 70 10 70 30": "coordinates 10..70; they are fractions",
            "0 a b c d e f": "something that is no number",
            "0 nan 0 1 0 1 1": "a number that is not finite",
            "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4": "7 coordinates; a polygon has three points",
        }
        write(tmp_path, {"a.jpg": "\n".join(lines), "b.jpg": f"0 {SQUARE}"})
        problems: list[str] = []
        records = read(tmp_path, problems=problems)
        assert [len(record.annotation()) for record in records] == [0, 1]
        a = tmp_path / "labels/train/a.txt"
        for number, (problem, words) in enumerate(
            zip(problems, lines.values(), strict=False), start=1
        ):
            assert problem.startswith(f"{a}, line {number}: {words}")
        assert len(problems) == len(lines)
        with pytest.raises(InputError, match=r"a\.txt, line 1: 2 coordinates"):
            read(tmp_path)

    def test_boxes_are_counted_in_one_line(self, tmp_path: Path):
        box = "0 0.5 0.5 0.2 0.2"
        write(tmp_path, {"a.jpg": f"0 {SQUARE}\n{box}\n{box} 0.9", "b.jpg": box})
        problems: list[str] = []
        records = read(tmp_path, problems=problems)
        assert [len(record.annotation()) for record in records] == [1, 0]
        (problem,) = problems
        assert problem.startswith("3 lines are boxes, not polygons")
        assert f"{tmp_path / 'labels/train/a.txt'}, line 2; " in problem
        with pytest.raises(InputError, match="3 lines are boxes"):
            read(tmp_path)

    def test_a_line_twice_is_a_problem_and_one_object(self, tmp_path: Path):
        write(tmp_path, {"a.jpg": f"0 {SQUARE}\n1 {SQUARE}\n0 {SQUARE}\n"})
        assert len(read(tmp_path)[0].annotation()) == 2
        problems: list[str] = []
        assert len(read(tmp_path, problems=problems)[0].annotation()) == 2
        (problem,) = problems
        assert problem.endswith("a.txt, line 3: the same object as in an earlier line")

    def test_objects_without_pixels_are_named_by_file_and_line(self, tmp_path: Path):
        write(tmp_path, {"a.jpg": f"0 {SQUARE}\n\n0 0.1 0.1 0.1 0.1 0.1 0.1"})
        (record,) = read(tmp_path, problems=[])
        with pytest.raises(InputError, match=r"labels/train/a\.txt, line 3: it has no pixels"):
            record.annotation()

    def test_text_that_is_not_utf_8(self, tmp_path: Path):
        write(tmp_path, {"a.jpg": ""})
        (tmp_path / "labels/train/a.txt").write_bytes(b"0 \xff\xff")
        with pytest.raises(InputError, match=r"a\.txt, line 1, is no UTF-8 text"):
            read(tmp_path)

    def test_labels_of_deleted_images(self, tmp_path: Path):
        write(tmp_path, {"a.jpg": "", "b.jpg": ""})
        (tmp_path / "images/train/b.jpg").unlink()
        with pytest.raises(InputError, match=r"labels without an image: .*b\.txt"):
            read(tmp_path)

    def test_images_of_one_name_and_empty_ones(self, tmp_path: Path):
        write(tmp_path, {"a.jpg": "", "a.jpeg": "", "b.jpg": ""})
        (tmp_path / "images/train/b.jpg").write_bytes(b"")
        problems: list[str] = []
        assert len(read(tmp_path, problems=problems)) == 2
        assert "is empty" in problems[0]
        assert "two images of one name" in problems[1]

    @pytest.mark.parametrize(
        ("yaml", "words"),
        [
            (YAML.replace("nc: 2", "nc: 3"), "nc is 3, but there are 2 names"),
            ("train: images/train\n", "states no names"),
            ("names: {a: b}\n", "names is a list"),
            ("names: [a, a]\ntrain: images/train\n", "used twice"),
            ("names: [a]\nval: images/val\n", "no split 'train'; there are val"),
            ("names: [a]\ntrain: images/nowhere\n", "there is no images/nowhere; looked for"),
            (f"names: [a]\ntrain: {'x' * 5000}\n", "there is no x"),
            ("names: [", "cannot be read as YAML"),
            ("- a", "should state"),
        ],
    )
    def test_the_yaml_file(self, tmp_path: Path, yaml: str, words: str):
        write(tmp_path, {"a.jpg": ""}, yaml)
        with pytest.raises(InputError, match=words):
            read(tmp_path)

    def test_an_empty_split(self, tmp_path: Path):
        (tmp_path / "images/train").mkdir(parents=True)
        write(tmp_path, {})
        with pytest.raises(InputError, match="the split train has no images"):
            read(tmp_path)
