import pytest
import torch
from torch import Tensor

from plainmask.training.samples.color import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)

COLOR_OPERATIONS = [adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue]


def make_image(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("operation", COLOR_OPERATIONS)
def test_the_neutral_factor_changes_nothing(operation):
    image = make_image(32, 32)
    neutral = 0.0 if operation is adjust_hue else 1.0
    assert torch.equal(operation(image, neutral), image)


@pytest.mark.parametrize("operation", COLOR_OPERATIONS)
def test_grey_pictures_and_single_pixels_pass(operation):
    for image in (torch.full((3, 4, 4), 255, dtype=torch.uint8), make_image(1, 1)):
        changed = operation(image, 0.4)
        assert changed.shape == image.shape
        assert changed.dtype == torch.uint8


def test_values():
    image = torch.tensor([200, 100, 0], dtype=torch.uint8)[:, None, None]
    grey = int(0.2989 * 200 + 0.587 * 100)
    assert adjust_brightness(image, 1.5).flatten().tolist() == [255, 150, 0]
    assert adjust_saturation(image, 0.0).flatten().tolist() == [grey] * 3
    assert adjust_contrast(image, 0.0).flatten().tolist() == [grey] * 3
    assert adjust_hue(image, 1 / 3).flatten().tolist() == [0, 200, 100]
