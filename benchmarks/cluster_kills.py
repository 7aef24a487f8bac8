"""Whether rows are written exactly once, whoever is killed: `plainmask cluster` under kill -9.

    python benchmarks/cluster_kills.py [--pictures 2000] [--kills 20] [--seed 0]

A tiny encoder with two tiny heads, small pictures, two actors on this machine. At random times a
worker process or the command itself is ended by kill -9; after the latter the same command is
begun again. At the end there must be a row for each picture and head, none twice, none missing, and
the files must be those of a single process without Ray, byte for byte.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

# Before torch comes: bytes are equal for as many threads, and actors have one each.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PLAINMASK_DTYPE": "float32"}
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from plainmask.cluster.manifest import read_manifest
from plainmask.cluster.parts import parts_of
from plainmask.cluster.segment_batch import SegmentBatch
from plainmask.cluster.store import Store
from plainmask.cluster.work import Work
from tiny import save_with_encoder, tiny_encoder, tiny_head

PART = 20
"""Pictures of a part."""
LONGEST = 1.0
"""Seconds between a file and the kill after it, at most."""
BROKEN = 97
"""Every so many pictures one is no picture."""


def make_pictures(folder: Path, count: int) -> Path:
    """Pictures of two sizes, and some files that are none."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05d}.png"
        if number % BROKEN == BROKEN - 1:
            path.write_bytes(b"no picture")
            continue
        size = (60, 80, 3) if number % 3 else (80, 60, 3)
        blocks = np.random.default_rng(number).integers(0, 256, size, np.uint8)
        pixels = blocks.repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels).save(path, compress_level=1)
    return folder


def make_heads(folder: Path) -> list[str]:
    """Two tiny heads on one encoder."""
    encoder = tiny_encoder()
    first = save_with_encoder(tiny_head("semantic", encoder), encoder, folder / "first")
    return [str(first), str(tiny_head("panoptic", encoder).save(folder / "second"))]


def alone(pictures: Path, heads: list[str], out: Path, part_size: int = PART) -> None:
    """The rows that one process makes, without Ray."""
    work = Work(SegmentBatch(heads, device="cpu"), Store(str(out)))
    manifest = read_manifest(str(pictures))
    work.store.begin(manifest)
    for part in parts_of(manifest, work.segment.fingerprints, work.store.done(), part_size):
        work(part)


def begin(pictures: Path, heads: list[str], out: Path, part_size: int) -> subprocess.Popen[bytes]:
    """The command, in a process group of its own."""
    call = ["cluster", str(pictures), "--heads", ",".join(heads), "--out", str(out)]
    options = ["--part", str(part_size), "--actors", "2", "--device", "cpu"]
    with out.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "plainmask", *call, *options], stdout=log, stderr=log
        )


def workers(driver: int) -> list[int]:
    """The processes of actors that a command has, found by their names below it."""
    table = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in table.stdout.splitlines()]
    family = {driver}
    for _ in range(4):
        family |= {int(row[0]) for row in rows if int(row[1]) in family}
    return [int(row[0]) for row in rows if int(row[0]) in family and "MapWorker" in row[2]]


def kill_at_random(
    pictures: Path,
    heads: list[str],
    out: Path,
    kills: int,
    seed: int,
    part_size: int = PART,
    longest: float = LONGEST,
) -> Counter[str]:
    """Run the command to its end, with so many kills on the way; who was killed how often."""
    moments, killed = random.Random(seed), Counter[str]()
    driver = begin(pictures, heads, out, part_size)
    for number in range(kills):
        while driver.poll() is None and not workers(driver.pid):
            time.sleep(0.1)
        files = len(rows_of(out))
        while driver.poll() is None and len(rows_of(out)) == files:
            time.sleep(0.02)  # this one gets something done, or the last kills would come too late
        time.sleep(moments.uniform(0, longest))
        whom = "worker" if number % 2 else "driver"
        targets = [driver.pid] if whom == "driver" else workers(driver.pid)
        if driver.poll() is not None or not targets:
            print(f"{whom} had ended before kill {number + 1}", flush=True)
            continue
        os.kill(moments.choice(targets), signal.SIGKILL)
        killed[whom] += 1
        print(f"{number + 1}: {whom}, {len(rows_of(out))} files", flush=True)
        if whom == "driver":
            driver.wait()
            driver = begin(pictures, heads, out, part_size)
    killed["exit code"] = driver.wait()
    return killed


def rows_of(out: Path) -> list[Path]:
    """The files of rows."""
    return sorted((out / "rows").glob("*.parquet"))


def compare(out: Path, single: Path, count: int, heads: int) -> dict[str, Any]:
    """What is there, and whether it is what a single process makes."""
    ids = Counter(key for path in rows_of(out) for key in pq.read_table(path)["id"].to_pylist())
    pairs = [(path, single / "rows" / path.name) for path in rows_of(out)]
    same = all(one.read_bytes() == other.read_bytes() for one, other in pairs if other.exists())
    return {
        "rows": ids.total(),
        "expected": count * heads,
        "doubles": ids.total() - len(ids),
        "files": len(pairs),
        "files of a single process": len(rows_of(single)),
        "byte for byte the same": same
        and {p.name for p in rows_of(single)} == {p.name for p, _ in pairs},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pictures, heads = make_pictures(folder / "in", options.pictures), make_heads(folder)
        alone(pictures, heads, folder / "single")
        print(f"single process: {time.monotonic() - began:.0f} s", flush=True)
        killed = kill_at_random(pictures, heads, folder / "many", options.kills, options.seed)
        print(dict(killed))
        found = compare(folder / "many", folder / "single", options.pictures, len(heads))
        print(found, f"{time.monotonic() - began:.0f} s")
        right = found["rows"] == found["expected"] and not found["doubles"]
        sys.exit(not (right and found["byte for byte the same"]))


if __name__ == "__main__":
    main()
