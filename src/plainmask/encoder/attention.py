"""Softmax attention: torch's kernel, or blocks of rows where those are faster.

Letters: B batch, nh heads, N tokens, d head dim.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import custom_op

from plainmask.encoder.products import FEWEST, linear, mkl_holds_back

ROWS = 128
"""Queries of a block: its scores, nh x ROWS x N in bfloat16, stay in a processor's cache."""
EVERY = 64
"""One key of so many is looked at for a first idea of a query's largest score."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot product attention, (B, nh, N, d) each.

    Without a gradient, the rows of queries are taken in blocks on a CPU that computes in bfloat16,
    where torch's kernel reaches a fifth of what matrix products do, and in float32 where MKL, by
    which torch's kernel multiplies, holds back (`products`).

    Args:
        q, k, v: queries, keys, values.
        mask: boolean, broadcast to (B, nh, N, N), True = attend.
    """
    rows_may_be_taken_in_blocks = (
        (q.dtype == torch.bfloat16 or mkl_holds_back(q))
        and q.device.type == "cpu"
        and mask is None
        and q.shape[-2] >= FEWEST
        and not (torch.is_grad_enabled() and q.requires_grad)
    )
    if rows_may_be_taken_in_blocks:
        return attend_on_cpu(q, k, v).transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v, mask)


@custom_op("plainmask::attend_on_cpu", mutates_args=())
def attend_on_cpu(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same on a CPU, as (B, N, nh, d); torch.compile does not look inside."""
    if q.dtype == torch.float32:
        found = _blocks_in_float32(q, k, v)
    elif has_bfloat16_units():
        found = _blocks(q, k, v)
    else:
        found = F.scaled_dot_product_attention(q, k, v)
    return found.transpose(1, 2).contiguous()


@attend_on_cpu.register_fake
def _(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q.new_empty(q.transpose(1, 2).shape)


@cache
def has_bfloat16_units() -> bool:
    """Whether this CPU multiplies matrices in bfloat16 (AVX512-BF16 or AMX), as torch says."""
    asked = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch allowed
    known = asked() if asked is not None else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _blocks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same, `ROWS` queries at a time.

    Scores come out of a product in bfloat16, which has eight bits: of a score of 10 the error is
    0.03, of its exponential 3 %. So an estimate of each row's largest score is taken off within the
    product, by one more channel, which changes no softmax: what weighs most is near 0 and precise.
    """
    shape = q.shape
    q, k, v = (part.flatten(0, 1) for part in (q * shape[-1] ** -0.5, k, v))
    with torch.autocast(q.device.type, enabled=False):  # it would take softmax in float32
        largest = torch.bmm(q, k[:, ::EVERY].transpose(1, 2)).amax(-1, keepdim=True)
        nothing, one = torch.zeros_like(largest), torch.ones_like(largest)
        q = torch.cat([q, -largest, nothing], -1)  # an even number of channels
        k = torch.cat([k, one, one], -1).transpose(1, 2)
        found = torch.empty_like(v)
        # Made once: fresh memory for every block takes as long as the products.
        scores, weights = (q.new_empty(len(q) * ROWS * k.shape[2]) for _ in range(2))
        for part, rows in zip(q.split(ROWS, dim=1), found.split(ROWS, dim=1), strict=True):
            size = (len(q), part.shape[1], k.shape[2])
            taken, shares = (buffer[: math.prod(size)].view(size) for buffer in (scores, weights))
            torch.bmm(part, k, out=taken)
            torch.softmax(taken, -1, out=shares)
            rows.copy_(torch.bmm(shares, v))
        return found.view(shape)


def _blocks_in_float32(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same, head by head: a product with one matrix is one with weights."""
    found = torch.empty_like(v)
    with torch.autocast(q.device.type, enabled=False):
        for index in product(range(q.shape[0]), range(q.shape[1])):
            keys, values = k[index].contiguous(), v[index].T.contiguous()
            queries = q[index] * q.shape[-1] ** -0.5
            for part, rows in zip(
                queries.split(2 * ROWS), found[index].split(2 * ROWS), strict=True
            ):
                rows.copy_(linear(linear(part, keys).softmax(-1), values))
    return found
