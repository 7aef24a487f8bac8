"""Metrics of images at COCO val's size: ours against what the public tools do, equal figures.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py [--pictures 5000] [--turns 3] [--only PQ AP mIoU]

Made-up pictures of 640 x 480 in memory, as many segments as COCO val has: panoptic maps of 11
segments and 133 classes, 7.4 objects and 100 detections of 80 classes, label maps of 150 classes.
Fifty scenes come again and again, each time with other classes and scores. The peers:

PQ      the procedure of panopticapi, written down here: sorts two maps of ids a picture
AP      pycocotools' COCOeval itself, with what it must be given first (COCO, loadRes)
mIoU    the procedure of torchmetrics' confusion matrix (torch, int64), without its checks

Every turn is a process of its own; ways take turns. CPU seconds, medians; ours first. Memory is the
peak less what the process had with all the pictures. The last column is the largest difference of
two figures, in percent.
"""

import argparse
import io
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from plainmask.metrics import InstanceAP, MeanIoU, PanopticQuality
from plainmask.metrics.instance_ap import Instance
from plainmask.metrics.panoptic_map import PanopticMap, PanopticSegment
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary

SIZE, SCENES = (480, 640), 50
SEGMENTS, OBJECTS, DETECTIONS = 11, 7.36, 100
CLASSES = {"PQ": 133, "AP": 80, "mIoU": 150}
THINGS = 80

Figures = dict[str, float | None]
Run = Callable[[], Figures]


@cache
def regions(scene: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two maps (H, W) of some eleven smooth regions, from 0: a target and a result."""
    rng = np.random.default_rng(scene)
    count = int(rng.integers(SEGMENTS - 5, SEGMENTS + 8))
    heights = rng.normal(size=(1, count, 6, 8)).astype(np.float32)
    noisy = heights + rng.normal(size=heights.shape).astype(np.float32) * 0.2
    target, result = (
        F.interpolate(torch.from_numpy(h), SIZE, mode="bicubic")[0].argmax(0).to(torch.uint8)
        for h in (heights, noisy)
    )
    return target.numpy(), result.numpy()


@cache
def masks(scene: int) -> tuple[list[Rle], list[Rle]]:
    """Objects, and a hundred detections: each object some times, moved, and much that is none."""
    rng = np.random.default_rng(scene)
    count = max(1, int(rng.poisson(OBJECTS)))
    objects = np.stack([rng.random(count), rng.random(count), rng.uniform(0.02, 0.3, count)], 1)
    copies = np.repeat(objects, 3, 0)
    copies = copies + rng.normal(size=copies.shape) * 0.1 * copies[:, 2:]
    others = np.stack([rng.random(100), rng.random(100), rng.uniform(0.02, 0.3, 100)], 1)
    found = np.concatenate([copies, others])[:DETECTIONS]
    return [blob(row, rng) for row in objects], [blob(row, rng) for row in found]


def blob(row: NDArray[np.float64], rng: np.random.Generator) -> Rle:
    """A round mask with a wavy edge, from its centre and radius in shares of the picture."""
    height, width = SIZE
    radius = abs(row[2]) * height
    reach = int(1.3 * radius) + 1
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    angle = np.arctan2(y, x)
    waves = sum(rng.normal() * 0.05 * np.cos(n * angle + rng.random()) for n in (3, 7, 17))
    mask = np.hypot(y, x) < radius * (1 + waves)
    top, left = int(row[0] * height) - reach, int(row[1] * width) - reach
    inside = mask[max(0, -top) : height - top, max(0, -left) : width - left]
    return Rle.encode_part(inside, (max(0, top), max(0, left)), SIZE)


Table = dict[int, tuple[int, int]]
"""Class and pixels of each segment, by id."""


def panoptic_picture(number: int) -> tuple[list[NDArray[np.int32]], list[Table]]:
    """Maps of ids of a result and a target, and their tables; some is void."""
    rng = np.random.default_rng(number)
    ids = rng.permutation(np.arange(1, 2**24, 65537))[:30].astype(np.int32)
    classes = rng.integers(0, CLASSES["PQ"], 30)
    maps: list[NDArray[np.int32]] = []
    tables: list[Table] = []
    for index_map in reversed(regions(number % SCENES)):
        pixels = np.bincount(index_map.ravel(), minlength=30).tolist()
        lookup = ids.copy()
        lookup[0] = 0  # void
        maps.append(lookup[index_map])
        wrong = rng.random(30) < 0.1
        labels = np.where(wrong, (classes + 1) % CLASSES["PQ"], classes)
        rows = enumerate(zip(ids.tolist(), labels.tolist(), strict=True))
        tables.append({key: (label, pixels[i]) for i, (key, label) in rows if i and pixels[i]})
    return maps, tables


def our_pq(pictures: int) -> Run:
    entries = [{"id": i, "name": f"class_{i}", "thing": i < THINGS} for i in range(CLASSES["PQ"])]
    vocabulary = Vocabulary.load({"classes": entries})

    def run() -> Figures:
        metric = PanopticQuality(vocabulary)
        for number in range(pictures):
            (result, target), (found, wanted) = prepared(panoptic_picture, number)
            segments = [PanopticSegment(key, label) for key, (label, _) in found.items()]
            stated = [PanopticSegment(key, c, area=area) for key, (c, area) in wanted.items()]
            metric.update(
                PanopticMap.from_ids(result, segments), PanopticMap.from_ids(target, stated)
            )
        return plain(metric.figures())

    return run


def their_pq(pictures: int) -> Run:
    def run() -> Figures:
        sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0, 0, 0])  # IoU, TP, FP, FN
        for number in range(pictures):
            (result, target), (found, wanted) = prepared(panoptic_picture, number)
            count_as_panopticapi(result, target, found, wanted, sums)
        return panoptic_figures(sums)

    return run


def count_as_panopticapi(
    result: NDArray[np.int32],
    target: NDArray[np.int32],
    found: Table,
    wanted: Table,
    sums: dict[int, list[float]],
) -> None:
    """Its procedure of a picture without crowds; areas of the target are those of the file."""
    offset = 256**3
    values, counts = np.unique(result, return_counts=True)
    areas = dict(zip(values.tolist(), counts.tolist(), strict=True))
    both = target.astype(np.uint64) * np.uint64(offset) + result.astype(np.uint64)
    values, counts = np.unique(both, return_counts=True)
    shared = {
        (value // offset, value % offset): count
        for value, count in zip(values.tolist(), counts.tolist(), strict=True)
    }
    matched: set[tuple[str, int]] = set()
    for (g, d), pixels in shared.items():
        if g in wanted and d in found and wanted[g][0] == found[d][0]:
            union = areas[d] + wanted[g][1] - pixels - shared.get((0, d), 0)
            if pixels / union > 0.5:
                sums[wanted[g][0]][0] += pixels / union
                sums[wanted[g][0]][1] += 1
                matched |= {("target", g), ("result", d)}
    for g, (class_id, _) in wanted.items():
        sums[class_id][3] += ("target", g) not in matched
    for d, (class_id, _) in found.items():
        if ("result", d) not in matched and shared.get((0, d), 0) / areas[d] <= 0.5:
            sums[class_id][2] += 1


def panoptic_figures(sums: dict[int, list[float]]) -> Figures:
    figures: Figures = {}
    for suffix, group in (("", range(133)), ("_th", range(80)), ("_st", range(80, 133))):
        rows = [sums[c] for c in group if sum(sums[c][1:])]
        weights = [tp + fp / 2 + fn / 2 for _, tp, fp, fn in rows]
        figures["PQ" + suffix] = 100 * float(
            np.mean([row[0] / w for row, w in zip(rows, weights, strict=True)])
        )
    return figures


def object_picture(number: int) -> tuple[list[Any], list[Any]]:
    """Classes, masks and scores of detections; classes, masks and crowds of objects."""
    rng = np.random.default_rng(number)
    objects, found = masks(number % SCENES)
    # A picture holds few classes; a third of the detections are of others.
    classes = rng.integers(0, CLASSES["AP"], len(objects))
    own = classes[np.minimum(np.arange(len(found)) // 3, len(objects) - 1)]
    labels = np.where(rng.random(len(found)) < 0.67, own, rng.integers(0, 80, len(found)))
    scores = np.round(rng.random(len(found)), 3)
    crowds = rng.random(len(objects)) < 0.012
    detections = list(zip(labels.tolist(), found, scores.tolist(), strict=True))
    return detections, list(zip(classes.tolist(), objects, crowds.tolist(), strict=True))


def our_ap(pictures: int) -> Run:
    def run() -> Figures:
        metric = InstanceAP([f"class_{i}" for i in range(CLASSES["AP"])])
        for number in range(pictures):
            found, objects = prepared(object_picture, number)
            metric.update(
                [Instance(label, rle, score) for label, rle, score in found],
                [Instance(label, rle, crowd=crowd) for label, rle, crowd in objects],
            )
        return plain(metric.figures())

    return run


def their_ap(pictures: int) -> Run:
    def run() -> Figures:
        annotations: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        for number in range(pictures):
            found, objects = prepared(object_picture, number)
            for label, rle, crowd in objects:
                row = {"id": len(annotations) + 1, "image_id": number, "category_id": label}
                row |= {"segmentation": rle.to_coco(), "iscrowd": int(crowd), "area": area(rle)}
                annotations.append(row)
            for label, rle, score in found:
                row = {"image_id": number, "category_id": label, "score": score}
                rows.append(row | {"segmentation": rle.to_coco()})
        truth: Any = COCO()
        height, width = SIZE
        truth.dataset = {
            "images": [{"id": n, "height": height, "width": width} for n in range(pictures)],
            "annotations": annotations,
            "categories": [{"id": i, "name": f"class_{i}"} for i in range(CLASSES["AP"])],
        }
        with redirect_stdout(io.StringIO()):
            truth.createIndex()
            evaluation: Any = COCOeval(truth, truth.loadRes(rows), "segm")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100")
        names += ("ARs", "ARm", "ARl")
        return dict(zip(names, (100 * evaluation.stats).tolist(), strict=True))

    return run


@cache
def area(rle: Rle) -> int:
    """As the annotation file states it: not counted while time is taken."""
    return rle.area


def label_picture(number: int) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Classes of a result and a target as the library's own have them, -1 for void."""
    rng = np.random.default_rng(number)
    classes = rng.permutation(CLASSES["mIoU"])
    target, result = regions(number % SCENES)
    lookup = classes.copy()
    lookup[0] = -1
    return classes[result].astype(np.int16), lookup[target].astype(np.int32)


def our_miou(pictures: int) -> Run:
    def run() -> Figures:
        metric = MeanIoU([f"class_{i}" for i in range(CLASSES["mIoU"])], ignore=-1)
        for number in range(pictures):
            metric.update(*prepared(label_picture, number))
        return plain(metric.figures())

    return run


def their_miou(pictures: int) -> Run:
    count = CLASSES["mIoU"]

    def run() -> Figures:
        matrix = torch.zeros(count, count, dtype=torch.int64)
        for number in range(pictures):
            found, wanted = map(torch.from_numpy, prepared(label_picture, number))
            found, wanted = found.flatten(), wanted.flatten()
            kept = wanted != -1
            found, wanted = found[kept], wanted[kept]
            places = wanted.to(torch.int64) * count + found.to(torch.int64)
            matrix += torch.bincount(places, minlength=count**2).reshape(count, count)
        hits = matrix.diagonal()
        unions = matrix.sum(0) + matrix.sum(1) - hits
        return {"mIoU": 100 * float((hits.double() / unions)[unions > 0].mean())}

    return run


WAYS: dict[str, dict[str, Callable[[int], Run]]] = {
    "PQ": {"plainmask": our_pq, "panopticapi": their_pq},
    "AP": {"plainmask": our_ap, "pycocotools": their_ap},
    "mIoU": {"plainmask": our_miou, "torchmetrics": their_miou},
}
"""By metric: ours, then the peer."""
spent = 0.0
"""CPU seconds in which pictures were made up, which do not count."""


def prepared(make: Callable[[int], Any], number: int) -> Any:
    """A picture; what is spent on making it up does not count."""
    global spent
    began = time.process_time()
    picture = make(number)
    spent += time.process_time() - began
    return picture


def plain(figures: dict[str, Any]) -> Figures:
    return {name: value for name, value in figures.items() if name != "per_class"}


def measure(metric: str, way: str, pictures: int) -> None:
    """One way in this process: prints CPU seconds, megabytes and the figures."""
    run = WAYS[metric][way](pictures)
    for scene in range(min(SCENES, pictures)):
        if metric != "AP":
            regions(scene)
        else:
            for rle in masks(scene)[0]:
                area(rle)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    figures = run()
    seconds = time.process_time() - began - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"seconds": seconds, "megabytes": (peak - before) / 1024, "figures": figures}
    print(json.dumps(found))


def in_a_process(metric: str, way: str, pictures: int) -> dict[str, Any]:
    """What `measure` prints."""
    command = [sys.executable, __file__, "--one", metric, way, "--pictures", str(pictures)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(metric: str, pictures: int, turns: int) -> None:
    """Print a row."""
    ways = [*WAYS[metric]]
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(turns):
        for way in ways:
            found[way].append(in_a_process(metric, way, pictures))
    seconds = [statistics.median(turn["seconds"] for turn in found[way]) for way in ways]
    memory = [statistics.median(turn["megabytes"] for turn in found[way]) for way in ways]
    mine, theirs = (found[way][0]["figures"] for way in ways)
    apart = max(abs(mine[name] - value) for name, value in theirs.items() if value is not None)
    first = next(iter(theirs))
    print(
        f"{metric:>5}{pictures:>7}{seconds[0]:>9.2f}{seconds[1]:>9.2f}"
        f"{seconds[1] / seconds[0]:>7.1f}{memory[0]:>8.0f}{memory[1]:>8.0f}"
        f"{mine[first]:>9.3f}{apart:>10.1e}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        metric, way = options.one
        measure(metric, way, options.pictures)
        return
    print(f"{'':>12}{'seconds':>18}{'ratio':>7}{'MB':>16}{'figure':>9}{'differ':>10}")
    for metric in options.only:
        compare(metric, options.pictures, options.turns)


if __name__ == "__main__":
    main()
