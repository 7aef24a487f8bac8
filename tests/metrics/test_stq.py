"""STQ in its two readings against the published script and by hand."""

import math

import numpy as np
import pytest

from metric_cases import Classes, golden_panoptic, percent, reference, video_metrics
from plainmask.errors import InputError
from plainmask.metrics.panoptic_map import PanopticMap, PanopticSegment
from plainmask.metrics.stq import SegmentationTrackingQuality

CLASSES = Classes([(0, False), (1, True), (2, True)])


@pytest.mark.parametrize("case", video_metrics()[0]["panoptic"])
def test_published(case: str):
    expected = video_metrics()[0]["panoptic"][case]["stq"]
    classes, frames = golden_panoptic(case)
    metric = SegmentationTrackingQuality(classes.vocabulary)
    for result, target, video in frames:
        metric.update(result, target, video=video)
    figures = metric.figures()
    assert figures["STQ_published"] == percent(expected["STQ"])
    assert figures["AQ_published"] == percent(expected["AQ"])
    assert figures["SQ_published"] == percent(expected["IoU"])


@pytest.mark.parametrize("case", ["plain", "switch"])
def test_official(case: str):
    table, arrays = reference(f"vpq_stq_{case}")
    classes = Classes((entry["id"], bool(entry["isthing"])) for entry in table["categories"])
    metric = SegmentationTrackingQuality(classes.vocabulary)
    for truths, found in zip(table["gt_annotations"], table["pred_annotations"], strict=True):
        video = truths["video_id"]
        for index, truth in enumerate(truths["annotations"]):
            infos = found["annotations"][index]["segments_info"]
            metric.update(
                PanopticMap.from_ids(arrays[f"{video}_pred"][index], classes.segments(infos)),
                PanopticMap.from_ids(
                    arrays[f"{video}_gt"][index], classes.segments(truth["segments_info"])
                ),
                video=video,
            )
    scripted = table["expected"]["STQ_as_scripted_numbers_from_0"]
    figures = metric.figures()
    assert figures["STQ_published"] == percent(scripted["STQ"])
    assert figures["AQ_published"] == percent(scripted["AQ"])
    assert figures["SQ_published"] == percent(scripted["IoU"])
    # Only the numbering corrected, the class "nothing" still in the mean.
    numbered = table["expected"]["STQ_numbers_from_1"]
    segmentation = metric.segmentation_quality(published=True)
    association = metric.association_quality()
    assert segmentation is not None
    assert association is not None
    assert figures["AQ"] == percent(numbered["AQ"])
    assert 100 * math.sqrt(segmentation * association) == percent(numbered["STQ"])


def frame(ids: list[list[int]], *segments: PanopticSegment) -> PanopticMap:
    return PanopticMap.from_ids(np.array(ids), segments)


def test_by_hand():
    metric = SegmentationTrackingQuality(CLASSES.vocabulary)
    target = frame([[1, 1, 2, 2]], PanopticSegment(1, 0), PanopticSegment(2, 1))
    metric.update(
        frame([[5, 5, 6, 6]], PanopticSegment(5, 0), PanopticSegment(6, 1)), target, video="a"
    )
    metric.update(
        frame([[5, 5, 0, 7]], PanopticSegment(5, 0), PanopticSegment(7, 1)), target, video="a"
    )
    figures = metric.figures()
    # Tube 2: 4 pixels; 6 shares 2 of its 2, 7 shares 1 of its 1.
    assert figures["AQ"] == pytest.approx(100 * (2 * 2 / 4 + 1 * 1 / 4) / 4)
    assert figures["SQ"] == pytest.approx((100 + 75) / 2)
    assert figures["SQ_published"] == pytest.approx((100 + 75 + 0) / 3)
    assert figures["per_class"] == {"0": 100, "1": 75, "2": None}
    assert figures["STQ"] == pytest.approx(math.sqrt(figures["AQ"] * figures["SQ"]))


def test_the_thing_that_is_listed_first_counts_unless_as_published():
    metric = SegmentationTrackingQuality(CLASSES.vocabulary)
    target = frame([[1, 1, 2, 2]], PanopticSegment(2, 1), PanopticSegment(1, 2))
    for _ in range(2):
        metric.update(frame([[1, 1, 0, 0]], PanopticSegment(1, 2)), target, video="a")
    figures = metric.figures()
    assert figures["AQ"] == 50
    assert figures["AQ_published"] == 100


def test_crowds_are_taken_out_of_both_sides():
    metric = SegmentationTrackingQuality(CLASSES.vocabulary)
    target = frame([[1, 1, 2, 2]], PanopticSegment(1, 1), PanopticSegment(2, 1, crowd=True))
    metric.update(
        frame([[3, 3, 3, 4]], PanopticSegment(3, 1), PanopticSegment(4, 1)), target, video="a"
    )
    assert metric.figures()["AQ"] == 100


def test_equal_ids_in_two_videos_are_two_tubes():
    metric = SegmentationTrackingQuality(CLASSES.vocabulary)
    target = frame([[1, 1, 2, 2]], PanopticSegment(1, 0), PanopticSegment(2, 1))
    for video, found in (("a", 8), ("b", 9)):
        metric.update(
            frame([[1, 1, found, found]], PanopticSegment(1, 0), PanopticSegment(found, 1)),
            target,
            video=video,
        )
    assert metric.figures()["STQ"] == metric.figures()["STQ"] == 100


def test_figures_can_be_read_at_any_time():
    metric = SegmentationTrackingQuality(CLASSES.vocabulary)
    assert metric.figures()["STQ"] is metric.figures()["SQ"] is metric.figures()["AQ"] is None
    stuff = frame([[1, 1]], PanopticSegment(1, 0))
    metric.update(stuff, stuff, video="a")
    assert metric.figures()["SQ"] == 100
    assert metric.figures()["STQ"] is None
    thing = frame([[1, 2]], PanopticSegment(1, 0), PanopticSegment(2, 1))
    metric.update(thing, thing, video="a")
    assert metric.figures() == metric.figures()
    assert metric.figures()["STQ"] == 100


def test_a_video_cannot_come_back():
    metric = SegmentationTrackingQuality(CLASSES.vocabulary)
    same = frame([[1]], PanopticSegment(1, 0))
    for video in "ab":
        metric.update(same, same, video=video)
    with pytest.raises(InputError, match="come again"):
        metric.update(same, same, video="a")
