"""YouTube-VIS results, good and bad, and the masks in them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark_files import uncompressed, write_json, write_youtube_vis
from plainmask.errors import InputError
from plainmask.result_files.rles import read_rle
from plainmask.result_files.youtube_vis import read_track_results, read_track_targets
from plainmask.results.rle import Rle


def masks(most: int) -> st.SearchStrategy[np.ndarray]:
    sizes = st.tuples(st.integers(1, most), st.integers(1, most))
    return sizes.flatmap(
        lambda size: st.integers(0, 2**32 - 1).map(
            lambda seed: np.random.default_rng(seed).random(size) < seed % 7 / 6
        )
    )


@given(masks(40))
@settings(max_examples=60, deadline=None)
def test_run_lengths_of_both_forms_are_read(mask: np.ndarray):
    size = mask.shape
    expected = Rle.encode(mask)
    assert read_rle(expected.to_coco(), size) == expected
    assert read_rle(uncompressed(mask), size) == expected


def test_long_runs():
    mask = np.zeros((3000, 4000), bool)
    mask[1000:2990, 7:3990] = True
    assert read_rle(Rle.encode(mask).to_coco(), (3000, 4000)) == Rle.encode(mask)


def test_polygons_and_what_is_absent():
    for absent in (None, [], {"size": [4, 4], "counts": ""}):
        assert read_rle(absent, (4, 4)) is None
    square = read_rle([[0, 0, 2, 0, 2, 2, 0, 2]], (4, 4))
    assert square is not None
    assert square.area == 4


SIZE = [4, 6]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"size": [4, 7], "counts": "0h0"}, r"size of \(4, 7\), the picture's is \(4, 6\)"),
        ({"size": SIZE, "counts": [10, 10]}, "cover 20 pixels of 24"),
        ({"size": SIZE, "counts": [-1, 25]}, "damaged"),
        ({"size": SIZE, "counts": "0é"}, "hold the character 'é'"),
        ({"size": SIZE, "counts": "0h"}, "end in the middle of a number"),
        ({"size": SIZE, "counts": "0ooooooooo0"}, "a number that is too large"),
        ({"size": SIZE, "counts": "000"}, "cover 0 pixels of 24"),
        ({"size": SIZE, "counts": 7}, "a text or a list, not int"),
        ({"size": SIZE, "counts": ["a"]}, "must be whole numbers"),
        ({"counts": "0h0"}, "need a size"),
        (7, "polygons or run lengths, not int"),
    ],
)
def test_damaged_masks(form: Any, message: str):
    with pytest.raises(InputError, match=message):
        read_rle(form, (4, 6))


def test_reads(tmp_path: Path):
    data, result, expected = write_youtube_vis(tmp_path)
    targets = read_track_targets(data / "valid.json")
    assert targets.vocabulary.names == ("c1", "c2", "c3")
    assert [shape.frames for shape in targets.videos.values()] == [
        frames for frames, *_ in expected["input"]["videos_T_H_W"]
    ]
    tracks = read_track_results([result], [targets])
    assert sum(map(len, tracks.values())) == len(json.loads(result.read_text()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video_id": 77}, "entry 1 is of video 77, which is unknown"),
        ({"category_id": 9}, "entry 1 is of category 9; there are 1, 2, 3"),
        ({"segmentations": [None]}, "entry 1 has 1 segmentations, its video 1 4 frames"),
        ({"score": "NaN"}, "entry 1 has the score nan"),
        ({"score": None}, r"1\.score: Input should be a valid number"),
        (
            {"segmentations": [{"size": [1, 1], "counts": "1"}, None, None, None]},
            r"entry 1, frame 0: its run lengths are for a size of \(1, 1\)",
        ),
    ],
)
def test_results_that_do_not_fit(tmp_path: Path, change: dict[str, Any], message: str):
    data, result, _ = write_youtube_vis(tmp_path)
    rows = json.loads(result.read_text())
    rows[1] |= change
    write_json(result, rows)
    with pytest.raises(InputError, match=message):
        read_track_results([result], [read_track_targets(data / "valid.json")])


def test_all_problems_are_in_one_error(tmp_path: Path):
    data, result, _ = write_youtube_vis(tmp_path)
    rows = json.loads(result.read_text())
    rows[0]["category_id"], rows[1]["video_id"] = 9, 77
    write_json(result, rows)
    with pytest.raises(InputError) as error:
        read_track_results([result], [read_track_targets(data / "valid.json")])
    assert "category 9" in str(error.value)
    assert "video 77" in str(error.value)
    assert str(result) in str(error.value)


def test_results_of_another_form(tmp_path: Path):
    data, result, _ = write_youtube_vis(tmp_path)
    targets = [read_track_targets(data / "valid.json")]
    write_json(result, {"annotations": []})
    with pytest.raises(InputError, match="not those of a file of this kind"):
        read_track_results([result], targets)
    write_json(result, [{"image_id": 1, "category_id": 1, "score": 1.0, "segmentation": {}}])
    with pytest.raises(InputError, match=r"0\.video_id: Field required"):
        read_track_results([result], targets)


def test_an_annotation_that_is_kept_by_the_server(tmp_path: Path):
    data, _, _ = write_youtube_vis(tmp_path)
    truth = json.loads((data / "valid.json").read_text()) | {"annotations": None}
    with pytest.raises(InputError, match="holds no annotations, as those of published test splits"):
        read_track_targets(write_json(data / "valid.json", truth))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"video_id": 77}, "annotation 1 is of video 77"),
        ({"segmentations": []}, "annotation 1 has 0 segmentations, its video 1 4 frames"),
        ({"segmentations": [{"size": [1, 1], "counts": [1]}] * 4}, "annotation 1, frame 0"),
    ],
)
def test_damaged_annotations(tmp_path: Path, changed: dict[str, Any], message: str):
    data, _, _ = write_youtube_vis(tmp_path)
    truth = json.loads((data / "valid.json").read_text())
    truth["annotations"][0] |= changed
    with pytest.raises(InputError, match=message):
        read_track_targets(write_json(data / "valid.json", truth))
