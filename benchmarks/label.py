"""How good labels become by how many strokes, and how soon a stroke is answered: a robot labels.

    python benchmarks/label.py --data ../shared/data/camvid --strokes 100

The robot goes round some training pictures. In each it draws where the largest region lies that is
proposed wrongly: a line from its deepest point, of the true class. The session is the one behind
the page; times are from a stroke to the proposal that knows it. Mean IoU is that of heads on test
pictures, which are not in the project. At the end the pictures are labelled whole. `--trained`
names a head that learnt from a whole data set. `--peers` has other tools' classifiers learn from
the same strokes (peers/pixel_classifiers.py). `--keep FILE.json` keeps the curves for
label_plot.py.

`--decoder` has a decoder learn after 30 strokes and after the last one, as the one behind the page
does, from the pictures drawn in and `--others` without strokes.

`--behind` has the session's own decoder learn behind, as on a page: the robot waits for it after 30
strokes, then walks on through the other pictures, two strokes in each, and after each round it is
told whose proposals are shown for new pictures.

`--scribbles` has the lines drawn by another robot's rule, the package scribble-from-segmentation:
along the skeleton of the whole region. It needs that, opencv and scikit-image.

`--busy N` has N other processes compute meanwhile.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from peers.pixel_classifiers import Fitted, Labelled, convpaint, forest, pixels_of
from PIL import Image
from robot import Map, Robot

from plainmask.allocator import keep_freed_memory
from plainmask.data.class_table import find_class_table, read_class_table
from plainmask.data.label_folder import read_label_folder
from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import load_encoder
from plainmask.evaluation.measures import target_map
from plainmask.heads.head import Head, find_head
from plainmask.inference.segmenter import Segmenter
from plainmask.inference.shared_pass import SharedPass, pick_dtype
from plainmask.label.behind import lesson_of
from plainmask.label.drawing import masked_stroke
from plainmask.label.features import KeptTaps, compute_taps, seen
from plainmask.label.fit import fit
from plainmask.label.planes import Planes
from plainmask.label.project import Project
from plainmask.label.session import Session
from plainmask.label.stroke import NO_LABEL
from plainmask.metrics.miou import MeanIoU
from plainmask.pictures.images import read_image

LINEAR = "linear head"
JUDGING = 10.0
"""Seconds in which the newest strokes are judged."""
EACH = 2
"""Strokes in each picture where the robot walks on."""


class Tests(NamedTuple):
    """Pictures that nobody draws in; they are not in the project."""

    classes: Sequence[str]
    pictures: Mapping[Path, Map]
    """What is true of each."""
    encoder: Encoder

    def mean_iou(self, says: Callable[[Path], NDArray[Any]]) -> float:
        metric = MeanIoU(self.classes, ignore=NO_LABEL)
        for path, truth in self.pictures.items():
            metric.update(says(path), truth)
        return cast(float, metric.figures()["mIoU"])

    def of_head(self, head: Head | None) -> float:
        assert head is not None
        segmenter = Segmenter(self.encoder, {"it": head})["it"]
        return self.mean_iou(lambda path: segmenter(path).label_map)


def print_problem(event: dict[str, Any]) -> None:
    if event["type"] == "problem":
        print(event["message"], flush=True)


def decoder_after(robot: Robot, tests: Tests, preset: str) -> float:
    """The mean IoU of a decoder that learns as the one behind the page does, from what there is."""
    session, began = robot.session, time.monotonic()
    pictures = session.project.pictures
    chosen = lesson_of(list(pictures), set(robot.truths))
    head = fit(
        [pictures[name].path for name in robot.truths],
        [session.labels(name) for name in robot.truths],
        tests.classes,
        encoder=preset,
        decoder=True,
        others=[pictures[name].path for name in chosen if name not in robot.truths],
    )
    print(f"     the decoder learnt for {time.monotonic() - began:.0f} s", flush=True)
    return tests.of_head(head)


def peers_after(robot: Robot, taps: KeptTaps, tests: Tests) -> dict[str, float]:
    """What others make of the labels that there are: their mean IoU on test pictures, by name."""
    session = robot.session

    def labelled(name: str) -> Labelled:
        picture = session.project.picture(name)
        grid = seen(picture.size, taps.patch).grid(taps.patch)
        return Labelled(taps.of(picture), grid, session.labels(name))

    def score(fitted: Fitted) -> float:
        def says(path: Path) -> NDArray[Any]:
            image = read_image(path)
            height, width = image.shape[:2]
            grid = seen((height, width), taps.patch).grid(taps.patch)
            found = fitted(compute_taps(image, taps.shared).astype(np.float32)).reshape(grid)
            small = Image.fromarray(found.astype(np.uint8))
            return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))

        return tests.mean_iou(says)

    features, classes = pixels_of([labelled(name) for name in robot.truths], none=NO_LABEL)
    width = taps.shared.encoder.config.width
    return {
        "convpaint's classifier": score(convpaint(features, classes, width=width)),
        "random forest": score(forest(features, classes)),
    }


def follow_behind(robot: Robot, number: int) -> None:
    """Wait for the decoder that learns behind, and print whose proposals are shown, and why."""
    session, began = robot.session, time.monotonic()
    while (about := session.status()["decoder"])["state"] != "ready":
        assert about["problem"] is None, about
        time.sleep(1)
    time.sleep(JUDGING)
    history = session.project.history
    for which, is_first in (("first strokes", True), ("others", False)):
        judged = [one for key, one in history.judged.items() if history.is_first(key) == is_first]
        if judged:
            linear, decoder = 100 * np.mean([one[:2] for one in judged], axis=0)
            print(f"     of {len(judged)} {which} right: linear {linear:.0f} %, {decoder:.0f} %")
    by = "linear" if session.head is session.linear else "decoder"
    print(
        f"     after {number} strokes new pictures are shown by the {by}; "
        f"waited {time.monotonic() - began:.0f} s",
        flush=True,
    )


def label_by_strokes(robot: Robot, strokes: int, each: int = 1) -> list[tuple[int, float, int]]:
    """Draw, so many in each picture in turn.

    Returns:
        of each stroke its number, the seconds until it was answered, and the version then.
    """
    answered: list[tuple[int, float, int]] = []
    version, trains = 0, [*robot.truths]
    for number in range(1, strokes + 1):
        name = trains[(number - 1) // each % len(trains)]
        stroke = robot.stroke(name, version)
        if stroke is None:
            continue
        began = time.perf_counter()
        version = robot.session.draw(stroke)["version"]
        robot.proposal(name, version)
        answered.append((number, time.perf_counter() - began, version))
    return answered


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/camvid"))
    parser.add_argument("--train", default="train")
    parser.add_argument("--test", default="test")
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--others", type=int, default=50, help="pictures without strokes")
    parser.add_argument("--every", type=int, default=8, help="test picture")
    parser.add_argument("--strokes", type=int, default=100)
    parser.add_argument("--encoder", default="dinov2-small")
    parser.add_argument("--trained", help="a head of these classes, to compare with")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    parser.add_argument("--decoder", action="store_true")
    parser.add_argument("--behind", action="store_true")
    parser.add_argument("--scribbles", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(options.threads)
    table = find_class_table(options.data)
    assert table is not None
    names = list(read_class_table(table).vocabulary.names)
    records = read_label_folder(options.data, options.train)
    trains = records[:: max(1, len(records) // options.pictures)][: options.pictures]
    others = [record for record in records if record not in trains]
    others = others[:: max(1, len(others) // options.others)][: options.others]
    encoder = load_encoder(options.encoder)
    device = torch.device("cpu")
    shared = SharedPass.of(encoder, device, pick_dtype("auto", device))
    tests = Tests(
        names,
        {
            record.picture: target_map(record.annotation()).astype(np.uint8)
            for record in read_label_folder(options.data, options.test)[:: options.every]
            if record.picture is not None
        },
        encoder,
    )
    with TemporaryDirectory() as place:
        folder = Path(place)
        truths: dict[str, Map] = {}
        further: dict[str, Map] = {}
        for number, record in enumerate([*trains, *others]):
            assert record.picture is not None
            name = f"{number}{record.picture.suffix}"
            (folder / name).symlink_to(record.picture.resolve())
            known = truths if number < len(trains) else further
            known[name] = target_map(record.annotation()).astype(np.uint8)
        taps = KeptTaps(folder / "features", shared, 10**10)
        project = Project.open(
            folder,
            folder / "project",
            encoder=options.encoder,
            fingerprint=encoder.fingerprint,
            classes=names,
        )
        for picture in project.pictures.values():  # what a page does ahead
            taps.of(picture)
        session = Session(project, taps, print_problem, learns=options.behind)
        robot = Robot(
            session, truths, np.random.default_rng(options.seed), scribbles=options.scribbles
        )
        burning = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"])
            for _ in range(options.busy)
        ]
        try:
            peers = taps if options.peers else None
            decoder = options.encoder if options.decoder else None
            walks_on = robot._replace(truths=further) if options.behind else None
            curves = report(robot, tests, options.strokes, peers, decoder, walks_on)
            if options.trained is not None:
                score = tests.of_head(Head.load(find_head(options.trained)))
                curves["trained"] = {len(trains): score}
                print(f"{options.trained}: mIoU {score:.1f}")
            if options.keep is not None:
                options.keep.write_text(json.dumps({"set": options.data.name} | curves, indent=1))
        finally:
            for process in burning:
                process.kill()
                process.wait()
            session.close()


def report(
    robot: Robot,
    tests: Tests,
    strokes: int,
    peers: KeptTaps | None,
    decoder: str | None,
    walks_on: Robot | None,
) -> dict[str, dict[int, float]]:
    """Draw, measure and print; by who learnt, mean IoU by the number of strokes.

    `walks_on` takes over after 30 strokes, in other pictures.
    """
    drawn, measured = len(robot.truths), len(tests.pictures)
    print(f"{drawn} pictures labelled, {measured} test pictures, {len(tests.classes)} classes")
    curves: dict[str, dict[int, float]] = {}
    seconds: list[float] = []
    done = 0
    for goal in sorted({10, 30, 60, strokes}):
        if goal > strokes:
            break
        if walks_on is not None and done >= 30:
            ahead = dict(islice(walks_on.truths.items(), (done - 30) // EACH, None))
            answered = label_by_strokes(walks_on._replace(truths=ahead), goal - done, EACH)
        else:
            answered = label_by_strokes(robot, goal - done)
        seconds += [spent for _, spent, _ in answered]
        done = goal
        found = {LINEAR: tests.of_head(robot.session.linear)}
        if walks_on is not None and goal >= 30:
            follow_behind(robot, goal)
            found["what is shown"] = tests.of_head(robot.session.head)
        if decoder is not None and goal in (30, strokes):
            found["decoder behind it"] = decoder_after(robot, tests, decoder)
        if peers is not None:
            found |= peers_after(robot, peers, tests)
        told = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
        print(f"{done:4d} strokes: mIoU {told}", flush=True)
        for name, value in found.items():
            curves.setdefault(name, {})[goal] = value
    p50, p95 = 1e3 * np.percentile(seconds, [50, 95])
    print(f"stroke to proposal: p50 {p50:.0f} ms, p95 {p95:.0f} ms, max {1e3 * max(seconds):.0f}")
    version = 0
    for name, truth in robot.truths.items():
        whole = masked_stroke("accept", name, Planes(truth, None))
        version = robot.session.draw(whole)["version"]
    robot.proposal(next(iter(robot.truths)), version)
    score = tests.of_head(robot.session.linear)
    print(f"the same pictures labelled whole: mIoU {score:.1f}")
    return curves | {"whole": {drawn: score}}


if __name__ == "__main__":
    main()
