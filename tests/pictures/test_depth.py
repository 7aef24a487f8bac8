"""Pictures of more than 8 bits come as bright as they are meant."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainmask.errors import InputError
from plainmask.pictures.images import read_image

RAMP = np.linspace(0, 255, 60).round().astype(np.uint16).reshape(6, 10)


def chunk(kind: bytes, data: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + crc


def write_png(path: Path, values: np.ndarray, significant: int | None = None) -> Path:
    """A PNG of 16 bits a channel, (H, W) grey, (H, W, 3) or (H, W, 4), maybe with sBIT."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    stated = chunk(b"sBIT", bytes([significant] * channels)) if significant else b""
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + stated
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


def write_tiff(path: Path, values: np.ndarray, most: int | None = None) -> Path:
    Image.fromarray(values).save(path, tiffinfo={} if most is None else {281: most})
    return path


def colors(grey: np.ndarray, channels: int = 3) -> np.ndarray:
    return np.repeat(grey[..., None], channels, 2)


class TestWhatTheFileSays:
    @pytest.mark.parametrize("shape", [lambda grey: grey, colors, lambda grey: colors(grey, 4)])
    @pytest.mark.parametrize("bits", [10, 12, 16])
    def test_png(self, tmp_path: Path, bits: int, shape):
        path = write_png(tmp_path / "a.png", shape(RAMP << (bits - 8)), significant=bits)
        np.testing.assert_array_equal(read_image(path), colors(RAMP))

    def test_values_that_fill_the_file_are_not_cut(self, tmp_path: Path):
        """As the specification of PNG wants it: significant bits, scaled to all 16."""
        path = write_png(tmp_path / "a.png", RAMP << 8, significant=12)
        np.testing.assert_array_equal(read_image(path), colors(RAMP))

    @pytest.mark.parametrize("most", [4095, 65535])
    def test_tiff(self, tmp_path: Path, most: int):
        values = (RAMP << (4 if most == 4095 else 8)).astype(np.uint16)
        np.testing.assert_array_equal(
            read_image(write_tiff(tmp_path / "a.tif", values, most)), colors(RAMP)
        )

    def test_dark_pictures_stay_dark_where_the_file_says_so(self, tmp_path: Path):
        path = write_tiff(tmp_path / "a.tif", RAMP << 4, 65535)
        assert read_image(path).max() == 15


class TestWhatTheValuesSay:
    @pytest.mark.parametrize("bits", [8, 10, 12, 14])
    @pytest.mark.parametrize(
        "write",
        [
            lambda path, grey: write_png(path, grey),
            lambda path, grey: write_png(path, colors(grey)),
            lambda path, grey: write_png(path, colors(grey, 4)),
            lambda path, grey: write_tiff(path, grey),
        ],
    )
    def test_fewer_bits_are_taken_with_a_warning(self, tmp_path: Path, bits: int, write):
        path = write(tmp_path / "a.tif", RAMP << (bits - 8))
        white = 2**bits - 1
        message = rf"a\.tif: its values go up to {255 << (bits - 8)} of 65535, so {white} is taken"
        with pytest.warns(UserWarning, match=message):
            pixels = read_image(path)
        np.testing.assert_array_equal(pixels, colors(RAMP))

    def test_thirty_two_bits_of_0_to_255_are_bytes(self, tmp_path: Path):
        path = write_tiff(tmp_path / "a.tif", RAMP.astype(np.int32))
        np.testing.assert_array_equal(read_image(path), colors(RAMP))

    def test_full_and_empty_pictures_need_no_warning(self, tmp_path: Path):
        for grey in (RAMP << 8, RAMP * 0):
            for values in (grey, colors(grey)):
                path = write_png(tmp_path / "a.png", values)
                np.testing.assert_array_equal(read_image(path), colors(grey >> 8))

    @pytest.mark.parametrize("values", [RAMP << 4, colors(RAMP << 4)])
    def test_pil_images_that_are_not_decoded_yet(self, tmp_path: Path, values):
        path = write_png(tmp_path / "a.png", values, significant=12)
        with Image.open(path) as picture:
            np.testing.assert_array_equal(read_image(picture), colors(RAMP))


class TestTheChoice:
    @pytest.mark.parametrize("values", [RAMP << 4, colors(RAMP << 4)])
    def test_in_python_and_by_the_environment(self, tmp_path: Path, monkeypatch, values):
        path = write_png(tmp_path / "a.png", values)
        np.testing.assert_array_equal(read_image(path, white=4095), colors(RAMP))
        np.testing.assert_array_equal(read_image(path, white=65535), colors(RAMP >> 4))
        monkeypatch.setenv("PLAINMASK_WHITE", "4095")
        np.testing.assert_array_equal(read_image(path), colors(RAMP))
        monkeypatch.setenv("PLAINMASK_WHITE", "65535")
        np.testing.assert_array_equal(read_image(path), colors(RAMP >> 4))
        monkeypatch.setenv("PLAINMASK_WHITE", "bright")
        with pytest.raises(InputError, match="PLAINMASK_WHITE is a number such as 4095"):
            read_image(path)

    def test_pictures_of_8_bits_are_as_they_are(self, tmp_path: Path, monkeypatch):
        monkeypatch.setenv("PLAINMASK_WHITE", "100")
        grey = RAMP.astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_image(tmp_path / "a.png", white=9), colors(grey))
