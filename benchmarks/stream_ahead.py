"""What reading ahead gives: the encoder on batches of frames, and the stations side by side.

    python benchmarks/stream_ahead.py

Rows: frames that the encoder takes at once (1, 4, 8), with decoding, network and post-processing
one after the other, or each in its own thread as `Segmenter.track` has them. All rows are measured
in turn, several times, in one process; the figure is the median over the turns. Results are the
same in all rows.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

import torch
from stream_model import model, write_video

import plainmask
from plainmask.allocator import keep_freed_memory
from plainmask.inference.stream import follow_frames, states_after, tell
from plainmask.inference.tracking import batches, online
from plainmask.video.frames import Frame
from plainmask.video.sources import open_video

Follow = Callable[[plainmask.Stream, Iterable[Frame], int], int]


def overlapping(stream: plainmask.Stream, frames: Iterable[Frame], ahead: int) -> int:
    return sum(1 for _ in online(stream, frames, ahead=ahead))


def in_turn(stream: plainmask.Stream, frames: Iterable[Frame], ahead: int) -> int:
    """Decode a batch, encode it, make its results; then the next."""
    count, states = 0, dict(stream.state or {})
    for batch in batches(frames, ahead, lambda frame: frame.image.shape):
        images = [frame.image for frame in batch]
        for seen in follow_frames(stream.shared, stream.heads, states, images):
            states = states_after(seen, tell(stream.heads, seen, states))
            count += 1
    return count


WAYS: dict[str, Follow] = {"in turn": in_turn, "side by side": overlapping}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--head", help="name or folder; without it one with random weights")
    parser.add_argument("--task", default="semantic", choices=["semantic", "instance", "panoptic"])
    parser.add_argument("--video", type=Path, help="without it one of moving blocks, 640 x 360")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--ahead", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--size", type=int, default=224, help="shorter side for the model")
    parser.add_argument("--queries", type=int, default=50)
    options = parser.parse_args()

    keep_freed_memory()
    segmenter = model(options.head, options.task, options.size, options.queries)
    rows: list[tuple[int, str]] = list(product(options.ahead, WAYS))
    times: dict[tuple[int, str], list[float]] = {row: [] for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or Path(folder) / "blocks.mp4"
        if options.video is None:
            write_video(path, options.frames, 360, 640)
        for turn in range(options.turns + 1):
            for ahead, way in rows:
                began = time.perf_counter()
                count = WAYS[way](segmenter.stream().inner, open_video(path).frames(), ahead)
                if turn:  # the first warms up
                    times[ahead, way].append((time.perf_counter() - began) / count)
    print(f"{segmenter}, {torch.get_num_threads()} threads, median of {options.turns}\n")
    print("| frames at once | stations | ms a frame | gain |\n|---|---|---|---|")
    first = statistics.median(times[rows[0]])
    for ahead, way in rows:
        median = statistics.median(times[ahead, way])
        print(f"| {ahead} | {way} | {1000 * median:.1f} | {first / median:.2f} |")


if __name__ == "__main__":
    main()
