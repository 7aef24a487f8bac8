"""Panoptic quality against the official script's numbers, and its rules one by one."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldens import GOLDEN, golden
from metric_cases import Classes, percent, reference
from plainmask.errors import InputError
from plainmask.metrics.panoptic_map import MAX_ID, PanopticMap, PanopticSegment
from plainmask.metrics.pq import PanopticQuality

CLASSES = Classes([(0, True), (1, True), (2, False)])
CASES = [
    "basic",
    "crowd",
    "crowd_twice",
    "void",
    "void_half",
    "tie_half",
    "many",
    "no_stuff",
    "json_area",
]


@pytest.mark.parametrize("case", CASES)
def test_official(case: str):
    table, arrays = reference(f"pq_{case}")
    classes = Classes((entry["id"], bool(entry["isthing"])) for entry in table["categories"])
    metric = PanopticQuality(classes.vocabulary)
    predictions = {entry["image_id"]: entry for entry in table["pred_annotations"]}
    for truth in table["gt_annotations"]:
        image = truth["image_id"]
        infos = predictions[image]["segments_info"]
        metric.update(
            PanopticMap.from_ids(arrays[f"{image}_pred"], classes.segments(infos)),
            PanopticMap.from_ids(
                arrays[f"{image}_gt"], classes.segments(truth["segments_info"], areas=True)
            ),
        )
    figures = metric.figures()
    for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st")):
        qualities = table["result"][group] or dict.fromkeys(("pq", "sq", "rq"))
        for name in ("pq", "sq", "rq"):
            assert figures[name.upper() + suffix] == percent(qualities[name])
    for category, expected in table["result"]["per_class"].items():
        index = classes.of_category[int(category)]
        tally = metric.tally
        counts = (tally.matched[index], tally.false[index], tally.missed[index])
        assert counts == (expected["tp"], expected["fp"], expected["fn"])
        assert tally.iou_sum[index] == pytest.approx(expected["iou_sum"], abs=1e-8)
        if sum(counts):
            assert figures["per_class"][category] == percent(expected["pq"])
        else:
            assert figures["per_class"][category] is None


@pytest.mark.parametrize("case", ["plain", "crowd_and_void", "first_segment_crowd", "two_images"])
def test_published(case: str):
    """The published code's own variant: classes 0-2 are things, 3-5 stuff."""
    expected = json.loads((GOLDEN / "metrics_image.json").read_text())[case]
    arrays = {name: value.numpy() for name, value in golden("metrics_image").items()}
    vocabulary = Classes((number, number < 3) for number in range(6)).vocabulary
    parts: list[PanopticQuality] = []
    for image in range(2 if case == "two_images" else 1):
        labels = arrays[f"{case}.{image}.target_labels"]
        target_map = arrays[f"{case}.{image}.target_map"][..., 1].astype(np.int32)
        crowd = arrays[f"{case}.{image}.is_crowd"].astype(bool)
        found = arrays[f"{case}.{image}.pred"].astype(np.int32)
        segments = [
            PanopticSegment(int(key) + 1, int(found[..., 0][found[..., 1] == key][0]))
            for key in np.unique(found[..., 1])
            if key >= 0
        ]
        parts.append(PanopticQuality(vocabulary, rule="pmt"))
        parts[-1].update(
            PanopticMap.from_ids(found[..., 1] + 1, segments),
            PanopticMap.of(target_map, np.arange(len(labels)) + 1, labels, crowd),
        )
    metric = PanopticQuality(vocabulary, rule="pmt")
    for part in parts:
        metric.merge(part)
    tally = metric.tally
    assert tally.matched.tolist() == expected["tp"][:6]
    assert tally.false.tolist() == expected["fp"][:6]
    assert tally.missed.tolist() == expected["fn"][:6]
    np.testing.assert_allclose(tally.iou_sum, expected["iou_sum"][:6], atol=1e-6)
    figures = metric.figures()
    for name, suffix in (("all", ""), ("things", "_th"), ("stuff", "_st")):
        assert figures["PQ" + suffix] == pytest.approx(100 * expected[f"pq_{name}"], abs=1e-4)


ids = st.lists(st.integers(0, 6), min_size=64, max_size=64).map(
    lambda values: np.array(values, np.int32).reshape(8, 8)
)


def map_of(id_map: np.ndarray, classes: dict[int, int]) -> PanopticMap:
    present = [int(key) for key in np.unique(id_map) if key]
    return PanopticMap.from_ids(id_map, [PanopticSegment(key, classes[key]) for key in present])


@given(ids, ids, st.permutations(range(1, 7)), st.lists(st.integers(0, 2), min_size=6, max_size=6))
@settings(max_examples=60)
def test_numbering_does_not_matter(
    target: np.ndarray, result: np.ndarray, order: list[int], drawn: list[int]
):
    classes = dict(enumerate(drawn, 1))
    renumbered = np.array([0, *order])
    moved = {int(renumbered[key]): class_id for key, class_id in classes.items()}
    plain, other = PanopticQuality(CLASSES.vocabulary), PanopticQuality(CLASSES.vocabulary)
    plain.update(map_of(result, classes), map_of(target, classes))
    other.update(map_of(renumbered[result], moved), map_of(target, classes))
    assert plain.figures()["PQ"] == pytest.approx(other.figures()["PQ"])


@given(ids, st.lists(st.integers(0, 2), min_size=6, max_size=6))
@settings(max_examples=30)
def test_the_target_itself_is_perfect(target: np.ndarray, drawn: list[int]):
    same = map_of(target, dict(enumerate(drawn, 1)))
    metric = PanopticQuality(CLASSES.vocabulary)
    metric.update(same, same)
    assert metric.figures()["PQ"] == (100 if len(same) else None)


def test_nothing_counted():
    figures = PanopticQuality(CLASSES.vocabulary).figures()
    assert figures["PQ"] is figures["SQ_st"] is None
    assert figures["per_class"] == {"0": None, "1": None, "2": None}


def test_a_result_without_a_pixel_does_not_count():
    metric = PanopticQuality(CLASSES.vocabulary)
    target = PanopticMap.from_ids(
        np.ones((2, 2), int), [PanopticSegment(1, 0), PanopticSegment(2, 1)]
    )
    metric.update(
        PanopticMap.from_ids(np.ones((2, 2), int), [PanopticSegment(1, 0), PanopticSegment(2, 2)]),
        target,
    )
    assert metric.figures()["per_class"] == {"0": 100, "1": 0, "2": None}  # a target does


def test_a_map_of_ids():
    segments = [
        PanopticSegment(7, 0),
        PanopticSegment(MAX_ID, 2, crowd=True),
        PanopticSegment(3, 1),
        PanopticSegment(9, 1, area=5),
    ]
    made = PanopticMap.from_ids(np.array([[7, 7, 0], [MAX_ID, 3, 9]]), segments)
    assert made.runs.to_map().tolist() == [[0, 0, -1], [1, 2, 3]]
    assert made.ids.tolist() == [7, MAX_ID, 3, 9]
    assert made.areas.tolist() == [2, 1, 1, 5]
    assert made.crowd.tolist() == [False, True, False, False]
    assert len(made) == 4


@pytest.mark.parametrize(
    ("id_map", "ids", "message"),
    [
        ([[1, 5, 5]], [1], r"holds the id 5 \(2 pixels\), which its table .* does not list"),
        ([[1, 1, 1]], [1, 1], "lists the id 1 twice"),
        ([[1, -1, 1]], [1], r"ids must be in 0\.\.16777215, the map holds -1\.\.1"),
        ([[1, MAX_ID + 1, 1]], [1], "the map holds 0..16777216"),
        ([[1, 1, 1]], [1, 0], r"ids must be in 1\.\.16777215, the table lists 0\.\.1"),
    ],
)
def test_refused_maps(id_map: list[list[int]], ids: list[int], message: str):
    with pytest.raises(InputError, match=message):
        PanopticMap.from_ids(np.array(id_map), [PanopticSegment(key, 0) for key in ids])


def test_refuses():
    metric = PanopticQuality(CLASSES.vocabulary)
    one = PanopticMap.from_ids(np.ones((2, 2), int), [PanopticSegment(1, 0)])
    with pytest.raises(InputError, match=r"\(2, 2\) for a target of \(2, 3\)"):
        metric.update(one, PanopticMap.from_ids(np.ones((2, 3), int), [PanopticSegment(1, 0)]))
    with pytest.raises(InputError, match=r"the result holds a segment of class 3; .* 0\.\.2"):
        metric.update(PanopticMap.from_ids(np.ones((2, 2), int), [PanopticSegment(1, 3)]), one)
    with pytest.raises(InputError, match="segment 1 of the target is said to have 1 pixels"):
        metric.update(
            one, PanopticMap.from_ids(np.ones((2, 2), int), [PanopticSegment(1, 0, area=1)])
        )


@given(st.lists(st.tuples(ids, ids), min_size=3, max_size=8), st.integers(0, 3))
@settings(max_examples=30)
def test_parts_of_the_images_give_the_figures_of_all(
    images: list[tuple[np.ndarray, np.ndarray]], cut: int
):
    """To the last digit, also where a part is empty."""
    classes = {key: key % 3 for key in range(1, 7)}
    whole, joined = (PanopticQuality(CLASSES.vocabulary) for _ in range(2))
    for part in (images[:cut], images[cut:]):
        metric = PanopticQuality(CLASSES.vocabulary)
        for result, target in part:
            for each in (whole, metric):
                each.update(map_of(result, classes), map_of(target, classes))
        joined.merge(metric)
    assert joined.figures() == whole.figures()
