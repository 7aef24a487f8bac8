"""What memory is worth: moving-objects with and without its link through time, side by side.

    python benchmarks/moving_objects.py --data ../shared/data/davis2016_vis [--head FOLDER]

The same decoder follows the validation videos twice: as trained, and starting every frame from the
learnt queries, a track being still the same query in all frames. About 4 minutes on two cores.
"""

import argparse
import copy
from pathlib import Path

from plainmask.allocator import keep_freed_memory
from plainmask.data.guess import guess_format
from plainmask.data.reader import read_dataset
from plainmask.decoder.propagation import NoLink
from plainmask.evaluation.videos import evaluate_videos
from plainmask.heads.head import Head, find_head
from plainmask.inference.loading import load
from plainmask.inference.segmenter import Segmenter

FIGURES = ("AP", "AP50", "AR10", "J", "F", "IDF1", "ID_switches")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--head", default="moving-objects")
    parser.add_argument("--protocol", choices=("online", "offline"), default="offline")
    options = parser.parse_args()

    keep_freed_memory()
    head = Head.load(find_head(options.head))
    forgetful = copy.deepcopy(head.decoder)
    forgetful.link = NoLink()
    encoder = load(find_head(options.head)).encoder
    vocabulary = head.config.vocabulary
    records = read_dataset(guess_format(options.data), options.data, options.split, vocabulary)
    print(f"{'':24}" + "".join(f"{name:>12}" for name in FIGURES))
    for name, one in (
        (f"propagation {head.config.decoder.propagation}", head),
        ("without propagation", Head(head.config, forgetful)),
    ):
        segmenter = Segmenter(encoder, {"head": one})["head"]
        found = evaluate_videos(segmenter, records, protocol=options.protocol)
        row = [found.figures.get(figure) for figure in FIGURES]
        print(f"{name:24}" + "".join(f"{value or 0:12.1f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
