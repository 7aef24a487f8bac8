"""What Ray costs: pictures a second of one process, and of one and two actors on this machine.

    python benchmarks/cluster.py FOLDER [--heads scenes,person-parts] [--part 16]

FOLDER has pictures, a hundred or more. The process uses all cores for each network; actors share
them. What comes before the first results (starting, loading) is told apart; rates are of what comes
after. Rows go to a folder that is deleted. On a quiet machine.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from plainmask.allocator import keep_freed_memory
from plainmask.cluster import run
from plainmask.cluster.manifest import read_manifest
from plainmask.cluster.parts import WorkPart, parts_of
from plainmask.cluster.segment_batch import SegmentBatch
from plainmask.cluster.store import Store
from plainmask.cluster.work import Done, Work


def measure(name: str, outcomes: Iterable[Done], began: float, warm: int) -> float:
    """Pictures a second after the first `warm` parts."""
    first, pictures = 0.0, 0
    for number, one in enumerate(outcomes):
        if number == warm - 1:
            first = time.monotonic()
        elif number >= warm:
            pictures += one.pictures
    rate = pictures / (time.monotonic() - first)
    cores = os.cpu_count() or 1
    print(f"{name:12} {first - began:8.1f} {rate:10.2f} {rate / cores:10.2f}", flush=True)
    return rate


def planned(work: Work, folder: Path, size: int) -> list[WorkPart]:
    """All that is to be done."""
    manifest = read_manifest(str(folder))
    work.store.begin(manifest)
    return list(parts_of(manifest, work.segment.fingerprints, set(), size))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--heads", default="scenes,person-parts")
    parser.add_argument("--part", type=int, default=16)
    options = parser.parse_args()

    keep_freed_memory()
    print(f"{'':12} {'start s':>8} {'pictures/s':>10} {'a core':>10}")
    with tempfile.TemporaryDirectory() as scratch:
        began = time.monotonic()
        work = Work(SegmentBatch(options.heads.split(","), device="cpu"), Store(f"{scratch}/one"))
        parts = planned(work, options.folder, options.part)
        alone = measure("one process", map(work, parts), began, 1)
        for actors in (1, 2):
            began = time.monotonic()
            work = Work(work.segment, Store(f"{scratch}/{actors}"))
            with run.cluster(None):
                number, each = run.actors_of("cpu", actors)
                outcomes = run.run_parts(work, parts, number, **each)
                rate = measure(f"{actors} actors", outcomes, began, actors)
            print(f"{'':12} {rate / alone:.2f} times one process")


if __name__ == "__main__":
    main()
