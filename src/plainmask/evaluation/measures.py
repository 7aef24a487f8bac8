"""How results of images are compared with their annotation, task by task. No torch here.

A measure counts images one after the other and keeps none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from plainmask.data.record import Segments
from plainmask.errors import InputError
from plainmask.metrics.ap import MAX_DETECTIONS
from plainmask.metrics.instance_ap import Instance, InstanceAP
from plainmask.metrics.miou import MeanIoU
from plainmask.metrics.panoptic_map import PanopticMap, Region
from plainmask.metrics.pq import PanopticQuality
from plainmask.results import IGNORE, InstanceResult, PanopticResult, SemanticResult
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary


@dataclass(frozen=True)
class Rules:
    """By which rules figures are made."""

    metrics: Literal["official", "pmt"] = "official"
    """Those of the benchmarks, or of the published code (docs/model.md 8.9)."""
    max_detections: tuple[int, ...] = MAX_DETECTIONS
    """Instances: how many of a class count in an image, ascending; AP counts the last number."""


_LEFT_OUT = "; images without annotation left out"


def leaves_out(rules: Rules, task: str, segments: Segments) -> bool:
    """Whether an image does not count by these rules, whatever was found in it.

    The published evaluation never sees images without annotation, nor, of label maps, those with
    one value (docs/model.md 7.1); by the official rules all images count.
    """
    if rules.metrics == "official":
        return False
    if task == "semantic":
        return bool((segments.index_map == segments.index_map[:1, :1]).all())
    return not len(segments)


def check_rules(metrics: str, max_detections: int = MAX_DETECTIONS[-1]) -> Rules:
    """Rules from what a person says.

    Raises:
        InputError: there are no rules of this name.
    """
    lower = tuple(count for count in MAX_DETECTIONS if count < max_detections)
    for known in ("official", "pmt"):
        if metrics == known:
            return Rules(known, (*lower, max_detections))
    raise InputError(f"the rules {metrics!r} are unknown; there are official and pmt")


class Measure(Protocol):
    """What all of them can do."""

    main: str
    """The figure by which images can be ranked."""

    def update(self, result: Any, segments: Segments) -> None:
        """Count one image."""
        ...

    def merge(self, other: Self) -> None:
        """Add the images of another one, after those so far."""
        ...

    def figures(self) -> dict[str, Any]:
        """Figures in percent, and `per_class`."""
        ...

    @property
    def says(self) -> str:
        """What was measured, by which rules."""
        ...


def build_measure(task: str, vocabulary: Vocabulary, rules: Rules) -> Measure:
    """The measure of a task, with nothing counted yet."""
    build: dict[str, Callable[[Vocabulary, Rules], Measure]] = {
        "semantic": SemanticMeasure,
        "instance": InstanceMeasure,
        "panoptic": PanopticMeasure,
    }
    return build[task](vocabulary, rules)


class SemanticMeasure:
    """Mean IoU of label maps."""

    main = "mIoU"

    def __init__(self, vocabulary: Vocabulary, rules: Rules):
        self.rules = rules
        self.metric = MeanIoU(vocabulary.names, ignore=IGNORE, rule=rules.metrics)

    def update(self, result: SemanticResult, segments: Segments) -> None:
        """Count the pixels of one image."""
        self.count(result.label_map, segments)

    def count(self, labels: NDArray[np.integer[Any]], segments: Segments) -> None:
        """Count one image, whose result is a map (H, W) of class ids, `IGNORE` for none."""
        if not leaves_out(self.rules, "semantic", segments):
            self.metric.update(labels, target_map(segments))

    def merge(self, other: SemanticMeasure) -> None:
        """See `Measure`."""
        self.metric.merge(other.metric)

    def figures(self) -> dict[str, Any]:
        """See `MeanIoU.figures`."""
        return self.metric.figures()

    @property
    def says(self) -> str:
        """See `Measure`."""
        counted = {"official": "classes that occur", "pmt": "all classes, absent ones as 0"}
        return (
            "labels at image resolution; mIoU over "
            f"{counted.get(self.metric.rule)}, void left out ({self.metric.rule} rule)"
            + _LEFT_OUT
            * (self.metric.rule == "pmt")
        )


class InstanceMeasure:
    """AP of masks."""

    main = "AP"

    def __init__(self, vocabulary: Vocabulary, rules: Rules):
        self.rules = rules
        self.metric = InstanceAP(vocabulary.names, max_detections=rules.max_detections)

    def update(self, result: InstanceResult, segments: Segments) -> None:
        """Count the objects of one image."""
        found = [
            Instance(class_id, rle, score)
            for class_id, rle, score in zip(
                result.class_ids.tolist(), result.rles, result.scores.tolist(), strict=True
            )
        ]
        self.count(found, segments)

    def count(self, found: Sequence[Instance], segments: Segments) -> None:
        """Count one image, whose objects are given as the metric takes them."""
        if leaves_out(self.rules, "instance", segments):
            return
        stated = segments.areas if self.rules.metrics == "official" else None
        self.metric.update(found, target_instances(replace(segments, areas=stated)))

    def merge(self, other: InstanceMeasure) -> None:
        """See `Measure`."""
        self.metric.merge(other.metric)

    def figures(self) -> dict[str, Any]:
        """See `PrecisionRecall.figures`."""
        return self.metric.figures()

    @property
    def says(self) -> str:
        """See `Measure`."""
        limit = self.metric.curves.max_detections[-1]
        return (
            f"mask AP by COCO's rules, at most {limit} detections of a class in an image, sizes by "
            f"the areas {'of the masks' if self.rules.metrics == 'pmt' else 'that files state'}; "
            "per class: AP" + _LEFT_OUT * (self.rules.metrics == "pmt")
        )


class PanopticMeasure:
    """Panoptic quality."""

    main = "PQ"

    def __init__(self, vocabulary: Vocabulary, rules: Rules):
        self.rules = rules
        self.metric = PanopticQuality(vocabulary, rule=rules.metrics)

    def update(self, result: PanopticResult, segments: Segments) -> None:
        """Count the segments of one image."""
        self.count(panoptic_map(result), segments)

    def count(self, found: PanopticMap, segments: Segments) -> None:
        """Count one image, whose segments are given as the metric takes them."""
        if not leaves_out(self.rules, "panoptic", segments):
            self.metric.update(found, panoptic_target(segments))

    def merge(self, other: PanopticMeasure) -> None:
        """See `Measure`."""
        self.metric.merge(other.metric)

    def figures(self) -> dict[str, Any]:
        """See `PanopticTally.figures`."""
        return self.metric.figures()

    @property
    def says(self) -> str:
        """See `Measure`."""
        rule = self.metric.tally.rule
        counted = {
            "official": "classes that occur (official rule)",
            "pmt": "all classes, absent ones as 0, stuff a crowd where the first segment is one "
            "(pmt rule)",
        }
        return f"PQ over {counted[rule]}; per class: PQ" + _LEFT_OUT * (rule == "pmt")


def target_map(segments: Segments) -> NDArray[np.int64]:
    """(H, W) class ids of a semantic annotation, `IGNORE` (-1) where there is none.

    Raises:
        InputError: its segments overlap.
    """
    return np.append(segments.class_ids, IGNORE)[segments.index_map]


def target_instances(segments: Segments) -> list[Instance]:
    """The objects of an annotation as the metric takes them."""
    count = len(segments)
    areas = np.full(count, np.nan) if segments.areas is None else segments.areas
    return [
        Instance(class_id, Rle.encode(mask), crowd=crowd, area=None if np.isnan(area) else area)
        for class_id, mask, crowd, area in zip(
            segments.class_ids.tolist(),
            segments.masks(),
            segments.crowd.tolist(),
            areas.tolist(),
            strict=True,
        )
    ]


def panoptic_map(result: PanopticResult) -> PanopticMap:
    """A result as the metrics take it."""
    regions = [Region(segment.id, segment.class_id) for segment in result.segments]
    return PanopticMap.from_ids(result.segment_map, regions)


def panoptic_target(segments: Segments) -> PanopticMap:
    """An annotation as the metrics take it."""
    return PanopticMap.of(
        segments.index_map, segments.track_ids, segments.class_ids, segments.crowd
    )
