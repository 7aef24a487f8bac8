"""Frames and whole videos through the tasks, against the published code (golden video_post_*)."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from goldens import below, golden, relative_error
from plainmask.decoder.decoder import Predictions
from plainmask.decoder.propagation import State
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.results import InstanceResult, PanopticResult, SemanticResult
from plainmask.tasks import Task, TaskResult, Thresholds, postprocess, postprocess_video
from plainmask.vocabulary import Vocabulary


def case_of(file: str, name: str) -> dict[str, Tensor]:
    return below(golden(file), f"{name}/")


def geometry_of(case: dict[str, Tensor]) -> Geometry:
    padded, image, output = (tuple(row) for row in case["in/sizes_padded_image_output"].tolist())
    return Geometry(output, padded, image, ((0, 0),), zero_padding=True)


def vocabulary_of(num_classes: int, num_things: int) -> Vocabulary:
    classes = [{"id": k, "name": f"c{k}", "thing": k < num_things} for k in range(num_classes)]
    return Vocabulary.load({"classes": classes})


def start(num_queries: int, num_classes: int) -> State:
    return State.start(torch.zeros(1, num_queries, 8), num_classes)


def later(state: State, predictions: Predictions) -> State:
    """After the network saw one more frame."""
    return state.after(state.queries, predictions.class_logits)


def offline(
    case: dict[str, Tensor], task: Task, thresholds: Thresholds, num_things: int = 99
) -> list[TaskResult]:
    logits = case["in/pred_logits"]
    mean = logits.mean(0, keepdim=True)
    geometry = geometry_of(case)

    vocabulary = vocabulary_of(logits.shape[-1] - 1, num_things)

    def frames() -> Iterator[tuple[Predictions, Geometry, State]]:
        state = start(logits.shape[1], len(vocabulary))
        for masks in case["in/pred_masks"]:
            predictions = Predictions(masks[None], mean)
            state = later(state, predictions)
            yield predictions, geometry, state

    return list(postprocess_video(task, frames, vocabulary, thresholds))


@pytest.mark.parametrize("name", ["basic", "ties", "one_frame_upscale"])
def test_instances_equal_published(name: str):
    case = case_of("video_post_vis", name)
    found = offline(case, "instance", Thresholds(top_k=int(case["in/top_k"])))
    expected = {
        (int(query), int(label)): (float(score), masks.numpy())
        for query, label, score, masks in zip(
            case["out/query_ids"], case["out/labels"], case["out/scores"], case["out/masks"],
            strict=True,
        )
    }  # fmt: skip
    for time, result in enumerate(found):
        assert isinstance(result, InstanceResult)
        assert result.frame_index == time
        result = result.candidates
        pairs = list(zip(result.track_ids, result.class_ids.tolist(), strict=True))
        if name != "ties":  # there the choice among equals is not defined
            assert set(pairs) == set(expected)
        for place, pair in enumerate(pairs):
            if pair not in expected:
                continue
            score, masks = expected[pair]
            assert result.scores[place] == pytest.approx(score, rel=1e-5)
            assert np.array_equal(result.masks[place], masks[time].astype(bool))
        assert sorted(result.scores.tolist()) == pytest.approx(
            sorted(case["out/scores"].tolist()), rel=1e-5
        )


@pytest.mark.parametrize("name", ["published", "loose", "none", "random_loose"])
def test_panoptic_videos_equal_published(name: str):
    case = case_of("video_post_vps", name)
    score, overlap = case["in/thresholds_object_overlap"].tolist()
    thresholds = Thresholds(score=round(score, 6), overlap=round(overlap, 6))
    num_things = int(case["in/num_things"])
    found = offline(case, "panoptic", thresholds, num_things)
    rows = {row[0]: row[1:] for row in case["out/segments_id_class_isthing"].tolist()}
    shown = set()
    for time, result in enumerate(found):
        assert isinstance(result, PanopticResult)
        assert np.array_equal(result.segment_map, case["out/segment_map"][time].numpy())
        assert result.track_ids == tuple(segment.id for segment in result.segments)
        for segment in result.segments:
            assert [segment.class_id, int(segment.thing)] == rows[segment.id]
            shown.add(segment.id)
    assert shown == set(rows)


@pytest.mark.parametrize("name", ["basic", "one_frame"])
def test_semantic_videos_equal_published(name: str):
    case = case_of("video_post_vss", name)
    found = offline(case, "semantic", Thresholds())
    for time, result in enumerate(found):
        assert isinstance(result, SemanticResult)
        assert np.array_equal(result.label_map, case["out/label_map"][time].numpy())


@pytest.mark.parametrize(
    ("file", "name", "task"),
    [
        ("video_post_vis", "basic", "instance"),
        ("video_post_vps", "loose", "panoptic"),
        ("video_post_vss", "basic", "semantic"),
    ],
)
def test_online_equals_offline_for_one_frame(file: str, name: str, task: Task):
    case = case_of(file, name)
    logits, masks = case["in/pred_logits"][:1], case["in/pred_masks"][:1]
    thresholds = Thresholds(score=0.4, overlap=0.3, top_k=5)
    vocabulary = vocabulary_of(logits.shape[-1] - 1, 3)
    one = case | {"in/pred_logits": logits, "in/pred_masks": masks}
    (expected,) = offline(one, task, thresholds, 3)
    predictions = Predictions(masks, logits)
    state = later(start(logits.shape[1], len(vocabulary)), predictions)
    result = postprocess(task, predictions, geometry_of(case), vocabulary, thresholds, state)
    assert result.rows() == expected.rows()
    assert result.moment == expected.moment
    assert np.array_equal(result.flat_map(), expected.flat_map())
    assert result.state.frames.tolist() == [1]


def test_online_numbers_stay_and_ages_count():
    vocabulary = vocabulary_of(3, 2)
    geometry = Geometry((8, 8), (8, 8), (8, 8), ((0, 0),))

    def frame(shown: dict[int, tuple[int, slice]]) -> Predictions:
        """Query -> class and columns of its mask."""
        masks, classes = torch.full((1, 4, 8, 8), -9.0), torch.zeros(1, 4, 4)
        classes[..., 3] = 9.0
        for query, (class_id, columns) in shown.items():
            masks[0, query, :, columns] = 9.0
            classes[0, query] = torch.eye(4)[class_id] * 9
        return Predictions(masks, classes)

    state = start(4, 3)
    seen: list[dict[int, tuple[str, int]]] = []
    for shown in (
        {2: (0, slice(0, 4)), 1: (2, slice(4, 8))},
        {1: (2, slice(4, 8))},
        {0: (1, slice(0, 2)), 2: (0, slice(2, 4)), 3: (2, slice(4, 8))},
    ):
        state = later(state, frame(shown))
        result = postprocess("panoptic", frame(shown), geometry, vocabulary, Thresholds(), state)
        state = result.state
        rows = {row["track_id"]: (row["label"], row["age"]) for row in result.rows()}
        assert set(rows) == {row["id"] for row in result.rows()}
        seen.append(rows)
    # Query 2 comes back as 2; stuff of class c2 stays 1 though another query shows it.
    assert seen == [
        {1: ("c2", 1), 2: ("c0", 1)},
        {1: ("c2", 2)},
        {3: ("c1", 1), 2: ("c0", 2), 1: ("c2", 3)},
    ]


def test_hidden_instances_do_not_grow_older():
    vocabulary = vocabulary_of(1, 1)
    geometry = Geometry((4, 4), (4, 4), (4, 4), ((0, 0),))
    state = start(2, 1)
    logits = torch.tensor([[[4.0, 0.0], [2.0, 0.0]]])
    ages = []
    for visible in (True, False, True):
        masks = torch.full((1, 2, 4, 4), -1.0)
        masks[0, 0] = 1.0 if visible else -1.0
        predictions = Predictions(masks, logits)
        state = later(state, predictions)
        result = postprocess(
            "instance", predictions, geometry, vocabulary, Thresholds(top_k=2), state
        )
        state = result.state
        assert result.track_ids == ((0,) if visible else ())
        assert result.candidates.track_ids == (0, 1)
        ages.append(result.candidates.age)
    assert ages == [(1, 0), (1, 0), (2, 0)]


def test_the_published_way_in():
    protocol = InputProtocol(kind="video", size=448)
    geometry = Geometry.plan((720, 1280), protocol, 16)
    assert geometry.content_size == (448, 796)
    assert geometry.model_size == (448, 800)
    assert geometry.content == [(448, 796)]
    wide = Geometry.plan((100, 1000), protocol, 14)
    assert wide.content_size == (133, 1333)
    assert wide.model_size == (140, 1344)


def test_mean_logits_are_those_recorded():
    case = case_of("video_post_vis", "basic")
    assert relative_error(case["in/pred_logits"].mean(0), case["out/mean_logits"]) < 1e-6
