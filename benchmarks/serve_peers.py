"""A server of many heads against one of as many EoMT models, under load.

    OMP_WAIT_POLICY=passive python benchmarks/serve_peers.py PICTURES [--heads 1 4] [--count 12]

Networks of one size with random weights at 640 pixels: `plainmask serve` (here with heads of 2
blocks, as those that are shipped), one request for all heads; LitServe with a model for each, as
many requests at once (`peers/eomt_server.py`). A picture is done when all its heads are. As many
clients as said send the next picture when the last one is done. Needs litserve and transformers.
"""

import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

from serve import load_of, row

HERE = Path(__file__).parent
PORTS = count(9123)  # one for each server, as the last one's may not be free at once
Ask = Callable[[str, bytes], object]


def post(url: str, content: bytes, kind: str) -> bytes:
    """One request."""
    request = urllib.request.Request(url, content)
    request.add_header("content-type", kind)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return answer.read()


def ask_ours(address: str, content: bytes) -> None:
    """All heads in one request."""
    post(f"{address}/v1/segment", content, "application/octet-stream")


def ask_theirs(models: int) -> Ask:
    """Each model by itself, at once."""
    pool = ThreadPoolExecutor(64)

    def ask(address: str, content: bytes) -> None:
        body = json.dumps({"image": base64.b64encode(content).decode()}).encode()
        list(pool.map(lambda n: post(f"{address}/{n}", body, "application/json"), range(models)))

    return ask


@contextmanager
def running(command: list[str], ask: Ask, picture: bytes) -> Generator[Callable[[bytes], object]]:
    """A server, from its first answer on: what asks it."""
    port = next(PORTS)
    asking = partial(ask, f"http://127.0.0.1:{port}")
    whole = [sys.executable, *command, "--port", str(port)]
    with subprocess.Popen(whole, start_new_session=True) as server:
        try:
            for _ in range(600):
                assert server.poll() is None
                try:
                    asking(picture)
                    break
                except (urllib.error.URLError, ConnectionError):
                    time.sleep(0.5)
            yield asking
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # LitServe leaves its workers otherwise


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path, help="a folder")
    parser.add_argument("--size", default="small")
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--count", type=int, default=12, help="pictures in a cell")
    args = parser.parse_args()
    files = [path for path in sorted(args.pictures.iterdir()) if path.is_file()]
    cells = len(args.clients)
    if len(files) <= cells * args.count:
        parser.error(f"{cells * args.count + 1} pictures are needed, {len(files)} are there")
    first, *rest = (path.read_bytes() for path in files[: cells * args.count + 1])
    print(f"{'':<34}{'a second':>7}  {'p50':>6}  {'p95':>7}  {'p99':>7}")
    for heads in args.heads:
        shape = ["--size", args.size]
        servers = {
            "ours": ([str(HERE / "random_server.py"), "--heads", str(heads), *shape], ask_ours),
            "EoMT in LitServe": (
                [str(HERE / "peers/eomt_server.py"), "--models", str(heads), *shape],
                ask_theirs(heads),
            ),
        }
        for name, (command, ask) in servers.items():
            with running(command, ask, first) as asking:
                for place, clients in enumerate(args.clients):
                    part = rest[place * args.count : (place + 1) * args.count]
                    row(f"{name}, {heads} heads, {clients} clients", load_of(asking, part, clients))


if __name__ == "__main__":
    main()
