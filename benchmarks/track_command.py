"""How near `plainmask track` comes to the network's own rate, overlay video and table included.

    OMP_WAIT_POLICY=passive python benchmarks/track_command.py [--head NAME] [--frames FOLDER]

Ways, which take turns in one process: the network alone, on frames that are in memory, as many at
once as `track` takes; the model, which is the network and, after it, results; the library, from the
file to results; the command, from the file to files, loading left out. Figures are medians over the
turns; "CPU" is milliseconds of a core, which say on a busy machine what a quiet one of two cores
can reach. Where other programs run, OpenMP's threads must not spin while they wait for each other
(OMP_WAIT_POLICY): a way of one thread of ours then takes twice the time of one of several.
"""

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from stream_model import moving_blocks

import plainmask
from plainmask.allocator import keep_freed_memory
from plainmask.cli import run
from plainmask.inference.stream import follow_frames, states_after, tell
from plainmask.inference.tracking import AHEAD
from plainmask.results import SemanticResult
from plainmask.video.frames import Frame
from plainmask.video.mp4 import OverlayVideo
from plainmask.video.sources import open_video
from plainmask.vocabulary import Vocabulary

HEIGHT, WIDTH = 720, 1280


def pictures(folder: Path | None, count: int) -> list[NDArray[np.uint8]]:
    """Frames of 1280 x 720: of a folder, there and back again, or blocks that move."""
    if folder is None:
        return list(moving_blocks(count, HEIGHT, WIDTH))
    files = sorted(folder.glob("*.jpg")) + sorted(folder.glob("*.png"))
    images = [np.asarray(Image.open(file).convert("RGB").resize((WIDTH, HEIGHT))) for file in files]
    return list(islice(cycle([*images, *images[-2:0:-1]]), count))


def write_file(path: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """A video file, by the library's own sink: results of nothing are painted over it."""
    nothing = SemanticResult(np.full((HEIGHT, WIDTH), -1, np.int16), Vocabulary.numbered(1))
    sink = OverlayVideo(path)
    for place, image in enumerate(images):
        sink.write(Frame(image, place / 25, f"{place:05d}"), nothing)
    sink.close()


def in_memory(
    segmenter: plainmask.HeadSegmenter[Any], frames: Sequence[NDArray[np.uint8]], *, results: bool
) -> None:
    stream = segmenter.stream().inner
    states: dict[str, plainmask.State] = {}
    for first in range(0, len(frames), AHEAD):
        part = frames[first : first + AHEAD]
        for seen in follow_frames(stream.shared, stream.heads, states, part):
            if results:
                states = states_after(seen, tell(stream.heads, seen, states))
            else:
                states = {name: one.state for name, one in seen.items()}


def command(path: Path, head: str, save: str, out: str) -> float:
    """Seconds that the command says a frame took."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = run(["track", str(path), "--head", head, "--save", save, "--out", out, "--json"])
    assert code == 0, said.getvalue()
    return json.loads(said.getvalue())["seconds_per_frame"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--head", default="moving-objects")
    parser.add_argument("--frames", type=Path, help="folder of pictures; without: moving blocks")
    parser.add_argument("--count", type=int, default=64, help="frames of the video")
    parser.add_argument("--save", default="mp4,jsonl")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()

    keep_freed_memory()
    segmenter = plainmask.load(options.head)
    images = pictures(options.frames, options.count)
    seconds: dict[str, list[float]] = {}
    cores: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_file(path, images)
        frames = list(open_video(path))
        ways: dict[str, Callable[[], object]] = {
            "network": lambda: in_memory(segmenter, frames, results=False),
            "model": lambda: in_memory(segmenter, frames, results=True),
            "library": lambda: sum(1 for _ in segmenter.track(path)),
            "command": lambda: command(path, options.head, options.save, f"{folder}/out"),
        }
        for turn in range(options.turns + 1):
            began = time.process_time()
            plainmask.load(options.head)
            loading = time.process_time() - began
            for name, way in ways.items():
                began, core = time.perf_counter(), time.process_time()
                said = way()
                took = (time.perf_counter() - began) / len(frames)
                busy = time.process_time() - core - (loading if name == "command" else 0)
                if turn:  # the first warms up
                    seconds.setdefault(name, []).append(said if isinstance(said, float) else took)
                    cores.setdefault(name, []).append(busy / len(frames))
    medians = {way: statistics.median(each) for way, each in seconds.items()}
    busy_medians = {way: statistics.median(each) for way, each in cores.items()}
    dtype = str(segmenter.shared.dtype).removeprefix("torch.")
    print(f"{options.head}, {dtype}, {torch.get_num_threads()} threads, {len(frames)} frames\n")
    print("| way | ms a frame | rate / the network's | / the model's | all turns | CPU | share |")
    print("|---|---|---|---|---|---|---|")
    for way, each in seconds.items():
        turns = ", ".join(f"{1000 * one:.0f}" for one in each)
        ratios = [f"{medians[base] / medians[way]:.2f}" for base in ("network", "model")]
        core = f"{1000 * busy_medians[way]:.0f} | {busy_medians['model'] / busy_medians[way]:.2f}"
        print(f"| {way} | {1000 * medians[way]:.0f} | {' | '.join(ratios)} | {turns} | {core} |")


if __name__ == "__main__":
    main()
