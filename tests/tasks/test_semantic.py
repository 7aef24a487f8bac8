"""Semantic results against recorded cases of the published implementation."""

import numpy as np
import pytest
import torch

from goldens import golden
from plainmask.decoder.decoder import Predictions
from plainmask.errors import InputError, PlainmaskError
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.tasks import semantic
from plainmask.vocabulary import Vocabulary

PROTOCOL = InputProtocol(kind="windows", size=64)
VOCABULARY = Vocabulary.numbered(4)


def recorded(index: int) -> tuple[Predictions, Geometry]:
    case = golden("post_semantic")
    rows = case["origins"][:, 0] == index
    geometry = Geometry.plan(tuple(case[f"image.{index}"].shape[1:]), PROTOCOL, 16)
    return Predictions(case["mask_logits"][rows], case["class_logits"][rows]), geometry


@pytest.mark.parametrize("index", range(8))
def test_equals_published(index: int):
    result = semantic(*recorded(index), VOCABULARY)
    expected = golden("post_semantic")[f"pred.{index}"].numpy()
    assert result.image_size == expected.shape
    assert (result.label_map != expected).mean() <= 0.001
    assert result.label_map.dtype == np.int16


@pytest.mark.parametrize("index", [0, 3, 6])
def test_scores_are_those_published_or_their_share_where_they_exceed_one(index: int):
    logits = golden("post_semantic")[f"logits.{index}"]
    expected = logits.amax(0) / logits.sum(0).clamp_min(1)
    result = semantic(*recorded(index), VOCABULARY)
    assert result.scores is not None
    np.testing.assert_allclose(result.scores, expected.numpy(), atol=1e-5)


def test_nothing_that_is_known_is_not_sure():
    """Queries that see a little of one class and are nothing else: once 1, as its share of all."""
    masks = torch.full((1, 4, 8, 8), 20.0)
    logits = torch.full((1, 4, 41), -5.0)
    logits[..., -1] = 5
    logits[..., 3] = 2
    geometry = Geometry.plan((64, 64), PROTOCOL, 16)
    result = semantic(Predictions(masks, logits), geometry, Vocabulary.numbered(40))
    assert (result.label_map == 3).all()
    assert result.scores is not None
    assert result.scores.max() < 0.25


def test_many_classes_in_parts():
    """More classes than are resized at one time, the winner in a later part."""
    class_logits = torch.full((1, 2, 41), -20.0)
    class_logits[0, 0, 37] = class_logits[0, 1, 3] = class_logits[0, 1, 20] = 20.0
    mask_logits = torch.full((1, 2, 8, 8), -20.0)
    mask_logits[0, 0, :, :4] = mask_logits[0, 1, :, 4:] = 20.0
    geometry = Geometry.plan((64, 64), PROTOCOL, 16)
    result = semantic(Predictions(mask_logits, class_logits), geometry, Vocabulary.numbered(40))
    assert set(np.unique(result.label_map[:, :28])) == {37}
    assert set(np.unique(result.label_map[:, 36:])) == {3}


@pytest.mark.parametrize("which", ["mask_logits", "class_logits"])
def test_refuses_overflow(which: str):
    predictions, geometry = recorded(0)
    getattr(predictions, which)[0, 0, 0] = float("nan")
    with pytest.raises(PlainmaskError, match='dtype="float32"'):
        semantic(predictions, geometry, VOCABULARY)


def test_refuses_what_does_not_belong_together():
    predictions, geometry = recorded(0)
    with pytest.raises(InputError, match=r"4 classes.*has 5"):
        semantic(predictions, geometry, Vocabulary.numbered(5))
    with pytest.raises(InputError, match="2 windows for an image of 1"):
        semantic(predictions, recorded(2)[1], VOCABULARY)
