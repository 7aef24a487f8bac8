"""Resident memory while a long video is followed and saved: it must not grow with the video.

    python benchmarks/stream_memory.py

A file is decoded, followed and saved as an overlay MP4 and as JSON lines, as `plainmask track`
does. Memory is read after 100, 500, 1000 and 2000 frames; the goal is less than 5 % more after
2000 than after 100.
"""

import argparse
import tempfile
import time
from pathlib import Path

from stream_model import model, write_video

from plainmask.allocator import keep_freed_memory
from plainmask.inference.follow import follow
from plainmask.video.sinks import open_sinks
from plainmask.video.sources import open_video


def resident() -> float:
    """MB that this process holds in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--head", help="name or folder; without it one with random weights")
    parser.add_argument("--task", default="semantic", choices=["semantic", "instance", "panoptic"])
    parser.add_argument("--at", type=int, nargs="+", default=[100, 500, 1000, 2000])
    parser.add_argument("--size", type=int, default=112, help="shorter side for the model")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--save", default="mp4,jsonl")
    options = parser.parse_args()

    keep_freed_memory()
    segmenter = model(options.head, options.task, options.size, options.queries)
    head = segmenter.head
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        write_video(path, max(options.at), 240, 320)
        began = time.monotonic()
        with open_sinks(options.save.split(","), folder, "long", head.config) as sinks:
            pairs = follow(segmenter.stream(), open_video(path))
            for count, (frame, result) in enumerate(pairs, 1):
                sinks.write(frame, result)
                if count in options.at:
                    found.append(resident())
        seconds = time.monotonic() - began
    print(f"{segmenter}, {options.save}, {seconds / max(options.at):.3f} s a frame\n")
    print("| frames | resident MB | of the first |\n|---|---|---|")
    for count, memory in zip(options.at, found, strict=True):
        print(f"| {count} | {memory:.1f} | {memory / found[0]:.3f} |")


if __name__ == "__main__":
    main()
