"""Videos over a socket: as a stream in this process, moved between servers, and every refusal."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from images import png
from plainmask.serve.app import build_app
from plainmask.serve.limits import Limits
from plainmask.serve.service import Service
from servers import frame, video_and_image


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(build_app(Service.of(video_and_image(), Limits(streams=2)))) as made:
        yield made


def test_frames_are_followed_as_by_a_stream(client: TestClient):
    stream = video_and_image()["video"].stream()
    with client.websocket_connect("/v1/stream?head=video") as socket:
        for seed in range(4):
            socket.send_bytes(png(frame(seed)))
            found, expected = socket.receive_json(), stream.step(frame(seed))
            assert found["frame_index"] == seed
            rows = [(row["track_id"], row["age"], row["area"]) for row in found["segments"]]
            assert rows == [(row["track_id"], row["age"], row["area"]) for row in expected.rows()]
        socket.send_json({"reset": True})
        socket.send_bytes(png(frame(0)))
        assert socket.receive_json()["frame_index"] == 0


def test_two_streams_know_nothing_of_each_other(client: TestClient):
    with (
        client.websocket_connect("/v1/stream?head=video") as one,
        client.websocket_connect("/v1/stream?head=video") as two,
    ):
        for seed, socket in ((0, one), (1, one), (2, two)):
            socket.send_bytes(png(frame(seed)))
            index = socket.receive_json()["frame_index"]
        assert index == 0


def test_a_stream_moves_to_another_server(client: TestClient):
    with client.websocket_connect("/v1/stream?head=video&masks=none") as socket:
        for seed in range(2):
            socket.send_bytes(png(frame(seed)))
            socket.receive_json()
        socket.send_json({"state": True})
        state = socket.receive_bytes()
        socket.send_bytes(png(frame(2)))
        expected = socket.receive_json()
    with (
        TestClient(build_app(Service.of(video_and_image()))) as other,
        other.websocket_connect("/v1/stream?head=video&masks=none") as socket,
    ):
        socket.send_json({"state": base64.b64encode(state).decode()})
        socket.send_bytes(png(frame(2)))
        assert socket.receive_json() == expected


@pytest.mark.parametrize(
    ("query", "message", "reason", "code"),
    [
        ("head=vidio", None, "did you mean video?", 1008),
        ("masks=bits", None, "masks must be one of", 1008),
        ("head=video", b"no picture", "not a picture", 1008),
        ("head=video", "hello", "a text message is", 1008),
        ("head=video", '{"state": "***"}', "state is not base64", 1008),
        ("head=video", '{"state": "aGVsbG8="}', "what was sent cannot be read", 1008),
    ],
)
def test_what_cannot_be_followed_is_said_and_the_socket_closed(
    client: TestClient, query: str, message: Any, reason: str, code: int
):
    with client.websocket_connect(f"/v1/stream?{query}") as socket:
        if isinstance(message, bytes):
            socket.send_bytes(message)
        elif message is not None:
            socket.send_text(message)
        assert reason in socket.receive_json()["error"]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == code
    assert client.post("/v1/segment?heads=image", content=png(frame(0))).status_code == 200


def test_a_bug_is_told_without_a_trace(monkeypatch: pytest.MonkeyPatch):
    service = Service.of(video_and_image())

    def broken(*given: Any) -> Any:
        raise KeyError("secret")

    monkeypatch.setattr(service.passes, "follow", broken)
    with (
        TestClient(build_app(service)) as client,
        client.websocket_connect("/v1/stream?head=video") as socket,
    ):
        socket.send_bytes(png(frame(0)))
        assert "its log has more" in socket.receive_json()["error"]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 1011


def test_too_many_streams(client: TestClient):
    with (
        client.websocket_connect("/v1/stream?head=video"),
        client.websocket_connect("/v1/stream?head=video"),
        client.websocket_connect("/v1/stream?head=video") as third,
    ):
        assert "2 streams are open" in third.receive_json()["error"]
    with client.websocket_connect("/v1/stream?head=video") as again:
        again.send_bytes(png(frame(0)))
        assert again.receive_json()["frame_index"] == 0


def test_a_stream_that_sends_nothing_is_ended():
    with (
        TestClient(build_app(Service.of(video_and_image(), Limits(idle=0.1)))) as client,
        client.websocket_connect("/v1/stream?head=video") as socket,
    ):
        assert "no frame for 0.1 s" in socket.receive_json()["error"]


@pytest.mark.parametrize(
    ("headers", "welcome"),
    [
        ({}, False),
        ({"authorization": "Bearer sesame"}, True),
        ({"authorization": "Bearer sesame", "origin": "https://evil.example"}, False),
        ({"authorization": "Bearer sesame", "origin": "http://testserver"}, True),
        ({"authorization": "Bearer sesame", "origin": "https://good.example"}, True),
    ],
)
def test_who_may_open_a_socket(headers: dict[str, str], welcome: bool):
    app = build_app(Service.of(video_and_image()), token="sesame", origins=["https://good.example"])
    with TestClient(app) as client:
        if welcome:
            with client.websocket_connect("/v1/stream?head=video", headers=headers) as socket:
                socket.send_bytes(png(frame(0)))
                assert socket.receive_json()["frame_index"] == 0
        else:
            refused = client.websocket_connect("/v1/stream?head=video", headers=headers)
            with pytest.raises(WebSocketDisconnect):
                refused.__enter__()
