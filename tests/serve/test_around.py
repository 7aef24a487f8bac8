"""Clients that misbehave on the wire, and what is logged of requests."""

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from images import png
from plainmask.serve.limits import Limits
from plainmask.serve.logs import JsonLine
from plainmask.serve.service import Service
from servers import Held, served_by, street_and_cells

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
PHOTO = png(PIXELS)


@pytest.fixture
def service() -> Service:
    return Service.of(street_and_cells(), Limits(seconds=2.0))


@pytest.fixture
def address(service: Service) -> Iterator[tuple[str, int]]:
    with served_by(service) as where:
        host, _, port = where.partition(":")
        yield host, int(port)


def head(length: int, path: str = "/v1/segment") -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: here", f"Content-Length: {length}", "X-Request-Id: me")
    return "\r\n".join([*lines, "", ""]).encode()


def answer(connection: socket.socket) -> str:
    """Head and JSON of an answer, which may come in parts."""
    connection.settimeout(20)
    told = b""
    while not told.endswith(b"}"):
        part = connection.recv(65536)
        assert part, told
        told += part
    return told.decode("latin-1")


def goes_on(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(head(len(PHOTO)) + PHOTO)
        assert " 200 " in answer(connection)


def test_half_a_body_and_nothing_more(address: tuple[str, int]):
    with socket.create_connection(address) as connection:
        connection.sendall(head(len(PHOTO)) + PHOTO[:100])
        told = answer(connection)
    assert " 408 " in told
    assert "nothing of the body came for 2 s" in told
    goes_on(address)


def test_a_client_that_is_slow_is_waited_for(address: tuple[str, int]):
    with socket.create_connection(address) as connection:
        connection.sendall(head(len(PHOTO)))
        for start in range(0, len(PHOTO), 4000):
            connection.sendall(PHOTO[start : start + 4000])
            time.sleep(0.05)
        assert " 200 " in answer(connection)


@pytest.mark.parametrize("sent", [PHOTO[:100], PHOTO], ids=["half", "whole"])
def test_a_client_that_goes_in_the_middle(
    address: tuple[str, int], caplog: pytest.LogCaptureFixture, sent: bytes
):
    with caplog.at_level(logging.INFO, "plainmask.serve"):
        with socket.create_connection(address) as connection:
            connection.sendall(head(len(PHOTO)) + sent)
        goes_on(address)
    assert not [record for record in caplog.records if record.exc_info]


def test_nobody_works_for_who_has_gone(
    service: Service, address: tuple[str, int], caplog: pytest.LogCaptureFixture
):
    held = Held(service.passes)
    first = service.passes.submit(PIXELS, service.heads(["cells"]))
    assert held.begun.wait(20)
    with caplog.at_level(logging.INFO, "plainmask.serve"):
        with socket.create_connection(address) as connection:
            connection.sendall(head(len(PHOTO)) + PHOTO)
            wait_for(lambda: "plainmask_waiting 0.0" not in service.numbers.text().decode())
        wait_for(lambda: any("went away" in record.message for record in caplog.records))
    held.go.set()
    first.result(20)
    service.close()
    assert held.batches == [1]


def wait_for(done: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_request_is_one_line_of_json(address: tuple[str, int], caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "plainmask.serve"):
        with socket.create_connection(address) as connection:
            connection.sendall(head(5, "/v1/segment?heads=cells") + b"hello")
            answer(connection)
        with socket.create_connection(address) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")  # by the clock
            answer(connection)
        wait_for(lambda: caplog.records)
    (line,) = [JsonLine().format(record) for record in caplog.records]
    told = json.loads(line)
    assert told["request_id"] == "me"
    assert (told["method"], told["path"], told["status"]) == ("POST", "/v1/segment", 422)
    assert told["query"] == "heads=cells"
    assert told["milliseconds"] > 0
    assert told["client"] == "127.0.0.1"


def test_a_fault_is_one_line_too():
    try:
        raise KeyError("secret")
    except KeyError as error:
        record = logging.LogRecord("x", logging.ERROR, "x", 1, "request %s failed", ("me",), None)
        record.exc_info = (KeyError, error, error.__traceback__)
    told = json.loads(JsonLine().format(record))
    assert told["message"] == "request me failed"
    assert "KeyError" in told["trace"]
