import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from benchmark_files import uncompressed
from plainmask.data.coco_masks import (
    Outline,
    decode_mask,
    has_outline,
    is_absent,
    read_outlines,
    read_rle,
)
from plainmask.errors import InputError
from plainmask.results.rle import Rle

SQUARE = [1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]


def random_mask(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    size = random.integers(1, 60, 2)
    return random.random(size) < random.random() ** 3


class TestForms:
    @pytest.mark.parametrize("seed", range(30))
    def test_run_lengths_of_both_kinds(self, seed: int):
        mask = random_mask(seed)
        for form in (Rle.encode(mask).to_coco(), uncompressed(mask)):
            assert read_rle(form, mask.shape) == Rle.encode(mask)
            decoded = decode_mask(form, mask.shape)
            np.testing.assert_array_equal(decoded, mask)
            assert decoded.dtype == np.bool_

    def test_long_runs(self):
        mask = np.zeros((3000, 4000), bool)
        mask[1000:2990, 7:3990] = True
        for form in (Rle.encode(mask).to_coco(), uncompressed(mask)):
            assert read_rle(form, (3000, 4000)) == Rle.encode(mask)

    def test_polygons_as_coco_draws_them(self):
        triangle = [5.5, 2.0, 9.0, 8.3, 2.0, 8.0]
        for polygons in ([SQUARE], [SQUARE, triangle]):
            expected = coco.decode(coco.merge(coco.frPyObjects(polygons, 10, 12)))
            np.testing.assert_array_equal(decode_mask(polygons, (10, 12)), expected.astype(bool))
        assert decode_mask([SQUARE], (10, 12)).sum() == 6
        np.testing.assert_array_equal(decode_mask(SQUARE, (9, 9)), decode_mask([SQUARE], (9, 9)))

    def test_points_may_be_pairs(self):
        pairs = np.reshape(SQUARE, (-1, 2)).tolist()
        for form in (pairs, [pairs], [pairs, SQUARE]):
            np.testing.assert_array_equal(decode_mask(form, (9, 9)), decode_mask([SQUARE], (9, 9)))

    @pytest.mark.parametrize(
        ("form", "has"),
        [
            (None, False),
            ([], False),
            ({}, False),
            ("", False),
            ([[1, 1, 9, 9]], False),
            ([1, 1, 9, 9], False),
            ([[1, 1], [9, 9]], False),
            ({"size": [9, 9], "counts": [81]}, False),
            ({"size": [9, 9], "counts": [81, 0]}, False),
            (Rle.encode(np.zeros((9, 9), bool)).to_coco(), False),
            (Rle.encode(np.ones((9, 9), bool)).to_coco(), True),
            ({"size": [9, 9], "counts": [80, 1]}, True),
            ([[1, 1], [9, 9], [1, 9]], True),
            ([[], SQUARE], True),
            ("what decoding refuses", True),
        ],
    )
    def test_whether_there_is_an_outline(self, form, has: bool):
        assert has_outline(form) == has

    def test_malformed_polygons_are_left_out(self):
        for polygons in ([[1, 1, 2]], [[1, 1, 4, 4]], [[1, 1, 4, 1, 4, 4, 1]], [[]]):
            assert not decode_mask(polygons, (9, 9)).any()
            both = decode_mask([*polygons, SQUARE], (9, 9))
            np.testing.assert_array_equal(both, decode_mask([SQUARE], (9, 9)))

    def test_polygons_reach_out_of_the_picture(self):
        assert decode_mask([[-9, -9, 99, -9, 99, 99, -9, 99]], (5, 7)).all()
        assert decode_mask([[-1e30, -5, 1e30, -5, 1e30, 1e30, -1e30, 1e30]], (5, 7)).all()

    @pytest.mark.parametrize(
        "form", [None, [], {}, {"size": [3, 4], "counts": []}, {"size": [3, 4], "counts": ""}]
    )
    def test_absent(self, form):
        assert is_absent(form)
        assert read_rle(form, (3, 4)) is None
        assert not decode_mask(form, (3, 4)).any()


class TestDamage:
    @pytest.mark.parametrize(
        ("form", "reason"),
        [
            (
                {"size": [4, 3], "counts": [12]},
                r"for a size of \(4, 3\), the picture's is \(3, 4\)",
            ),
            ({"counts": [12]}, r"need a size \[height, width\], not None"),
            ({"size": "big", "counts": [12]}, "need a size"),
            ({"size": [3, 4], "counts": [5, 6]}, "cover 11 pixels of 12"),
            ({"size": [3, 4], "counts": [20, -8]}, "damaged"),
            ({"size": [3, 4], "counts": ["many"]}, "whole numbers"),
            ({"size": [3, 4], "counts": [[12]]}, "damaged"),
            ({"size": [3, 4], "counts": [10**30]}, "whole numbers"),
            ({"size": [3, 4], "counts": "5"}, "cover 5 pixels of 12"),
            ({"size": [3, 4], "counts": "oooo"}, "end in the middle of a number"),
            ({"size": [3, 4], "counts": "<é"}, "hold the character 'é'"),
            ({"size": [3, 4], "counts": "0ooooooooo0"}, "a number that is too large"),
            ({"size": [3, 4], "counts": 7}, "a text or a list, not int"),
            ("<", "polygons or run lengths, not str"),
            ([["a"] * 6], "list of numbers"),
            ([[float("nan")] * 6], "finite numbers"),
            ([[[1, 2], [3, 4], [5, [6, 7]]]], "list of numbers"),
            ([[[[1, 2], [3, 4], [5, 6]]]], "flat list"),
            ([[10**400] * 6], "list of numbers"),
        ],
    )
    def test_it_is_named(self, form, reason: str):
        with pytest.raises(InputError, match=reason):
            decode_mask(form, (3, 4))

    @pytest.mark.parametrize("seed", range(40))
    def test_cut_texts_never_give_a_mask(self, seed: int):
        random = np.random.default_rng(seed)
        mask = random.random((20, 30)) < 0.5
        counts = Rle.encode(mask).counts
        cut = counts[: random.integers(1, len(counts))]
        with pytest.raises(InputError):
            decode_mask({"size": [20, 30], "counts": cut}, (20, 30))


class TestPictures:
    @pytest.fixture
    def image_path(self, tmp_path):
        Image.new("RGB", (12, 10)).save(tmp_path / "a.png")
        return tmp_path / "a.png"

    def test_objects_may_overlap_and_empty_ones_are_left_out(self, image_path):
        outlines = [
            Outline([SQUARE], 3, False, 10),
            Outline([[1, 1, 2]], 4, False, 11),
            Outline([SQUARE], 5, True, 12),
        ]
        segments = read_outlines(outlines, (10, 12), image_path)
        assert segments.class_ids.tolist() == [3, 5]
        assert segments.crowd.tolist() == [False, True]
        assert segments.track_ids.tolist() == [10, 12]
        assert segments.masks().sum((1, 2)).tolist() == [6, 6]

    @pytest.mark.parametrize(
        ("polygon", "reason"),
        [
            ([1, 1, 2, 2], "a polygon of 4 numbers is none: it takes three points"),
            ([1, 1, 4, 1, 4, 4, 1], "a polygon of 7 numbers"),
            ([50, 50, 60, 50, 60, 60], "it has no pixels; delete it"),
        ],
    )
    def test_strictly_nothing_is_left_out(self, image_path, polygon, reason: str):
        outlines = [Outline([polygon], 4, False, 11, number="x6")]
        assert len(read_outlines(outlines, None, image_path)) == 0
        with pytest.raises(InputError, match=rf"annotation x6: {reason}"):
            read_outlines(outlines, None, image_path, strict=True)

    def test_no_objects(self, image_path):
        segments = read_outlines([], None, image_path)
        assert (len(segments), segments.size) == (0, (10, 12))

    def test_sizes_must_agree(self, image_path):
        with pytest.raises(InputError, match=r"a\.png is \(10, 12\).*made for \(20, 24\)"):
            read_outlines([], (20, 24), image_path)

    def test_damage_names_the_object(self, image_path):
        with pytest.raises(InputError, match=r"a\.png, object 1 of it: .*damaged"):
            read_outlines(
                [Outline({"size": [10, 12], "counts": [1]}, 0, False, 7)], None, image_path
            )
