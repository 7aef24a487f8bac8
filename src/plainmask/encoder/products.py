"""Matrix products with weights: torch's, or oneDNN's where MKL holds back."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import custom_op


def _is_such_a_cpu() -> bool:
    """Whether this is a CPU of AMD's with AVX512, of which MKL, torch's default, uses the half."""
    asked: Any = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch allowed
    known: dict[str, Any] = asked() if asked is not None else {}
    is_such = "AMD" in known.get("cpu_name", "") and bool(known.get("avx512_f"))
    return is_such and hasattr(torch.ops.mkldnn, "_linear_pointwise")


FEWEST = 256
"""Rows from which on it matters; a video's queries are fewer, and stay with torch."""
MKL_HOLDS_BACK = _is_such_a_cpu()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias: (..., K), (M, K) and (M,) -> (..., M).

    In float32 on a CPU where MKL holds back, and without a gradient, oneDNN multiplies: 2.2 times
    as fast, with errors of the same size (4e-6 instead of 2.5e-6 at most, for values of about 1).
    """
    if mkl_holds_back(x) and mkl_holds_back(weight) and x.shape[:-1].numel() >= FEWEST:
        return linear_by_onednn(x, weight, bias)
    return F.linear(x, weight, bias)


@custom_op("plainmask::linear_by_onednn", mutates_args=())
def linear_by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same; torch.compile does not look inside."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


@linear_by_onednn.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:-1], len(weight))


def mkl_holds_back(x: Tensor) -> bool:
    """Whether MKL would be slow at a product of this tensor, which needs no gradient."""
    return (
        MKL_HOLDS_BACK
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and not (torch.is_grad_enabled() and x.requires_grad)
        and not torch.compiler.is_exporting()  # graphs for elsewhere know torch's products alone
    )
