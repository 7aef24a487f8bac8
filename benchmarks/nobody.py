"""Pictures without people, which recipes/person-parts.yaml learns from, too.

    python benchmarks/nobody.py ../shared/data runs/nobody
    plainmask eval person-parts runs/nobody --split val

Those of msrc_v2 that show neither a face nor a body, all of them background, with the classes of
ccp_people. Files are linked to. The IoU of background is the share of pixels on which a head finds
nothing: one that only ever saw people finds clothes everywhere.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

PEOPLE = (10, 21)
"""Classes of msrc_v2: face and body."""
BACKGROUND = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for split in ("train", "val"):
        count = write_split(options.data / "msrc_v2", options.out, split)
        print(f"{split}: {count} pictures")
    shutil.copyfile(options.data / "ccp_people/classes.json", options.out / "classes.json")


def write_split(source: Path, out: Path, split: str) -> int:
    """Link to the pictures of a split without people, and label them; how many."""
    images, labels = (out / kind / split for kind in ("images", "labels"))
    for folder in (images, labels):
        folder.mkdir(parents=True)
    count = 0
    for path in sorted((source / "labels" / split).glob("*.png")):
        shown = np.asarray(Image.open(path))
        if not np.isin(shown, PEOPLE).any():
            picture = (source / "images" / split / f"{path.stem}.jpg").resolve()
            (images / picture.name).symlink_to(picture)
            Image.fromarray(np.full_like(shown, BACKGROUND)).save(labels / path.name)
            count += 1
    return count


if __name__ == "__main__":
    main()
