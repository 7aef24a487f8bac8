"""Panoptic results against recorded cases of the published implementation."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from goldens import golden
from plainmask.decoder.decoder import Predictions
from plainmask.errors import InputError
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.results import InstanceResult, PanopticResult
from plainmask.tasks import Task, Thresholds, panoptic, postprocess
from plainmask.vocabulary import Vocabulary

PROTOCOL = InputProtocol(kind="fit", size=64)
CLASSES = [{"id": i, "name": f"class_{i}", "thing": i < 5} for i in range(8)]
VOCABULARY = Vocabulary.load({"classes": CLASSES})


def recorded(index: int) -> tuple[Predictions, Geometry]:
    case = golden("post_panoptic")
    geometry = Geometry.plan(tuple(case[f"image.{index}"].shape[1:]), PROTOCOL, 16)
    rows = slice(index, index + 1)
    return Predictions(case["mask_logits"][rows], case["class_logits"][rows]), geometry


@pytest.mark.parametrize("index", range(6))
def test_equals_published(index: int):
    expected = golden("post_panoptic")[f"pred.{index}"].numpy()
    result = panoptic(*recorded(index), VOCABULARY)
    assert (result.segment_map != expected[..., 1] + 1).mean() <= 0.001
    class_map = np.full(result.image_size, 8)
    for segment in result.segments:
        class_map[result.mask_of(segment)] = segment.class_id
    assert (class_map != expected[..., 0]).mean() <= 0.001


def bars(classes: list[int], starts: list[int], width: int = 20) -> tuple[Predictions, Geometry]:
    """One query per vertical bar of a 64 x 64 image, each sure of its class."""
    masks = torch.full((1, len(classes), 64, 64), -20.0)
    logits = torch.full((1, len(classes), 9), -20.0)
    for query, (class_id, start) in enumerate(zip(classes, starts, strict=True)):
        masks[0, query, :, start : start + width] = 20.0
        logits[0, query, class_id] = 20.0
    return Predictions(masks, logits), Geometry.plan((64, 64), PROTOCOL, 16)


def test_stuff_merges_and_things_do_not():
    result = panoptic(*bars([6, 1, 6, 1], [0, 16, 32, 48], 16), VOCABULARY)
    assert [(s.id, s.class_id, s.area) for s in result.segments] == [
        (1, 6, 2048),
        (2, 1, 1024),
        (3, 1, 1024),
    ]
    assert result.segments[0].box == (0, 0, 48, 64)
    assert all(s.score == pytest.approx(1) for s in result.segments)


def test_hidden_segment_is_dropped():
    result = panoptic(*bars([1, 2], [0, 10]), VOCABULARY)
    assert [s.class_id for s in result.segments] == [1]
    assert (result.segment_map[:, 20:] == 0).all()
    lenient = panoptic(*bars([1, 2], [0, 10]), VOCABULARY, Thresholds(overlap=0.5))
    assert [s.area for s in lenient.segments] == [20 * 64, 10 * 64]


def test_more_queries_than_are_restored_at_one_time():
    classes = [index % 5 for index in range(32)]
    result = panoptic(*bars(classes, list(range(0, 64, 2)), 2), VOCABULARY)
    assert [s.class_id for s in result.segments] == classes
    assert [s.box[0] for s in result.segments] == list(range(0, 64, 2))


def test_score_is_strict():
    predictions, geometry = bars([1], [0])
    surest = float(predictions.class_logits.softmax(-1).max())
    assert not panoptic(predictions, geometry, VOCABULARY, Thresholds(score=surest)).segments
    assert panoptic(predictions, geometry, VOCABULARY, Thresholds(score=surest - 1e-6)).segments


def test_nothing_kept():
    predictions, geometry = bars([8], [0])
    result = panoptic(predictions, geometry, VOCABULARY)
    assert not result.segments
    assert not result.segment_map.any()


def test_refuses_windows():
    geometry = Geometry.plan((64, 90), InputProtocol(kind="windows", size=64), 16)
    predictions = Predictions(torch.zeros(2, 9, 16, 16), torch.zeros(2, 9, 9))
    with pytest.raises(InputError, match="panoptic segmentation needs"):
        panoptic(predictions, geometry, VOCABULARY)


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_postprocess_chooses_the_task(task: Task):
    predictions, geometry = bars([1, 2], [0, 10])
    thresholds = Thresholds(overlap=0.5, top_k=3)
    result = postprocess(task, predictions, geometry, VOCABULARY, thresholds)
    assert result.kind == task
    if isinstance(result, PanopticResult):
        assert len(result.segments) == 2
    if isinstance(result, InstanceResult):
        assert len(result.candidates) == 3


@pytest.mark.parametrize("wrong", [{"score": 2}, {"top_k": 0}, {"scores": 0.5}])
def test_thresholds_refuse(wrong: dict[str, Any]):
    with pytest.raises(ValidationError):
        Thresholds.model_validate(wrong)


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_predictions_stay_as_they_are(task: Task):
    """Masks that need no resizing are not worked on in place."""
    predictions, geometry = bars([1, 2, 6], [0, 10, 30])
    before = predictions.mask_logits.clone(), predictions.class_logits.clone()
    postprocess(task, predictions, geometry, VOCABULARY, Thresholds())
    assert torch.equal(predictions.mask_logits, before[0])
    assert torch.equal(predictions.class_logits, before[1])
