"""A server for a long time: pictures and videos of several clients, with heads swapped meanwhile.

    OMP_WAIT_POLICY=passive python benchmarks/serve_soak.py PICTURES [--minutes 10] [--swap 5]

Starts `plainmask serve` with two shipped heads and `--heads-root`; two clients send pictures, each
when the last is answered, one follows a video (the pictures as its frames), and every `--swap`
seconds the head `scenes` is put again, from a folder. A line a minute: requests, failures, waits,
megabytes of the server (what the kernel counts), and at the end what the swaps cost: the longest
wait of requests during which one happened, and of the others. The encoder's features of one picture
are compared, byte by byte, before and after.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from itertools import cycle
from pathlib import Path

from websockets.sync.client import connect

from plainmask.heads.head import shipped_heads

HEADS = ("scenes", "moving-objects")


class Soak:
    """The clients of one server, and what became of their requests."""

    def __init__(self, address: str, pictures: list[bytes], until: float):
        self.address, self.pictures, self.until = address, pictures, until
        self.asked: list[tuple[float, float]] = []
        """Beginning and end of each request."""
        self.swaps: list[tuple[float, float]] = []
        self.failures: list[str] = []

    def post(self, path: str, content: bytes, method: str = "POST") -> bytes:
        request = urllib.request.Request(f"http://{self.address}{path}", content, method=method)
        if content.startswith(b"{"):
            request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read()

    def send_pictures(self, start: int) -> None:
        """One client; every other picture for both heads."""
        for turn, picture in enumerate(cycle(self.pictures[start:] + self.pictures[:start])):
            if time.time() > self.until:
                return
            heads = HEADS[0] if turn % 2 else ",".join(HEADS)
            began = time.time()
            try:
                json.loads(self.post(f"/v1/segment?heads={heads}", picture))
            except (urllib.error.URLError, OSError, ValueError) as error:
                self.failures.append(f"picture: {error}")
            self.asked.append((began, time.time()))

    def follow_a_video(self) -> None:
        """Another; a new video every 100 frames."""
        while time.time() < self.until:
            with connect(f"ws://{self.address}/v1/stream?head={HEADS[1]}") as socket:
                for number, picture in enumerate(self.pictures[:100]):
                    began = time.time()
                    socket.send(picture)
                    told = json.loads(socket.recv())
                    if told.get("frame_index") != number:
                        self.failures.append(f"frame {number}: {str(told)[:100]}")
                    self.asked.append((began, time.time()))
                    if time.time() > self.until:
                        return

    def swap(self, seconds: float) -> None:
        """Put a head again and again."""
        while time.time() < self.until:
            began = time.time()
            try:
                self.post(f"/v1/heads/{HEADS[0]}", b'{"folder": "scenes"}', "PUT")
            except (urllib.error.URLError, OSError) as error:
                self.failures.append(f"swap: {error}")
            self.swaps.append((began, time.time()))
            time.sleep(seconds)


def megabytes(process: int) -> float:
    """Of memory that a process has."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024


def minute_by_minute(soak: Soak, process: int) -> list[float]:
    """Print a line a minute; the megabytes of each."""
    memory: list[float] = []
    print(f"{'minute':>6}{'requests':>10}{'failed':>8}{'p50':>8}{'p99':>8}{'MB':>8}", flush=True)
    while time.time() < soak.until:
        seen = len(soak.asked)
        time.sleep(60)
        waits = [end - began for began, end in soak.asked[seen:]]
        cuts = statistics.quantiles(waits, n=100, method="inclusive")
        memory.append(megabytes(process))
        print(
            f"{len(memory):>6}{len(waits):>10}{len(soak.failures):>8}{cuts[49]:>8.2f}"
            f"{cuts[98]:>8.2f}{memory[-1]:>8.0f}",
            flush=True,
        )
    return memory


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path, help="a folder")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--swap", type=float, default=5, help="seconds between swaps")
    args = parser.parse_args()
    pictures = [path.read_bytes() for path in sorted(args.pictures.iterdir()) if path.is_file()]
    with tempfile.TemporaryDirectory() as root:
        shutil.copytree(shipped_heads()["scenes"], Path(root) / "scenes")
        command = [sys.executable, "-m", "plainmask", "serve", *HEADS, "--port", "0", "--quiet"]
        command += ["--heads-root", root]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            said = "".join(server.stdout.readline() for _ in range(3))
            address = re.findall(r"http://([\d.]+:\d+)", said)[0]
            try:
                report(
                    Soak(address, pictures, time.time() + 60 * args.minutes), server.pid, args.swap
                )
            finally:
                server.terminate()


def report(soak: Soak, process: int, swap: float) -> None:
    """Let all clients run to the end, and say what happened."""
    before = soak.post("/v1/features?size=224", soak.pictures[0])
    threads = [
        threading.Thread(target=soak.send_pictures, args=(0,)),
        threading.Thread(target=soak.send_pictures, args=(len(soak.pictures) // 2,)),
        threading.Thread(target=soak.follow_a_video),
        threading.Thread(target=soak.swap, args=(swap,)),
    ]
    for thread in threads:
        thread.start()
    memory = minute_by_minute(soak, process)
    for thread in threads:
        thread.join()
    same = soak.post("/v1/features?size=224", soak.pictures[0]) == before
    during: dict[bool, list[float]] = {True: [], False: []}
    for began, end in soak.asked:
        met = any(start < end and began < stop for start, stop in soak.swaps)
        during[met].append(end - began)
    print(f"{len(soak.asked)} requests, {len(soak.swaps)} swaps, {len(soak.failures)} failures")
    for met, waits in during.items():
        if waits:
            cuts = statistics.quantiles(waits, n=100, method="inclusive")
            name = "met by a swap" if met else "between swaps"
            print(f"{name}: p50 {cuts[49]:.2f}, p99 {cuts[98]:.2f}, longest {max(waits):.2f} s")
    settled = memory[1:] or memory
    halves = settled[: len(settled) // 2 or 1], settled[len(settled) // 2 :]
    first, second = (statistics.mean(half) for half in halves)
    print(f"memory from the second minute on: first half {first:.0f} MB, second {second:.0f}")
    print(f"features byte by byte as before: {same}")
    for failure in soak.failures[:10]:
        print(failure)


if __name__ == "__main__":
    main()
