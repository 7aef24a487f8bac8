"""Measure a trained head on a data set and put it into the package.

    python tools/ship_head.py runs/street-semantic --data ../shared/data/camvid --split test

Evaluates `RUN/head`, writes figures and commands into its config and README, and saves it in
bfloat16 as src/plainmask/heads/NAME. For the last step of a release; never to choose settings.
"""

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import torch

from plainmask.allocator import keep_freed_memory
from plainmask.data.guess import guess_format, image_format
from plainmask.data.reader import read_dataset
from plainmask.evaluation.images import evaluate, label_vocabulary
from plainmask.evaluation.measures import check_rules
from plainmask.evaluation.report import Evaluation
from plainmask.evaluation.videos import evaluate_videos
from plainmask.heads.head import Head
from plainmask.inference.loading import load
from plainmask.inference.segmenter import HeadSegmenter

HEADS = Path(__file__).parents[1] / "src" / "plainmask" / "heads"
DTYPE = torch.bfloat16
"""Of shipped weights: a wheel deflates it to three quarters, float16 to nine tenths only."""
STATED = {
    "semantic": ("mIoU", "mVC8", "mVC16"),
    "instance": ("AP", "AP50", "J", "IDF1"),
    "panoptic": ("VPQ", "STQ"),
}
"""Figures that a head's card states, those of its task that were measured."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", nargs="+", default=["test"])
    parser.add_argument("--protocol", choices=("online", "offline"), help="of video heads")
    parser.add_argument("--max-detections", type=int, nargs="+", help="of image instance heads")
    parser.add_argument("--weaknesses", default="", help="what it is not good at, for its card")
    parser.add_argument(
        "--leave-out", nargs="+", default=[], help="classes too rare to learn, for a second mean"
    )
    options = parser.parse_args()

    keep_freed_memory()
    trained = Head.load(options.run / "head")
    name = trained.config.name
    folder = trained.save(HEADS / name, dtype=DTYPE)  # measured as shipped
    segmenter = load(folder)
    ways = [{"max-detections": str(count)} for count in options.max_detections or ()]
    if options.protocol:
        ways.append({"protocol": options.protocol})
    figures: dict[str, float] = {}
    commands: list[str] = []
    found: Evaluation | None = None
    for split, way in product(reversed(options.split), reversed(ways or [{}])):
        found = measure(segmenter, options.data, split, way)
        under = "".join(f", {key.replace('-', ' ')} {value}" for key, value in way.items())
        for metric in reversed(STATED[trained.config.task]):
            if (value := found.figures.get(metric)) is not None:
                counted = f"{found.count} {found.unit}{under}"
                place = f"{metric} on {options.data.name} {split} ({counted})"
                figures = {place: float(value)} | figures
        asked = "".join(f" --{key} {value}" for key, value in way.items())
        commands.insert(0, f"plainmask eval {name} {options.data} --split {split}{asked}")
    assert found is not None
    if options.leave_out:
        figures |= mean_without(found, options.leave_out, f"{options.data.name} {options.split[0]}")
    provenance = segmenter.head.config.provenance.model_copy(
        update={
            "figures": figures,
            "per_class": found.per_class,
            "command": "; ".join(commands),
            "weaknesses": options.weaknesses,
        }
    )
    shipped = segmenter.head.config.model_copy(update={"provenance": provenance})
    Head(shipped, segmenter.head.decoder).save(folder, dtype=DTYPE)
    print("\n".join(f"{place}: {value:.2f}" for place, value in figures.items()))
    print(found.per_class, folder, sep="\n")


def mean_without(found: Evaluation, left_out: list[str], place: str) -> dict[str, float]:
    """The mean over the classes that are not left out, under a name that says so."""
    unknown = set(left_out) - found.per_class.keys()
    if unknown:
        raise SystemExit(f"error: no class is called {', '.join(sorted(unknown))}")
    kept = [v for name, v in found.per_class.items() if v is not None and name not in left_out]
    return {f"mean without {', '.join(left_out)} on {place}": sum(kept) / len(kept)}


def measure(
    segmenter: HeadSegmenter[Any], data: Path, split: str, way: dict[str, str]
) -> Evaluation:
    """Figures of a head on one split; `way` are options of `plainmask eval`."""
    head = segmenter.head
    is_video = head.config.decoder.propagation != "none"
    format = guess_format(data) if is_video else image_format(head.config.task, data)
    records = read_dataset(format, data, split, label_vocabulary(head.config.vocabulary, data))
    if is_video:
        protocol = "online" if way.get("protocol") == "online" else "offline"
        return evaluate_videos(segmenter, records, protocol=protocol)
    rules = check_rules("official", int(way.get("max-detections", 100)))
    return evaluate(segmenter, records, rules=rules)


if __name__ == "__main__":
    main()
