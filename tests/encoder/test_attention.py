"""Attention in blocks gives what torch's kernel gives, as exactly."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from plainmask.encoder import attention, products
from plainmask.encoder.attention import FEWEST, ROWS, attend


@pytest.fixture(autouse=True)
def units(monkeypatch: pytest.MonkeyPatch):
    """As on a CPU that multiplies in bfloat16; others can, too, only slowly."""
    monkeypatch.setattr(attention, "has_bfloat16_units", lambda: True)


def tokens(count: int, scale: float, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    """Queries, keys and values of 2 pictures and 3 heads; scores deviate by `scale` squared."""
    generator = torch.Generator().manual_seed(count)
    drawn = torch.randn(3, 2, 3, count, 64, generator=generator)
    return [(part * by).to(dtype) for part, by in zip(drawn, (scale, scale, 1), strict=True)]


def error(found: Tensor, q: Tensor, k: Tensor, v: Tensor) -> float:
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    return float((found - exact).square().mean().sqrt() / exact.square().mean().sqrt())


@pytest.mark.parametrize("count", [FEWEST, ROWS + 1, 3 * ROWS - 7])
@pytest.mark.parametrize("scale", [0.5, 1, 2])
def test_blocks_are_about_as_exact_as_torch(count: int, scale: float):
    given = tokens(count, scale)
    found = attend(*given)
    assert found.dtype == torch.bfloat16
    assert found.shape == given[0].shape
    rounded = F.scaled_dot_product_attention(*(part.float() for part in given)).bfloat16()
    assert error(found, *given) < 0.008
    assert error(rounded, *given) > 0.001  # the result alone has such an error


def test_the_largest_score_comes_out_whole():
    """One key each, far above the others: without the estimate, scores of 100 are 0.5 wrong."""
    q, k, v = tokens(512, 1)
    k[:] = q * 4
    found = attend(q, k, v)
    assert error(found, q, k, v) < 0.004


def test_scores_that_overflow_nothing():
    q, k, v = tokens(512, 30)
    assert attend(q, k, v).isfinite().all()


@pytest.mark.parametrize("count", [FEWEST, 4 * ROWS + 1])
@pytest.mark.parametrize("scale", [1, 30])
def test_blocks_in_float32_are_as_exact_as_torch(
    count: int, scale: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(products, "MKL_HOLDS_BACK", True)
    given = tokens(count, scale, torch.float32)
    found = attend(*given)
    assert found.dtype == torch.float32
    exact = error(F.scaled_dot_product_attention(*given), *given)
    assert error(found, *given) < 2 * exact


@pytest.mark.parametrize(
    "given",
    [tokens(FEWEST - 1, 1), tokens(512, 1, torch.float32)],
    ids=["few tokens", "float32"],
)
def test_elsewhere_it_is_torch(given: list[Tensor], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "MKL_HOLDS_BACK", False)
    assert torch.equal(attend(*given), F.scaled_dot_product_attention(*given))


def test_masks_and_gradients_are_torchs():
    q, k, v = tokens(512, 1)
    mask = torch.ones(512, 512, dtype=torch.bool).tril()
    assert torch.equal(attend(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, mask))
    q.requires_grad_()
    attend(q, k, v).sum().backward()
    assert q.grad is not None


def test_autocast_around_it_changes_nothing():
    given = tokens(512, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attend(*given), attend(*given))
        inside = attend(*given)
    assert torch.equal(inside, attend(*given))
