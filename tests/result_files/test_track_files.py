"""YouTube-VIS results, good and bad."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark_files import write_json, write_youtube_vis
from plainmask.errors import InputError
from plainmask.result_files.youtube_vis import read_track_results, read_track_targets


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


def test_masks_of_results_need_the_size_of_the_video(tmp_path: Path):
    data, _, _ = write_youtube_vis(tmp_path)
    truth = json.loads((data / "valid.json").read_text())
    truth["videos"][0]["width"] = None
    with pytest.raises(InputError, match="video 1 has no width and height"):
        read_track_targets(write_json(data / "valid.json", truth))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"video_id": 77}, "annotation 1 is of video 77"),
        ({"segmentations": []}, "annotation 1 has 0 segmentations, its video 1 4 frames"),
        ({"segmentations": [{"size": [1, 1], "counts": [1]}] * 4}, "annotation 1, frame 0"),
        ({"segmentations": [{"size": [60, 80], "counts": [1]}] * 4}, "frame 0: .* cover 1 pixels"),
        ({"segmentations": None}, "annotation 1 has no segmentations"),
        ({"category_id": 9}, "category 9 '' of 1 annotations is no class"),
        ({"id": 2}, "annotation id 2 occurs 2 times"),
    ],
)
def test_damaged_annotations(tmp_path: Path, changed: dict[str, Any], message: str):
    data, _, _ = write_youtube_vis(tmp_path)
    truth = json.loads((data / "valid.json").read_text())
    truth["annotations"][0] |= changed
    with pytest.raises(InputError, match=message):
        read_track_targets(write_json(data / "valid.json", truth))
