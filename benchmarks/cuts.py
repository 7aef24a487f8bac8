"""Cuts in videos: how alike neighbouring frames are, and frames of two videos; and what tracks do.

    python benchmarks/cuts.py ../shared/data/davis2016 [--split val] [--head moving-objects]

Of each video of the split the first, middle and last eight frames are compared with their next, and
the last frame of each with the first of every other. Then videos are joined end to end, 15 frames
of each: at how many joints a new scene is seen, at how many other frames, and how many numbers of
tracks stand on both sides of a joint.
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import plainmask
from plainmask.inference.cuts import likeness
from plainmask.inference.segmenter import HeadSegmenter
from plainmask.inference.stream import encode

RUN, JOINED = 8, 15
Picture = NDArray[np.uint8]


def read(path: Path) -> Picture:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB")).copy()


def scenes(segmenter: HeadSegmenter[Any], pictures: Sequence[Picture]) -> Tensor:
    """(K, N, cells, D)."""
    found = encode(segmenter.shared, {segmenter.name: segmenter.head}, pictures)
    looks = found[segmenter.name].scenes
    assert looks is not None, "the head does not look for cuts"
    return looks


def compare(segmenter: HeadSegmenter[Any], videos: Sequence[Sequence[Path]]) -> None:
    """Print how alike frames are, within videos and across."""
    within: list[float] = []
    ends: list[tuple[Tensor, Tensor]] = []
    for video in videos:
        middle = len(video) // 2
        runs = video[:RUN], video[middle : middle + RUN], video[-RUN:]
        looks = [scenes(segmenter, [read(path) for path in run]) for run in runs]
        within += [likeness(a, b) for run in looks for a, b in pairwise(run)]
        ends.append((looks[0][0], looks[-1][-1]))
    across = [
        likeness(last, first)
        for i, (_, last) in enumerate(ends)
        for j, (first, _) in enumerate(ends)
        if i != j and last.shape == first.shape
    ]
    print(f"{'':<16}{'pairs':>6}{'least':>8}{'1 %':>8}{'median':>8}{'99 %':>8}{'most':>8}")
    for name, found in (("next frame", within), ("another video", across)):
        cuts = np.quantile(found, [0, 0.01, 0.5, 0.99, 1])
        print(f"{name:<16}{len(found):>6}" + "".join(f"{value:>8.3f}" for value in cuts))


def join(segmenter: HeadSegmenter[Any], videos: Sequence[Sequence[Path]]) -> None:
    """Print what the tracks of joined videos do."""
    frames = [read(path) for video in videos for path in video[:JOINED]]
    joints = set(np.cumsum([len(video[:JOINED]) for video in videos[:-1]]).tolist())
    begun, numbers = set[int](), list[set[int]]()
    for place, result in enumerate(segmenter.track(frames)):
        if int(result.state.since[0]) == place and place:
            begun.add(place)
        numbers.append(set(result.track_ids))
    edges = [0, *sorted(joints), len(frames)]
    sides = [set[int]().union(*numbers[a:b]) for a, b in pairwise(edges)]
    both = sum(len(a & b) for a, b in pairwise(sides))
    print(
        f"{len(joints)} joints: a new scene at {len(joints & begun)}, and at {len(begun - joints)} "
        f"of {len(frames) - len(joints)} other frames; {both} numbers on both sides of a joint"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="DATA/SPLIT/images/VIDEO/FRAME.jpg")
    parser.add_argument("--split", default="val")
    parser.add_argument("--head", default="moving-objects")
    parser.add_argument("--every", type=int, default=1, help="only every so many videos")
    args = parser.parse_args()
    folders = sorted(path for path in (args.data / args.split / "images").iterdir())
    videos = [sorted(folder.iterdir()) for folder in folders[:: args.every]]
    segmenter: HeadSegmenter[Any] = plainmask.load(args.head)
    compare(segmenter, videos)
    join(segmenter, videos)


if __name__ == "__main__":
    main()
