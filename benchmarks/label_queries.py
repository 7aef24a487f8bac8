"""Whether objects come better from mask queries than from regions, in `plainmask label`.

    python benchmarks/label_queries.py --data ../shared/data/dsb2018 --size 256x256

A robot goes round ten pictures, and draws where most is proposed wrongly: a stroke in an object
that has none, or in what is no object. Then it waits until the decoder behind has learnt, which
began from `--head`. What is proposed for pictures of the test split, on which nobody has drawn, is
compared with what is true: by regions of the linear head, by `--head` as it is, by that decoder.
Then it draws more, and the last line says which of them is shown.

AP50 is what is called so for cells: of all objects, true or proposed, the share that has a partner
with an IoU of more than 0.5. The mean IoU is that of true objects with what is proposed there, 0
where nothing is. All classes count as one: `object`.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from robot import line_in

from plainmask.data.guess import image_format
from plainmask.data.reader import read_dataset
from plainmask.data.record import Annotation, Record
from plainmask.encoder.weights import load_encoder
from plainmask.heads.head import Head
from plainmask.inference.shared_pass import SharedPass, pick_dtype
from plainmask.label.features import KeptTaps
from plainmask.label.objects import parts_of
from plainmask.label.planes import Planes
from plainmask.label.project import Project, ProjectPicture
from plainmask.label.proposing import Proposal, planes_of
from plainmask.label.saying import DecoderSays, Says, linear_says, named
from plainmask.label.session import Session
from plainmask.label.stroke import Stroke
from plainmask.label.teaching import Start
from plainmask.pictures.images import image_size

Numbers = NDArray[np.int64]
WHILE = 20
"""Seconds in which all that was drawn is judged."""


def truth_of(segments: Annotation) -> Numbers:
    """(H, W): numbers of objects from 1, 0 elsewhere; small ones lie on top, crowds are -1."""
    truth = np.zeros(segments.size, np.int64)
    masks = segments.masks()
    for index in np.argsort([-int(mask.sum()) for mask in masks]):
        truth[masks[index]] = -1 if segments.crowd[index] else index + 1
    return truth


class Overlaps(NamedTuple):
    """What is true of a picture, and what is proposed."""

    ious: NDArray[np.float64]
    """(true objects, proposed objects)."""

    @classmethod
    def of(cls, truth: Numbers, found: NDArray[Any]) -> "Overlaps":
        inside = truth >= 0
        true, which = np.unique(truth[inside], return_inverse=True)
        said, whose = np.unique(found[inside].astype(np.int64), return_inverse=True)
        both = np.zeros((len(true), len(said)))
        np.add.at(both, (which, whose), 1)
        ious = both / (both.sum(1)[:, None] + both.sum(0)[None] - both)
        return cls(ious[true > 0][:, said > 0])

    @property
    def partners(self) -> int:
        """True objects that have one: an IoU of more than 0.5 is had with one only."""
        return int((self.ious > 0.5).sum())

    @property
    def best(self) -> NDArray[np.float64]:
        return self.ious.max(1, initial=0.0)


def figures(overlaps: Sequence[Overlaps]) -> str:
    right = sum(one.partners for one in overlaps)
    true, said = (sum(one.ious.shape[axis] for one in overlaps) for axis in (0, 1))
    mean = float(np.concatenate([one.best for one in overlaps]).mean())
    return f"AP50 {100 * right / (true + said - right):.1f}, mean IoU {100 * mean:.1f}"


class Robot:
    """Draws objects; `draw` is one stroke."""

    def __init__(self, session: Session, truths: dict[str, Numbers], seed: int):
        self.session, self.truths = session, truths
        self.rng, self.version = np.random.default_rng(seed), 0
        self.seconds: list[float] = []
        """From each stroke to the proposal that knows it."""

    def draw(self, name: str) -> None:
        """Draw where most is wrong; nothing where all is right."""
        wrong = self._wrong(name)
        if wrong is None:
            return
        number, region = wrong
        points, radius = line_in(region, self.rng)
        given: dict[str, Any] = {"picture": name, "kind": "brush", "points": points}
        given |= {"radius": radius, "object": number, "class": int(number > 0)}
        began = time.perf_counter()
        self.version = self.session.draw(Stroke.read(given))["version"]
        self._proposed(name)
        self.seconds.append(time.perf_counter() - began)

    def _wrong(self, name: str) -> tuple[int, NDArray[np.bool_]] | None:
        """Of what is wrong the largest: the number of the object, or 0, and where it is."""
        truth, labels = self.truths[name], self.session.planes(name)
        assert labels.objects is not None
        found, drawn = self._proposed(name), np.unique(labels.objects)
        if found is None:
            if not (labels.classes == 1).any():
                number = int(np.bincount(truth[truth > 0]).argmax())
                return number, truth == number
            return 0, _largest(truth == 0)
        background = (truth == 0) & (found > 0) & ~labels.known
        choices: list[tuple[float, int, NDArray[np.bool_]]] = []
        if background.any():
            region = _largest(background)
            choices.append((float(region.sum()), 0, region))
        overlaps = Overlaps.of(truth, found)
        numbers = np.unique(truth[truth > 0])
        for number, iou in zip(numbers.tolist(), overlaps.best.tolist(), strict=True):
            mask = (truth == number) & ~labels.known
            if number not in drawn and mask.any():
                choices.append((float(mask.sum() * (1 - iou)), number, _largest(mask)))
        if not choices:
            return None
        _, number, region = max(choices, key=lambda choice: choice[0])
        return number, region

    def _proposed(self, name: str) -> NDArray[np.uint16] | None:
        self.session.show(name)
        while (found := self.session.proposal(name, self.version)) is None:
            time.sleep(0.002)
        return found.objects if isinstance(found, Proposal) else None


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts = parts_of(mask)
    counts = np.bincount(parts.ravel())
    counts[0] = 0
    return parts == counts.argmax()


def records_of(data: Path, split: str, size: str | None) -> list[Record]:
    """The records of a split, or those with pictures of one size."""
    records = [*read_dataset(image_format("instance", data), data, split)]
    if size is None:
        return records
    width, height = map(int, size.split("x"))
    return [
        one
        for one in records
        if one.picture is not None and image_size(one.picture) == (height, width)
    ]


def evenly(records: Sequence[Record], count: int) -> list[Record]:
    count = min(count, len(records))
    return [records[place * len(records) // count] for place in range(count)]


def measured(says: Says, taps: KeptTaps, tests: Sequence[Record]) -> str:
    """The figures of what a head proposes for pictures without labels."""
    overlaps: list[Overlaps] = []
    for record in tests:
        truth = truth_of(record.annotation())
        assert record.picture is not None
        size = truth.shape[0], truth.shape[1]
        picture = ProjectPicture(record.picture.name, record.picture, size)
        found = planes_of(says, picture, taps, size, Planes.blank(size, with_objects=True))
        assert found.objects is not None
        overlaps.append(Overlaps.of(truth, found.objects))
    return figures(overlaps)


def report(
    robot: Robot, taps: KeptTaps, tests: Sequence[Record], strokes: int, start: Path
) -> None:
    """Draw, wait, measure and print."""
    session, names = robot.session, [*robot.truths]
    for number in range(strokes):
        robot.draw(names[number % len(names)])
    p50, p95 = 1e3 * np.percentile(robot.seconds, [50, 95])
    most = 1e3 * max(robot.seconds)
    print(f"stroke to proposal: p50 {p50:.0f} ms, p95 {p95:.0f} ms, most {most:.0f} ms")
    began = time.monotonic()
    assert session.linear is not None
    regions = measured(linear_says(session.linear, taps), taps, tests)
    print(f"{strokes} strokes, {len(tests)} test pictures; regions: {regions}", flush=True)
    borrowed = DecoderSays(Head.load(start), taps.shared, knows_classes=False)
    at_once = measured(named(borrowed, linear_says(session.linear, taps)), taps, tests)
    print(f"objects that its start finds: {at_once}", flush=True)
    while session.status()["decoder"]["strokes"] is None:
        assert session.status()["decoder"]["problem"] is None, session.status()
        time.sleep(1)
    print(f"the decoder was ready after {time.monotonic() - began:.0f} s", flush=True)
    head = Head.load(session.project.place / "decoder/head")
    print(f"objects it finds: {measured(DecoderSays(head, taps.shared), taps, tests)}", flush=True)
    for number in range(strokes, strokes + 2 * len(names)):
        robot.draw(names[number % len(names)])
    time.sleep(WHILE)
    judged = [*session.project.history.judged.values()]
    linear = 100 * float(np.mean([one.linear for one in judged]))
    decoder = 100 * float(np.mean([one.decoder for one in judged]))
    print(
        f"of {len(judged)} strokes, by what was there then, the linear head had {linear:.0f} % "
        "right, the decoder "
        f"{decoder:.0f} %; shown: {session.status()['shown_by']}"
    )


def main() -> None:
    """Make a project, and have the robot draw in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="data of objects")
    parser.add_argument("--train", default="train")
    parser.add_argument("--test", default="val")
    parser.add_argument("--size", metavar="WxH", help="only pictures of this size")
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--others", type=int, default=54, help="pictures without strokes")
    parser.add_argument("--strokes", type=int, default=60)
    parser.add_argument("--encoder", default="dinov2-small")
    parser.add_argument("--head", default="nuclei-instance")
    given = parser.parse_args()
    encoder, device = load_encoder(given.encoder), torch.device("cpu")
    shared = SharedPass.of(encoder, device, pick_dtype("auto", device))
    records = records_of(given.data, given.train, given.size)
    drawn = evenly(records, given.pictures)
    others = evenly([one for one in records if one not in drawn], given.others)
    with TemporaryDirectory() as place:
        folder, truths = Path(place), dict[str, Numbers]()
        for number, record in enumerate([*drawn, *others]):
            assert record.picture is not None
            name = f"{number:02d}{record.picture.suffix}"
            (folder / name).symlink_to(record.picture.resolve())
            if number < len(drawn):
                truths[name] = truth_of(record.annotation())
        taps = KeptTaps(folder / "features", shared, 10**10)
        project = Project.open(
            folder,
            folder / "project",
            encoder=given.encoder,
            fingerprint=encoder.fingerprint,
            classes=["object"],
            task="instance",
        )
        start = Start.load(given.head, "instance", encoder)
        session = Session(project, taps, learns=True, start=start)
        try:
            tests = records_of(given.data, given.test, given.size)
            report(Robot(session, truths, 0), taps, tests, given.strokes, start.place)
        finally:
            session.close()


if __name__ == "__main__":
    main()
