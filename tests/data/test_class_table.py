"""Class tables in the forms that tools and people write."""

import json
from pathlib import Path

import pytest

from plainmask.data.class_table import find_class_table, read_class_table, voc_color
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary


def read(tmp_path: Path, name: str, content: str | bytes):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    path = find_class_table(tmp_path)
    assert path == tmp_path / name
    return read_class_table(path)


def test_labelmap_of_cvat(tmp_path: Path):
    lines = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nfine scratch:250, 50,83::\n"
    table = read(tmp_path, "labelmap.txt", lines)
    assert table.vocabulary.names == ("background", "fine scratch")
    assert [entry.color for entry in table.vocabulary.classes] == [(0, 0, 0), (250, 50, 83)]
    assert table.vocabulary.stuff_ids == {0}
    assert table.vocabulary.ignore_values == (255,)
    assert table.ignored_colors == ((224, 224, 192),)


def test_class_names_of_labelme(tmp_path: Path):
    table = read(tmp_path, "class_names.txt", "__ignore__\n_background_\nscratch\n")
    assert table.vocabulary.names == ("_background_", "scratch")
    assert table.vocabulary.by_file_id == {0: 0, 1: 1}
    assert table.vocabulary.classes[1].color == (128, 0, 0)


@pytest.mark.parametrize(
    ("lines", "by_file_id"),
    [
        ("sky\nroad\n", {0: 0, 1: 1}),
        (b"\xef\xbb\xbfsky\r\nroad\r\n", {0: 0, 1: 1}),
        ("sky\nroad\n".encode("utf-16"), {0: 0, 1: 1}),
        ("0 sky\n7 road\n", {0: 0, 7: 1}),
        ("7: road\n0: sky\n", {0: 0, 7: 1}),
    ],
)
def test_lists_of_names(tmp_path: Path, lines: str | bytes, by_file_id: dict[int, int]):
    vocabulary = read(tmp_path, "classes.txt", lines).vocabulary
    assert vocabulary.names == ("sky", "road")
    assert vocabulary.by_file_id == by_file_id


def test_json_with_colours_that_do_not_count(tmp_path: Path):
    content = {"classes": ["sky"], "ignore_colors": ["#010203", [4, 5, 6]]}
    table = read(tmp_path, "classes.json", json.dumps(content))
    assert table.ignored_colors == ((1, 2, 3), (4, 5, 6))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.json", "{", "is not valid JSON"),
        ("classes.json", '{"classes": ["a"], "ignore_colors": 7}', "is a list of colours, not 7"),
        ("classes.json", '{"classes": ["a"], "ignore_colors": [7]}', r"lists \[R, G, B\] each"),
        ("labelmap.txt", "a:1,2::\n", "the colour of 'a' should be R,G,B, not '1,2'"),
        ("labelmap.txt", "a:1,2,3::\na:1,2,4::\n", "used twice"),
        ("classes.txt", "", "at least 1"),
        ("classes.txt", b"\xff\xff", "line 1, is no UTF-8 text"),
    ],
)
def test_refuses(tmp_path: Path, name: str, content: str | bytes, message: str):
    with pytest.raises(InputError, match=rf"{name}.*{message}"):
        read(tmp_path, name, content)


def test_the_palette_of_voc():
    own = Vocabulary.load("voc")
    assert [voc_color(entry.file_id) for entry in own.classes] == [c.color for c in own.classes]
