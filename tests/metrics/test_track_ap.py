"""AP of tracks against the YouTube-VIS tool and the published evaluation code."""

from typing import Any

import numpy as np
import pytest

from metric_cases import Classes, percent, reference, rle_of, video_metrics
from plainmask.errors import InputError
from plainmask.metrics.track_ap import TrackAP, mean_of_lists, track_ious
from plainmask.results.rle import Rle
from plainmask.results.track import Track

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
GOLDEN_NAMES = ["AP_small", "AP_medium", "AP_large", "AR_small", "AR_medium", "AR_large"]


@pytest.mark.parametrize("case", ["mixed", "switch"])
def test_official(case: str):
    table, _ = reference(f"vap_{case}")
    truth = table["gt"]
    classes = Classes((entry["id"], True) for entry in truth["categories"])
    metric = TrackAP(classes.vocabulary.names)
    for video in sorted(entry["id"] for entry in truth["videos"]):
        metric.update(
            [track(entry, classes) for entry in table["results"] if entry["video_id"] == video],
            [track(entry, classes) for entry in truth["annotations"] if entry["video_id"] == video],
        )
    figures = metric.figures()
    for name, value in zip(NAMES, table["expected"]["stats"], strict=True):
        assert figures[name] == percent(value), name
    for category, value in table["expected"]["per_category_AP"].items():
        assert figures["per_class"][category] == percent(value)


def track(entry: dict[str, Any], classes: Classes) -> Track:
    return Track(
        classes.of_category[entry["category_id"]],
        tuple(rle_of(segmentation) for segmentation in entry["segmentations"]),
        entry.get("score", 1.0),
        bool(entry.get("iscrowd", 0)),
    )


@pytest.mark.parametrize("case", video_metrics()[0]["ytvis"])
def test_published(case: str):
    expected = video_metrics()[0]["ytvis"][case]
    classes = Classes(
        (category, True) for category in range(1, expected["input"]["categories"] + 1)
    )
    metric = TrackAP(classes.vocabulary.names)
    for video in range(1, len(expected["input"]["videos_T_H_W"]) + 1):
        results, targets = golden_tracks(case, video, classes)
        metric.update(results, targets)
        for category, index in classes.of_category.items():
            ious = expected["iou_det_by_gt_per_video_category"].get(f"{video},{category}")
            mine = sorted((r for r in results if r.class_id == index), key=lambda r: -r.score)
            theirs = [t for t in targets if t.class_id == index]
            if ious is not None and theirs:
                np.testing.assert_allclose(track_ious(mine, theirs), ious, atol=1e-8)
    figures = metric.figures()
    stats = expected["stats"]
    for name in ("AP", "AP50", "AP75", "AR1", "AR10", "AR100"):
        assert figures[name] == percent(stats[name])
    for name in GOLDEN_NAMES:
        assert figures[name.replace("_", "")[:3]] == percent(stats[name])
    per_class = expected["AP_per_category_id_order"]
    assert list(figures["per_class"].values()) == [percent(value) for value in per_class]


def golden_tracks(case: str, video: int, classes: Classes) -> tuple[list[Track], list[Track]]:
    """Results and targets of one video of a golden case."""
    table, arrays = video_metrics()
    given = table["ytvis"][case]["input"]
    shape = given["videos_T_H_W"][video - 1]

    def rles(kind: str, index: int) -> list[Rle | None]:
        bits = np.unpackbits(arrays[f"ytvis/{case}/{kind}{index}_masks"], count=int(np.prod(shape)))
        return [Rle.encode(mask) for mask in bits.reshape(shape).astype(bool)]

    targets = []
    for index, (own, category, crowd) in enumerate(given["annotations_video_category_crowd"]):
        if own == video:
            present = arrays[f"ytvis/{case}/ann{index}_present"]
            masks = [
                mask if seen else None
                for mask, seen in zip(rles("ann", index), present, strict=True)
            ]
            class_id = classes.of_category[category]
            targets.append(Track(class_id, tuple(masks), crowd=bool(crowd)))
    results = [
        Track(classes.of_category[category], tuple(rles("det", index)), score)
        for index, (own, category, score) in enumerate(given["detections_video_category_score"])
        if own == video
    ]
    return results, targets


def square(row: int) -> Rle:
    mask = np.zeros((8, 8), bool)
    mask[row : row + 2, 2:4] = True
    return Rle.encode(mask)


def test_frames_where_one_side_is_absent_count_for_the_union():
    empty = Rle.encode(np.zeros((8, 8), bool))
    target = Track(0, (square(0), square(0), None))
    for absent in (None, empty):
        assert track_ious([Track(0, (square(0), absent, absent))], [target]) == [[0.5]]
        assert track_ious([Track(0, (absent, absent, absent))], [target]) == [[0.0]]
        assert track_ious([Track(0, (absent,))], [Track(0, (None,))]) == [[0.0]]


def test_other_classes_and_order_do_not_matter():
    targets = [Track(0, (square(0),)), Track(1, (square(2),))]
    results = [
        Track(0, (square(0),), 0.9),
        Track(1, (square(2),), 0.8),
        Track(0, (square(4),), 0.1),
    ]
    one, other = TrackAP(["a", "b"]), TrackAP(["a", "b"])
    one.update(results, targets)
    other.update(results[::-1], targets[::-1])
    assert one.figures() == other.figures()
    assert one.figures()["AP"] == pytest.approx(100)
    assert one.figures()["per_class"] == {"a": pytest.approx(100), "b": pytest.approx(100)}


def test_lists_are_averaged():
    one, other = TrackAP(["a", "b"]), TrackAP(["a", "b"])
    one.update([Track(0, (square(0),))], [Track(0, (square(0),))])
    other.update([], [Track(0, (square(0),))])
    mean = mean_of_lists({"short": one.figures(), "long": other.figures()})
    assert (mean["AP"], mean["AP_short"], mean["AP_long"]) == pytest.approx((50, 100, 0))
    assert mean["APl"] is mean["APl_long"] is None
    assert mean["per_class"] == {"a": pytest.approx(50), "b": None}


def test_refuses():
    metric = TrackAP(["a"])
    with pytest.raises(InputError, match="tracks of 1 and 2 frames"):
        metric.update([Track(0, (square(0),))], [Track(0, (None, None))])
    with pytest.raises(InputError, match="no class 1"):
        metric.update([Track(1, (None,))], [])
