"""Official result files in, the figures of the published code out; and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark_files import (
    Benchmark,
    write_davis,
    write_json,
    write_png,
    write_vipseg,
    write_vspw,
    write_youtube_vis,
)
from metric_cases import percent, reference
from plainmask.errors import InputError
from plainmask.evaluation.result_files import evaluate_results


@pytest.mark.parametrize("case", ["random", "crowd", "missing_frames_and_empty_track"])
def test_youtube_vis(tmp_path: Path, case: str):
    data, result, expected = write_youtube_vis(tmp_path, case)
    found = evaluate_results([result], data, "valid")
    for name in ("AP", "AP50", "AP75", "AR1", "AR10"):
        assert found.figures[name] == percent(expected["stats"][name])
    assert list(found.per_class.values()) == [
        percent(value) for value in expected["AP_per_category_id_order"]
    ]
    assert found.count == len(expected["input"]["videos_T_H_W"])
    assert 0 <= found.figures["IDF1"] <= 100
    assert "per class: AP" in found.protocol


@pytest.mark.parametrize("case", ["three_random_videos", "crowd", "thing_listed_first"])
def test_vipseg(tmp_path: Path, case: str):
    data, result, expected = write_vipseg(tmp_path, case)
    calls: list[tuple[int, int]] = []
    found = evaluate_results([result], data, on_progress=lambda *call: calls.append(call))
    figures = found.figures
    for length in (1, 2, 4, 6, 8):
        for group, suffix in (("all", ""), ("things", "_th"), ("stuff", "_st")):
            value = expected["vpq"][str(length)][group]["pq"]
            assert figures[f"VPQ_{length}{suffix}"] == percent(value)
    assert figures["VPQ"] == pytest.approx(expected["vpq_mean_windows_1_2_4_6_8"], abs=1e-7)
    assert figures["STQ_published"] == percent(expected["stq"]["STQ"])
    assert found.count == len(expected["videos"])
    assert calls[-1][0] == calls[-1][1] == len(calls)


@pytest.mark.parametrize("case", ["mixed_lengths", "all_void_frame"])
def test_vspw(tmp_path: Path, case: str):
    data, result, expected = write_vspw(tmp_path, case)
    found = evaluate_results([result], data, "val")
    assert found.figures["mIoU"] == percent(expected["mIoU"])
    assert found.figures["mVC8"] == percent(expected["VC8_own_windows_only"])
    assert found.figures["mVC16"] == percent(expected["VC16_own_windows_only"])
    printed = expected["VC16_as_printed_by_published_script"]
    assert found.figures["mVC16_published"] == percent(printed)
    assert len(found.per_class) == 124


def test_davis(tmp_path: Path):
    table, arrays = reference("jf_multi")
    data, result, _ = write_davis(tmp_path, {"v": arrays["gt"]}, {"v": arrays["result"]})
    found = evaluate_results([result], data)
    assert found.figures["J&F"] == percent(table["semi-supervised"]["JF_mean"])
    assert found.figures["J"] == percent(table["semi-supervised"]["J_mean"])
    assert set(found.per_object) == {"v/1", "v/2", "v/3"}
    assert json.loads(json.dumps(found.to_json()))["per_object"] == found.per_object
    found = evaluate_results([result], data, unsupervised=True)
    assert found.figures["F"] == percent(table["unsupervised"]["F_mean"])


def test_davis_of_one_object(tmp_path: Path):
    _, arrays = reference("jf_single")
    target = arrays["gt"]
    data, result, _ = write_davis(tmp_path, {"v": target * np.uint8(255)}, {"v": target})
    assert evaluate_results([result], data).figures["J&F"] == 100


def test_a_result_in_several_files(tmp_path: Path):
    data, result, expected = write_youtube_vis(tmp_path)
    rows = json.loads(result.read_text())
    parts = [
        write_json(tmp_path / f"part{index}.json", part)
        for index, part in enumerate((rows[:30], rows[30:]))
    ]
    found = evaluate_results(parts, data / "valid.json")  # or the annotation file itself
    assert found.figures["AP"] == percent(expected["stats"]["AP"])


def test_lists_of_short_and_long_videos(tmp_path: Path):
    data, result, expected = write_youtube_vis(tmp_path)
    truth = json.loads((data / "valid.json").read_text())
    whole = evaluate_results([result], data).figures["AP"]
    for name, wanted in (("short", {1, 2, 3}), ("long", {4})):
        part = truth | {
            "videos": [video for video in truth["videos"] if video["id"] in wanted],
            "annotations": [row for row in truth["annotations"] if row["video_id"] in wanted],
        }
        write_json(data / f"gt_{name}.json", part)
    figures = evaluate_results([result], data, "valid").figures
    assert whole == percent(expected["stats"]["AP"])
    assert figures["AP"] == pytest.approx((figures["AP_short"] + figures["AP_long"]) / 2)
    assert figures["AP"] != pytest.approx(whole)


def test_nothing_found(tmp_path: Path):
    data, result, _ = write_youtube_vis(tmp_path)
    result.write_text("[]")
    figures = evaluate_results([result], data).figures
    assert figures["AP"] == figures["AR10"] == figures["IDF1"] == 0


@pytest.mark.parametrize("place", ["result", "result/pred.json", "result/pan_pred"])
def test_a_panoptic_result_by_any_of_its_parts(tmp_path: Path, place: str):
    data, _, expected = write_vipseg(tmp_path, "id_switch")
    found = evaluate_results([tmp_path / place], data)
    assert found.figures["VPQ"] == pytest.approx(expected["vpq_mean_windows_1_2_4_6_8"])


WRITERS: list[Callable[[Path], Benchmark]] = [write_youtube_vis, write_vipseg, write_vspw]


@pytest.mark.parametrize("write", WRITERS)
def test_a_missing_split_is_named(tmp_path: Path, write: Callable[[Path], Benchmark]):
    data, result, _ = write(tmp_path)
    with pytest.raises(InputError, match=r"looked for as .*nonsense"):
        evaluate_results([result], data, "nonsense")


def test_refuses(tmp_path: Path):
    data, result, _ = write_vspw(tmp_path / "vspw")
    with pytest.raises(InputError, match="no result file"):
        evaluate_results([], data)
    with pytest.raises(InputError, match="nowhere is not there"):
        evaluate_results([tmp_path / "nowhere"], data)
    with pytest.raises(InputError, match="nowhere is not there"):
        evaluate_results([result], tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"val\.txt is no JSON file; results are a JSON list"):
        evaluate_results([data / "val.txt"], data)
    with pytest.raises(InputError, match=r"one folder of VIDEO/FRAME\.png, not "):
        evaluate_results([result, data], data)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty has no annotation that .*result could belong to"):
        evaluate_results([result], tmp_path / "empty")


def test_the_name_of_a_file_with_too_many_objects(tmp_path: Path):
    _, arrays = reference("jf_single")
    data, result, _ = write_davis(tmp_path, {"v": arrays["gt"]}, {"v": arrays["result"]})
    write_png(result / "v/00003.png", np.full(arrays["gt"].shape[1:], 9, np.uint8))
    with pytest.raises(InputError, match=r"00003\.png: a result of .* holds the object 9"):
        evaluate_results([result], data)
