"""Clips: one draw for all frames, pixels and masks together."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from plainmask.data.record import Annotation
from plainmask.errors import InputError
from plainmask.pictures.geometry import bounded_size
from plainmask.training.samples.augment import (
    AugmentConfig,
    ClipSample,
    CropConfig,
    VideoAugmentConfig,
    augment_clip,
    draw_rounds,
    sample_generator,
)

COLORS = np.array([[0, 0, 0], [250, 0, 0], [0, 250, 0], [0, 0, 250]], np.uint8)
"""Of no segment, and of segments 0 to 2."""
FIXED = AugmentConfig(crop_size=(40, 56), scale=(0.5, 2.0))
SIZES = VideoAugmentConfig(shorter=(32, 48, 60), longest=80, multiple=16)
CUTS = VideoAugmentConfig(
    shorter=(32, 48),
    longest=80,
    crop=CropConfig(probability=0.7, shorter=(50, 70), side=(30, 45)),
)


def moving_frames(count: int, size=(60, 90)) -> tuple[list[Tensor], list[Annotation]]:
    """Frames with three moving blocks whose colours say which they are."""
    images, segments = [], []
    for time in range(count):
        index_map = np.full(size, -1, np.int32)
        index_map[5:25, 5 + 5 * time : 30 + 5 * time] = 0
        index_map[30:55, 60 - 6 * time : 85 - 6 * time] = 1
        if time != 1:
            index_map[28:40, 10:22] = 2
        images.append(torch.from_numpy(COLORS[index_map + 1]).permute(2, 0, 1))
        segments.append(Annotation.of_map(index_map, [7, 8, 9]))
    return images, segments


def check_colors(sample: ClipSample) -> None:
    """The masks lie where the colours are; only borders may differ."""
    labels = sample.targets.labels.tolist()
    for pixels, masks in zip(sample.pixels, sample.targets.masks.transpose(0, 1), strict=True):
        for label, mask in zip(labels, masks, strict=True):
            color = torch.from_numpy(COLORS[label - 6]).int()
            wrong = (pixels[:, mask].int() - color[:, None]).abs().amax(0) > 125
            right = ((pixels.int() - color[:, None, None]).abs().amax(0) < 50).sum()
            border = 2 * sum(mask.shape)
            assert wrong.sum() <= border
            assert right - border <= mask.sum() <= right + border


@pytest.mark.parametrize("config", [FIXED, SIZES, CUTS], ids=["fixed", "sizes", "cuts"])
def test_pixels_and_masks_move_together_in_every_frame(config):
    images, segments = moving_frames(3)
    for index in range(15):
        sample = augment_clip(images, segments, config, sample_generator(0, 0, index))
        assert sample.pixels.shape[:2] == (3, 3)
        assert sample.targets.masks.shape[1:] == (3, *sample.pixels.shape[2:])
        check_colors(sample)
        height, width = sample.content
        assert not sample.targets.valid[:, height:].any()
        assert not sample.targets.valid[..., width:].any()
        assert not sample.pixels[:, :, height:].any()
        assert not sample.pixels[..., width:].any()


@pytest.mark.parametrize("config", [FIXED, SIZES, CUTS], ids=["fixed", "sizes", "cuts"])
def test_all_frames_are_changed_alike(config):
    images, segments = moving_frames(1)
    jitter = config.model_copy(update={"color_jitter": True})
    for index in range(10):
        generator = sample_generator(1, 0, index)
        pixels, targets, _ = augment_clip(images * 3, segments * 3, jitter, generator)
        assert (pixels == pixels[:1]).all()
        assert (targets.masks == targets.masks[:, :1]).all()


def test_the_same_seed_gives_the_same_clip():
    images, segments = moving_frames(3)
    first, again, other = (
        augment_clip(images, segments, CUTS, sample_generator(3, 1, index)) for index in (7, 7, 8)
    )
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.targets.masks, again.targets.masks)
    assert first.pixels.shape != other.pixels.shape or not torch.equal(first.pixels, other.pixels)


def test_visible_says_where_an_object_has_pixels():
    images, segments = moving_frames(3)
    still = VideoAugmentConfig(shorter=(60,), longest=90, flip=0)
    sample = augment_clip(images, segments, still, sample_generator(0, 0, 0))
    assert sample.targets.visible.tolist() == [[True] * 3, [True] * 3, [True, False, True]]
    assert torch.equal(sample.targets.visible, sample.targets.masks.flatten(2).any(2))
    present = augment_clip(images, segments, still, sample_generator(0, 0, 0), always_present=True)
    assert present.targets.visible.all()
    assert torch.equal(present.targets.masks, sample.targets.masks)


def test_overlapping_objects_keep_their_masks():
    masks = [np.zeros((60, 90), bool) for _ in range(2)]
    masks[0][10:40, 10:60] = masks[1][20:50, 30:80] = True
    overlapping = Annotation.of_masks(masks, (60, 90), [1, 2])
    still = VideoAugmentConfig(shorter=(60,), longest=90, flip=0, multiple=30)
    image = torch.zeros(3, 60, 90, dtype=torch.uint8)
    sample = augment_clip([image], [overlapping], still, sample_generator(0, 0, 0))
    np.testing.assert_array_equal(sample.targets.masks[:, 0].numpy(), masks)
    np.testing.assert_array_equal(sample.targets.valid[0].numpy(), masks[0] | masks[1])


def test_padding_to_a_multiple():
    images, segments = moving_frames(2)
    config = VideoAugmentConfig(shorter=(42,), longest=1000, multiple=14)
    sample = augment_clip(images, segments, config, sample_generator(0, 0, 0))
    assert sample.content == (42, 63)
    assert sample.pixels.shape == (2, 3, 42, 70)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 854), (432, 768)),
        ((854, 480), (768, 432)),
        ((100, 110), (480, 528)),
        ((1, 9999), (1, 768)),
    ],
)
def test_bounded_size(size, expected):
    assert bounded_size(size, 480, 768) == expected


def test_draws_of_cuts():
    config = VideoAugmentConfig(shorter=(320, 352), longest=768, crop=CropConfig())
    drawn = [draw_rounds((720, 1280), config, sample_generator(0, 0, i)) for i in range(600)]
    cuts = [rounds[0] for rounds in drawn if len(rounds) == 2]
    assert len(cuts) / len(drawn) == pytest.approx(0.5, abs=0.06)
    assert {min(cut.size) for cut in cuts} == {400, 500, 600}
    for axis in (0, 1):
        sides = np.array([cut.crop_size[axis] for cut in cuts])
        assert (sides.min(), sides.max()) == pytest.approx((384, 600), abs=5)
        for cut in cuts:
            assert cut.corner[axis] + cut.crop_size[axis] <= cut.size[axis]
    assert {min(rounds[-1].size) for rounds in drawn} == {320, 352}
    assert all(side % 32 == 0 for rounds in drawn for side in rounds[-1].crop_size)
    assert np.mean([rounds[-1].flip for rounds in drawn]) == pytest.approx(0.5, abs=0.06)


def test_cuts_of_small_pictures_are_the_picture():
    config = CUTS.model_copy(
        update={"crop": CropConfig(probability=1, shorter=(20,), side=(30, 45))}
    )
    (cut, _) = draw_rounds((20, 20), config, sample_generator(0, 0, 0))
    assert cut.crop_size == (20, 20)


def test_frames_must_agree_in_size():
    images, segments = moving_frames(2)
    other, _ = moving_frames(1, size=(50, 90))
    with pytest.raises(InputError, match=r"frame 1 is \(50, 90\), the first \(60, 90\)"):
        augment_clip([images[0], *other], segments, FIXED, sample_generator(0, 0, 0))
    with pytest.raises(InputError, match=r"image .* and segments .* differ"):
        augment_clip(other, segments[:1], FIXED, sample_generator(0, 0, 0))


@pytest.mark.parametrize(
    "wrong",
    [{"shorter": ()}, {"shorter": (0,)}, {"longest": 0}, {"crop": {"side": (9, 3)}}, {"scale": 1}],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        VideoAugmentConfig.model_validate({"shorter": (320,), "longest": 768, **wrong})


def test_a_recipe_tells_the_two_configs_apart():
    either = TypeAdapter(AugmentConfig | VideoAugmentConfig)
    assert isinstance(
        either.validate_python({"shorter": [320], "longest": 768}), VideoAugmentConfig
    )
    assert isinstance(either.validate_python({"crop_size": 64, "scale": [1, 2]}), AugmentConfig)
