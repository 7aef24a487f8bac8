import io
import re
import struct
import sys
import types
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
WIDE = PICTURE.repeat(2, 1)
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


class TestFormsOfSources:
    @pytest.mark.parametrize(
        "source_of",
        [
            lambda path: path.read_bytes(),
            lambda path: bytearray(path.read_bytes()),
            lambda path: io.BytesIO(path.read_bytes()),
            lambda path: Entry(path),
        ],
    )
    def test_bytes_files_and_path_likes(self, tmp_path: Path, source_of):
        Image.fromarray(PICTURE).save(tmp_path / "picture.png")
        np.testing.assert_array_equal(read_image(source_of(tmp_path / "picture.png")), PICTURE)

    def test_an_open_file_stays_open(self, tmp_path: Path):
        Image.fromarray(PICTURE).save(tmp_path / "picture.png")
        with (tmp_path / "picture.png").open("rb") as file:
            file.read(5)
            for _ in range(2):
                np.testing.assert_array_equal(read_image(file), PICTURE)

    @pytest.mark.parametrize(
        "grey", [WIDE[..., 0], WIDE[..., :1], torch.tensor(WIDE[None, ..., 0])]
    )
    def test_grey_arrays(self, grey):
        np.testing.assert_array_equal(read_image(grey), WIDE[..., :1].repeat(3, 2))

    def test_transparency_of_arrays_is_dropped(self):
        rgba = np.concatenate([WIDE, WIDE[..., :1] // 2], 2)
        np.testing.assert_array_equal(read_image(rgba), WIDE)
        np.testing.assert_array_equal(read_image(torch.tensor(rgba).permute(2, 0, 1)), WIDE)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
    def test_other_numbers_need_a_word(self, dtype):
        white = 510 if dtype == np.uint16 else 1.0
        values = (PICTURE.astype(np.float64) * white / 255).astype(dtype)
        close = read_image(values, white=white).astype(int) - PICTURE
        assert np.abs(close).max() <= (1 if dtype == np.uint16 else 0)
        with pytest.raises(InputError, match=r"read_image\(image, white=1\.0\)"):
            read_image(values)
        tensor = torch.tensor(values.astype(np.float32)).permute(2, 0, 1)
        np.testing.assert_array_equal(read_image(tensor, white=white), PICTURE)
        assert read_image(values * 2, white=white).max() == 255

    @pytest.mark.parametrize("white", [0, -1, float("nan"), float("inf")])
    def test_no_white(self, white: float):
        with pytest.raises(InputError, match="white is a positive number"):
            read_image(np.zeros((2, 2)), white=white)

    def test_heic_where_a_reader_is_installed(self, tmp_path: Path, monkeypatch):
        """The package stands in for pillow-heif: it takes what comes for a red picture."""
        heif = types.ModuleType("pillow_heif")
        code = (
            "from PIL import Image, ImageFile\n"
            "class File(ImageFile.ImageFile):\n"
            "    format = 'STANDIN'\n"
            "    def _open(self):\n"
            "        self._size, self._mode = (2, 1), 'RGB'\n"
            "    def load(self):\n"
            "        self.im = Image.new('RGB', (2, 1), (255, 0, 0)).im\n"
            "def register_heif_opener():\n"
            "    Image.register_open('STANDIN', File, lambda head: head[4:12] == b'ftypheic')\n"
        )
        exec(code, heif.__dict__)
        monkeypatch.setitem(sys.modules, "pillow_heif", heif)
        Image.init()  # what it registers while the tables are exchanged would be lost with them
        monkeypatch.setattr(Image, "ID", [*Image.ID])
        monkeypatch.setattr(Image, "OPEN", {**Image.OPEN})
        path = written(tmp_path / "a.heic", b"\0\0\0\x18ftypheic\0\0")
        np.testing.assert_array_equal(read_image(path), [[RED, RED]])

    def test_heic_without_one(self, tmp_path: Path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        path = written(tmp_path / "a.heic", b"\0\0\0\x18ftypheic\0\0")
        with pytest.raises(InputError, match=r"a\.heic: .*pip install pillow-heif"):
            read_image(path)

    def test_the_limit_on_pixels_may_be_raised(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
        with pytest.raises(InputError, match="PLAINMASK_MAX_PIXELS=16 "):
            read_image(tmp_path / "a.png")
        for said in ("16", "0"):
            monkeypatch.setenv("PLAINMASK_MAX_PIXELS", said)
            assert read_image(tmp_path / "a.png").shape == (4, 4, 3)
        monkeypatch.setenv("PLAINMASK_MAX_PIXELS", "many")
        with pytest.raises(InputError, match="whole number, 0 for no limit, not 'many'"):
            read_image(tmp_path / "a.png")


class Entry:
    """A path in the form of os.PathLike alone."""

    def __init__(self, path: Path):
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


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
    "bomb": (
        lambda folder: written(folder / "bad.png", png_header(30000, 30000)),
        "PLAINMASK_MAX_PIXELS=900000000",
    ),
    "git lfs": (
        lambda folder: written(folder / "a.jpg", b"version https://git-lfs.github.com/spec/v1\n"),
        "Git LFS pointer",
    ),
    "svg": (lambda folder: written(folder / "a.png", b"<?xml?><SVG>"), "SVG drawing"),
    "web page": (lambda folder: written(folder / "a.png", b"<!doctype html><html>"), "web page"),
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
            (np.zeros(4, np.uint8), r"\(H, W, 3\)"),
            (np.zeros((4, 5, 2), np.uint8), r"\(4, 5, 2\)"),
            (np.zeros((4, 5), bool), "bool"),
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
            (b"bytes", "these bytes: this is not a picture"),
            (io.BytesIO(b""), "the open file: this is not a picture"),
            ("https://example.org/a.jpg", "is an address; download it"),
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
