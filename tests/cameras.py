"""Servers on loopback that stand in for IP cameras and file servers."""

import http.server
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import Image

from videos import pictures

Request = http.server.BaseHTTPRequestHandler
Answer = Callable[[Request], object]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server whose answer to every GET is this function's; gives its address."""

    class Handler(Request):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:  # noqa: N802, the name that the base class calls
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def camera(count: int, pause: float = 0.02) -> Answer:
    """An IP camera: JPEGs one after the other, then the connection ends."""

    def answer(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
        request.end_headers()
        for image in pictures(count):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG")
            content = buffer.getvalue()
            head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
            request.wfile.write(head.encode() + content + b"\r\n")
            request.wfile.flush()
            time.sleep(pause)

    return answer


def file_server(content: bytes) -> Answer:
    """A server that has one file."""

    def answer(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return answer
