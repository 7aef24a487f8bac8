"""Masks of chosen queries alone give the results of all."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hills import hills
from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder, Predictions
from plainmask.encoder.vit import Features
from plainmask.errors import PlainmaskError
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.tasks import Thresholds, postprocess
from plainmask.tasks.choice import choice_of
from plainmask.vocabulary import Vocabulary

CLASSES = 5
VOCABULARY = Vocabulary.numbered(CLASSES)
GEOMETRY = Geometry.plan((60, 80), InputProtocol(kind="fit", size=64), 16)
THRESHOLDS = {
    "few": Thresholds(score=0.6, top_k=4),
    "ties": Thresholds(score=0.2, top_k=13),
    "all": Thresholds(score=0.0, top_k=1000),
    "none": Thresholds(score=1.0, top_k=1),
}


def predictions(seed: int, ties: bool) -> Predictions:
    torch.manual_seed(seed)
    classes = 3 * torch.randn(2, 20, CLASSES + 1)
    if ties:
        classes = classes.round()
    masks = torch.stack([hills(20, (16, 16), seed=seed + k, noise=1.0) for k in range(2)])
    return Predictions(masks, classes)


@pytest.mark.parametrize("rules", THRESHOLDS.values(), ids=THRESHOLDS)
@pytest.mark.parametrize("task", ["instance", "panoptic"])
@pytest.mark.parametrize("seed", range(3))
def test_results_are_those_of_all_queries(task, rules: Thresholds, seed: int):
    masks, classes = predictions(seed, ties=rules is THRESHOLDS["ties"])
    choose = choice_of(task, rules)
    assert choose is not None
    places = choose(classes)
    assert rules is not THRESHOLDS["few"] or len(places) < 20
    assert len(places) >= 1
    for image in range(2):
        whole = Predictions(masks[[image]], classes[[image]])
        chosen = Predictions(whole.mask_logits[:, places], whole.class_logits[:, places])
        one, other = (
            postprocess(task, given, GEOMETRY, VOCABULARY, rules) for given in (whole, chosen)
        )
        assert one.rows() == other.rows()
        np.testing.assert_array_equal(one.flat_map(), other.flat_map())
        if task == "instance":
            assert one.candidates.rles == other.candidates.rles
            assert one.candidates.scores.tolist() == other.candidates.scores.tolist()


def test_semantic_heads_need_all():
    assert choice_of("semantic", Thresholds()) is None


@pytest.mark.parametrize("task", ["instance", "panoptic"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_left_out(task, value: float):
    masks, classes = predictions(0, ties=False)
    classes[1, 7, 2] = value
    rules = Thresholds(score=1.0, top_k=1)
    choose = choice_of(task, rules)
    assert choose is not None
    places = choose(classes)
    assert 7 in places.tolist()
    chosen = Predictions(masks[1:, places], classes[1:, places])
    with pytest.raises(PlainmaskError, match="NaN or infinity"):
        postprocess(task, chosen, GEOMETRY, VOCABULARY, rules)


def test_a_decoder_makes_the_masks_that_are_asked_for():
    config = DecoderConfig(
        width=32, heads=2, num_queries=12, num_classes=3, num_blocks=1, ffn_hidden=32,
        upscale_stages=1, num_taps=1,
    )  # fmt: skip
    torch.manual_seed(0)
    decoder = PlainMaskDecoder(config).eval()
    features = Features((torch.randn(2, 1 + 12, 32),), (3, 4), 1)

    def choose(class_logits: Tensor) -> Tensor:
        assert class_logits.shape == (2, 12, 4)
        return torch.tensor([1, 5, 11])

    with torch.inference_mode():
        whole, some = decoder(features), decoder(features, choose=choose)
    torch.testing.assert_close(some.mask_logits, whole.mask_logits[:, [1, 5, 11]])
    assert torch.equal(some.class_logits, whole.class_logits[:, [1, 5, 11]])
