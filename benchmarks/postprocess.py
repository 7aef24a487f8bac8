"""Post-processing: predictions to segments or classes, ours against transformers' EoMT.

    OMP_NUM_THREADS=1 python benchmarks/postprocess.py [--task semantic] [--sizes 1280x720 ...]

The same made-up predictions of 200 queries and 133 classes, at 640 pixels (semantic: of as many
windows as the picture needs): sparse (6 sure queries) or crowded (42). Every turn is a process of
its own, which sees the predictions once, as a command does; ways take turns. CPU seconds, medians,
ours first; memory is the peak less what the process had before. The last columns say how many
segments came out of both, and in what share of pixels their classes differ. Needs transformers.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from plainmask.decoder.decoder import Predictions
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.vocabulary import Vocabulary

QUERIES, CLASSES, SURE = 200, 133, {"sparse": 6, "crowded": 42}
Segments = tuple[int, NDArray[np.int64]]
"""How many, and the class of each pixel, -1 for none."""


def made_up(kind: str) -> Predictions:
    """Sure queries are blobs in rows and columns; the others are sure that they are nothing."""
    generator = torch.Generator().manual_seed(1)
    sure = SURE[kind]
    columns = math.ceil(sure**0.5)
    cell = 0.55 / columns  # of the upper left part, which is the picture in 640 x 640
    places = torch.arange(QUERIES)
    lines = torch.linspace(0, 1, 160)
    rows = (lines[:, None] - (0.5 + places[:, None, None] // columns) * cell) ** 2
    across = (lines - (0.5 + places[:, None, None] % columns) * cell / 0.55) ** 2
    rough = torch.randn(1, QUERIES, 24, 24, generator=generator)
    masks = 12 * (1 - 5 * (rows + 0.3 * across) / cell**2)
    masks = masks.clamp(-12, 8) + F.interpolate(rough, (160, 160), mode="bicubic")[0]
    classes = torch.zeros(QUERIES, CLASSES + 1)
    classes[sure:, -1] = 9
    classes[torch.arange(sure), torch.arange(sure) * 3] = 7.5 + torch.rand(
        sure, generator=generator
    )
    return Predictions(masks[None], classes[None])


def windows(size: tuple[int, int]) -> Geometry:
    """The windows of a picture, as semantic models see it."""
    return Geometry.plan(size, InputProtocol(kind="windows", size=640), 16)


def in_windows(predictions: Predictions, size: tuple[int, int]) -> Predictions:
    """The same of each window of a picture, with one more sure query for what is left over."""
    masks, classes = (part.clone() for part in predictions)
    sure = int((classes[0, :, -1] == 0).sum())
    masks[0, sure] = -masks[0, :sure].amax(0)
    classes[0, sure, -1], classes[0, sure, -2] = 0, 8
    count = len(windows(size).windows)
    return Predictions(masks.repeat(count, 1, 1, 1), classes.repeat(count, 1, 1))


def ours(task: str, predictions: Predictions, size: tuple[int, int]) -> Callable[[], Segments]:
    """The task of the library."""
    from plainmask.tasks import panoptic, semantic

    entries = [{"id": i, "name": f"class_{i}", "thing": True} for i in range(CLASSES)]
    vocabulary = Vocabulary.load({"classes": entries})
    geometry = Geometry.plan(size, InputProtocol(kind="fit", size=640), 16)

    def run_semantic() -> Segments:
        label_map = semantic(in_windows(predictions, size), windows(size), vocabulary).label_map
        return len(np.unique(label_map)), label_map.astype(np.int64)

    def run() -> Segments:
        result = panoptic(predictions, geometry, vocabulary)
        classes = np.full(1 + max((s.id for s in result.segments), default=0), -1)
        for segment in result.segments:
            classes[segment.id] = segment.class_id
        return len(result.segments), classes[result.segment_map]

    return run if task == "panoptic" else run_semantic


def theirs(task: str, predictions: Predictions, size: tuple[int, int]) -> Callable[[], Segments]:
    """Transformers' processor."""
    from transformers.models.eomt.image_processing_pil_eomt import EomtImageProcessorPil

    processor: Any = EomtImageProcessorPil()
    outputs = SimpleNamespace(
        masks_queries_logits=predictions.mask_logits,
        class_queries_logits=predictions.class_logits,
        patch_offsets=None,
    )

    def run_semantic() -> Segments:
        outputs.masks_queries_logits, outputs.class_queries_logits = in_windows(predictions, size)
        long = 0 if size[0] > size[1] else 1
        outputs.patch_offsets = [(0, at[long], at[long] + 640) for at in windows(size).windows]
        (found,) = processor.post_process_semantic_segmentation(
            outputs, target_sizes=[size], size={"shortest_edge": 640, "longest_edge": None}
        )
        return len(torch.unique(found)), np.asarray(found, np.int64)

    def run() -> Segments:
        (found,) = processor.post_process_panoptic_segmentation(outputs, target_sizes=[size])
        names: dict[int, int] = {s["id"]: s["label_id"] for s in found["segments_info"]}
        lookup = np.full(2 + max(names, default=0), -1)
        for key, label in names.items():
            lookup[key] = label
        return len(names), lookup[np.asarray(found["segmentation"], np.int64)]

    return run if task == "panoptic" else run_semantic


WAYS = {"plainmask": ours, "transformers": theirs}


def measure(way: str, task: str, kind: str, size: tuple[int, int], classes_file: str) -> None:
    """One way in this process: prints seconds, megabytes and how many segments came out."""
    run = WAYS[way](task, made_up(kind), size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    count, classes = run()
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.save(classes_file, classes.astype(np.int16))
    print(json.dumps({"seconds": seconds, "megabytes": (peak - before) / 1024, "segments": count}))


def in_a_process(way: str, task: str, kind: str, size: str, classes_file: str) -> dict[str, float]:
    """What `measure` prints."""
    command = [sys.executable, __file__, "--only", way, task, kind, size, classes_file]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(task: str, kind: str, size: str, turns: int) -> None:
    """Print a row."""
    with tempfile.TemporaryDirectory() as folder:
        files = {way: f"{folder}/{way}.npy" for way in WAYS}
        found = {way: list[dict[str, float]]() for way in WAYS}
        for _ in range(turns):
            for way in WAYS:
                found[way].append(in_a_process(way, task, kind, size, files[way]))
        mine, other = (np.load(files[way]) for way in WAYS)
    seconds = {w: statistics.median(turn["seconds"] for turn in found[w]) for w in WAYS}
    memory = {w: statistics.median(turn["megabytes"] for turn in found[w]) for w in WAYS}
    counts = "/".join(f"{found[way][0]['segments']:.0f}" for way in WAYS)
    a, b = WAYS
    print(
        f"{kind:>8}{size:>11}{seconds[a]:>9.3f}{seconds[b]:>9.3f}{seconds[b] / seconds[a]:>7.1f}"
        f"{memory[a]:>8.0f}{memory[b]:>8.0f}{memory[b] / max(memory[a], 1):>7.1f}"
        f"{counts:>9}{100 * (mine != other).mean():>9.4f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=("panoptic", "semantic"), default="panoptic")
    parser.add_argument("--sizes", nargs="+", default=["1280x720", "3840x2160"])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        way, task, kind, size, file = options.only
        width, height = map(int, size.split("x"))
        measure(way, task, kind, (height, width), file)
        return
    print(
        f"{'':>19}{'seconds':>18}{'ratio':>7}{'MB':>16}{'ratio':>7}{'segments':>9}{'differ %':>9}"
    )
    for size in options.sizes:
        for kind in SURE:
            compare(options.task, kind, size, options.turns)


if __name__ == "__main__":
    main()
