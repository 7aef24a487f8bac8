"""The common procedure of AP and AR: matching by hand, and AP of instances against pycocotools."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from metric_cases import Classes, percent, reference, rle_of
from plainmask.errors import InputError
from plainmask.metrics.ap import PrecisionRecall
from plainmask.metrics.instance_ap import Instance, InstanceAP
from plainmask.metrics.matching import (
    THRESHOLDS,
    Detections,
    Outcome,
    SizeRanges,
    Sought,
    match,
    unpacked,
)
from plainmask.results.rle import Rle

SIZES = SizeRanges(small=100, medium=1000)
NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
CASES = ["mixed", "crowd", "maxdets", "areas", "empty_some", "empty_all", "no_gt", "ties"]


@pytest.mark.parametrize("case", [*CASES, "thresholds"])
def test_official(case: str):
    table, _ = reference(f"ap_{case}")
    truth = table["gt"]
    classes = Classes((entry["id"], True) for entry in truth["categories"])
    metric = InstanceAP(classes.vocabulary.names)
    for image, size in sorted((i["id"], (i["height"], i["width"])) for i in truth["images"]):
        targets = [
            instance(entry, classes, size)
            for entry in truth["annotations"]
            if entry["image_id"] == image
        ]
        results = [
            instance(entry, classes, size)
            for entry in table["results"]
            if entry["image_id"] == image
        ]
        metric.update(results, targets)
    figures = metric.figures()
    expected = table["expected"]
    for name, value in zip(NAMES, expected["stats"], strict=True):
        assert figures[name] == percent(value), name
    for category, values in expected["per_category"].items():
        assert figures["per_class"][category] == percent(values and values["AP"])


def test_hundreds_of_objects_in_one_image():
    """pycocotools' own area fails on more than 255 masks."""
    masks = np.zeros((300, 20, 30), bool)
    masks.reshape(300, -1)[range(300), range(300)] = True
    objects = [Instance(0, Rle.encode(mask)) for mask in masks]
    metric = InstanceAP(["dot"], max_detections=(1, 500))
    metric.update(objects, objects)
    assert metric.figures()["AP"] == 100


def instance(entry: dict[str, Any], classes: Classes, size: tuple[int, int]) -> Instance:
    rle = rle_of(entry["segmentation"], size)
    assert rle is not None
    return Instance(
        classes.of_category[entry["category_id"]],
        rle,
        entry.get("score", 1.0),
        bool(entry.get("iscrowd", 0)),
        entry.get("area"),
    )


def outcome_of(
    ious: list[list[float]],
    scores: list[float],
    crowd: list[bool] | None = None,
    *,
    class_id: int = 0,
    **areas: Any,
) -> Outcome:
    """Of objects of one class."""
    count = len(ious[0]) if ious else len(crowd or [])
    table = np.array(ious, np.float64).reshape(len(scores), count)
    return match(
        table,
        Detections(
            np.full(len(scores), class_id),
            np.array(scores),
            np.array(areas.get("results", [50.0] * len(scores))),
        ),
        Sought(
            np.full(count, class_id),
            np.array(areas.get("targets", [50.0] * count), np.float64),
            np.array(crowd or [False] * count, np.bool_),
        ),
        SIZES,
    )


def matched(outcome: Outcome) -> np.ndarray:
    """(A, T, D)."""
    return unpacked(outcome.matched)


def ignored(outcome: Outcome) -> np.ndarray:
    """(A, T, D)."""
    return unpacked(outcome.ignored)


def wanted(outcome: Outcome) -> list[int]:
    """How many targets are to be found, by size."""
    return unpacked(outcome.wanted)[:, 0].sum(1).tolist()


def test_each_target_is_taken_once_by_the_surest():
    outcome = outcome_of([[0.6], [0.9]], [0.5, 0.8])
    assert outcome.scores.tolist() == [0.8, 0.5]
    assert matched(outcome)[0, :, 0].tolist() == [t <= 0.9 for t in THRESHOLDS]
    assert matched(outcome)[0, :, 1].tolist() == [False] * 10
    # Where the surer one does not reach the threshold, the other takes nothing either: 0.6 < 0.95.
    assert wanted(outcome) == [1, 1, 0, 0]


def test_of_equal_ious_the_later_target_is_taken():
    outcome = outcome_of([[0.7, 0.7], [0.0, 0.7]], [0.9, 0.8])
    assert matched(outcome)[0, 0].tolist() == [True, False]


def test_crowds_come_last_and_forgive_many():
    outcome = outcome_of([[0.6, 0.9], [0.0, 0.9], [0.0, 0.9]], [0.9, 0.8, 0.7], [False, True])
    assert matched(outcome)[0, 0].tolist() == [True, True, True]
    assert ignored(outcome)[0, 0].tolist() == [False, True, True]
    assert wanted(outcome)[0] == 1


def test_sizes():
    outcome = outcome_of(
        [[1.0, 0.0], [0.0, 0.0]], [0.9, 0.8], results=[100, 5000], targets=[100, 2000]
    )
    assert wanted(outcome) == [2, 1, 1, 1]  # a limit belongs to both sizes
    assert ignored(outcome)[:, 0].tolist() == [
        [False, False],
        [False, True],
        [False, True],
        [True, False],
    ]


def test_an_iou_of_one_passes_in_spite_of_rounding():
    assert matched(outcome_of([[1 - 1e-11]], [1.0])).all(1)[0].tolist() == [True]


def test_nothing_found_and_nothing_to_find():
    metric = PrecisionRecall(["a", "b", "c"])
    assert metric.figures()["AP"] is metric.figures()["AR1"] is None
    metric.add(outcome_of([[]], [0.5]))
    assert metric.figures()["AP"] is None
    metric.add(outcome_of([], [], [False], class_id=1))
    figures = metric.figures()
    assert figures["AP"] == figures["AR100"] == figures["APs"] == 0
    assert figures["APl"] is None
    assert figures["per_class"] == {"a": None, "b": 0, "c": None}


def test_refuses_a_class_out_of_range():
    with pytest.raises(InputError, match=r"no class 3; the classes are 0\.\.2"):
        PrecisionRecall(["a", "b", "c"]).add(outcome_of([[0.7]], [0.9], class_id=3))


def test_masks_of_other_sizes_are_refused():
    small, large = (Rle.encode(np.ones(size, bool)) for size in ((2, 2), (2, 3)))
    with pytest.raises(InputError, match=r"size \(2, 2\) and \(2, 3\)"):
        InstanceAP(["a"]).update([Instance(0, small)], [Instance(0, large)])


def random_instances(rng: np.random.Generator) -> tuple[list[Instance], list[Instance]]:
    """Targets, and results that lie about them, with equal scores and crowds among them."""

    def box(corner: np.ndarray) -> Rle:
        mask = np.zeros((120, 120), bool)
        height, width = rng.integers(4, 70, 2)
        mask[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = True
        return Rle.encode(mask)

    corners = rng.integers(0, 4, (rng.integers(0, 6), 2)) * 25
    targets = [
        Instance(int(rng.integers(2)), mask := box(corner), 1, bool(rng.random() < 0.2), mask.area)
        for corner in corners
    ]
    results = [
        Instance(int(rng.integers(2)), box(corner), float(np.round(rng.random(), 1)))
        for corner in np.repeat(corners, 4, axis=0)
    ]
    return results, targets


@pytest.mark.parametrize("seed", range(12))
def test_random_instances_as_the_official_tool(seed: int, capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(seed)
    images = [random_instances(rng) for _ in range(5)]
    metric, rows, truths = InstanceAP(["0", "1"]), [], []
    for image, (results, targets) in enumerate(images):
        metric.update(results, targets)
        for found, instances in ((rows, results), (truths, targets)):
            found += [
                {
                    "id": len(found) + number,
                    "image_id": image,
                    "category_id": item.class_id,
                    "segmentation": item.rle.to_coco(),
                    "score": item.score,
                    "iscrowd": int(item.crowd),
                    "area": item.area,
                }
                for number, item in enumerate(instances, 1)
            ]
    truth = COCO()
    truth.dataset = {
        "images": [{"id": i, "height": 120, "width": 120} for i in range(len(images))],
        "annotations": truths,
        "categories": [{"id": 0}, {"id": 1}],
    }
    truth.createIndex()
    tool = COCOeval(truth, truth.loadRes(rows), "segm")
    tool.evaluate()
    tool.accumulate()
    tool.summarize()
    capsys.readouterr()
    figures = metric.figures()
    assert [figures[name] for name in NAMES] == [percent(value) for value in tool.stats]


masks = st.lists(st.integers(0, 3), min_size=24, max_size=24).map(
    lambda values: np.array(values).reshape(4, 6)
)


@given(st.lists(masks, min_size=1, max_size=3))
@settings(max_examples=30)
def test_the_targets_themselves_are_perfect(images: list[np.ndarray]):
    metric = InstanceAP(["0", "1"])
    for image in images:
        objects = [
            Instance(int(key) % 2, Rle.encode(image == key)) for key in np.unique(image) if key
        ]
        metric.update(objects, objects)
    assert metric.figures()["AP"] in (None, pytest.approx(100))
