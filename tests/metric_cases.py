"""Reference cases of the metrics, in the forms that the metrics take."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from goldens import GOLDEN
from plainmask.metrics.panoptic_map import PanopticMap, PanopticSegment
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary

REFERENCE = Path(__file__).parent / "metrics_reference"
TOLERANCE = 1e-9
"""Of figures in 0..1; stored ones are rounded to 9 or 10 decimals."""


@cache
def video_metrics() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The JSON and the arrays of the published evaluation code."""
    with np.load(GOLDEN / "video_metrics.npz") as file:
        arrays = dict(file)
    return json.loads((GOLDEN / "video_metrics.json").read_text()), arrays


def reference(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """JSON and, where there is one, arrays of a case of the official tools."""
    arrays: dict[str, np.ndarray] = {}
    if (path := REFERENCE / f"{name}.npz").exists():
        with np.load(path) as file:
            arrays = dict(file)
    return json.loads((REFERENCE / f"{name}.json").read_text()), arrays


def percent(value: float | None) -> Any:
    """What a figure in percent must be; None, or -1 in COCO's files, is "not defined"."""
    if value is None or value == -1:
        return None
    return pytest.approx(100 * value, abs=100 * TOLERANCE, rel=0)


class Classes:
    """Categories of a reference file, renumbered 0..C-1 in the order of the file."""

    def __init__(self, categories: Iterable[tuple[int, bool]]):
        rows = list(categories)
        self.of_category = {category: index for index, (category, _) in enumerate(rows)}
        self.vocabulary = Vocabulary.load(
            {
                "classes": [
                    {"id": index, "name": str(category), "file_id": category, "thing": bool(thing)}
                    for index, (category, thing) in enumerate(rows)
                ]
            }
        )

    def segments(
        self, infos: Iterable[Mapping[str, Any]], *, areas: bool = False
    ) -> list[PanopticSegment]:
        """From `segments_info`."""
        return [
            PanopticSegment(
                info["id"],
                self.of_category[info["category_id"]],
                bool(info.get("iscrowd", 0)),
                info["area"] if areas else None,
            )
            for info in infos
        ]


def golden_panoptic(case: str) -> tuple[Classes, Iterator[tuple[PanopticMap, PanopticMap, str]]]:
    """Classes, and (result, target, video) of each frame of a golden case."""
    table, arrays = video_metrics()
    classes = Classes((category, bool(thing)) for category, thing in table["categories_panoptic"])

    def frames() -> Iterator[tuple[PanopticMap, PanopticMap, str]]:
        for index, video in enumerate(table["panoptic"][case]["videos"]):
            name = f"panoptic/{case}/v{index}"
            targets = [
                PanopticSegment(key, classes.of_category[category], bool(crowd))
                for key, category, crowd in video["gt_segments"]
            ]
            results = [
                PanopticSegment(key, classes.of_category[category])
                for key, category in video["pred_segments"]
            ]
            for target, result in zip(arrays[f"{name}/gt"], arrays[f"{name}/pred"], strict=True):
                yield visible(result, results), visible(target, targets), f"v{index}"

    return classes, frames()


def visible(id_map: np.ndarray, segments: Sequence[PanopticSegment]) -> PanopticMap:
    """The segments that the frame shows, as the files list them."""
    present = set(np.unique(id_map).tolist())
    return PanopticMap.from_ids(id_map, [segment for segment in segments if segment.id in present])


def rle_of(segmentation: Any, size: tuple[int, int] = (0, 0)) -> Rle | None:
    """A mask as it stands in COCO's files: null, polygons, compressed or not."""
    if segmentation is None:
        return None
    if isinstance(segmentation, list):
        segmentation = coco.merge(coco.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        segmentation = coco.frPyObjects(segmentation, *segmentation["size"])
    height, width = segmentation["size"]
    counts = segmentation["counts"]
    return Rle((height, width), counts.decode() if isinstance(counts, bytes) else counts)
