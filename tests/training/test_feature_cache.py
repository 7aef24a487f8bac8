"""The feature cache: same features, keyed by what the encoder sees, bounded, never half-written."""

from pathlib import Path

import torch

from goldens import below, golden, relative_error
from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import load_encoder
from plainmask.training.feature_cache import FeatureCache


def an_encoder(shift: float = 0.0) -> Encoder:
    state = below(golden("dinov3"), "encoder.")
    state["norm.bias"] = state["norm.bias"] + shift
    return load_encoder(state, num_heads=3, taps=(1, 2, 4, 5))


def some_pixels(count: int = 2) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_same_features_from_the_encoder_and_from_disk(tmp_path: Path):
    encoder, pixels = an_encoder(), some_pixels()
    cache = FeatureCache(tmp_path, encoder, 10**9)
    expected = encoder(pixels)
    for _ in range(2):  # filled, then read
        found = cache(pixels)
        assert (found.grid, found.prefix) == (expected.grid, expected.prefix)
        for tap, wanted in zip(found.taps, expected.taps, strict=True):
            assert relative_error(tap, wanted) < 1e-3  # kept in float16
    assert len(files(tmp_path)) == 2


def test_under_autocast_as_without(tmp_path: Path):
    encoder, pixels = an_encoder(), some_pixels()
    expected = encoder(pixels)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            found = FeatureCache(tmp_path, encoder, 10**9)(pixels)
        for tap, wanted in zip(found.taps, expected.taps, strict=True):
            assert tap.dtype == torch.float32
            assert relative_error(tap, wanted) < 3e-2  # encoded in bfloat16


def test_the_second_time_the_encoder_rests(tmp_path: Path):
    encoder, pixels = an_encoder(), some_pixels()
    cache = FeatureCache(tmp_path, encoder, 10**9)
    cache(pixels[:1])
    passes: list[int] = []
    encoder.register_forward_pre_hook(lambda module, args: passes.append(len(args[0])))
    cache(pixels)
    cache(pixels)
    assert passes == [1]  # only the image that was missing


def test_other_pixels_or_another_encoder_are_other_entries(tmp_path: Path):
    pixels = some_pixels()
    FeatureCache(tmp_path, an_encoder(), 10**9)(pixels)
    FeatureCache(tmp_path, an_encoder(), 10**9)(pixels.flip(-1))
    FeatureCache(tmp_path, an_encoder(shift=1.0), 10**9)(pixels)
    assert len(files(tmp_path)) == 6


def test_each_precision_has_its_own_entries(tmp_path: Path):
    encoder, pixels = an_encoder(), some_pixels()
    exact = FeatureCache(tmp_path, encoder, 10**9)(pixels)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = encoder(pixels)
        for _ in range(2):  # filled, then read
            found = FeatureCache(tmp_path, encoder, 10**9)(pixels)
            for tap, wanted in zip(found.taps, coarse.taps, strict=True):
                assert tap.dtype == torch.float32
                assert relative_error(tap, wanted.float()) < 1e-3
    assert len(files(tmp_path)) == 4
    assert not torch.equal(found.taps[0], exact.taps[0])


def test_padding_is_part_of_the_key(tmp_path: Path):
    encoder, pixels = an_encoder(), some_pixels()
    padded = [(32, 48), (32, 32)]
    cache, expected = FeatureCache(tmp_path, encoder, 10**9), encoder(pixels, content=padded)
    for _ in range(2):  # filled, then read
        found = cache(pixels, content=padded)
        for tap, wanted in zip(found.taps, expected.taps, strict=True):
            assert relative_error(tap, wanted) < 1e-3
    cache(pixels)
    assert len(files(tmp_path)) == 3  # the whole one is the same, the padded one another


def test_bounded(tmp_path: Path):
    encoder, pixels = an_encoder(), some_pixels(6)
    one = 4 * (5 + 6) * 48 * 2
    FeatureCache(tmp_path, encoder, 2 * one)(pixels)
    assert len(files(tmp_path)) == 2
    # a later run counts what is there
    FeatureCache(tmp_path, encoder, 3 * one)(pixels)
    assert len(files(tmp_path)) <= 3


def test_a_damaged_file_is_encoded_again(tmp_path: Path):
    encoder, pixels = an_encoder(), some_pixels(1)
    cache = FeatureCache(tmp_path, encoder, 10**9)
    expected = cache(pixels)
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(cache(pixels).taps[0], expected.taps[0])
    assert torch.equal(cache(pixels).taps[0], expected.taps[0])
    assert not list(tmp_path.glob("*.tmp"))
