import gzip
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from plainmask.data.coco_json import (
    Category,
    category_problems,
    category_vocabulary,
    class_of_category,
    read_json,
    repeated,
)
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

CATEGORIES = [Category(7, "cat", color=(1, 2, 3)), Category(3, "sky", isthing=False), Category(5)]


@dataclass(frozen=True)
class Row:
    id: int
    name: str = ""


@dataclass(frozen=True)
class Table:
    rows: tuple[Row, ...]


class TestReading:
    def test_plain_and_gzipped(self, tmp_path: Path):
        content = json.dumps({"rows": [{"id": "3", "other": None}], "info": {}}).encode()
        (tmp_path / "a.json").write_bytes(content)
        (tmp_path / "b.json.gz").write_bytes(gzip.compress(content))
        for name in ("a.json", "b.json.gz"):
            assert read_json(tmp_path / name, Table) == Table((Row(3),))

    def test_all_that_is_wrong_is_listed(self, tmp_path: Path):
        path = tmp_path / "a.json"
        path.write_text(json.dumps({"rows": [{"id": 1}, {"name": "x"}, {"id": "one"}]}))
        with pytest.raises(InputError) as refusal:
            read_json(path, Table)
        assert "rows.1.id: Field required" in str(refusal.value)
        assert "rows.2.id: Input should be a valid integer" in str(refusal.value)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
    def test_no_json(self, tmp_path: Path, content: bytes):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.json: (its contents|Invalid JSON)"):
            read_json(tmp_path / "a.json", Table)

    def test_broken_json_names_the_line(self, tmp_path: Path):
        (tmp_path / "a.json").write_text('{"rows": [\n{"id": 1},\n{"id": 2,}\n]}')
        with pytest.raises(InputError, match=r"Invalid JSON: .* at line 3 column"):
            read_json(tmp_path / "a.json", Table)

    def test_no_file_and_no_gzip(self, tmp_path: Path):
        with pytest.raises(InputError, match=r"a\.json cannot be read"):
            read_json(tmp_path / "a.json", Table)
        (tmp_path / "b.json.gz").write_bytes(b"{}")
        with pytest.raises(InputError, match=r"b\.json\.gz cannot be read"):
            read_json(tmp_path / "b.json.gz", Table)


class TestCategories:
    def test_a_vocabulary_by_ascending_category(self):
        vocabulary = category_vocabulary(CATEGORIES, Path("instances.json"))
        assert vocabulary.names == ("sky", "category_5", "cat")
        assert [entry.file_id for entry in vocabulary.classes] == [3, 5, 7]
        assert vocabulary.stuff_ids == {0}
        assert vocabulary.classes[2].color == (1, 2, 3)

    def test_no_vocabulary(self):
        with pytest.raises(InputError, match="states no categories"):
            category_vocabulary([], Path("instances.json"))
        with pytest.raises(InputError, match=r"instances.json, categories: .*used twice: \['a'\]"):
            category_vocabulary([Category(1, "a"), Category(2, "a")], Path("instances.json"))

    def test_names_decide_over_numbers(self):
        """YouTube-VIS 2019 and 2021 number the same classes differently."""
        vocabulary = Vocabulary.load("ytvis2021")
        file_2019 = [
            Category(entry.file_id, entry.name.replace("_", " ").title())
            for entry in Vocabulary.load("ytvis2019").classes
        ]
        found = class_of_category(file_2019, vocabulary)
        names = {category.id: category.name for category in file_2019}
        assert found
        for category, own in found.items():
            assert vocabulary.names[own].replace("_", " ") == names[category].lower()

    def test_numbers_decide_where_there_is_no_name(self):
        vocabulary = category_vocabulary(CATEGORIES, Path("x"))
        assert class_of_category([Category(7), Category(9)], vocabulary) == {7: 2}
        assert class_of_category([], vocabulary) == {3: 0, 5: 1, 7: 2}

    def test_spelling_helps_where_nothing_else_can_be_meant(self):
        vocabulary = Vocabulary.load({"classes": ["traffic light", "cat", "Dog", "dog"]})
        pairs = {1: "Traffic_light", 2: "cat", 3: "Cat", 4: "DOG", 5: "dog"}
        found = class_of_category([Category(*pair) for pair in pairs.items()], vocabulary)
        assert found == {1: 0, 2: 1, 4: 2, 5: 3}
        found = class_of_category([Category(1, "CAT"), Category(2, "Cat")], vocabulary)
        assert found == {}

    def test_two_categories_never_become_one_class(self):
        vocabulary = Vocabulary.load({"name": "x", "classes": ["cat"]})
        categories = [Category(1, "cat"), Category(2, "cat"), Category(3, "Cat")]
        found = class_of_category(categories, vocabulary)
        problems = category_problems(Counter({3: 1}), found, categories, vocabulary)
        assert problems == [
            "category 3 'Cat' of 1 annotations is no class of the vocabulary 'x' ('cat' is spelt "
            "alike, but other categories are, too)",
            "2 categories are called 'cat'; give each its own name",
        ]

    def test_unknown_categories_are_counted(self):
        vocabulary = category_vocabulary(CATEGORIES, Path("x"))
        categories = [Category(1, "cat"), Category(2, "dog")]
        found = class_of_category(categories, vocabulary)
        (problem,) = category_problems(Counter({1: 3, 2: 4}), found, categories, vocabulary)
        assert problem == "category 2 'dog' of 4 annotations is no class of the vocabulary 'x'"


def test_repeated():
    assert repeated([1, "a", 1, "1"], "id") == ["id 1 occurs 3 times"]
