"""What memory is worth for street scenes: street-video beside street-semantic frame by frame.

    python benchmarks/street_video.py --data ../shared/data/camvid [--heads HEAD...]

mIoU of CamVid test, whose labelled frames are a second apart, and mIoU and mVC of the dense clip
(CamVid val, 15 frames a second), each frame by frame as a stream gives them. About 25 minutes on
two cores.
"""

import argparse
from pathlib import Path

from plainmask.allocator import keep_freed_memory
from plainmask.data.reader import read_dataset
from plainmask.evaluation.videos import evaluate_videos
from plainmask.inference.loading import load

SPLITS = {"test": ("mIoU",), "val": ("mIoU", "mVC8", "mVC16")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--heads", nargs="+", default=["street-semantic", "street-video"])
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    options = parser.parse_args()

    keep_freed_memory()
    columns = [f"{split} {name}" for split in options.splits for name in SPLITS[split]]
    print(f"{'':24}" + "".join(f"{name:>12}" for name in columns))
    for name in options.heads:
        segmenter = load(name)
        head = segmenter.head
        row: list[float] = []
        for split in options.splits:
            records = read_dataset("camvid_clips", options.data, split, head.config.vocabulary)
            figures = evaluate_videos(segmenter, records, protocol="online").figures
            row += [float(figures[metric] or 0) for metric in SPLITS[split]]
        print(f"{Path(name).name:24}" + "".join(f"{v:12.2f}" for v in row), flush=True)


if __name__ == "__main__":
    main()
