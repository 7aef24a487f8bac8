"""Sets of two classes out of sets of more, on which labelling by strokes is measured.

    python benchmarks/two_classes.py ../shared/data runs/two-classes

`people` is ccp_people as person and background: every seventh picture of train is the split
`held-out`, the others are `train`; `test` is its val. `nuclei` is dsb2018 as nucleus and
background, its splits named alike. Pictures are linked to.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

HELD_OUT = 7
SETS = {
    "people": ("ccp_people", "labels", "person"),
    "nuclei": ("dsb2018", "instances", "nucleus"),
}
"""By name: the folder, where its label maps are, and what is not 0 there."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for name, (folder, maps, thing) in SETS.items():
        root = options.out / name
        table = {"classes": [{"id": 0, "name": "background"}, {"id": 1, "name": thing}]}
        for split in ("train", "val"):
            for number, path in enumerate(sorted((options.data / folder / maps / split).glob("*"))):
                train = "train" if number % HELD_OUT else "held-out"
                write(root, train if split == "train" else "test", path)
        (root / "classes.json").write_text(json.dumps(table | {"ignore_values": [255]}, indent=1))


def write(root: Path, split: str, path: Path) -> None:
    """A label map with two classes, and a link to its picture."""
    for kind in ("images", "labels"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    values = np.asarray(Image.open(path))
    void = (values == 255) & (values.dtype == np.uint8)  # maps of 16 bits count objects
    two = np.where(void, 255, values > 0).astype(np.uint8)
    Image.fromarray(two).save(root / "labels" / split / path.name)
    picture = next((path.parents[2] / "images" / path.parent.name).glob(f"{path.stem}.*"))
    link = root / "images" / split / picture.name
    link.unlink(missing_ok=True)
    link.symlink_to(picture.resolve())


if __name__ == "__main__":
    main()
