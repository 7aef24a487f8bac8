import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plainmask.errors import InputError
from plainmask.pictures.images import image_size, read_image, read_label

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
# Height 2, width 3, every pixel another colour: no turn or flip of it is itself.
PICTURE = np.array([[RED, GREEN, BLUE], [(0, 0, 0), (250, 240, 230), (10, 20, 30)]], np.uint8)
ORIENTATION = 0x0112

TURN_BACK = {  # what a camera stores for an upright PICTURE, by EXIF orientation
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def save_turned(path: Path, upright: np.ndarray, orientation: int) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(TURN_BACK[orientation](upright))).save(path, exif=exif)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds (almost) nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


class TestSources:
    @pytest.mark.parametrize(
        "source_of",
        [
            lambda path: path,
            str,
            Image.open,
            lambda path: PICTURE,
            lambda path: torch.tensor(PICTURE).permute(2, 0, 1),
        ],
        ids=["Path", "str", "PIL", "array", "tensor"],
    )
    def test_all_sources_give_the_same_array(self, tmp_path: Path, source_of):
        path = tmp_path / "picture.png"
        Image.fromarray(PICTURE).save(path)
        pixels = read_image(source_of(path))
        np.testing.assert_array_equal(pixels, PICTURE)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable

    def test_the_result_is_never_shared(self):
        array, tensor = PICTURE.copy(), torch.tensor(PICTURE).permute(2, 0, 1)
        read_image(array)[:] = 7
        read_image(tensor)[:] = 7
        np.testing.assert_array_equal(array, PICTURE)
        np.testing.assert_array_equal(tensor.permute(1, 2, 0), PICTURE)

    @pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1)])
    def test_extreme_sizes(self, tmp_path: Path, size):
        pixels = np.full((*size, 3), 9, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "picture.png")
        np.testing.assert_array_equal(read_image(tmp_path / "picture.png"), pixels)
        np.testing.assert_array_equal(read_image(pixels), pixels)
        assert image_size(tmp_path / "picture.png") == size


def grey_modes():
    """(name, picture, RGB of its two pixels)."""
    sixteen = Image.fromarray(np.array([[0, 0x80FF]], np.uint16))
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *BLUE])
    palette.putpixel((1, 0), 1)
    return [
        ("grey", Image.fromarray(np.array([[0, 77]], np.uint8)), [(0, 0, 0), (77, 77, 77)]),
        ("1-bit", Image.fromarray(np.array([[False, True]])), [(0, 0, 0), (255, 255, 255)]),
        ("16-bit", sixteen, [(0, 0, 0), (0x80, 0x80, 0x80)]),
        ("32-bit", sixteen.convert("I"), [(0, 0, 0), (0x80, 0x80, 0x80)]),
        ("palette", palette, [RED, BLUE]),
    ]


class TestModes:
    @pytest.mark.parametrize(("_", "picture", "pixels"), grey_modes(), ids=lambda v: str(v)[:8])
    @pytest.mark.parametrize("in_file", [False, True])
    def test_grey_and_palette(self, tmp_path: Path, _, picture, pixels, in_file):
        if in_file:
            picture.save(tmp_path / "picture.tif")
        source = tmp_path / "picture.tif" if in_file else picture
        np.testing.assert_array_equal(read_image(source), [pixels])

    def test_sixteen_bit_png(self, tmp_path: Path):
        Image.fromarray(np.array([[0, 0x80FF]], np.uint16)).save(tmp_path / "picture.png")
        np.testing.assert_array_equal(read_image(tmp_path / "picture.png")[..., 0], [[0, 0x80]])

    @pytest.mark.parametrize("transparency", [0, b"\x00\x80"], ids=["one colour", "alpha table"])
    def test_palette_with_transparency_keeps_its_colours(self, tmp_path: Path, transparency):
        picture = next(picture for name, picture, _ in grey_modes() if name == "palette")
        picture.save(tmp_path / "picture.png", transparency=transparency)
        np.testing.assert_array_equal(read_image(tmp_path / "picture.png"), [[RED, BLUE]])

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
    def test_alpha_is_dropped(self, mode: str):
        picture = Image.new("RGBA", (1, 1), (90, 90, 90, 0)).convert(mode)
        np.testing.assert_array_equal(read_image(picture), [[(90, 90, 90)]])

    def test_cmyk(self, tmp_path: Path):
        Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "picture.jpg")
        pixels = read_image(tmp_path / "picture.jpg")
        assert np.abs(pixels.astype(int) - RED).max() < 8

    def test_the_first_of_several_frames(self, tmp_path: Path):
        frames = [Image.new("RGB", (4, 4), color) for color in (RED, BLUE)]
        frames[0].save(tmp_path / "picture.gif", save_all=True, append_images=frames[1:])
        assert tuple(read_image(tmp_path / "picture.gif")[0, 0]) == RED


class TestOrientation:
    @pytest.mark.parametrize("orientation", TURN_BACK)
    @pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
    def test_pictures_come_upright(self, tmp_path: Path, orientation: int, suffix: str):
        path = tmp_path / f"picture{suffix}"
        blocks = PICTURE.repeat(16, 0).repeat(16, 1)  # so that lossy formats keep the colours
        save_turned(path, blocks, orientation)
        pixels = read_image(path)
        assert pixels.shape == blocks.shape
        assert np.abs(pixels[8::16, 8::16].astype(int) - PICTURE).max() < 20
        assert image_size(path) == blocks.shape[:2]

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_grey_files_come_upright(self, tmp_path: Path, dtype):
        grey = np.array([[1, 2, 3], [4, 5, 6]], dtype)
        path = save_turned(tmp_path / "picture.png", grey, 6)
        np.testing.assert_array_equal(read_label(path), grey)

    def test_a_pil_image_comes_upright_and_stays_as_it_was(self, tmp_path: Path):
        path = save_turned(tmp_path / "picture.png", PICTURE, 6)
        with Image.open(path) as picture:
            np.testing.assert_array_equal(read_image(picture), PICTURE)
            assert picture.size == (2, 3)

    @pytest.mark.parametrize("orientation", [0, 9, 77])
    def test_meaningless_orientations_change_nothing(self, tmp_path: Path, orientation: int):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        Image.fromarray(PICTURE).save(tmp_path / "picture.png", exif=exif)
        np.testing.assert_array_equal(read_image(tmp_path / "picture.png"), PICTURE)

    def test_damaged_metadata_is_no_reason_to_refuse(self, tmp_path: Path):
        exif = b"Exif\0\0II*\0\xff\xff\xff\xff"
        Image.fromarray(PICTURE).save(tmp_path / "picture.png", exif=exif)
        with pytest.warns(UserWarning, match="Corrupt EXIF"):  # Pillow's own
            pixels = read_image(tmp_path / "picture.png")
        np.testing.assert_array_equal(pixels, PICTURE)


def truncated_jpeg(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


BAD_FILES = {
    "missing": (lambda folder: folder / "bad", "no such file"),
    "long name": (lambda folder: folder / ("bad" * 1000), "cannot be opened"),
    "folder": (lambda folder: folder, "a folder"),
    "empty": (lambda folder: written(folder / "bad", b""), "not a picture"),
    "text": (lambda folder: written(folder / "bad.jpg", b"hello"), "not a picture"),
    "truncated": (lambda folder: truncated_jpeg(folder / "bad.jpg"), "damaged"),
    "half a png": (lambda folder: written(folder / "bad.png", png_header(9, 9)), "damaged"),
    "bomb": (lambda folder: written(folder / "bad.png", png_header(30000, 30000)), "MAX_IMAGE"),
    "near bomb": (lambda folder: written(folder / "bad.png", png_header(10000, 10000)), "MAX_IM"),
    "no pixels": (lambda folder: written(folder / "bad.png", png_header(0, 5)), "bad.png"),
}


class TestRefusals:
    @pytest.mark.parametrize("kind", BAD_FILES)
    def test_bad_files(self, tmp_path: Path, kind: str):
        make, reason = BAD_FILES[kind]
        path = make(tmp_path)
        with pytest.raises(InputError, match=reason) as refusal:
            read_image(path)
        assert str(path) in str(refusal.value)
        with pytest.raises(InputError, match=re.escape(str(path))):
            read_label(path)

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            (np.zeros((4, 5, 3)), "uint8"),
            (np.full((4, 5, 3), np.nan, np.float32), "float32"),
            (np.zeros((4, 5, 3), np.int64), "int64"),
            (np.zeros((3, 4, 5), np.uint8), r"\(H, W, 3\)"),
            (np.zeros((4, 5), np.uint8), r"\(H, W, 3\)"),
            (np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\)"),
            (np.zeros((2, 4, 5, 3), np.uint8), "batch"),
            (np.zeros((0, 5, 3), np.uint8), "no pixels"),
            (torch.zeros(3, 4, 5), "uint8"),
            (torch.full((3, 4, 5), torch.nan), "float32"),
            (torch.zeros(3, 4, 5, dtype=torch.bfloat16), "bfloat16"),
            (torch.zeros(4, 5, 3, dtype=torch.uint8), r"\(3, H, W\)"),
            (torch.zeros(1, 3, 4, 5, dtype=torch.uint8), "batch"),
            (torch.zeros(3, 0, 5, dtype=torch.uint8), "no pixels"),
            (Image.new("RGB", (0, 5)), "no pixels"),
            (Image.new("F", (2, 2)), "floating-point"),
            (Image.new("I", (2, 2), 70000), "16 bits"),
            (["a.jpg", "b.jpg"], "one by one"),
            (b"bytes", "bytes"),
            (None, "NoneType"),
        ],
    )
    def test_bad_values(self, source, reason: str):
        with pytest.raises(InputError, match=reason):
            read_image(source)


class TestLabels:
    VALUES = np.array([[0, 1, 200], [7, 255, 3]])

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
    def test_values_are_read_as_stored(self, tmp_path: Path, dtype):
        values = self.VALUES if dtype == np.uint8 else self.VALUES * 257
        Image.fromarray(values.astype(dtype)).save(tmp_path / "label.tif")
        label = read_label(tmp_path / "label.tif")
        np.testing.assert_array_equal(label, values)
        assert label.dtype == np.int32

    def test_palette_files_give_indices(self, tmp_path: Path):
        picture = Image.fromarray(self.VALUES.astype(np.uint8)).convert("P")
        picture.putpalette(list(range(255, -1, -1)) * 3)
        picture.save(tmp_path / "label.png")
        np.testing.assert_array_equal(read_label(tmp_path / "label.png"), self.VALUES)

    def test_one_bit_files_give_0_and_1(self, tmp_path: Path):
        Image.fromarray(np.array([[False, True]])).save(tmp_path / "label.png")
        np.testing.assert_array_equal(read_label(tmp_path / "label.png"), [[0, 1]])

    def test_another_size_is_resized_nearest(self, tmp_path: Path):
        Image.fromarray(self.VALUES.astype(np.uint8)).save(tmp_path / "label.png")
        larger = read_label(tmp_path / "label.png", (4, 6))
        np.testing.assert_array_equal(larger, self.VALUES.repeat(2, 0).repeat(2, 1))
        np.testing.assert_array_equal(read_label(tmp_path / "label.png", (1, 2)), [[0, 1]])

    def test_a_label_on_its_side_is_refused(self, tmp_path: Path):
        Image.fromarray(self.VALUES.astype(np.uint8)).save(tmp_path / "label.png")
        with pytest.raises(InputError, match=r"label\.png lies on its side"):
            read_label(tmp_path / "label.png", (3, 2))

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "F"])
    def test_colour_needs_a_table(self, tmp_path: Path, mode: str):
        Image.new(mode, (2, 2)).save(tmp_path / "label.tif")
        with pytest.raises(InputError, match=f"label.tif has mode {mode}"):
            read_label(tmp_path / "label.tif")

    def test_jpeg_is_no_label_whatever_its_name(self, tmp_path: Path):
        Image.new("L", (8, 8)).save(tmp_path / "label.png", format="JPEG")
        with pytest.raises(InputError, match="blurs label values"):
            read_label(tmp_path / "label.png")
