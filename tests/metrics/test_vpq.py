"""Video panoptic quality against the published script, and what a window is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metric_cases import Classes, golden_panoptic, percent, reference, video_metrics
from plainmask.errors import InputError
from plainmask.metrics.panoptic_map import PanopticMap, PanopticSegment
from plainmask.metrics.stq import SegmentationTrackingQuality
from plainmask.metrics.vpq import WINDOWS, VideoPanopticQuality

GROUPS = (("all", ""), ("things", "_th"), ("stuff", "_st"))
CLASSES = Classes([(0, False), (1, True)])


@pytest.mark.parametrize("case", video_metrics()[0]["panoptic"])
def test_published(case: str):
    expected = video_metrics()[0]["panoptic"][case]
    classes, frames = golden_panoptic(case)
    metric = VideoPanopticQuality(classes.vocabulary)
    for result, target, video in frames:
        metric.update(result, target, video=video)
    figures = metric.figures()
    for length in WINDOWS:
        check_window(metric, length, expected["vpq"][str(length)], classes)
    for name, key in (("VPQ", "windows_1_2_4_6_8"), ("VPQ_1_2_4_6", "windows_1_2_4_6")):
        mean = expected[f"vpq_mean_{key}"]
        assert figures[name] == (None if mean is None else pytest.approx(mean, abs=1e-7))


def check_window(
    metric: VideoPanopticQuality, length: int, expected: dict[str, dict], classes: Classes
):
    tally, figures = metric.windows[length], metric.figures()
    for group, suffix in GROUPS:
        qualities = expected[group] or dict.fromkeys(("pq", "sq", "rq"))
        assert figures[f"VPQ_{length}{suffix}"] == percent(qualities["pq"])
        for name in ("pq", "sq", "rq"):
            assert tally.figures()[name.upper() + suffix] == percent(qualities[name])
    for category, (iou_sum, *counts) in expected["per_category"].items():
        index = classes.of_category[int(category)]
        assert [tally.matched[index], tally.false[index], tally.missed[index]] == counts
        assert tally.iou_sum[index] == pytest.approx(iou_sum, abs=1e-9)


@pytest.mark.parametrize("case", ["plain", "switch"])
def test_official(case: str):
    table, arrays = reference(f"vpq_stq_{case}")
    classes = Classes((entry["id"], bool(entry["isthing"])) for entry in table["categories"])
    metric = VideoPanopticQuality(classes.vocabulary)
    for truths, found in zip(table["gt_annotations"], table["pred_annotations"], strict=True):
        video = truths["video_id"]
        targets, results = arrays[f"{video}_gt"], arrays[f"{video}_pred"]
        for index, truth in enumerate(truths["annotations"]):
            infos = found["annotations"][index]["segments_info"]
            metric.update(
                PanopticMap.from_ids(results[index], classes.segments(infos)),
                PanopticMap.from_ids(
                    targets[index], classes.segments(truth["segments_info"], areas=True)
                ),
                video=video,
            )
    figures = metric.figures()
    expected = table["expected"]
    for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st")):
        assert figures["VPQ" + suffix] == percent(expected["VPQ_mean"][group])
        for length in WINDOWS:
            assert figures[f"VPQ_{length}{suffix}"] == percent(
                expected["VPQ"][str(length)][group]["pq"]
            )


def frame(ids: list[list[int]] | np.ndarray, classes: dict[int, int]) -> PanopticMap:
    id_map = np.array(ids)
    return PanopticMap.from_ids(
        id_map, [PanopticSegment(int(key), classes[int(key)]) for key in np.unique(id_map) if key]
    )


PICTURE = [[1, 1, 1], [2, 2, 0]]


def random_video(seed: int) -> tuple[np.ndarray, dict[int, int]]:
    rng = np.random.default_rng(seed)
    classes = {key: int(rng.integers(0, 2)) for key in range(1, 7)}
    return rng.integers(0, 7, (5, 6, 6)), classes


@given(st.integers(0, 2**32 - 1), st.permutations(range(1, 7)))
@settings(max_examples=20)
def test_numbering_does_not_matter(seed: int, order: list[int]):
    (targets, classes), (results, _) = random_video(seed), random_video(seed + 1)
    renumbered = np.array([0, *order])
    moved = {int(renumbered[key]): class_id for key, class_id in classes.items()}
    pair = [VideoPanopticQuality(CLASSES.vocabulary, windows=(1, 3)) for _ in range(2)]
    tracking = [SegmentationTrackingQuality(CLASSES.vocabulary) for _ in range(2)]
    for target, result in zip(targets, results, strict=True):
        found = frame(result, classes), frame(renumbered[result], moved)
        for metric, one in zip([*pair, *tracking], [*found, *found], strict=True):
            metric.update(one, frame(target, classes), video="a")
    one, other = (metric.figures() for metric in pair)
    assert one.pop("per_class") == pytest.approx(other.pop("per_class"))
    assert one == pytest.approx(other)
    one, other = (metric.figures() for metric in tracking)
    assert one["STQ"] == pytest.approx(other["STQ"])
    assert one["AQ_published"] == pytest.approx(other["AQ_published"])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_the_target_itself_is_perfect(seed: int):
    targets, classes = random_video(seed)
    metric = VideoPanopticQuality(CLASSES.vocabulary, windows=(1, 2, 4))
    tracking = SegmentationTrackingQuality(CLASSES.vocabulary)
    for target in targets:
        same = frame(target, classes)
        metric.update(same, same, video="a")
        tracking.update(same, same, video="a")
    assert metric.figures()["VPQ"] == 100
    assert tracking.figures()["STQ"] in (None, pytest.approx(100))


def test_a_window_longer_than_the_video():
    metric = VideoPanopticQuality(CLASSES.vocabulary)
    same = frame(PICTURE, {1: 0, 2: 1})
    for video in "ab":  # windows never reach over the end of a video
        for _ in range(3):
            metric.update(same, same, video=video)
    figures = metric.figures()
    assert figures["VPQ_1"] == figures["VPQ_2"] == 100
    assert figures["VPQ_4"] is figures["VPQ_8"] is figures["VPQ"] is None
    assert metric.windows[2].matched.tolist() == [4, 4]
    assert figures["per_class"] == {"0": 100, "1": 100}


def test_own_windows():
    metric = VideoPanopticQuality(CLASSES.vocabulary, windows=(1, 3))
    same = frame(PICTURE, {1: 0, 2: 1})
    for _ in range(3):
        metric.update(same, same, video="a")
    figures = metric.figures()
    assert figures["VPQ"] == figures["VPQ_3"] == 100
    assert "VPQ_1_2_4_6" not in figures


def test_a_switch_hurts_only_windows_that_see_it():
    metric = VideoPanopticQuality(CLASSES.vocabulary)
    target = frame(PICTURE, {1: 0, 2: 1})
    for index in range(9):
        other = 2 if index < 5 else 3
        metric.update(frame([[1, 1, 1], [other, other, 0]], {1: 0, other: 1}), target, video="a")
    figures = metric.figures()
    assert figures["VPQ_1"] == 100
    assert figures["VPQ_2_st"] == 100
    assert 100 > figures["VPQ_2_th"] > figures["VPQ_4_th"] > figures["VPQ_8_th"]
    assert figures["per_class"]["0"] == 100


def test_no_pixels_are_kept():
    metric = VideoPanopticQuality(CLASSES.vocabulary)
    large = frame([[1] * 300] * 200, {1: 0})
    for _ in range(20):
        metric.update(large, large, video="a")
    assert sum(overlap.pixels.size for overlap in metric._recent.at("a")) == 8 * 4


def test_a_video_cannot_come_back():
    metric = VideoPanopticQuality(CLASSES.vocabulary)
    same = frame(PICTURE, {1: 0, 2: 1})
    metric.update(same, same, video="a")
    metric.update(same, same, video="b")
    with pytest.raises(InputError, match="'a' come again after frames of 'b'"):
        metric.update(same, same, video="a")
