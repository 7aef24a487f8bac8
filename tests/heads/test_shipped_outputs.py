"""What the heads in the package find in two photographs, a drawing and a clip: recorded figures.

They hold for the weights that are shipped, so a head that is trained anew gets new ones: a test
that fails says what it found. No photograph lies here; both are cut out of sheets in docs/, whose
authors and terms README.md names.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

import plainmask
from plainmask.errors import WeightsError
from plainmask.heads.head import shipped_heads
from plainmask.results import Result

ROOT = Path(__file__).parents[2]
EXPECTED = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
"""By name of picture and head, one entry a frame: of semantic heads the share of each class in the
pixels, 0..1; of instance heads the boxes x0, y0, x1, y1 of what they are sure of."""
SHARE, PIXELS = 0.01, 2
"""How far a share and the side of a box may be off."""
SPECK = 0.01
"""Objects of a smaller share of the picture are left out: a pixel more changes their boxes."""

Found = dict[str, float] | dict[str, list[float]]


def temple() -> list[Image.Image]:
    return [halved("sheet.jpg", (14, 48, 654, 474))]


def cat() -> list[Image.Image]:
    return [halved("failures.jpg", (14, 47, 464, 347))]


def nuclei() -> list[Image.Image]:
    """Six violet discs on rose, as a stained section."""
    picture = Image.new("RGB", (128, 96), (236, 214, 228))
    draw = ImageDraw.Draw(picture)
    for x, y, width, height in (
        (12, 14, 22, 18), (20, 56, 26, 22), (48, 10, 20, 24),
        (64, 52, 20, 18), (88, 20, 24, 20), (98, 62, 20, 26),
    ):  # fmt: skip
        draw.ellipse((x, y, x + width, y + height), fill=(96, 60, 140))
    return [picture.filter(ImageFilter.GaussianBlur(1))]


def flight() -> list[Image.Image]:
    """The cat's face in a disc crosses the sky beside the temple, three frames."""
    (ground,), (face,) = temple(), cat()
    ground = ground.crop((170, 0, 320, 150))
    side = 60
    disc = Image.new("L", (side, side))
    ImageDraw.Draw(disc).ellipse((2, 2, side - 3, side - 3), fill=255)
    face = face.resize((90, side)).crop((15, 0, 15 + side, side))
    frames = [ground.copy() for _ in range(3)]
    for time, frame in enumerate(frames):
        frame.paste(face, (20 + 12 * time, 20), disc)
    return frames


def halved(sheet: str, box: tuple[int, int, int, int]) -> Image.Image:
    """A part of a sheet of docs/ at half its size."""
    with Image.open(ROOT / "docs" / sheet) as whole:
        part = whole.convert("RGB").crop(box)
    return part.resize((part.width // 2, part.height // 2), Image.Resampling.BOX)


PICTURES: dict[str, Callable[[], list[Image.Image]]] = {
    "temple": temple, "cat": cat, "nuclei": nuclei, "flight": flight,
}  # fmt: skip
CASES = [(picture, head) for picture, heads in EXPECTED.items() for head in heads]


def loaded(name: str) -> plainmask.HeadSegmenter:
    try:
        return plainmask.load(name, device="cpu")
    except WeightsError as error:
        pytest.skip(f"no encoder weights here: {error}")


def results(picture: str, head: str) -> Sequence[Result]:
    """One for each frame that is recorded."""
    frames = PICTURES[picture]()[: len(EXPECTED[picture][head])]
    segmenter = loaded(head)
    if len(frames) > 1:
        return list(segmenter.track([np.asarray(frame) for frame in frames]))
    return segmenter(frames)


def found_in(result: Result) -> Found:
    """As an entry of the record; boxes by track, in an image numbered from the left."""
    pixels = float(np.prod(result.image_size))
    if isinstance(result, plainmask.SemanticResult):
        shares = {segment.label: round(segment.area / pixels, 3) for segment in result.segments}
        return {label: share for label, share in shares.items() if share}
    sure = result.keep()
    large = [place for place, s in enumerate(sure.segments) if s.area >= SPECK * pixels]
    boxes = [list(sure.segments[place].box) for place in large]
    if sure.track_ids:
        return {str(sure.track_ids[place]): box for place, box in zip(large, boxes, strict=True)}
    return {str(number): box for number, box in enumerate(sorted(boxes), 1)}


def alike(found: Found, expected: Found) -> bool:
    """Within the tolerances; a class that is not there has the share 0, a box must be there."""
    if any(isinstance(value, list) for value in expected.values()):
        return found.keys() == expected.keys() and all(
            np.abs(np.subtract(found[key], expected[key])).max() <= PIXELS for key in expected
        )
    names = found.keys() | expected.keys()
    return all(abs(found.get(n, 0) - expected.get(n, 0)) <= SHARE for n in names)


def test_every_shipped_head_is_recorded():
    assert {head for _, head in CASES} == set(shipped_heads())


@pytest.mark.slow
@pytest.mark.parametrize(("picture", "head"), CASES)
def test_finds_what_is_recorded(picture: str, head: str):
    found = [found_in(result) for result in results(picture, head)]
    expected = EXPECTED[picture][head]
    for time, (now, then) in enumerate(zip(found, expected, strict=True)):
        assert alike(now, then), (
            f"frame {time}: found {json.dumps(now)}, recorded {json.dumps(then)}"
        )


def test_the_cat_that_moves_is_followed():
    """What is recorded is right: the moving disc has one track, and goes where it was drawn."""
    frames = EXPECTED["flight"]["moving-objects"]
    ((track, _),) = frames[0].items()
    for time, boxes in enumerate(frames):
        drawn = [22 + 12 * time, 22, 78 + 12 * time, 78]
        assert np.abs(np.subtract(boxes[track], drawn)).max() < 4
