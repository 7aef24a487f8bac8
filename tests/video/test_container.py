"""Video files: every container and pixel format as they are meant, and every way to be broken."""

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from plainmask.errors import InputError
from plainmask.video.sources import open_video
from videos import cut, damage, pictures, until_error, write_audio, write_video

SIDES = {"red": (220, 40, 40), "green": (30, 190, 60), "blue": (40, 60, 220), "white": (250,) * 3}


def corners(height: int = 48, width: int = 64) -> np.ndarray:
    """Red, green / blue, white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = SIDES["red"]
    image[: height // 2, width // 2 :] = SIDES["green"]
    image[height // 2 :, : width // 2] = SIDES["blue"]
    image[height // 2 :, width // 2 :] = SIDES["white"]
    return image


def at_corners(image: np.ndarray) -> list[str]:
    """The names of the colours at the four corners, row by row."""
    found: list[str] = []
    for pixel in (image[8, 8], image[8, -8], image[-8, 8], image[-8, -8]):
        distances = {name: np.abs(pixel.astype(int) - SIDES[name]).max() for name in SIDES}
        name = min(distances, key=distances.__getitem__)
        assert distances[name] <= 8, pixel
        found.append(name)
    return found


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264")],
)
def test_all_frames_in_order(tmp_path: Path, name: str, codec: str):
    frames = pictures(12)
    path = write_video(tmp_path / name, frames, codec=codec)
    video = open_video(path)
    assert (video.live, video.rate, video.repeatable) == (False, 25.0, True)
    assert video.count == pytest.approx(12, abs=1)
    for _ in range(2):  # it can be read again
        found = list(video.frames())
        assert [frame.name for frame in found] == [f"{place:05d}" for place in range(12)]
        assert [frame.seconds for frame in found] == pytest.approx(np.arange(12) / 25, abs=2e-3)
        for place, frame in enumerate(found):
            assert frame.image.dtype == np.uint8
            errors = [np.abs(frame.image.astype(int) - image).mean() for image in frames]
            assert np.argmin(errors) == place


def test_frames_are_decoded_when_asked_for(tmp_path: Path):
    video = open_video(write_video(tmp_path / "long.mp4", pictures(60)))
    frames = iter(video)
    assert next(frames).shape == (48, 64, 3)
    (tmp_path / "long.mp4").unlink()  # an open file goes on; an unread one would be gone
    assert sum(1 for _ in frames) == 59


def test_variable_rate_keeps_its_times(tmp_path: Path):
    times = [0.0, 0.04, 0.5, 0.52, 2.0, 2.1]
    path = write_video(tmp_path / "a.mp4", pictures(6), seconds=times)
    assert [frame.seconds for frame in open_video(path).frames()] == pytest.approx(times, abs=2e-3)


def test_times_that_jump_back_go_on(tmp_path: Path):
    """Two recordings of a transport stream, one after the other."""
    path = tmp_path / "joined.ts"
    one = write_video(tmp_path / "one.ts", pictures(5)).read_bytes()
    path.write_bytes(one + one)
    times = [frame.seconds for frame in open_video(path).frames()]
    assert len(times) >= 9
    assert all(np.diff(times) > 0)
    assert times[-1] < 1


@pytest.mark.parametrize(
    ("degrees", "flip", "expected"),
    [
        (0, False, "red green blue white"),
        (90, False, "green white red blue"),
        (-90, False, "blue red white green"),
        (180, False, "white blue green red"),
        (0, True, "green red white blue"),
        (90, True, "white green blue red"),
    ],
)
def test_rotation_is_applied(tmp_path: Path, degrees: int, flip: bool, expected: str):
    def turn(stream: av.VideoStream) -> None:
        stream.set_display_rotation(degrees, hflip=flip)

    path = write_video(tmp_path / "a.mp4", [corners()] * 3, adjust=turn)
    (image, *_) = open_video(path)
    assert image.shape == ((64, 48, 3) if abs(degrees) == 90 else (48, 64, 3))
    assert image.flags.c_contiguous
    assert at_corners(image) == expected.split()


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "name"),
    [
        ("yuv420p", "libx264", "a.mp4"),
        ("yuv444p", "libx264", "a.mp4"),
        ("yuv420p10le", "libx264", "a.mkv"),
        ("yuvj420p", "mjpeg", "a.mov"),
        ("rgba", "png", "a.mov"),
        ("rgb48be", "png", "a.mov"),
        ("bgr0", "ffv1", "a.mkv"),
    ],
)
def test_every_pixel_format(tmp_path: Path, pix_fmt: str, codec: str, name: str):
    image = corners()
    path = write_video(tmp_path / name, [image] * 3, codec=codec, pix_fmt=pix_fmt)
    assert at_corners(next(iter(open_video(path)))) == list(SIDES)


@pytest.mark.parametrize("matrix", [1, 5])
@pytest.mark.parametrize("full", [False, True])
def test_colour_matrix_and_range_are_respected(tmp_path: Path, matrix: int, full: bool):
    color_range = 2 if full else 1
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = color_range
        for place in range(3):
            frame = av.VideoFrame.from_ndarray(corners(), format="rgb24").reformat(
                format="yuv420p", dst_colorspace=matrix, dst_color_range=color_range
            )
            frame.pts = place
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    assert at_corners(next(iter(open_video(path)))) == list(SIDES)


def test_grey_and_odd_sizes(tmp_path: Path):
    grey = np.full((49, 65, 3), 90, np.uint8)
    path = write_video(tmp_path / "grey.mkv", [grey] * 2, codec="ffv1", pix_fmt="gray")
    image = next(iter(open_video(path)))
    assert image.shape == (49, 65, 3)
    assert np.abs(image.astype(int) - 90).max() <= 1
    odd = write_video(tmp_path / "odd.mp4", [corners(49, 65)] * 2, pix_fmt="yuv444p")
    assert at_corners(next(iter(open_video(odd)))) == list(SIDES)


def test_size_may_change_on_the_way(tmp_path: Path):
    path = tmp_path / "joined.ts"
    small = write_video(tmp_path / "small.ts", pictures(6)).read_bytes()
    large = write_video(tmp_path / "large.ts", pictures(6, (80, 96))).read_bytes()
    path.write_bytes(small + large)
    sizes = [image.shape[:2] for image in open_video(path)]
    assert sizes[0] == (48, 64)
    assert sizes[-1] == (80, 96)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")]
)
def test_damaged_frames_are_left_out_counted_and_reported_once(
    tmp_path: Path, name: str, codec: str
):
    path = write_video(tmp_path / name, pictures(40), codec=codec)
    damage(path, [12, 13, 27])
    video = open_video(path)
    with pytest.warns(UserWarning, match=rf"{name}: 3 damaged frames are left out \(.+\)"):
        found = list(video)
    assert (len(found), video.skipped) == (37, 3)
    assert len(list(video)) == 37  # no second warning


@pytest.mark.parametrize("places", [[38], [39]])
def test_damage_at_the_end_is_counted_with_what_it_takes_along(tmp_path: Path, places: list[int]):
    video = open_video(damage(write_video(tmp_path / "a.mp4", pictures(40)), places))
    with pytest.warns(UserWarning, match=r"damaged frames? (is|are) left out"):
        given = len(list(video))
    assert given >= 20
    assert given + video.skipped == 40


def test_frames_are_freed_without_the_garbage_collector(tmp_path: Path):
    """Its pictures may be large, and the collector does not know."""

    def turn(stream: av.VideoStream) -> None:
        stream.set_display_rotation(90)

    path = write_video(tmp_path / "a.mp4", pictures(60), adjust=turn)
    gc.collect()
    gc.disable()
    try:
        assert sum(1 for _ in open_video(path)) == 60
        alive = sum(type(value) is av.VideoFrame for value in gc.get_objects())
    finally:
        gc.enable()
    assert alive <= 3


def test_a_file_that_is_all_damaged(tmp_path: Path):
    path = damage(write_video(tmp_path / "a.avi", pictures(4), codec="mpeg4"), range(4))
    given, error = until_error(open_video(path))
    assert not given
    assert "a.avi holds no frame that can be used: all 4 are damaged" in str(error)


def test_a_file_cut_off_with_its_index_at_the_front(tmp_path: Path):
    front = {"movflags": "+faststart"}
    path = write_video(tmp_path / "a.mp4", pictures(60), container=front)
    given, error = until_error(open_video(cut(path, 0.5)))
    assert 5 < len(given) < 55
    reason = "the file is cut off; get it again"
    assert str(error) == f"{path} breaks off after {len(given)} frames: {reason}"


def test_a_file_cut_off_that_says_how_long_it_was(tmp_path: Path):
    path = cut(write_video(tmp_path / "a.mkv", pictures(90)), 0.4)
    video = open_video(path)
    with pytest.warns(UserWarning, match=r"pictures end at \d\.\d s of 3\.6 s; the file may be"):
        given = len(list(video))
    assert 5 < given < 80
    assert given + video.skipped == 90


LOSSY = [("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.ts", "libx264"), ("a.flv", "libx264")]


@pytest.mark.parametrize(("name", "codec"), LOSSY)
@pytest.mark.parametrize("keep_length", [True, False])
def test_frames_that_a_hole_swallows_are_counted(
    tmp_path: Path, name: str, codec: str, keep_length: bool
):
    """Whole packets are gone, so that no picture shows it."""
    path = write_video(tmp_path / name, noise(40), codec=codec)
    content = path.read_bytes()
    start, end = len(content) // 2, len(content) // 2 + len(content) // 10
    rubbish = np.random.default_rng(0).bytes(end - start) if keep_length else b""
    path.write_bytes(content[:start] + rubbish + content[end:])
    video = open_video(path)
    with pytest.warns(UserWarning, match=r"frames? (is|are) (lost|left out) \(") as told:
        given = len(list(video))
    assert len(told) == 1
    assert given < 40
    assert given + video.skipped == pytest.approx(40, abs=1)


def noise(count: int) -> list[np.ndarray]:
    """Frames that take so many bytes each that a hole hits them."""
    make = [np.random.default_rng(place) for place in range(count)]
    return [rng.integers(0, 256, (48, 64, 3), np.uint8) for rng in make]


@pytest.mark.parametrize(("name", "codec"), LOSSY)
@pytest.mark.parametrize("times", ["whole", "late", "with pauses"])
def test_whole_files_are_not_suspected(tmp_path: Path, name: str, codec: str, times: str):
    seconds = {
        "whole": [place / 25 for place in range(40)],
        "late": [5 + place / 25 for place in range(40)],
        "with pauses": [place / 25 + 3 * (place > 20) for place in range(40)],
    }[times]
    video = open_video(write_video(tmp_path / name, noise(40), codec=codec, seconds=seconds))
    assert (len(list(video)), video.skipped) == (40, 0)


@pytest.mark.parametrize("size", [(576, 720), (720, 1280), (1080, 1920), (1280, 720)])
def test_hd_without_a_note_of_its_colours_is_bt709(tmp_path: Path, size: tuple[int, int]):
    image = np.empty((*size, 3), np.uint8)
    image[:] = (200, 30, 40)
    matrix = 1 if size[0] >= 720 else 5
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "5", "preset": "ultrafast"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=matrix
        )
        frame.colorspace = 2  # what players have to guess
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    (found,) = open_video(path)
    assert np.abs(found[100, 100].astype(int) - (200, 30, 40)).max() <= 4


@pytest.mark.parametrize(("degrees", "expected"), [(0, 2), (90, Fraction(1, 2)), (180, 2)])
def test_the_shape_of_pixels_is_known(tmp_path: Path, degrees: int, expected: Fraction):
    def widen(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        stream.set_display_rotation(degrees)

    video = open_video(write_video(tmp_path / "a.mp4", pictures(3), adjust=widen))
    assert {frame.pixel_aspect for frame in video.frames()} == {expected}


def cut_in_index(path: Path, behind: int) -> None:
    content = write_video(path, pictures(20)).read_bytes()
    path.write_bytes(content[: content.index(b"moov") + behind])


def with_another_codec(path: Path) -> Path:
    write_video(path, pictures(3))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz9"))
    return path


def without_frames(path: Path) -> Path:
    """A file whose index lists no frame."""
    with av.open(path, "w", options={"movflags": "empty_moov"}) as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        file.start_encoding()
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: cut(write_video(path, pictures(20)), 0.6), "is cut off: the index of this"),
        *[
            (
                lambda path, behind=behind: cut_in_index(path, behind),
                "is cut off: the index of this",
            )
            for behind in (4, 60, 200, 400, 600)
        ],
        (lambda path: path.write_bytes(b""), "is empty; get or export it again"),
        (lambda path: path.write_bytes(b"hello " * 99), "is not a video that can be read"),
        (lambda path: write_audio(path), "holds no pictures, only audio; give a video"),
        (with_another_codec, "is of a codec that the FFmpeg inside PyAV does not know"),
        (without_frames, "holds no frame that can be used"),
        (lambda path: None, "there is no such file; check the path"),
    ],
)
def test_bad_files_are_one_clear_error(tmp_path: Path, make, message: str):
    path = tmp_path / "bad.mp4"
    make(path)
    with pytest.raises(InputError) as error:
        list(open_video(path))
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_names_that_look_like_addresses_and_patterns(tmp_path: Path):
    for name in ("a:b.mp4", "frame%03d.mp4", "mit Leerzeichen #1.mp4"):
        path = write_video(tmp_path / name, pictures(3))
        assert len(list(open_video(path))) == 3
