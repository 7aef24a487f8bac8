"""The overlay video: what it shows, when, in which size, and what is left of it after trouble."""

import errno
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from plainmask.errors import InputError
from plainmask.video.frames import Frame
from plainmask.video.mp4 import OverlayVideo, fitted
from plainmask.video.sources import open_video
from video_results import made
from videos import pictures, until_error, write_video


def write(path: Path, items: list) -> list[Path]:
    sink = OverlayVideo(path)
    for frame, result in items:
        sink.write(frame, result)
    return sink.close()


def test_it_shows_what_draw_paints(tmp_path: Path):
    items = made("semantic", 12, (96, 128))
    path = tmp_path / "new" / "street.overlay.mp4"
    assert write(path, items) == [path]
    assert list(path.parent.iterdir()) == [path]  # no temporary file is left
    video = open_video(path)
    assert (video.count, video.rate) == (12, 25.0)
    for image, (frame, result) in zip(video, items, strict=True):
        assert image.shape == (96, 128, 3)
        drawn = np.asarray(result.draw(frame.image)).astype(int)
        assert np.abs(image - drawn).mean() < 8
        assert np.abs((image - drawn).mean((0, 1))).max() < 3  # no tint


def test_it_is_h264_that_players_know(tmp_path: Path):
    path = tmp_path / "a.mp4"
    write(path, made("panoptic", 3))
    with av.open(path) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.codec_context.colorspace == 1  # BT.709, said so
    content = path.read_bytes()
    assert content[4:8] == b"ftyp"
    assert b"moov" in content
    assert b"moof" not in content  # finished files have one index


def test_times_are_those_of_the_source(tmp_path: Path):
    times = [0.0, 0.1, 0.1, 0.75, 3.0]  # two at once: the second comes one tick later
    items = [
        (Frame(frame.image, second, frame.name), result)
        for (frame, result), second in zip(made("semantic", 5), times, strict=True)
    ]
    path = tmp_path / "a.mp4"
    write(path, items)
    assert [f.seconds for f in open_video(path).frames()] == pytest.approx(times, abs=1e-3)


def test_odd_sizes_and_sizes_that_change(tmp_path: Path):
    items = [*made("semantic", 2, (49, 65)), *made("semantic", 2, (80, 40), first=2)]
    path = tmp_path / "a.mp4"
    write(path, items)
    images = list(open_video(path))
    assert {image.shape for image in images} == {(50, 66, 3)}
    assert images[-1][:, :15].max() < 30  # black bars at both sides
    assert images[-1][:, -15:].max() < 30
    assert images[-1][20:30, 30:36].max() > 60


def test_pictures_are_fitted_without_distortion():
    picture = np.full((40, 80, 3), 200, np.uint8)
    assert fitted(picture, (40, 80)) is not None
    assert np.array_equal(fitted(picture, (40, 80)), picture)
    wide = fitted(picture, (60, 60))
    assert wide.shape == (60, 60, 3)
    rows = np.flatnonzero(wide[:, 30, 0])
    assert (rows[0], rows[-1]) == (15, 44)
    assert fitted(picture[:39, :79], (40, 80)).min() == 200


def test_nothing_is_left_without_a_frame(tmp_path: Path):
    assert OverlayVideo(tmp_path / "a.mp4").close() == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"a.mp4 cannot be written: .*; give a folder that is"):
        OverlayVideo(tmp_path / "file" / "a.mp4")


class FullDisk:
    """A file that takes only so many bytes."""

    def __init__(self, file, room: int):
        self.file, self.room = file, room

    def write(self, content: bytes) -> int:
        if self.file.tell() + len(content) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(content)

    def __getattr__(self, name: str):
        return getattr(self.file, name)


@pytest.mark.parametrize(("room", "left"), [(40_000, True), (2_000, False)])
def test_a_full_disk_leaves_what_can_be_played(tmp_path: Path, room: int, left: bool):
    path = tmp_path / "a.mp4"
    sink = OverlayVideo(path)
    sink._file = FullDisk(sink._file, room)
    items = made("instance", 200, (96, 128))
    written, error = until_error(sink.write(*item) for item in items)
    assert isinstance(error, InputError)
    assert "a.mp4 cannot be written: No space left on device" in str(error)
    assert sink.close() == ([path] if left else [])
    assert list(tmp_path.iterdir()) == ([path] if left else [])
    if left:
        assert 25 <= len(list(open_video(path))) <= len(written)


@pytest.mark.parametrize("times", [[0, 1, 2, 3], [0, 0.04, 0.2, 0.24, 1, 3]])
def test_the_clock_begins_at_once_and_lasts_to_the_end(tmp_path: Path, times: list[float]):
    items = [
        (Frame(frame.image, second, frame.name), result)
        for (frame, result), second in zip(made("semantic", len(times)), times, strict=True)
    ]
    path = tmp_path / "a.mp4"
    write(path, items)
    with av.open(path) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.has_b_frames == 0
        packets = [packet for packet in file.demux(stream) if packet.size]
        found = [float(packet.pts * packet.time_base) for packet in packets]
        assert found == pytest.approx(times, abs=1e-3)
        assert all(packet.dts == packet.pts for packet in packets)
        shown = [float(packet.duration * packet.time_base) for packet in packets[:-1]]
        assert shown == pytest.approx(np.diff(times), abs=1e-3)
        last = float(stream.duration * stream.time_base)
        assert last >= times[-1] - times[0] + 0.03


def test_pixels_have_the_shape_of_the_source(tmp_path: Path):
    items = [
        (Frame(frame.image, frame.seconds, frame.name, Fraction(4, 3)), result)
        for frame, result in made("semantic", 2)
    ]
    write(tmp_path / "a.mp4", items)
    assert {f.pixel_aspect for f in open_video(tmp_path / "a.mp4").frames()} == {Fraction(4, 3)}


def test_a_video_that_is_no_result_is_never_replaced(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", pictures(3))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"a.mp4 is there already and is no result of plainmask"):
        OverlayVideo(path)
    assert path.read_bytes() == before
    path.unlink()
    for _ in range(2):
        assert write(path, made("semantic", 2)) == [path]
