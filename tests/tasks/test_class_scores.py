"""The largest class is what it would be with score maps of all classes."""

from importlib import import_module

import pytest
import torch

from hills import hills
from plainmask.pictures.geometry import Geometry, InputProtocol, Size
from plainmask.tasks.class_scores import best_class

semantic = import_module("plainmask.tasks.semantic")

PROTOCOLS = {
    "fit": InputProtocol(kind="fit", size=64),
    "large": InputProtocol(kind="fit", size=320),
    "video": InputProtocol(kind="video", size=48, longest=96),
    "windows": InputProtocol(kind="windows", size=32, shorter=48),
    "long windows": InputProtocol(kind="windows", size=(160, 128), shorter=150),
}


def made_up(geometry: Geometry, noise: float, sure: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks of 12 queries in each window, and how they speak for 7 classes and for none."""
    size = (geometry.model_size[0] // 4, geometry.model_size[1] // 4)
    windows = range(len(geometry.windows))
    masks = torch.stack([hills(12, size, seed=window, noise=noise) for window in windows])
    generator = torch.Generator().manual_seed(5)
    logits = sure * torch.randn(len(masks), 12, 8, generator=generator)
    return masks, logits.softmax(-1)[..., :-1]


@pytest.mark.parametrize("size", [(150, 310), (64, 64), (23, 170), (300, 129), (1, 5), (300, 40)])
@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
@pytest.mark.parametrize(("noise", "sure"), [(0.0, 1.0), (1.0, 4.0), (8.0, 9.0)])
def test_the_best_class_is_that_of_whole_maps(
    protocol: InputProtocol, size: Size, noise: float, sure: float
):
    geometry = Geometry.plan(size, protocol, 16)
    masks, probs = made_up(geometry, noise, sure)
    found = best_class(masks, probs, geometry)
    wanted = semantic._best_of_whole_maps(masks, probs, geometry)
    assert torch.allclose(found.score, wanted.score, rtol=2e-6, atol=1e-6)
    assert torch.allclose(found.total, wanted.total, rtol=2e-6, atol=1e-6)
    assert (found.labels != wanted.labels).float().mean() < 2e-5  # equal but for rounding


def test_where_no_query_sees_anything_the_largest_of_tiny_scores_wins():
    geometry = Geometry.plan((90, 200), PROTOCOLS["fit"], 16)
    masks, probs = made_up(geometry, 1.0, 4.0)
    masks = masks - 60
    found = best_class(masks, probs, geometry)
    wanted = semantic._best_of_whole_maps(masks, probs, geometry)
    assert found.score.max() < 1e-20
    assert len(found.labels.unique()) > 2
    assert (found.labels != wanted.labels).float().mean() < 1e-4


def test_of_equal_classes_the_first_wins():
    geometry = Geometry.plan((200, 200), PROTOCOLS["fit"], 16)
    masks = hills(3, (16, 16), seed=3)[None]
    probs = torch.full((1, 3, 5), 0.2)
    assert not best_class(masks, probs, geometry).labels.any()
