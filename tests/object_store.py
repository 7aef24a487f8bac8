"""A stand-in for an object store that speaks as much of S3 as pyarrow asks for, on loopback."""

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"


class Handler(BaseHTTPRequestHandler):
    """Objects by key, in a dict of the server; parts of uploads by number until they are joined."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    parts: dict[int, bytes]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def asked(self) -> tuple[str, str, dict[str, list[str]]]:
        """Bucket, key and query."""
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        return bucket, key, parse_qs(url.query, keep_blank_values=True)

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        """Send it all."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        bucket, key, _ = self.asked()
        stamp = formatdate(0, usegmt=True)
        if bucket == BUCKET and (not key or key in self.objects):
            size = len(self.objects[key]) if key else 0
            self.answer(200, Content_Length=str(size), Last_Modified=stamp, ETag='"x"')
        else:
            self.answer(404)

    def do_GET(self) -> None:
        bucket, key, query = self.asked()
        if "list-type" in query:
            self.list(bucket, query)
        elif key not in self.objects:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            content = self.objects[key]
            found = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "bytes=0-"))
            assert found
            first, last = int(found[1]), int(found[2] or len(content) - 1)
            part = content[first : last + 1]
            span = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
            self.answer(206, part, Content_Range=span, ETag='"x"')

    def list(self, bucket: str, query: dict[str, list[str]]) -> None:
        """All keys that begin so."""
        if bucket != BUCKET:
            self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            return
        prefix = query.get("prefix", [""])[0]
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys
        )
        text = f"<KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>{rows}"
        self.answer(200, f"<ListBucketResult>{text}</ListBucketResult>".encode())

    def body(self) -> bytes:
        """What was sent, out of its chunks where it comes in some."""
        if "Content-Length" in self.headers:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
        else:
            sent = joined(self.rfile)
        coding = self.headers.get("Content-Encoding", "")
        return joined(io.BytesIO(sent)) if "aws-chunked" in coding else sent

    def do_PUT(self) -> None:
        bucket, key, query = self.asked()
        content = self.body()
        if "partNumber" in query:
            self.parts[int(query["partNumber"][0])] = content
        elif bucket == BUCKET:
            self.objects[key] = content
        self.answer(200 if bucket == BUCKET else 404, ETag='"x"')

    def do_POST(self) -> None:
        bucket, key, query = self.asked()
        self.body()
        if bucket != BUCKET:
            self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        elif "uploads" in query:
            self.parts.clear()
            start = "<UploadId>1</UploadId>"
            text = f"<InitiateMultipartUploadResult>{start}</InitiateMultipartUploadResult>"
            self.answer(200, text.encode())
        else:
            self.objects[key] = b"".join(self.parts[number] for number in sorted(self.parts))
            self.answer(200, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")

    def do_DELETE(self) -> None:
        self.objects.pop(self.asked()[1], None)
        self.answer(204)


def joined(stream: IO[bytes]) -> bytes:
    """Chunks, each after its size in hexadecimal, up to an empty one and the notes behind it."""
    content = b""
    while length := int(stream.readline().split(b";")[0], 16):
        content += stream.read(length)
        stream.readline()
    while stream.readline().strip():
        pass
    return content


@contextmanager
def object_store(objects: dict[str, bytes]) -> Iterator[str]:
    """The address of a store with these objects, which may change; it has one bucket, `bucket`."""
    handler = type("Objects", (Handler,), {"objects": objects, "parts": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
