"""Instance results against recorded cases of the published implementation."""

import numpy as np
import pytest
import torch

from goldens import golden
from plainmask.decoder.decoder import Predictions
from plainmask.errors import InputError
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.tasks import Thresholds, instance
from plainmask.vocabulary import Vocabulary

PROTOCOL = InputProtocol(kind="fit", size=64)
VOCABULARY = Vocabulary.numbered(4)


def recorded(index: int) -> tuple[Predictions, Geometry]:
    case = golden("post_instance")
    geometry = Geometry.plan(tuple(case[f"image.{index}"].shape[1:]), PROTOCOL, 16)
    rows = slice(index, index + 1)
    return Predictions(case["mask_logits"][rows], case["class_logits"][rows]), geometry


@pytest.mark.parametrize("index", range(6))
def test_equals_published(index: int):
    case = golden("post_instance")
    result = instance(*recorded(index), VOCABULARY, Thresholds(top_k=12)).candidates
    np.testing.assert_array_equal(result.class_ids, case[f"labels.{index}"].numpy())
    np.testing.assert_allclose(result.scores, case[f"scores.{index}"].numpy(), atol=1e-5)
    assert (result.masks != case[f"masks.{index}"].numpy().astype(bool)).mean() <= 0.001


def test_empty_masks_stay_with_score_0():
    result = instance(*recorded(2), VOCABULARY, Thresholds(top_k=12)).candidates
    assert len(result) == 12
    assert not result.masks.any()
    assert not result.scores.any()


def test_fewer_pairs_than_top_k():
    predictions, geometry = recorded(0)
    assert len(instance(predictions, geometry, VOCABULARY).candidates) == 9 * 4


def test_ties_by_lower_query_then_class():
    predictions = Predictions(torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 3))
    geometry = Geometry.plan((16, 16), PROTOCOL, 16)
    result = instance(predictions, geometry, Vocabulary.numbered(2), Thresholds(top_k=5))
    assert result.candidates.class_ids.tolist() == [0, 1, 0, 1, 0]


def test_more_queries_than_are_restored_at_one_time():
    """Each of 40 queries has its own column; masks and classes must not get mixed up."""
    mask_logits = torch.full((1, 40, 40, 40), -9.0)
    mask_logits[0, torch.arange(40), :, torch.arange(40)] = 9.0
    class_logits = torch.full((1, 40, 41), -9.0)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    class_logits[0, torch.arange(40), torch.arange(40)] = order.float()
    geometry = Geometry.plan((40, 40), InputProtocol(kind="fit", size=40), 8)
    predictions = Predictions(mask_logits, class_logits)
    result = instance(predictions, geometry, Vocabulary.numbered(40), Thresholds(top_k=30))
    found = result.candidates
    assert len(found) == 30
    for mask, class_id in zip(found.masks, found.class_ids, strict=True):
        assert np.flatnonzero(mask.any(0)).tolist() == [class_id]


def test_what_is_sure_and_seen_is_listed_and_everything_is_at_hand():
    predictions, geometry = recorded(0)
    thresholds = Thresholds(top_k=12, confident=0.2)
    result = instance(predictions, geometry, VOCABULARY, thresholds)
    everything = result.candidates
    assert 0 < len(result) < len(everything) == 12
    assert len(result.segments) == len(result.masks) == len(result.class_ids) == len(result)
    assert result.confident == 0.2
    wanted = (everything.scores >= 0.2) & everything.masks.any((1, 2))
    assert result.scores.tolist() == everything.scores[wanted].tolist()
    assert [segment.id for segment in result.segments] == list(range(1, len(result) + 1))
    assert everything.candidates is everything


def test_refuses_windows():
    geometry = Geometry.plan((64, 90), InputProtocol(kind="windows", size=64), 16)
    predictions = Predictions(torch.zeros(2, 9, 16, 16), torch.zeros(2, 9, 5))
    with pytest.raises(InputError, match=r"2 windows; use the protocol fit"):
        instance(predictions, geometry, VOCABULARY)
