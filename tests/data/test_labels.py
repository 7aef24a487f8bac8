import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.data.class_table import read_class_table
from plainmask.data.label_folder import read_label_folder
from plainmask.data.labels import LabelTable, pack, read_semantic_label
from plainmask.errors import InputError
from plainmask.pictures.images import label_form
from plainmask.vocabulary import Vocabulary

RED, BLUE, GREY = (255, 0, 0), (0, 0, 250), (9, 9, 9)
CLASSES = [
    {"id": 0, "name": "wall", "file_id": 0, "color": RED},
    {"id": 1, "name": "door", "file_id": 255, "color": BLUE},
]


def table(*ignored: tuple[int, int, int]) -> LabelTable:
    return LabelTable.of(Vocabulary.load({"classes": CLASSES}), ignored)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.jpg")
    return tmp_path / "a.jpg"


def label(image: Path, values, mode: str | None = None) -> Path:
    picture = Image.fromarray(np.array(values, np.uint8))
    picture.convert(mode or picture.mode).save(image.with_suffix(".png"))
    return image.with_suffix(".png")


class TestColours:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_by_exact_match(self, image: Path, mode: str):
        path = label(image, [[BLUE, RED], [GREY, BLUE]], mode)
        segments = read_semantic_label(path, image, table(GREY))
        assert segments.class_ids.tolist() == [0, 1]
        assert segments.index_map.tolist() == [[1, 0], [-1, 1]]

    def test_unknown_ones(self, image: Path):
        path = label(image, [[BLUE, RED], [(0, 0, 251), (0, 0, 251)]])
        with pytest.raises(InputError, match=r"label colour \(0, 0, 251\) \(2 pixels\) is neither"):
            read_semantic_label(path, image, table())

    def test_grey_saved_as_colour(self, image: Path):
        path = label(image, [[0, 255], [0, 0]], "RGB")
        with pytest.raises(InputError, match=r"are grey: .* save it with one channel"):
            read_semantic_label(path, image, table())

    def test_transparency(self, image: Path):
        path = label(image, [[(*RED, 0), (*RED, 255)]] * 2)
        with pytest.raises(InputError, match="is transparent in places"):
            read_semantic_label(path, image, table())

    def test_classes_of_one_colour_cannot_be_told_apart(self, image: Path):
        one_color = [{**entry, "color": RED} for entry in CLASSES]
        unclear = LabelTable.of(Vocabulary.load({"classes": one_color}))
        assert unclear.colors is None
        with pytest.raises(InputError, match="has mode RGB; a label needs one channel"):
            read_semantic_label(label(image, [[RED, RED]] * 2), image, unclear)

    def test_from_the_class_table_of_a_folder(self, tmp_path: Path):
        for name, values in (("images", [[BLUE, GREY]]), ("labels", [[BLUE, GREY]])):
            (tmp_path / name).mkdir()
            Image.fromarray(np.array(values, np.uint8)).save(tmp_path / name / "a.png")
        content = {"classes": CLASSES, "ignore_colors": [GREY]}
        (tmp_path / "classes.json").write_text(json.dumps(content))
        (record,) = read_label_folder(tmp_path)
        assert record.annotation().index_map.tolist() == [[0, -1]]
        (tmp_path / "classes.json").write_text(json.dumps(content | {"ignore_colors": [7]}))
        with pytest.raises(InputError, match=r"classes\.json: ignore_colors lists \[R, G, B\]"):
            read_class_table(tmp_path / "classes.json")


def sorted_anew(image: Path, values, palette: list[tuple[int, int, int]]) -> Path:
    """A palette file whose colours stand at other numbers."""
    picture = Image.fromarray(np.array(values, np.uint8))
    picture.putpalette([channel for color in palette for channel in color])
    picture.save(image.with_suffix(".png"))
    return image.with_suffix(".png")


class TestPalettes:
    TABLE = LabelTable.of(
        Vocabulary.load(
            {
                "ignore_value": 255,
                "classes": [
                    {"id": 0, "name": "none", "color": [0, 0, 0]},
                    {"id": 1, "name": "red", "color": RED},
                    {"id": 2, "name": "blue", "color": BLUE},
                ],
            }
        ),
        (GREY,),
    )

    @pytest.mark.parametrize(
        ("values", "palette", "classes"),
        [
            ([[0, 1]], [RED, (0, 0, 0)], [[1, 0]]),
            ([[0, 0]], [RED, (0, 0, 0)], [[1, 1]]),
            ([[0, 1], [2, 3]], [GREY, BLUE, RED, (0, 0, 0)], [[-1, 2], [1, 0]]),
            ([[0, 1], [2, 2]], [(0, 0, 0), BLUE, RED], [[0, 2], [1, 1]]),
            ([[255, 7]], [(9, 0, 0)] * 7 + [RED] + [(0, 0, 0)] * 248, [[0, 1]]),
        ],
    )
    def test_sorted_anew_colours_decide(self, image: Path, values, palette, classes):
        path = sorted_anew(image, values, palette)
        Image.new("RGB", (2, len(values))).save(image)
        segments = read_semantic_label(path, image, self.TABLE)
        found = np.append(segments.class_ids, -1)[segments.index_map]
        assert found.tolist() == classes

    @pytest.mark.parametrize(
        "palette",
        [
            [(0, 0, 0), RED, BLUE, *[(1, 1, 1)] * 253],
            [(0, 0, 0), (0, 128, 0), (128, 128, 0), *[(1, 1, 1)] * 253],  # of another tool
            [(0, 0, 0), RED, *[(1, 2, 3)] * 254],
            [(7, 7, 7)] * 256,
            [(0, 0, 0), RED, BLUE, *[(0, 0, 0)] * 253],  # filled up with black
        ],
    )
    def test_else_numbers_do(self, image: Path, palette):
        path = sorted_anew(image, [[0, 1], [2, 255]], palette)
        segments = read_semantic_label(path, image, self.TABLE)
        assert segments.index_map.tolist() == [[0, 1], [2, -1]]

    def test_what_disagrees_is_refused(self, image: Path):
        path = sorted_anew(image, [[0, 1], [2, 2]], [(0, 0, 0), BLUE, (1, 2, 3)])
        with pytest.raises(InputError, match=r"the number 1 the colour \(0, 0, 250\).*disagree"):
            read_semantic_label(path, image, self.TABLE)


class TestNumbers:
    def test_white_of_one_bit_is_255_where_that_is_meant(self, image: Path):
        path = label(image, [[0, 255], [0, 0]], "1")
        assert read_semantic_label(path, image, table()).index_map.tolist() == [[0, 1], [0, 0]]
        both = LabelTable({0: 0, 1: 1, 255: -1})
        assert read_semantic_label(path, image, both).index_map.tolist() == [[0, 1], [0, 0]]

    def test_a_turned_label_is_refused_strictly_or_not(self, image: Path):
        Image.new("RGB", (3, 2)).save(image)
        path = label(image, [[0, 255], [0, 0], [0, 0]])
        for strict in (False, True):
            with pytest.raises(InputError, match="lies on its side"):
                read_semantic_label(path, image, table(), strict=strict)

    def test_masks_of_0_and_255(self, image: Path):
        segments = read_semantic_label(label(image, [[0, 255], [0, 0]]), image, table())
        assert segments.index_map.tolist() == [[0, 1], [0, 0]]

    def test_a_palette_file_holds_indices(self, image: Path):
        picture = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8))
        picture.putpalette([7] * 768)
        picture.save(image.with_suffix(".png"))
        assert not label_form(image.with_suffix(".png")).colors
        segments = read_semantic_label(image.with_suffix(".png"), image, table())
        assert segments.index_map.tolist() == [[0, 1], [1, 0]]

    def test_sixteen_bits(self, image: Path):
        path = image.with_suffix(".png")
        Image.fromarray(np.array([[300, 7], [7, 300]], np.uint16)).save(path)
        segments = read_semantic_label(path, image, {300: 1, 7: 0})
        assert segments.index_map.tolist() == [[1, 0], [0, 1]]


def test_packed_like_panoptic_ids():
    assert pack((1, 2, 3)) == 1 + 2 * 256 + 3 * 65536
