"""Folders, pictures and images one by one; what the source is told from."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plainmask.errors import InputError
from plainmask.video.frames import Damaged, Frame, Video
from plainmask.video.sources import open_video
from videos import pictures, write_video


def save(folder: Path, *names: str) -> Path:
    """Pictures of one colour: that of the first is 0, of the second 1, …"""
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        Image.new("RGB", (8, 6), (place,) * 3).save(folder / name)
    return folder


def values(video: Video) -> list[int]:
    return [int(image[0, 0, 0]) for image in video]


def test_a_folder_in_the_order_of_its_numbers(tmp_path: Path):
    folder = save(tmp_path, "frame2.png", "frame10.png", "frame1.png", "frame9.BMP")
    save(tmp_path, ".hidden.png", "frame1.overlay.png", "frame1.labels.png")
    (tmp_path / "notes.txt").write_text("")
    save(tmp_path / "deeper", "x.png")
    video = open_video(folder)
    assert (video.count, video.live, video.repeatable) == (4, False, True)
    assert values(video) == [2, 0, 3, 1]
    frames = list(video.frames())
    assert [frame.name for frame in frames] == ["frame1", "frame2", "frame9", "frame10"]
    assert [frame.seconds for frame in frames] == [0, 0.04, 0.08, 0.12]


def test_a_damaged_picture_is_left_out(tmp_path: Path):
    folder = save(tmp_path, "1.png", "2.png", "3.png")
    (folder / "2.png").write_bytes(b"no picture")
    video = open_video(str(folder))
    with pytest.warns(UserWarning, match=r"1 damaged frame is left out \(.*2.png: this is not a"):
        assert values(video) == [0, 2]
    assert video.skipped == 1


def test_one_picture_is_a_video_of_one_frame(tmp_path: Path):
    video = open_video(save(tmp_path, "a.png") / "a.png")
    assert (video.count, values(video)) == (1, [0])


@pytest.mark.parametrize(
    "images",
    [
        pictures(3),
        np.stack(pictures(3)),
        torch.from_numpy(np.stack(pictures(3))).permute(0, 3, 1, 2),
        tuple(Image.fromarray(image) for image in pictures(3)),
    ],
)
def test_images_of_any_form(images):
    video = open_video(images)
    assert (video.count, video.repeatable) == (3, True)
    for _ in range(2):
        for found, expected in zip(video, pictures(3), strict=True):
            assert np.array_equal(found, expected)


def test_an_iterator_can_be_read_once():
    video = open_video(image for image in pictures(3))
    assert (video.count, video.repeatable) == (None, False)
    assert len(list(video)) == 3
    with pytest.raises(InputError, match="the video holds no frame that can be used"):
        list(video)


def test_a_video_is_itself():
    video = open_video(pictures(1))
    assert open_video(video) is video


def test_what_is_no_video_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no pictures; a video is a file, a folder of"):
        open_video(tmp_path)
    save(tmp_path, "1.png", "1.jpg")
    with pytest.raises(InputError, match=r"holds 1.jpg and 1.png, so it is not clear which is"):
        open_video(tmp_path)
    with pytest.raises(InputError, match=r"nowhere: there is no such file; check the path"):
        open_video(tmp_path / "nowhere")
    with pytest.raises(InputError, match="or an iterable of images, not a float"):
        open_video(1.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"is images, not one array or tensor of shape \(\d+, "):
        open_video(pictures(1)[0])
    with pytest.raises(InputError, match=r"frame 0 of the video: an image array must be \(H, W, 3"):
        list(open_video([np.zeros((4, 5, 2), np.uint8)]))
    with pytest.raises(InputError, match="the video holds no frame"):
        list(open_video([]))


def test_without_pyav_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plainmask.video.extra.find_spec", lambda name: None)
    (tmp_path / "a.mp4").write_bytes(b"x")
    for source in (tmp_path / "a.mp4", 0, "rtsp://127.0.0.1/x"):
        with pytest.raises(InputError, match=r'needs PyAV; pip install "plainmask\[video\]"'):
            open_video(source)
    assert len(list(open_video(pictures(2)))) == 2


def test_damaged_frames_do_not_count_as_frames():
    def read():
        yield Damaged("torn")
        yield Frame(pictures(1)[0], 0.0, "00000")
        yield Damaged("late")

    video = Video("it", read)
    with pytest.warns(UserWarning, match=r"it: 2 damaged frames are left out \(torn\)"):
        assert len(list(video)) == 1
    assert video.skipped == 2


def test_a_source_is_let_go_of_at_the_end_of_its_block(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", pictures(6))
    with open_video(path) as video:
        frames = video.frames()
        assert next(frames).name == "00000"
    assert list(frames) == [], "the reading under way has ended"
    with pytest.raises(InputError, match=r"a.mp4 was closed; open it again"):
        list(video)


def test_what_was_opened_and_never_read_is_let_go_of():
    released: list[str] = []
    video = Video("camera 0", lambda: iter(()), live=True, release=lambda: released.append("x"))
    video.close()
    assert released == ["x"]


@pytest.mark.parametrize("given", [io.BytesIO(b"\0\0\0\x18ftypmp42"), b"abc", bytearray(b"abc")])
def test_contents_of_a_file_are_told_as_that(given: object):
    with pytest.raises(InputError, match="give its path"):
        open_video(given)  # pyright: ignore[reportArgumentType]


def test_a_folder_that_cannot_be_looked_at(tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    for name in (tmp_path / "loop", tmp_path / ("x" * 300), "a\0b"):
        with pytest.raises(InputError, match=r"cannot be opened|there is no such file"):
            open_video(name)
