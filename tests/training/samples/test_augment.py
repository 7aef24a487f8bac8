import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from plainmask.data.record import Annotation
from plainmask.errors import InputError
from plainmask.training.samples.augment import (
    AugmentConfig,
    Decisions,
    augment,
    draw_rounds,
    pad_and_crop,
    sample_generator,
    scaled_size,
)

GOLDEN = Path(__file__).parents[2] / "golden"
CASES = json.loads((GOLDEN / "augment_image.json").read_text())
CONFIG = AugmentConfig(crop_size=(40, 56), scale=(0.5, 2.0), color_jitter=True)
STILL = AugmentConfig(crop_size=(40, 56), scale=(1.0, 1.0), flip=0.0)


def make_image(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8)


def make_segments(index_map, class_ids, crowd=None) -> Annotation:
    return Annotation.of_map(np.array(index_map, np.int32), class_ids, crowd)


def quarters(height: int, width: int) -> np.ndarray:
    """Four equal segments, 0 and 1 above 2 and 3."""
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * 2 // width
    return (rows[:, None] * 2 + columns).astype(np.int32)


class TestGolden:
    """The published transform with its draws given."""

    @pytest.mark.parametrize("case", CASES)
    def test_replay(self, monkeypatch: pytest.MonkeyPatch, case: str):
        tensors = load_file(GOLDEN / "augment_image.safetensors")
        golden = {k.split(".")[1]: v for k, v in tensors.items() if k.startswith(f"{case}.")}
        operations = CASES[case]["ops"]
        geometry = {name: value for name, value in operations if name in ("resize", "crop", "flip")}
        config = AugmentConfig(crop_size=CASES[case]["size"], scale=(1.0, 1.0))
        decisions = Decisions(
            color=tuple((name, value) for name, value in operations if name not in geometry),
            flip=geometry.get("flip", False),
            size=tuple(geometry["resize"]),
            corner=tuple(geometry["crop"]),
            crop_size=config.crop_size,
        )
        monkeypatch.setattr(
            "plainmask.training.samples.augment.draw_rounds", lambda *_: (decisions,)
        )

        index_map = np.full(golden["image"].shape[1:], -1)
        for index, mask in enumerate(golden["masks"].bool().numpy()):
            index_map[mask] = index
        pixels, targets = augment(
            golden["image"],
            make_segments(index_map, golden["labels"], golden["is_crowd"]),
            config,
            sample_generator(0, 0, 0),
        )
        assert torch.equal(pixels, golden["out_image"])
        assert torch.equal(targets.labels, golden["out_labels"])
        assert torch.equal(targets.masks, golden["out_masks"].bool())


class TestGeometry:
    @pytest.mark.parametrize(
        ("size", "scale", "expected"),
        [
            ((480, 640), 1.0, (560, 746)),
            ((640, 480), 1.0, (560, 420)),
            ((480, 640), 0.1, (56, 74)),
            ((2, 3000), 0.1, (1, 84)),
            ((1, 1), 2.0, (1120, 1120)),
        ],
    )
    def test_scaled_size_of_a_wide_crop(self, size, scale: float, expected):
        assert scaled_size(size, (560, 840), scale) == expected

    def test_padding_lies_right_and_below(self):
        padded = pad_and_crop(torch.ones(2, 3), (0, 0), (4, 5), fill=7)
        assert padded[:2, :3].eq(1).all()
        assert padded.sum() == 6 + 14 * 7

    def test_a_crop_holds_no_memory_of_the_rest(self):
        crop = pad_and_crop(torch.ones(3, 100, 100), (10, 20), (5, 5), fill=0)
        assert crop.untyped_storage().nbytes() == crop.numel() * crop.element_size()

    def test_draws_stay_inside(self):
        for index in range(200):
            (decisions,) = draw_rounds((30, 70), CONFIG, sample_generator(0, 0, index))
            for start, new, crop in zip(
                decisions.corner, decisions.size, CONFIG.crop_size, strict=True
            ):
                assert 0 <= start <= max(0, new - crop)


class TestDraw:
    def test_frequencies_and_bounds(self):
        draws = [
            draw_rounds((30, 70), CONFIG, sample_generator(0, 0, index))[0] for index in range(2000)
        ]
        assert np.mean([d.flip for d in draws]) == pytest.approx(0.5, abs=0.05)
        bounds = {"brightness": 32 / 255, "contrast": 0.5, "saturation": 0.5, "hue": 18 / 360}
        for name, bound in bounds.items():
            factors = np.array([factor for d in draws for op, factor in d.color if op == name])
            assert len(factors) / len(draws) == pytest.approx(0.5, abs=0.05)
            offsets = factors - (0 if name == "hue" else 1)
            assert np.abs(offsets).max() == pytest.approx(bound, rel=0.02)
            assert np.abs(offsets).max() <= bound
        orders = {tuple(op for op, _ in d.color) for d in draws if len(d.color) == 4}
        assert orders == {
            ("brightness", "contrast", "saturation", "hue"),
            ("brightness", "saturation", "hue", "contrast"),
        }
        scales = np.array([d.size[0] / (30 * 56 / 70) for d in draws])
        assert scales.min() == pytest.approx(0.5, abs=0.05)
        assert scales.max() == pytest.approx(2.0, abs=0.05)

    def test_no_jitter_and_no_flip_where_not_asked(self):
        for index in range(20):
            (decisions,) = draw_rounds((30, 70), STILL, sample_generator(0, 0, index))
            assert decisions.color == ()
            assert not decisions.flip

    def test_generators_differ_by_each_number_only(self):
        def first(*key: int) -> float:
            return torch.rand((), generator=sample_generator(*key)).item()

        assert first(1, 2, 3) == first(1, 2, 3)
        keys = [(a, b, c) for a in range(4) for b in range(4) for c in range(4)]
        assert len({first(*key) for key in keys}) == len(keys)


class TestAugment:
    def test_shapes_and_types(self):
        segments = make_segments(quarters(30, 70), [5, 6, 7, 8])
        pixels, targets = augment(make_image(30, 70), segments, CONFIG, sample_generator(0, 0, 0))
        assert (pixels.shape, pixels.dtype) == ((3, 40, 56), torch.uint8)
        assert (targets.labels.dtype, targets.masks.dtype) == (torch.int64, torch.bool)
        assert targets.masks.shape == (len(targets.labels), 40, 56)
        assert targets.valid.shape == (40, 56)
        assert pixels.is_contiguous()

    def test_the_same_seed_gives_the_same_sample(self):
        image, segments = make_image(30, 70), make_segments(quarters(30, 70), [5, 6, 7, 8])
        before = image.clone()
        first, again, other = (
            augment(image, segments, CONFIG, sample_generator(3, 1, index)) for index in (7, 7, 8)
        )
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1].masks, again[1].masks)
        assert not torch.equal(first[0], other[0])
        assert torch.equal(image, before)

    def test_image_and_masks_move_together(self):
        # Each segment has a colour of its own, so the colours in the crop tell the segment.
        index_map = quarters(120, 160)
        colors = torch.tensor([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 250]])
        image = colors[torch.tensor(index_map).long()].permute(2, 0, 1).to(torch.uint8)
        config = CONFIG.model_copy(update={"color_jitter": False})
        for index in range(30):
            segments = make_segments(index_map, [5, 6, 7, 8])
            pixels, targets = augment(image, segments, config, sample_generator(0, 0, index))
            for label, mask in zip(targets.labels.tolist(), targets.masks, strict=True):
                color = colors[label - 5]
                wrong = (pixels[:, mask].int() - color[:, None]).abs().amax(0) > 125
                # Only the border between two segments may differ: the two resizes treat it apart.
                assert wrong.sum() <= 2 * sum(mask.shape)
            assert pixels[:, ~targets.valid].sum() == 0

    def test_masks_are_disjoint_and_none_is_empty(self):
        segments = make_segments(quarters(90, 90), [2, 2, 0, 1])
        for index in range(20):
            _, targets = augment(
                make_image(90, 90), segments, CONFIG, sample_generator(0, 0, index)
            )
            assert targets.masks.any((1, 2)).all()
            assert torch.equal(targets.masks.sum(0), targets.valid.long())

    def test_void_padding_and_crowds_are_not_valid(self):
        index_map = quarters(40, 40)
        index_map[index_map == 3] = -1
        segments = make_segments(index_map, [4, 5, 6], crowd=[False, True, False])
        _, targets = augment(make_image(40, 40), segments, STILL, sample_generator(0, 0, 0))
        expected = torch.zeros(40, 56, dtype=torch.bool)
        expected[:, :20] = True
        assert torch.equal(targets.valid, expected)
        assert targets.labels.tolist() == [4, 6]

    @pytest.mark.parametrize(
        "segments",
        [
            make_segments(quarters(30, 30), [0, 1, 2, 3], crowd=[True] * 4),
            make_segments(np.full((30, 30), -1), []),
        ],
        ids=["all crowd", "no segments"],
    )
    def test_nothing_to_learn_gives_empty_targets(self, segments: Annotation):
        pixels, targets = augment(make_image(30, 30), segments, CONFIG, sample_generator(0, 0, 0))
        assert pixels.shape == (3, 40, 56)
        assert targets.labels.shape == (0,)
        assert targets.masks.shape == (0, 40, 56)
        assert not targets.valid.any()

    def test_an_empty_crop_is_drawn_anew(self):
        index_map = np.full((400, 400), -1, np.int32)
        index_map[:60, :60] = 0
        segments = make_segments(index_map, [9])
        config = AugmentConfig(crop_size=40, scale=(2.0, 2.0))
        for index in range(10):
            _, targets = augment(
                make_image(400, 400), segments, config, sample_generator(0, 0, index)
            )
            assert targets.labels.tolist() == [9]

    def test_what_no_crop_shows_ends_in_empty_targets(self):
        # The only pixel that is labelled gets lost whenever the picture shrinks to two columns.
        index_map = np.full((1000, 1000), -1, np.int32)
        index_map[999, 999] = 0
        config = AugmentConfig(crop_size=2, scale=(1.0, 1.0), flip=0.0)
        _, targets = augment(
            make_image(1000, 1000), make_segments(index_map, [1]), config, sample_generator(0, 0, 0)
        )
        assert len(targets.labels) == 0

    @pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1)])
    def test_extreme_sizes(self, size):
        segments = make_segments(np.zeros(size), [3])
        pixels, targets = augment(make_image(*size), segments, CONFIG, sample_generator(0, 0, 0))
        assert pixels.shape == (3, 40, 56)
        assert targets.labels.tolist() == [3]

    def test_sizes_must_agree(self):
        with pytest.raises(InputError, match=r"\(30, 30\).*\(40, 40\) differ"):
            augment(
                make_image(30, 30),
                make_segments(quarters(40, 40), [0, 1, 2, 3]),
                CONFIG,
                sample_generator(0, 0, 0),
            )


class TestConfig:
    def test_one_number_is_a_square(self):
        assert AugmentConfig(crop_size=64, scale=(0.5, 2.0)).crop_size == (64, 64)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"crop_size": 0},
            {"crop_size": (3, -1)},
            {"scale": (0.0, 1.0)},
            {"scale": (2.0, 1.0)},
            {"scale": (1.0, math.nan)},
            {"flip": 1.5},
            {"rotation": 3},
        ],
    )
    def test_wrong_values_are_refused(self, wrong):
        with pytest.raises(ValidationError):
            AugmentConfig(**{"crop_size": 64, "scale": (0.5, 2.0), **wrong})
