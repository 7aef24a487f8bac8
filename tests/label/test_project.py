"""A project on disk: a data set that the other commands read, and what cannot be opened."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from images import png
from plainmask.data.check import check_dataset
from plainmask.data.convert import convert_dataset
from plainmask.data.reader import read_dataset
from plainmask.errors import InputError
from plainmask.label.canvas import Canvas
from plainmask.label.config import COLORS, read_config
from plainmask.label.planes import Planes
from plainmask.label.project import FOLDER, Project
from plainmask.label.stroke import Stroke
from plainmask.pictures.geometry import Geometry

ENCODER = {"encoder": "tiny", "fingerprint": "abc"}


def pictures(folder: Path, *names: str, size: tuple[int, int] = (40, 60)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        (folder / name).write_bytes(png(pixels))
    return folder


def opened(folder: Path, **more: Any) -> Project:
    return Project.open(folder, folder / FOLDER, **(ENCODER | more))


def brush(picture: str, class_id: int = 0, x: float = 20) -> Stroke:
    return Stroke.read(
        {"picture": picture, "kind": "brush", "points": [[x, 20]], "radius": 6, "class": class_id}
    )


def test_a_project_is_a_data_set(tmp_path: Path):
    folder = pictures(tmp_path / "in", "a.png", "b.png", "c.png")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    project = opened(folder, classes=["cat", "dog"])
    for name in ("a.png", "b.png"):
        for class_id, x in ((0, 10), (1, 40)):
            project.add_stroke(brush(name, class_id, x))
        strokes = project.history.of_picture(name)
        geometry = Geometry((40, 60), (40, 60), (40, 60), ((0, 0),))
        project.write_labels(name, Canvas.of(geometry, 10, strokes).planes)
    project.close()
    report = check_dataset(folder / FOLDER)
    assert report.all_problems == []
    records = read_dataset("label_folder", folder / FOLDER, None)
    assert [record.id for record in records] == ["a", "b"]
    annotation = records[0].annotation()
    assert annotation.class_ids.tolist() == [0, 1]
    label = np.asarray(Image.open(folder / FOLDER / "labels" / "a.png"))
    assert label.dtype == np.uint8
    assert set(np.unique(label)) == {0, 1, 255}
    converted = convert_dataset(folder / FOLDER, "coco_panoptic", tmp_path / "out")
    assert sum(converted.images.values()) == 2
    assert {path.name: path.read_bytes() for path in folder.glob("*.png")} == before


def test_a_picture_whose_labels_go_leaves_the_data_set(tmp_path: Path):
    folder = pictures(tmp_path, "a.png")
    project = opened(folder, classes=["cat"])
    project.add_stroke(brush("a.png"))
    project.write_labels("a.png", Planes(np.zeros((40, 60), np.uint8), None))
    assert (folder / FOLDER / "images" / "a.png").exists()
    project.write_labels("a.png", Planes(np.full((40, 60), 255, np.uint8), None))
    assert not list((folder / FOLDER / "images").iterdir())
    assert not list((folder / FOLDER / "labels").iterdir())
    project.close()


def test_it_goes_on_where_it_was_left(tmp_path: Path):
    folder = pictures(tmp_path, "a.png", "b.png")
    project = opened(folder, classes=["cat"])
    project.add_stroke(brush("a.png"))
    project.add_stroke(brush("b.png"))
    assert project.undo() == 2
    project.close()
    project = opened(folder, classes=["dog", "cat"])
    assert project.class_names == ["cat", "dog"]
    assert project.config.classes[0].color == COLORS[0]
    assert list(project.history.pictures()) == ["a.png"]
    assert project.redo() == 2
    assert project.redo() is None
    assert project.undo() == 2
    assert project.undo() == 1
    assert project.undo() is None
    project.close()


def test_classes_are_renamed_and_recoloured_while_used(tmp_path: Path):
    folder = pictures(tmp_path, "a.png")
    project = opened(folder, classes=["cat", "dog"])
    project.change_class(1, name="wolf", color=(1, 2, 3))
    project.close()
    table = json.loads((folder / FOLDER / "classes.json").read_text())
    assert table["classes"][1] == {"id": 1, "name": "wolf", "color": [1, 2, 3]}
    config = read_config(folder / FOLDER)
    assert config is not None
    assert [entry.name for entry in config.classes] == ["cat", "wolf"]


def test_what_a_class_cannot_be(tmp_path: Path):
    project = opened(pictures(tmp_path, "a.png"), classes=["cat", "dog"])
    with pytest.raises(InputError, match="there is a class 'Dog' already"):
        project.add_classes(["Dog"])
    with pytest.raises(InputError, match="there is a class 'cat' already"):
        project.change_class(1, name="cat")
    with pytest.raises(InputError, match="the name of a class cannot be used"):
        project.add_classes(["  "])
    with pytest.raises(InputError, match="there is no class 7"):
        project.change_class(7, name="x")
    with pytest.raises(InputError, match="at most 255 classes"):
        project.add_classes([f"c{n}" for n in range(254)])
    with pytest.raises(InputError, match="there is no class 5; add it first"):
        project.add_stroke(brush("a.png", 5))
    with pytest.raises(InputError, match=r"no picture is called 'b.png'; did you mean 'a.png'\?"):
        project.add_stroke(brush("b.png"))
    assert project.class_names == ["cat", "dog"]
    assert project.history.applied == []
    project.close()


def test_a_class_that_is_given_up_leaves_its_number_free(tmp_path: Path):
    folder = pictures(tmp_path, "a.png")
    project = opened(folder, classes=["cat", "dog", "cow"])
    project.join_class(1, None)
    assert project.class_names == ["cat", "cow"]
    project.write_labels(
        "a.png", Planes(np.repeat([[0], [2]], 20, 0).repeat(60, 1).astype("u1"), None)
    )
    project.close()
    (split,) = check_dataset(folder / FOLDER).splits
    assert split.images == 1
    (record,) = read_dataset("label_folder", folder / FOLDER, None)
    assert [
        row["name"] for row in json.loads((folder / FOLDER / "classes.json").read_text())["classes"]
    ] == ["cat", "cow"]
    assert record.annotation().class_ids.tolist() == [0, 1]
    project = opened(folder, classes=["cat", "dog", "cow"])  # the same command goes on
    assert project.class_names == ["cat", "cow"]
    project.add_classes(["dog"])
    assert project.config.classes[3].name == "dog"
    with pytest.raises(InputError, match="another class is called 'dog' by now; rename it, then"):
        project.undo()
    project.change_class(3, name="wolf")
    project.undo()
    assert project.class_names == ["cat", "dog", "cow", "wolf"]
    project.redo()
    assert project.class_names == ["cat", "cow", "wolf"]
    project.close()


def test_which_classes_cannot_be_given_up(tmp_path: Path):
    project = opened(pictures(tmp_path, "a.png"), classes=["cat", "dog"], task="instance")
    with pytest.raises(InputError, match="the background cannot be deleted"):
        project.join_class(0, None)
    with pytest.raises(InputError, match="there is no class 7"):
        project.join_class(7, None)
    with pytest.raises(InputError, match="a class cannot join itself"):
        project.join_class(1, 1)
    project.join_class(1, 2)
    with pytest.raises(InputError, match="the class 'cat' was deleted; choose another, or undo"):
        project.join_class(2, 1)
    with pytest.raises(InputError, match="the class 'cat' was deleted"):
        project.add_stroke(brush("a.png", 1))
    with pytest.raises(InputError, match="the class 'cat' was deleted"):
        project.change_class(1, name="x")
    project.close()


def test_pictures_that_cannot_be_read_are_left_out_and_told(tmp_path: Path):
    folder = pictures(tmp_path, "a.png")
    (folder / "b.png").write_bytes(b"not a picture")
    project = opened(folder)
    assert list(project.pictures) == ["a.png"]
    assert list(project.skipped) == ["b.png"]
    project.close()


def test_a_picture_that_went_or_changed_its_size_is_left_out_and_told(tmp_path: Path):
    folder = pictures(tmp_path, "a.png", "b.png", "c.png")
    project = opened(folder, classes=["cat"])
    for name in ("a.png", "b.png"):
        project.add_stroke(brush(name))
        project.write_labels(name, Planes(np.zeros((40, 60), np.uint8), None))
    project.close()
    (folder / "a.png").unlink()
    pictures(folder, "b.png", size=(50, 60))
    project = opened(folder)
    assert list(project.pictures) == ["c.png"]
    assert "is not there any more" in project.skipped["a.png"]
    assert "it was labelled at 60 x 40 pixels, and has 60 x 50 now" in project.skipped["b.png"]
    assert not list((folder / FOLDER / "labels").iterdir())
    assert not list((folder / FOLDER / "images").iterdir())
    project.close()
    pictures(folder, "a.png")
    project = opened(folder)
    assert list(project.history.of_picture("a.png"))
    assert "a.png" in project.pictures
    project.close()


def test_an_empty_folder(tmp_path: Path):
    with pytest.raises(InputError, match="there is no picture in this folder"):
        opened(tmp_path)
    assert not (tmp_path / FOLDER).exists()


def test_no_folder(tmp_path: Path):
    with pytest.raises(InputError, match="nowhere is no folder"):
        opened(tmp_path / "nowhere")


def test_a_folder_in_which_no_picture_can_be_read(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds no picture that can be read; a\.png: "):
        opened(tmp_path)


def test_two_pictures_of_one_name(tmp_path: Path):
    pictures(tmp_path, "a.png", "A.PNG", "a.bmp")
    with pytest.raises(InputError, match="whose labels would have one name; rename one of them"):
        opened(tmp_path)


def test_a_project_of_another_encoder(tmp_path: Path):
    opened(pictures(tmp_path, "a.png"), classes=["cat"]).close()
    with pytest.raises(InputError, match=r"begun with the encoder tiny .* give --encoder tiny"):
        opened(tmp_path, encoder="other", fingerprint="def")


def test_a_project_file_that_is_none(tmp_path: Path):
    opened(pictures(tmp_path, "a.png"), classes=["cat"]).close()
    (tmp_path / FOLDER / "project.json").write_text("{")
    with pytest.raises(InputError, match=r"project.json cannot be read"):
        opened(tmp_path)


def test_a_project_that_is_open_already(tmp_path: Path):
    project = opened(pictures(tmp_path, "a.png"))
    with pytest.raises(InputError, match="is open in another program"):
        opened(tmp_path)
    project.close()


def test_a_place_that_cannot_be_written(tmp_path: Path):
    pictures(tmp_path, "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Project.open(tmp_path, tmp_path / "file" / "project", encoder="tiny", fingerprint="abc")


def test_a_project_of_objects_has_a_background(tmp_path: Path):
    project = opened(pictures(tmp_path, "a.png"), classes=["cat", "dog"], task="instance")
    assert project.class_names == ["background", "cat", "dog"]
    assert [entry.color for entry in project.config.classes[1:]] == list(COLORS[:2])
    project.close()
    table = json.loads((tmp_path / FOLDER / "classes.json").read_text())
    assert [row["thing"] for row in table["classes"]] == [False, True, True]
    again = opened(tmp_path)
    assert again.tells_objects
    again.close()


@pytest.mark.parametrize(("begun", "other"), [("semantic", "instance"), ("instance", "semantic")])
def test_a_project_of_another_task(tmp_path: Path, begun: str, other: str):
    opened(pictures(tmp_path, "a.png"), classes=["cat"], task=begun).close()
    with pytest.raises(InputError, match=f"begun with --task {begun}, not {other}; leave --task"):
        opened(tmp_path, task=other)
    opened(tmp_path, task=begun).close()


@pytest.mark.parametrize(
    ("task", "class_id", "number", "message"),
    [
        ("semantic", 0, 1, "does not tell objects apart"),
        ("instance", 1, None, "a stroke of the class cat says the number of its object, from 1"),
        ("instance", 1, 0, "says the number of its object"),
        ("instance", 0, 3, "a stroke of the class background says the object 0"),
    ],
)
def test_strokes_say_which_object_they_are_of(
    tmp_path: Path, task: str, class_id: int, number: int | None, message: str
):
    project = opened(pictures(tmp_path, "a.png"), classes=["cat"], task=task)
    with pytest.raises(InputError, match=message):
        project.add_stroke(brush("a.png", class_id).model_copy(update={"object": number}))
    assert not project.history.strokes
    project.close()
