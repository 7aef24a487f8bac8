"""Attention in bfloat16 on a CPU: our blocks of rows against torch's kernel, time and error.

    OMP_NUM_THREADS=1 python benchmarks/attention.py [--image docs/sheet.jpg] [--turns 9]

Queries, keys and values are those of DINOv2 small on a real picture at 448 pixels (errors, a mean
over its 12 blocks) and random (times, medians). Errors are against float64, of the root mean square
of the result; "no estimate" is what blocks give if the largest score is not taken off first.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from plainmask.encoder import vit
from plainmask.encoder.attention import ROWS, attend
from plainmask.encoder.weights import load_encoder

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def no_estimate(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Blocks of rows whose scores are rounded to bfloat16 as they are."""
    q, k = q * q.shape[-1] ** -0.5, k.transpose(2, 3)
    parts = [(part @ k).softmax(-1) @ v for part in q.split(ROWS, dim=2)]
    return torch.cat(parts, 2)


WAYS: dict[str, Attention] = {
    "torch": F.scaled_dot_product_attention,
    "blocks": attend,
    "no estimate": no_estimate,
}


def errors(path: Path) -> dict[str, float]:
    """Of each way, relative to the result's root mean square."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}

    def watching(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
        for name, way in WAYS.items():
            wrong = way(q.bfloat16(), k.bfloat16(), v.bfloat16()) - exact
            found[name].append(float(wrong.square().mean().sqrt() / exact.square().mean().sqrt()))
        return exact.to(q.dtype)

    image = np.array(Image.open(path).convert("RGB").resize((448, 448)))
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    with mock.patch.object(vit, "attend", watching):
        load_encoder("dinov2-small")(pixels)
    return {name: statistics.mean(values) for name, values in found.items()}


def seconds(way: Attention, tokens: int, turns: int) -> float:
    """The median time of 6 heads of 64 channels."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 6, tokens, 64).bfloat16() for _ in range(3))
    taken: list[float] = []
    with torch.inference_mode():
        for _ in range(turns + 1):
            began = time.perf_counter()
            way(q, k, v)
            taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", type=Path, default=Path("docs/sheet.jpg"))
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    sizes = (257, 785, 1605, 4101)
    print(f"{'':<14}{'error %':>8}" + "".join(f"{f'{n} tokens':>14}" for n in sizes))
    wrong = errors(options.image)
    for name, way in WAYS.items():
        times = [seconds(way, size, options.turns) * 1000 for size in sizes]
        print(f"{name:<14}{100 * wrong[name]:>8.3f}" + "".join(f"{t:>11.1f} ms" for t in times))


if __name__ == "__main__":
    main()
