"""The contest of maps gives what resizing every map gives."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hills import hills
from plainmask.decoder.decoder import Predictions
from plainmask.pictures.geometry import Geometry, InputProtocol, Size, axis_weights
from plainmask.tasks import panoptic, semantic
from plainmask.tasks.contest import SMALL, Area, Resizing, share_out
from plainmask.vocabulary import Vocabulary

FIT = InputProtocol(kind="fit", size=64)
VIDEO = InputProtocol(kind="video", size=48, longest=96)
SIZES = [(150, 310), (64, 64), (23, 170), (300, 129)]


def all_resized(logits: Tensor, scores: Tensor, geometry: Geometry, early: bool) -> list[Tensor]:
    maps = geometry.stitch(geometry.upsample(logits[None]))
    probs = geometry.to_image(maps.sigmoid()) if early else geometry.to_image(maps).sigmoid()
    within = probs >= 0.5
    owner = (probs * scores[:, None, None]).max(0).indices
    return [owner, within.gather(0, owner[None])[0], within.flatten(1).sum(1)]


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("protocol", [FIT, VIDEO], ids=["fit", "video"])
@pytest.mark.parametrize("noise", [0.0, 1.0, 8.0])
def test_masks_share_out_what_they_would_if_all_were_resized(
    protocol: InputProtocol, size: Size, early: bool, noise: float
):
    geometry = Geometry.plan(size, protocol, 16)
    logits = hills(12, (20, 24), seed=len(str(size)), noise=noise)
    scores = torch.linspace(0.8, 1, 12)
    found = share_out(logits, scores, geometry, early=early)
    owner, inside, masks = all_resized(logits, scores, geometry, early)
    assert (found.owner != owner).float().mean() < 2e-5  # where two are equal but for rounding
    assert (found.inside != inside).float().mean() < 2e-5
    assert (found.masks - masks).abs().max() <= 1


def test_of_equal_maps_the_first_wins():
    geometry = Geometry.plan((200, 200), FIT, 16)
    same = hills(1, (16, 16), seed=3).repeat(4, 1, 1)
    found = share_out(same, torch.full((4,), 0.9), geometry, early=False)
    assert not found.owner.any()


def test_one_mask_that_is_everywhere_needs_no_resizing_and_owns_all():
    geometry = Geometry.plan((200, 300), FIT, 16)
    logits = torch.stack([torch.full((16, 16), 9.0), torch.full((16, 16), -9.0)])
    found = share_out(logits, torch.tensor([0.9, 0.9]), geometry, early=False)
    assert not found.owner.any()
    assert found.inside.all()
    assert found.masks.tolist() == [200 * 300, 0]


@pytest.mark.parametrize(("old", "new"), [(7, 7), (7, 20), (20, 7), (1, 5), (5, 1)])
def test_weights_of_an_axis_are_those_of_resizing(old: int, new: int):
    line = torch.randn(1, 1, 1, old, generator=torch.Generator().manual_seed(0))
    wanted = F.interpolate(line, (1, new), mode="bilinear", align_corners=False)
    assert torch.allclose(axis_weights(old, new) @ line.flatten(), wanted.flatten(), atol=1e-6)


def test_parts_of_a_resizing_are_those_of_the_whole():
    resizing = Resizing.between((9, 14), (200, 300)).then(Resizing.between((200, 300), (150, 290)))
    maps = torch.randn(3, 9, 14, generator=torch.Generator().manual_seed(0))
    whole = resizing.rows @ maps @ resizing.columns.T
    parts = [Area(0, 150, 0, 290)]
    for part in parts:
        found = resizing.part(resizing.source(part).of(maps), part)
        assert torch.allclose(found, part.of(whole), atol=1e-5)
        parts += part.quarters() if len(part.quarters()) > 1 else []
    assert min(part.bottom - part.top for part in parts) <= SMALL
    smallest = [part for part in parts if len(part.quarters()) == 1]
    assert sum(part.pixels for part in smallest) == 150 * 290


def test_more_classes_than_a_byte_counts():
    vocabulary = Vocabulary.load(
        {"classes": [{"id": i, "name": f"class_{i}", "thing": True} for i in range(300)]}
    )
    geometry = Geometry.plan((40, 40), FIT, 16)
    logits = torch.full((1, 300, 301), -20.0)
    logits[0].fill_diagonal_(20)
    masks = torch.full((1, 300, 16, 16), -9.0)
    masks[0, 299] = 9
    predictions = Predictions(masks, logits)
    assert (semantic(predictions, geometry, vocabulary).label_map == 299).all()
    assert [s.class_id for s in panoptic(predictions, geometry, vocabulary).segments] == [299]
