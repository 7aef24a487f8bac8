"""Measure a trained head on a data set and put it into the package.

    python tools/ship_head.py runs/street-semantic --data ../shared/data/camvid --split test

Evaluates `RUN/head`, writes figures and command into its config and README, and saves it in
float16 as src/plainmask/heads/NAME. For the last step of a release; never to choose settings.
"""

import argparse
from pathlib import Path

from plainmask.allocator import keep_freed_memory
from plainmask.data.label_folder import read_label_folder
from plainmask.evaluate import evaluate, label_vocabulary
from plainmask.head import Head
from plainmask.segmenter import Segmenter, load

HEADS = Path(__file__).parents[1] / "src" / "plainmask" / "heads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()

    keep_freed_memory()
    trained = Head.load(options.run / "head")
    folder = trained.save(HEADS / trained.config.name)  # measured as shipped, in float16
    segmenter: Segmenter = load(folder)
    head = segmenter.heads[trained.config.name]
    records = read_label_folder(
        options.data, options.split, label_vocabulary(head.config.vocabulary, options.data)
    )
    found = evaluate(segmenter, records)
    name = f"mIoU on {options.data.name} {options.split} ({len(records)} images)"
    provenance = head.config.provenance.model_copy(
        update={
            "figures": {name: found.figures["mIoU"]},
            "per_class": found.per_class,
            "command": f"plainmask eval {head.config.name} {options.data} --split {options.split}",
        }
    )
    shipped = head.config.model_copy(update={"provenance": provenance})
    Head(shipped, head.decoder).save(folder)
    print(f"{name}: {found.figures['mIoU']:.2f}\n{folder}")


if __name__ == "__main__":
    main()
