"""What tests of exported files share; the export itself is a fixture of all tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from plainmask.inference.segmenter import HeadSegmenter, Segmenter


class Exported(NamedTuple):
    """The tiny heads, and the folder that they were exported into."""

    segmenter: Segmenter
    folder: Path

    def file(self, name: str) -> Path:
        """Of a head."""
        return self.folder / f"{name}.onnx"

    def heads(self) -> Iterator[tuple[str, HeadSegmenter[Any]]]:
        """Each head alone, by name."""
        return ((name, self.segmenter[name]) for name in self.segmenter.heads)


def pixels(batch: int, height: int, width: int) -> Tensor:
    """Noise, (B, 3, H, W) uint8."""
    values = np.random.default_rng(height).integers(0, 256, (batch, 3, height, width), np.uint8)
    return torch.from_numpy(values)
