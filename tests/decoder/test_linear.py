"""A linear classifier as a decoder gives the classes of that classifier."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from plainmask.decoder.linear import linear_decoder, most_classes
from plainmask.encoder.vit import Features
from plainmask.errors import InputError

GRID, TAPS, PREFIX = (9, 13), 3, 2


def classifier(known: int, width: int, spread: float) -> tuple[Tensor, Tensor, Features, Tensor]:
    """Weights, bias, features that change slowly in space, and the scores of patches (N, K)."""
    draw = torch.Generator().manual_seed(known)
    weights = torch.randn(TAPS, width, known, generator=draw) * spread / (TAPS * width) ** 0.5
    bias = 0.1 * spread * torch.randn(known, generator=draw) + 100  # what all have is no matter
    rough = torch.randn(TAPS, width, GRID[0] + 2, GRID[1] + 2, generator=draw)
    patches = (3 * F.avg_pool2d(rough, 3, 1)).flatten(2).mT  # (T, N, D)
    tokens = torch.cat([torch.randn(TAPS, PREFIX, width, generator=draw), patches], 1)
    scores = torch.einsum("tnd,tdk->nk", patches, weights) + bias
    return weights, bias, Features(tuple(tokens[:, None]), GRID, PREFIX), scores


@pytest.mark.parametrize(
    ("known", "width", "spread"), [(2, 64, 1.0), (5, 64, 3.0), (11, 384, 40.0), (62, 64, 1.0)]
)
@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 0.99), (torch.bfloat16, 0.93)])
def test_the_largest_score_stays_the_largest(
    known: int, width: int, spread: float, dtype: torch.dtype, least: float
):
    weights, bias, features, scores = classifier(known, width, spread)
    scale = float((scores - scores.mean(1, keepdim=True)).std())
    classes = torch.arange(known) + 1
    decoder = linear_decoder(weights, bias, classes, num_classes=known + 2, heads=4, scale=scale)
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        masks, logits = decoder(features).float()
    expected = F.interpolate(
        scores.T.unflatten(1, GRID)[None], scale_factor=2, mode="bilinear", align_corners=False
    )
    assert masks.shape == expected.shape
    assert (masks.argmax(1) == expected.argmax(1)).float().mean() > least
    centred = expected - expected.mean(1, keepdim=True)
    both = torch.stack([masks.flatten(), centred.flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.995
    assert logits[0].argmax(1).tolist() == classes.tolist()
    assert (logits[0].softmax(1).amax(1) > 0.99).all()


def test_it_survives_half_precision():
    weights, bias, features, scores = classifier(11, 384, 40.0)
    decoder = linear_decoder(weights, bias, torch.arange(11), num_classes=11, heads=6, scale=40)
    before = decoder(features).mask_logits
    for parameter in decoder.parameters():
        parameter.data = parameter.half().float()
    assert (decoder(features).mask_logits - before).abs().max() < 0.01
    assert scores.isfinite().all()


def test_more_classes_than_it_holds():
    most = most_classes(64)
    weights, bias, *_ = classifier(most + 1, 64, 1.0)
    with pytest.raises(InputError, match=r"63 classes are too many .* \(at most 62\)"):
        linear_decoder(weights, bias, torch.arange(63), num_classes=63, heads=4, scale=1)
