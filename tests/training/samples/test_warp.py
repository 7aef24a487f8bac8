import numpy as np
import pytest
import torch

from plainmask.training.samples.warp import warp_image, warp_layers, way_back

IMAGE = torch.randint(256, (3, 37, 53), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
LAYERS = np.arange(-1, 2 * 37 * 53 - 1, dtype=np.int32).reshape(2, 37, 53)
MIDDLE = (53 / 2, 37 / 2)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (way_back((3.0, 4.0), (3.0, 4.0)), lambda planes: planes),
        (way_back(MIDDLE, MIDDLE, flip=True), lambda planes: planes[..., ::-1]),
        (way_back(MIDDLE, MIDDLE, angle=180), lambda planes: planes[..., ::-1, ::-1]),
        (way_back(MIDDLE, MIDDLE[::-1], angle=90), lambda planes: np.rot90(planes, -1, (1, 2))),
        (way_back((0.0, 0.0), (0.0, 0.0), scale=3), lambda p: p.repeat(3, 1).repeat(3, 2)),
    ],
    ids=["nothing", "flip", "half turn", "clockwise", "scale"],
)
def test_whole_steps_are_exact(matrix, expected):
    layers = expected(LAYERS)
    np.testing.assert_array_equal(warp_layers(LAYERS, matrix, layers.shape[1:]), layers)
    if layers.size == LAYERS.size:  # enlarged pictures are smooth
        image = warp_image(IMAGE, matrix, layers.shape[1:])
        np.testing.assert_array_equal(image.numpy(), expected(IMAGE.numpy()))
        assert image.dtype == torch.uint8


def test_what_comes_from_outside_is_black_and_void():
    matrix = way_back((0.0, 0.0), (10.0, 5.0))
    image, layers = warp_image(IMAGE, matrix, (37, 53)), warp_layers(LAYERS, matrix, (37, 53))
    assert torch.equal(image[:, 5:, 10:], IMAGE[:, :-5, :-10])
    np.testing.assert_array_equal(layers[:, 5:, 10:], LAYERS[:, :-5, :-10])
    for strip in ((slice(0, 5), slice(None)), (slice(None), slice(0, 10))):
        assert not image[:, strip[0], strip[1]].any()
        assert (layers[:, strip[0], strip[1]] == -1).all()


def test_the_point_comes_to_its_place():
    matrix = way_back((20.0, 10.0), (31.0, 7.0), scale=1.7, angle=33, flip=True)
    np.testing.assert_allclose(matrix @ [31.0, 7.0, 1.0], [20.0, 10.0])
    np.testing.assert_allclose(np.linalg.det(matrix[:, :2]), -1 / 1.7**2)
