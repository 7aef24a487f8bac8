"""Pictures of nothing that a head knows: how sure is it of what it finds there?

    python benchmarks/nothing.py [--heads scenes person-parts] [--data ../shared/data/msrc_v2]

Twenty made-up pictures: plain colours, dark, a gradient, noise, text, stripes, a checkerboard,
blurred colours. Printed is the share of their pixels with a score above 0.8, and
with that and not background, beside those of every sixth picture of a folder of photographs, where
one is given.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

import plainmask

HEIGHT, WIDTH = 360, 480
PLAIN = ((0, 0, 0), (255, 255, 255), (128, 128, 128), (10, 12, 20), (200, 40, 40), (30, 60, 160))


def made_up() -> Iterator[NDArray[np.uint8]]:
    """Twenty pictures (H, W, 3)."""
    random = np.random.default_rng(0)
    rows, columns = np.indices((HEIGHT, WIDTH))
    grey = [columns * 255 // WIDTH, (rows + columns) // 20 % 2 * 255]
    grey += [(rows // 15 + columns // 15) % 2 * 255]
    for color in PLAIN:
        yield np.full((HEIGHT, WIDTH, 3), color, np.uint8)
    for plane in grey:
        yield np.repeat(plane[..., None], 3, 2).astype(np.uint8)
    for noise in (5, 60):
        yield random.normal(120, noise, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
    for spacing in (14, 20, 26, 32):
        page = Image.new("RGB", (WIDTH, HEIGHT), "white")
        for top in range(10, HEIGHT - 10, spacing):
            text = "the quick brown fox jumps over the lazy dog " * 2
            ImageDraw.Draw(page).text((10, top), text, fill="black")
        yield np.array(page)
    for _ in range(5):
        colors = Image.fromarray(random.integers(0, 255, (6, 8, 3), dtype=np.uint8))
        colors = colors.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        yield np.array(colors.filter(ImageFilter.GaussianBlur(5)))


def sure(segmenter: Any, images: Sequence[Any]) -> str:
    """Percent of pixels with a score above 0.8, and how many of these are not background."""
    counts = np.zeros(2)
    for result in segmenter(images):
        classes = result.label_map[result.scores > 0.8]
        named = [name != "background" for name in result.vocabulary.names]
        counts += np.array([classes.size, np.take(named, classes).sum()]) / result.label_map.size
    found, named_as = 100 * counts / len(images)
    return f"{found:.1f} % ({named_as:.1f} % not background)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", nargs="+", default=["scenes", "person-parts"])
    parser.add_argument("--data", type=Path, help="with images/val/")
    options = parser.parse_args()
    photographs = sorted((options.data / "images/val").iterdir())[::6] if options.data else []
    for name in options.heads:
        segmenter = plainmask.load(name)
        print(f"{name}: nothing {sure(segmenter, list(made_up()))}", end="")
        print(f", photographs {sure(segmenter, photographs)}" if photographs else "")


if __name__ == "__main__":
    main()
