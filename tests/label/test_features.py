"""Features of pictures: how they are seen, and that files are used, bounded and made again."""

from pathlib import Path

import numpy as np
import pytest
import torch

from labelling import SIZE, fields, tiny_taps
from plainmask.errors import InputError
from plainmask.label.features import PROTOCOL, KeptTaps, seen
from plainmask.label.project import ProjectPicture
from plainmask.pictures.geometry import Geometry


def picture(path: Path, size: tuple[int, int] = SIZE) -> ProjectPicture:
    return ProjectPicture(path.name, path, size)


@pytest.fixture
def taps(tmp_path: Path) -> KeptTaps:
    fields(tmp_path, "a.png", "b.png", "c.png")
    return tiny_taps(tmp_path / "project")


@pytest.mark.parametrize("size", [(360, 480), (480, 360), (3000, 4000), (10, 10), (1, 20)])
@pytest.mark.parametrize("patch", [14, 16])
def test_pictures_are_seen_in_whole_patches_as_the_head_sees_them(
    size: tuple[int, int], patch: int
):
    found = seen(size, patch)
    assert found == Geometry.plan(size, PROTOCOL, patch)
    assert found.model_size == tuple(side * patch for side in found.grid(patch))
    assert min(found.content_size) == 448


def test_a_picture_that_is_too_long_and_thin():
    with pytest.raises(InputError, match="7 x 9000 pixels is too long and thin"):
        seen((7, 9000), 14)


def test_features_are_the_encoders_taps(taps: KeptTaps, tmp_path: Path):
    one = picture(tmp_path / "a.png")
    found = taps.of(one)
    height, width = seen(SIZE, taps.patch).grid(taps.patch)
    assert found.shape == (height * width, taps.width)
    assert found.dtype == np.float16
    from plainmask.pictures.images import read_image

    pixels = torch.from_numpy(seen(SIZE, taps.patch).fit(read_image(one.path)))
    with torch.no_grad():
        direct = taps.shared.encoder(pixels)
    expected = torch.cat([tap[0, direct.prefix :] for tap in direct.taps], 1).half().numpy()
    assert np.array_equal(found, expected)


def test_files_are_used_again_also_by_another_name(taps: KeptTaps, tmp_path: Path):
    found = taps.of(picture(tmp_path / "a.png"))
    (file,) = taps.folder.iterdir()
    (tmp_path / "again.png").write_bytes((tmp_path / "a.png").read_bytes())
    marked = np.array(found)
    marked[0] = 7
    np.save(file, marked)
    assert np.array_equal(
        tiny_taps(tmp_path / "project").of(picture(tmp_path / "again.png")), marked
    )
    assert len(list(taps.folder.iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"not a file of NumPy", "half"])
def test_a_damaged_file_is_made_again(taps: KeptTaps, tmp_path: Path, damage: bytes | str):
    expected = np.array(taps.of(picture(tmp_path / "a.png")))
    (file,) = taps.folder.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if isinstance(damage, str) else damage)
    assert np.array_equal(taps.of(picture(tmp_path / "a.png")), expected)
    assert file.read_bytes() == content


def test_those_used_longest_ago_make_room(tmp_path: Path):
    fields(tmp_path, "a.png", "b.png", "c.png")
    size = taps_size(tmp_path)
    taps = tiny_taps(tmp_path / "small", 2 * size + 10_000)
    for name in ("a.png", "b.png", "a.png", "c.png", "a.png"):
        taps.of(picture(tmp_path / name))
    assert len(list(taps.folder.iterdir())) == 2


def taps_size(folder: Path) -> int:
    return tiny_taps(folder / "other").of(picture(folder / "a.png")).nbytes


def test_without_a_place_for_files_all_else_works(taps: KeptTaps, tmp_path: Path):
    expected = np.array(taps.of(picture(tmp_path / "a.png")))
    (tmp_path / "file").write_text("")
    other = tiny_taps(tmp_path / "file")
    assert np.array_equal(other.of(picture(tmp_path / "a.png")), expected)


def test_a_picture_that_is_gone(taps: KeptTaps, tmp_path: Path):
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"a.png cannot be read any more \(No such file"):
        taps.of(picture(tmp_path / "a.png"))


def test_a_picture_of_another_size(taps: KeptTaps, tmp_path: Path):
    with pytest.raises(InputError, match="has 80 x 60 pixels now; start plainmask label again"):
        taps.of(picture(tmp_path / "a.png", (30, 40)))
