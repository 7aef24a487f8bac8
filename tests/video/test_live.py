"""Cameras and addresses, with a server on loopback in the place of both."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cameras import Request, camera, file_server, serving
from plainmask.errors import InputError
from plainmask.video.frames import BreakOffError, Damaged, Frame
from plainmask.video.live import newest, without_password
from plainmask.video.sources import open_video
from videos import pictures, until_error, write_video


def test_a_camera_that_drops_is_one_error_after_its_frames():
    with serving(camera(8)) as address:
        video = open_video(f"{address}/video")
        assert (video.live, video.count, video.repeatable) == (True, None, False)
        given, error = until_error(video.frames())
    assert len(given) >= 3
    assert given[0].image.shape == (48, 64, 3)
    assert str(error).startswith(f"{video.name} breaks off after {len(given)} frames: ")
    assert str(error).endswith("; connect it again")
    with pytest.raises(InputError, match="has been read; open it again"):
        list(video)


def test_a_file_on_a_server_is_a_file(tmp_path: Path):
    front = {"movflags": "+faststart"}
    content = write_video(tmp_path / "a.mp4", pictures(10), container=front).read_bytes()
    with serving(file_server(content)) as address:
        video = open_video(f"{address}/a.mp4")
        assert (video.live, video.count, video.rate) == (False, 10, 25.0)
        assert [len(list(video)) for _ in range(2)] == [10, 10]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:9/x", r"http://127.0.0.1:9/x cannot be opened \(Connection refused\)"),
        ("rtsp://me:secret@127.0.0.1:9/x", r"^rtsp://127.0.0.1:9/x cannot be opened"),
        ("ftp://127.0.0.1/x", "an address begins with http://, https://,"),
    ],
)
def test_addresses_that_do_not_answer(address: str, message: str):
    with pytest.raises(InputError, match=message) as error:
        open_video(address)
    assert "secret" not in str(error.value)


def test_what_a_server_refuses():
    with (
        serving(lambda request: request.send_error(404)) as address,
        pytest.raises(InputError, match=r"cannot be opened \(.*404"),
    ):
        open_video(f"{address}/gone")


def test_silence_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plainmask.video.live._TIMEOUT", 0.3)
    silent = threading.Event()
    with serving(lambda request: silent.wait(5)) as address:
        with pytest.raises(InputError, match=r"cannot be opened \(no answer in time\)"):
            open_video(f"{address}/x")
        silent.set()


def test_a_camera_that_goes_silent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plainmask.video.live._TIMEOUT", 0.5)
    silent = threading.Event()

    def answer(request: Request) -> None:
        camera(6)(request)
        silent.wait(5)

    with serving(answer) as address:
        given, error = until_error(open_video(f"{address}/video").frames())
        silent.set()
    assert len(given) >= 3
    assert str(error).endswith(f"after {len(given)} frames: no answer in time; connect it again")


def test_no_such_camera():
    with pytest.raises(InputError, match=r"camera 97 cannot be opened \(.+\); check that it is"):
        open_video(97)


def test_passwords_are_not_shown():
    assert without_password("rtsp://u:p@10.0.0.1:554/s?a=b@c") == "rtsp://10.0.0.1:554/s?a=b@c"
    assert without_password("http://host/x@y") == "http://host/x@y"


def test_the_newest_frame_is_given_and_damage_is_counted():
    asked, reached = threading.Event(), threading.Event()

    def frame(place: int) -> Frame:
        return Frame(np.zeros((1, 1, 3), np.uint8), float(place), str(place))

    def items():
        yield frame(0)
        asked.wait(2)
        for place in range(1, 5):
            yield frame(place)
        yield Damaged("torn")
        yield frame(5)
        reached.set()
        raise BreakOffError("gone")

    found = newest(items())
    assert next(found).name == "0"
    asked.set()
    assert reached.wait(2)
    rest, error = until_error(found)
    assert rest[0] == Damaged("torn")
    assert [item.name for item in rest[1:]] == ["5"]
    assert str(error) == "gone"


def test_a_source_that_is_left_is_closed():
    closed = threading.Event()

    def items():
        try:
            while True:
                time.sleep(0.005)
                yield Frame(np.zeros((1, 1, 3), np.uint8), 0.0, "x")
        finally:
            closed.set()

    found = newest(items())
    next(found)
    found.close()
    assert closed.wait(2)
