"""Masks from the parts that they can reach are those of whole maps."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hills import hills
from plainmask.pictures.geometry import Geometry, InputProtocol, Size
from plainmask.results.rle import Rle
from plainmask.tasks.contest import Resizing
from plainmask.tasks.cutouts import cut_out

PROTOCOLS = {
    "fit": InputProtocol(kind="fit", size=64),
    "video": InputProtocol(kind="video", size=48, longest=96),
}
SIZES = [(150, 310), (64, 64), (23, 170), (300, 129), (9, 11)]


@pytest.mark.parametrize("noise", [0.0, 1.0, 8.0])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", PROTOCOLS)
def test_masks_and_certainties_are_those_of_whole_maps(kind: str, size: Size, noise: float):
    geometry = Geometry.plan(size, PROTOCOLS[kind], 16)
    logits = hills(12, (20, 24), seed=len(str(size)), noise=noise)
    rles, certainties = cut_out(logits, geometry)
    whole = geometry.restore(logits[None])
    found = np.stack([rle.decode() for rle in rles])
    other = found != (whole > 0).numpy()
    assert other.mean() < 2e-5
    assert (whole.abs().numpy()[other] < 1e-5 * float(logits.abs().max())).all()  # rounding
    assert certainties == pytest.approx(mean_probs(whole, found), rel=1e-6, abs=1e-6)


def mean_probs(whole: Tensor, masks: np.ndarray) -> list[float]:
    probs = whole.double().sigmoid().numpy()
    return [
        float(prob[mask].mean()) if mask.any() else 0.0
        for prob, mask in zip(probs, masks, strict=True)
    ]


@pytest.mark.parametrize("value", [9.0, -9.0])
def test_a_mask_that_is_everywhere_or_nowhere(value: float):
    geometry = Geometry.plan((200, 300), PROTOCOLS["fit"], 16)
    (rle,), (certainty,) = cut_out(torch.full((1, 16, 16), value), geometry)
    assert rle == Rle.encode(np.full((200, 300), value > 0))
    assert certainty == pytest.approx(max(0.0, 1 / (1 + np.exp(-9.0)) * (value > 0)))


@pytest.mark.parametrize("place", [(0, 0), (0, 19), (19, 0), (19, 19), (7, 12)])
def test_a_single_cell_wherever_it_lies(place: tuple[int, int]):
    geometry = Geometry.plan((260, 260), PROTOCOLS["fit"], 16)
    logits = torch.full((1, 20, 20), -3.0)
    logits[0, place[0], place[1]] = 3.1
    (rle,), _ = cut_out(logits, geometry)
    assert rle == Rle.encode((geometry.restore(logits[None])[0] > 0).numpy())
    assert rle.area


def test_cells_that_no_pixel_is_mixed_from_reach_nothing():
    geometry = Geometry.plan((5, 5), PROTOCOLS["fit"], 16)
    logits = torch.full((1, 64, 64), -3.0)
    logits[0, 0] = 3.0
    (rle,), (certainty,) = cut_out(logits, geometry)
    assert (rle.area, certainty) == (0, 0)


def test_no_maps_are_no_masks():
    geometry = Geometry.plan((50, 50), PROTOCOLS["fit"], 16)
    assert cut_out(torch.zeros(0, 16, 16), geometry) == ([], [])


@pytest.mark.parametrize(("old", "new"), [(9, 200), (9, 9), (50, 7), (1, 6)])
def test_rows_from_are_those_that_mix_a_row(old: int, new: int):
    resizing = Resizing.between((old, 4), (new, 4))
    for row in range(old):
        wanted = resizing.rows[:, row].nonzero().flatten().tolist()
        assert [*range(*resizing.rows_from(row, row + 1))] == wanted
