"""Made-up mask logits: hills here and there."""

import torch
from torch import Tensor

from plainmask.pictures.geometry import Size


def hills(count: int, size: Size, seed: int, noise: float = 1.0) -> Tensor:
    """Logits of masks that lie here and there, (count, *size), with edges of some roughness."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.linspace(0, 1, length) for length in size)
    places = torch.rand(count, 3, generator=generator)
    distance = (rows[None, :, None] - places[:, 0, None, None]) ** 2
    distance = distance + (columns[None, None] - places[:, 1, None, None]) ** 2
    maps = 40 * ((0.1 + 0.3 * places[:, 2, None, None]) ** 2 - distance)
    return maps + noise * torch.randn(count, *size, generator=generator)
