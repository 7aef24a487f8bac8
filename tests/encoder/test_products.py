"""oneDNN's product is torch's, and taken only where it may be."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from plainmask.encoder import products
from plainmask.encoder.products import FEWEST, linear, mkl_holds_back


@pytest.fixture(autouse=True)
def such_a_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "MKL_HOLDS_BACK", True)


@pytest.mark.parametrize("shape", [(2, 300, 64), (FEWEST, 64), (FEWEST - 1, 64), (1, 0, 64)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_it_is_as_exact_as_torch(shape: tuple[int, ...], has_bias: bool):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(shape, generator=generator), torch.randn(96, 64, generator=generator)
    bias = torch.randn(96, generator=generator) if has_bias else None
    with torch.no_grad():
        found = linear(x, weight, bias)
    exact = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    assert found.shape == (*shape[:-1], 96)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=5e-5)


def test_what_is_not_contiguous_is_read_as_it_is():
    x, weight = torch.randn(64, 300).T, torch.randn(64, 96).T
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("x", "around"),
    [
        (torch.ones(3, dtype=torch.bfloat16), nullcontext()),
        (torch.ones(3, dtype=torch.float64), nullcontext()),
        (torch.ones(3, requires_grad=True), nullcontext()),
        (torch.ones(3), torch.autocast("cpu", torch.bfloat16)),
        (torch.ones(3, device="meta"), nullcontext()),
    ],
    ids=["bfloat16", "float64", "a gradient", "autocast", "another device"],
)
def test_where_it_is_torch_alone(x: torch.Tensor, around: AbstractContextManager[Any]):
    with around:
        assert not mkl_holds_back(x)
    with torch.no_grad():
        assert mkl_holds_back(torch.ones(3, requires_grad=True))


def test_gradients_go_through():
    x, weight = torch.randn(5, 8, requires_grad=True), torch.randn(4, 8, requires_grad=True)
    linear(x, weight).sum().backward()
    assert x.grad is not None
    assert weight.grad is not None
