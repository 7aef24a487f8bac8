"""Vocabularies: the built-in ones, the forms that people write, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary, builtin_names, generated_color

SIZES = {
    "ade20k_panoptic": (150, 100),
    "ade20k_semantic": (150, 100),
    "camvid": (11, 3),
    "camvid11": (11, 3),
    "cityscapes": (19, 8),
    "coco_instance": (80, 80),
    "coco_panoptic": (133, 80),
    "everyday_objects": (12, 12),
    "moving_object": (1, 1),
    "ovis": (25, 25),
    "vipseg": (124, 58),
    "voc": (21, 20),
    "vspw": (124, 58),
    "ytvis2019": (40, 40),
    "ytvis2021": (40, 40),
    "ytvis2022": (40, 40),
}


def minimal(**changes: Any) -> dict[str, Any]:
    return {"classes": [{"id": 0, "name": "cell"}, {"id": 1, "name": "gap"}], **changes}


def test_builtin_list_is_exact():
    assert builtin_names() == list(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_builtin(name: str):
    vocabulary = Vocabulary.load(name)
    classes, things = SIZES[name]
    assert vocabulary.name == name
    assert len(vocabulary) == len(vocabulary.names) == classes
    assert classes - len(vocabulary.stuff_ids) == things
    assert sorted(vocabulary.by_file_id.values()) == list(range(classes))
    assert not set(vocabulary.ignore_values) & set(vocabulary.by_file_id)


def test_builtin_facts():
    coco = Vocabulary.load("coco_panoptic")
    assert coco.names[0] == "person"
    assert coco.by_file_id[200] == 132
    assert coco.stuff_ids == frozenset(range(80, 133))
    assert Vocabulary.load("ade20k_semantic").ignore_values == (0,)
    assert Vocabulary.load("camvid").ignore_values == (255,)
    assert -1 in Vocabulary.load("cityscapes").ignore_values
    assert Vocabulary.load("vipseg").ignore_values == ()  # its void is no category id


@pytest.mark.parametrize("name", SIZES)
def test_serialised_form_reads_back(name: str):
    vocabulary = Vocabulary.load(name)
    assert Vocabulary.model_validate_json(vocabulary.model_dump_json()) == vocabulary
    assert Vocabulary.load(json.loads(vocabulary.model_dump_json())) == vocabulary


def test_class_table_of_a_folder(tmp_path: Path):
    table = {
        "ignore_value": 255,
        "classes": [
            {"id": 0, "name": "sky", "colour": [1, 2, 3]},
            {"id": 1, "name": "car", "colour": [4, 5, 6]},
        ],
    }
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(table))
    for source in (path, str(path), table):
        vocabulary = Vocabulary.load(source)
        assert vocabulary.ignore_values == (255,)
        assert [entry.color for entry in vocabulary.classes] == [(1, 2, 3), (4, 5, 6)]
        assert vocabulary.by_file_id == {0: 0, 1: 1}
        assert vocabulary.stuff_ids == {0, 1}


def test_completed_form():
    vocabulary = Vocabulary.load(minimal())
    assert vocabulary.name == "custom"
    assert vocabulary.classes[1].color == generated_color(1)
    assert vocabulary.classes[1].file_id == 1
    assert vocabulary.ignore_values == ()


@pytest.mark.parametrize(
    "content",
    [
        ["bg", "fg"],
        {"classes": ["bg", "fg"]},
        {"0": "bg", "1": "fg"},
        {"classes": {"0": "bg", "1": "fg"}},
        {"classes": [{"id": "0", "name": "bg"}, {"id": "1", "name": "fg"}]},
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_forms_that_people_write(tmp_path: Path, content: Any, encoding: str):
    (tmp_path / "classes.json").write_bytes(json.dumps(content).encode(encoding))
    for source in (content, tmp_path / "classes.json"):
        vocabulary = Vocabulary.load(source)
        assert vocabulary.names == ("bg", "fg")
        assert vocabulary.by_file_id == {0: 0, 1: 1}


def test_names_by_numbers_may_have_gaps():
    vocabulary = Vocabulary.load({"7": "road", "0": "sky"})
    assert vocabulary.names == ("sky", "road")
    assert vocabulary.by_file_id == {0: 0, 7: 1}


@pytest.mark.parametrize("color", ["#ff0010", "FF0010", "#FF0010FF", [255, 0, 16], [255, 0, 16, 9]])
def test_colours_as_files_write_them(color: Any):
    vocabulary = Vocabulary.load(minimal(classes=[{"id": 0, "name": "a", "color": color}]))
    assert vocabulary.classes[0].color == (255, 0, 16)


@pytest.mark.parametrize(
    ("stated", "values"),
    [
        ({"ignore": {"pixel_values": None}}, ()),
        ({"ignore": {"pixel_values": 9}}, (9,)),
        ({"ignore_value": None}, ()),
        ({"ignore_value": [8, 9]}, (8, 9)),
    ],
)
def test_values_to_ignore_as_people_write_them(stated: dict[str, Any], values: tuple[int, ...]):
    assert Vocabulary.load(minimal(**stated)).ignore_values == values


def test_no_category_is_joined_twice():
    rows = [{"id": 0, "name": "a", "joins": ["x"]}, {"id": 1, "name": "b", "joins": ["x", "y"]}]
    with pytest.raises(InputError, match=r"its own joined category; used twice: \['x'\]"):
        Vocabulary.load({"classes": rows})


def test_numbered():
    vocabulary = Vocabulary.numbered(300)
    assert vocabulary.names[:2] == ("class_0", "class_1")
    assert not vocabulary.stuff_ids
    assert len({entry.color for entry in vocabulary.classes}) == 300
    with pytest.raises(InputError, match="at least one class, not 0"):
        Vocabulary.numbered(0)


BAD = {
    "gap": (minimal(classes=[{"id": 1, "name": "a"}]), "count up from 0 without gaps"),
    "name": (minimal(classes=[{"id": i, "name": "a"} for i in (0, 1)]), r"own name.*'a'"),
    "file id": (
        minimal(classes=[{"id": i, "name": str(i), "file_id": 7} for i in (0, 1)]),
        r"own file_id.*7",
    ),
    "colour": (
        minimal(classes=[{"id": 0, "name": "a", "color": [0, 0, 256]}]),
        r"classes\.0\.color\.2: .*255",
    ),
    "unknown class key": (
        minimal(classes=[{"id": 0, "name": "a", "think": True}]),
        r"classes\.0\.think",
    ),
    "unknown key": (minimal(clases=[]), "clases"),
    "no classes": ({}, "classes: Field required"),
    "empty": ({"classes": []}, "classes: .*at least 1"),
    "row": ({"classes": [7]}, r"classes\.0: should be a name"),
    "negative file id": (
        minimal(classes=[{"id": 0, "name": "a", "file_id": -1}]),
        r"classes\.0\.file_id: .*greater than or equal to 0",
    ),
    "no colour": (
        minimal(classes=[{"id": 0, "name": "a", "color": "red"}]),
        r"classes\.0\.color: .*#rrggbb",
    ),
    "no number": ({"classes": {"a": "sky"}}, "classes: should be a list"),
    "no id": ({"classes": [{"name": "sky"}]}, r"classes\.0\.id"),
    "ignored class": (minimal(ignore_value=1), r"to be ignored and file_ids.*\[1\]"),
    "ignore": (minimal(ignore_value="none"), r"ignore_values\.0"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_refuses(content: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        Vocabulary.load(content)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match="did you mean 'coco_panoptic'"):
        Vocabulary.load("coco-panoptic")
    with pytest.raises(InputError, match=r"built in are ade20k_panoptic, .*ytvis2022"):
        Vocabulary.load("xyzxyz")


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot be read: No such file"), ("{", "not valid JSON"), ("7", "must be an object")],
)
def test_refuses_file(tmp_path: Path, text: str | None, message: str):
    path = tmp_path / "classes.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        Vocabulary.load(path)
