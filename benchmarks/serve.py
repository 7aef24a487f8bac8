"""How much a server takes on: pictures a second and waits, by clients and heads.

    OMP_NUM_THREADS=2 python benchmarks/serve.py PICTURES [--heads scenes,person-parts]

Starts `plainmask serve` on a free port of this machine and asks it with as many clients as said,
each of which sends its next picture when it has the answer. Every picture is sent once in a cell,
so that the cache of features does not help; "again" sends the same ones for one head. The first row
is the library alone, in this process, a picture after the other. Waits are of a request, from its
sending to the whole answer, in milliseconds.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import plainmask
from plainmask.inference.loading import load_heads


def ask(address: str, heads: str, content: bytes) -> None:
    """One request."""
    url = f"{address}/v1/segment?heads={heads}&masks=rle"
    with urllib.request.urlopen(urllib.request.Request(url, content), timeout=600) as answer:
        json.loads(answer.read())


def load_of(act: Callable[[bytes], object], pictures: Sequence[bytes], clients: int) -> list[float]:
    """Seconds of each request, and at the end those of all together."""
    waiting: Iterator[bytes] = iter(pictures)
    lock, seconds = threading.Lock(), list[float]()

    def client() -> None:
        while True:
            with lock:
                content = next(waiting, None)
            if content is None:
                return
            began = time.perf_counter()
            act(content)
            seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [*seconds, time.perf_counter() - began]


def row(name: str, found: list[float]) -> None:
    """Print pictures a second and percentiles."""
    *each, whole = found
    cuts = statistics.quantiles(each, n=100, method="inclusive")
    waits = "  ".join(f"{1e3 * cuts[q - 1]:7.0f}" for q in (50, 95, 99))
    print(f"{name:<34}{len(each) / whole:7.2f}  {waits}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("pictures", type=Path, help="a folder")
    parser.add_argument("--heads", default="scenes,person-parts")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--count", type=int, default=24, help="pictures in a cell")
    args = parser.parse_args()
    files = sorted(path for path in args.pictures.iterdir() if path.is_file())
    cells = len(args.clients) + 1
    if len(files) < cells * args.count:
        parser.error(f"{cells * args.count} pictures are needed, {args.pictures} has {len(files)}")
    parts = [
        [path.read_bytes() for path in files[k * args.count : (k + 1) * args.count]]
        for k in range(cells)
    ]
    first, *_ = names = args.heads.split(",")
    print(f"{'':<34}{'a second':>7}  {'p50':>6}  {'p95':>7}  {'p99':>7}")
    segmenter: plainmask.Segmenter = load_heads(names)
    segmenter(parts[0][0])
    row(f"library, {len(names)} heads", load_of(segmenter, parts[0], 1))
    command = [sys.executable, "-m", "plainmask", "serve", *names, "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = "".join(server.stdout.readline() for _ in range(3))
        address = re.findall(r"http://[\d.]+:\d+", said)[0]
        try:
            for clients, part in zip(args.clients, parts[1:], strict=True):
                both = load_of(lambda content: ask(address, args.heads, content), part, clients)
                row(f"server, {len(names)} heads, {clients} clients", both)
                again = load_of(lambda content: ask(address, first, content), part, clients)
                row(f"again, 1 head, {clients} clients", again)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
