"""How good labels become by how many strokes, and how soon a stroke is answered: a robot labels.

    python benchmarks/label.py --data ../shared/data/camvid --strokes 100

The robot goes round some training pictures. In each it draws where the largest region lies that is
proposed wrongly: a line from its deepest point, of the true class. The session is the one behind
the page; times are from a stroke to the proposal that knows it. Mean IoU is that of proposals for
test pictures, which get no stroke. At the end the pictures are labelled whole. `--trained` names a
head that learnt from a whole data set. `--peers` has other tools' classifiers learn from the same
strokes (peers/pixel_classifiers.py). `--keep FILE.json` keeps the curves for label_plot.py.

`--busy N` has N other processes compute meanwhile.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from peers.pixel_classifiers import Fitted, Labelled, convpaint, forest, pixels_of, ridge
from PIL import Image
from scipy import ndimage

from plainmask.allocator import keep_freed_memory
from plainmask.data.class_table import find_class_table, read_class_table
from plainmask.data.label_folder import read_label_folder
from plainmask.encoder.weights import load_encoder
from plainmask.evaluation.measures import target_map
from plainmask.inference.loading import load
from plainmask.inference.shared_pass import SharedPass, pick_dtype
from plainmask.label.drawing import masked_stroke
from plainmask.label.features import KeptTaps, seen
from plainmask.label.planes import Planes
from plainmask.label.project import Project
from plainmask.label.proposing import Proposal
from plainmask.label.session import Session
from plainmask.label.stroke import NO_LABEL, Stroke
from plainmask.metrics.miou import MeanIoU

Map = NDArray[np.uint8]
OURS = "plainmask label"
WAIT = 0.002
WIDEST, LONGEST = 8.0, 60.0
"""Pixels of a stroke's radius and length."""


class Robot(NamedTuple):
    """Who draws, and what is true."""

    session: Session
    truths: Mapping[str, Map]
    rng: np.random.Generator

    def proposal(self, name: str, version: int) -> Map | None:
        """Wait for it; None: there is none yet."""
        self.session.show(name)
        while (found := self.session.proposal(name, version)) is None:
            time.sleep(WAIT)
        return found.classes if isinstance(found, Proposal) else None

    def stroke(self, name: str, version: int) -> Stroke | None:
        """What it draws next in a picture; None: nothing is wrong."""
        truth, proposed = self.truths[name], self.proposal(name, version)
        wrong = (truth != NO_LABEL) & (self.session.labels(name) == NO_LABEL)
        if proposed is None:  # a class that has no stroke, if one is there
            strokes = self.session.project.history.strokes.values()
            known = {entry.stroke.class_id for entry in strokes if entry.stroke is not None}
            new = wrong & ~np.isin(truth, [one for one in known if one is not None])
            wrong = new if new.any() else wrong
        else:
            wrong &= truth != proposed
        region = largest(truth, wrong)
        if region is None:
            return None
        depth = cast(NDArray[np.float64], ndimage.distance_transform_edt(np.pad(region, 1)))
        depth = depth[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        radius = float(np.clip(0.7 * depth[y, x], 1, WIDEST))
        inside = np.argwhere(depth >= min(radius, depth.max()))
        ends = inside[self.rng.integers(0, len(inside), 60)]
        far = [end for end in ends if np.hypot(*(end - (y, x))) <= LONGEST]
        straight = [end for end in far if stays_in(region, np.array([y, x]), end)]
        last = max(straight, key=lambda end: np.hypot(*(end - (y, x))), default=np.array([y, x]))
        points = [(float(x) + 0.5, float(y) + 0.5), (float(last[1]) + 0.5, float(last[0]) + 0.5)]
        given = {"picture": name, "kind": "brush", "class": int(truth[y, x]), "points": points}
        return Stroke.read(given | {"radius": radius})


def largest(truth: Map, wrong: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest connected region of one true class that is wrong; None: nothing is."""
    best, most = None, 0
    for class_id in np.unique(truth[wrong]).tolist():
        regions = cast(Any, ndimage.label(wrong & (truth == class_id)))[0]
        counts = np.bincount(regions.ravel())
        counts[0] = 0
        if counts.max() > most:
            best, most = regions == counts.argmax(), int(counts.max())
    return best


def stays_in(region: NDArray[np.bool_], start: NDArray[Any], end: NDArray[Any]) -> bool:
    steps = np.linspace(0, 1, 50)[:, None]
    path = np.round(start + steps * (end - start)).astype(int)
    return bool(region[path[:, 0], path[:, 1]].all())


def mean_iou(robot: Robot, names: Sequence[str], tests: Sequence[str], version: int) -> float:
    metric = MeanIoU(names, ignore=NO_LABEL)
    for name in tests:
        found = robot.proposal(name, version)
        assert found is not None
        metric.update(found, robot.truths[name])
    return cast(float, metric.figures()["mIoU"])


def peers_after(
    robot: Robot, taps: KeptTaps, names: Sequence[str], trains: Sequence[str], tests: Sequence[str]
) -> dict[str, float]:
    """What others make of the labels that there are: their mean IoU on test pictures, by name."""

    def labelled(name: str) -> Labelled:
        picture = robot.session.project.picture(name)
        grid = seen(picture.size, taps.patch).grid(taps.patch)
        return Labelled(taps.of(picture), grid, robot.session.labels(name))

    def score(fitted: Fitted) -> float:
        metric = MeanIoU(names, ignore=NO_LABEL)
        for name in tests:
            one = labelled(name)
            found = fitted(one.features.astype(np.float32)).reshape(one.grid).astype(np.uint8)
            size = one.labels.shape[::-1]
            large = Image.fromarray(found).resize(size, Image.Resampling.NEAREST)
            metric.update(np.asarray(large), robot.truths[name])
        return cast(float, metric.figures()["mIoU"])

    features, classes = pixels_of([labelled(name) for name in trains], none=NO_LABEL)
    width = taps.shared.encoder.config.width
    return {
        "convpaint's classifier": score(convpaint(features, classes, width=width)),
        "random forest": score(forest(features, classes)),
        "ridge regression": score(ridge(features, classes)),
    }


def label_by_strokes(
    robot: Robot, trains: Sequence[str], strokes: int
) -> list[tuple[int, float, int]]:
    """Draw; of each stroke its number, the seconds until it was answered, and the version then."""
    answered: list[tuple[int, float, int]] = []
    version = 0
    for number in range(1, strokes + 1):
        name = trains[(number - 1) % len(trains)]
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
    parser.add_argument("--every", type=int, default=8, help="test picture")
    parser.add_argument("--strokes", type=int, default=100)
    parser.add_argument("--encoder", default="dinov2-small")
    parser.add_argument("--trained", help="a head of these classes, to compare with")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(options.threads)
    table = find_class_table(options.data)
    assert table is not None
    names = list(read_class_table(table).vocabulary.names)
    trains = read_label_folder(options.data, options.train)
    trains = trains[:: max(1, len(trains) // options.pictures)][: options.pictures]
    tests = read_label_folder(options.data, options.test)[:: options.every]
    encoder = load_encoder(options.encoder)
    device = torch.device("cpu")
    shared = SharedPass.of(encoder, device, pick_dtype("auto", device))
    with TemporaryDirectory() as place:
        folder = Path(place)
        truths: dict[str, Map] = {}
        for record in (*trains, *tests):
            assert record.picture is not None
            name = f"{len(truths)}{record.picture.suffix}"
            (folder / name).symlink_to(record.picture.resolve())
            truths[name] = target_map(record.annotation()).astype(np.uint8)
        train_names, test_names = list(truths)[: len(trains)], list(truths)[len(trains) :]
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
        session = Session(project, taps)
        robot = Robot(session, truths, np.random.default_rng(options.seed))
        burning = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"])
            for _ in range(options.busy)
        ]
        try:
            peers = taps if options.peers else None
            curves = report(robot, names, train_names, test_names, options.strokes, peers)
            if options.trained is not None:
                segmenter = load(options.trained, encoder=encoder)
                metric = MeanIoU(names, ignore=NO_LABEL)
                for name in test_names:
                    metric.update(segmenter(folder / name).label_map, truths[name])
                curves["trained"] = {len(trains): cast(float, metric.figures()["mIoU"])}
                print(f"{options.trained}: mIoU {metric.figures()['mIoU']:.1f}")
            if options.keep is not None:
                options.keep.write_text(json.dumps({"set": options.data.name} | curves, indent=1))
        finally:
            for process in burning:
                process.kill()
                process.wait()
            session.close()


def report(
    robot: Robot,
    names: Sequence[str],
    trains: Sequence[str],
    tests: Sequence[str],
    strokes: int,
    peers: KeptTaps | None,
) -> dict[str, dict[int, float]]:
    """Draw, measure and print; by who learnt, mean IoU by the number of strokes."""
    print(f"{len(trains)} pictures labelled, {len(tests)} test pictures, {len(names)} classes")
    curves: dict[str, dict[int, float]] = {OURS: {}}
    seconds: list[float] = []
    done = 0
    for goal in sorted({10, 30, 60, strokes}):
        if goal > strokes:
            break
        answered = label_by_strokes(robot, trains, goal - done)
        done, version = goal, answered[-1][2]
        seconds += [spent for _, spent, _ in answered]
        found = {OURS: mean_iou(robot, names, tests, version)}
        if peers is not None:
            found |= peers_after(robot, peers, names, trains, tests)
        told = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
        print(f"{done:4d} strokes: mIoU {told}", flush=True)
        for name, value in found.items():
            curves.setdefault(name, {})[goal] = value
    p50, p95 = 1e3 * np.percentile(seconds, [50, 95])
    print(f"stroke to proposal: p50 {p50:.0f} ms, p95 {p95:.0f} ms, max {1e3 * max(seconds):.0f}")
    version = 0
    for name in trains:
        whole = masked_stroke("accept", name, Planes(robot.truths[name], None))
        version = robot.session.draw(whole)["version"]
    score = mean_iou(robot, names, tests, version)
    print(f"the same pictures labelled whole: mIoU {score:.1f}")
    return curves | {"whole": {len(trains): score}}


if __name__ == "__main__":
    main()
