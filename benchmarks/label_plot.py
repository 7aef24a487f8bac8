"""The curves that `label.py --keep` kept, one set beside the other, as docs/label.svg.

    python benchmarks/label_plot.py CURVES.json [CURVES.json ...] --out docs/label.svg

It needs matplotlib.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

COLOURS = {
    "linear head": "#d55e00",
    "decoder behind it": "#0072b2",
    "convpaint's classifier": "#009e73",
    "random forest": "#cc79a7",
}
"""Of those who learnt: Okabe and Ito's."""
WHOLE, TRAINED = "whole", "trained"
TITLES = {"camvid": "streets, 11 classes", "people": "person, background", "pets": "cat, dog"}


def draw(axes: Any, curves: dict[str, Any]) -> None:
    """One set: a line for each who learnt, and what whole labels lead to."""
    name = curves.pop("set")
    for key, style, label in (
        (WHOLE, ":", "the ten pictures labelled whole"),
        (TRAINED, "--", "trained on all pictures"),
    ):
        for value in curves.pop(key, {}).values():
            axes.axhline(value, color="#666666", linestyle=style, linewidth=1, label=label)
    for who, points in curves.items():
        strokes = [int(number) for number in points]
        axes.plot(strokes, points.values(), color=COLOURS[who], marker="o", markersize=4, label=who)
    axes.set_title(TITLES.get(name, name), fontsize=10)
    axes.set_xlabel("strokes")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("curves", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "label", "font.size": 9}
    count = len(options.curves)
    figure, found = plt.subplots(1, count, figsize=(3.1 * count, 3.4), sharey=True, squeeze=False)
    for axes, path in zip(found[0], options.curves, strict=True):
        draw(axes, json.loads(path.read_text()))
    found[0][0].set_ylabel("mean IoU on pictures without a stroke")
    names: dict[str, Any] = {}
    for axes in found[0]:
        lines, labels = axes.get_legend_handles_labels()
        names |= dict(zip(labels, lines, strict=True))
    figure.legend(names.values(), names, loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    figure.savefig(options.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
