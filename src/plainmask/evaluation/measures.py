"""How results of images are compared with their annotation, task by task. No torch here.

A measure counts images one after the other and keeps none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from plainmask.data.record import Annotation
from plainmask.errors import InputError
from plainmask.metrics.instance_ap import Instance, InstanceAP
from plainmask.metrics.matching import MAX_DETECTIONS
from plainmask.metrics.miou import MeanIoU
from plainmask.metrics.panoptic_map import PanopticMap, PanopticSegment
from plainmask.metrics.pq import PanopticQuality
from plainmask.results import IGNORE, InstanceResult, PanopticResult, SemanticResult
from plainmask.results.rle import Rle
from plainmask.results.task import TASKS, Task
from plainmask.vocabulary import Vocabulary

Pairs: TypeAlias = Iterable[tuple[Any, Annotation]]
"""What was found of each picture or frame, and its annotation."""


@dataclass(frozen=True)
class Rules:
    """By which rules figures are made."""

    metrics: Literal["official", "pmt"] = "official"
    """Those of the benchmarks, or of the published code (docs/model.md 8.9)."""
    max_detections: tuple[int, ...] = MAX_DETECTIONS
    """Instances: how many of a class count in an image, ascending; AP counts the last number."""


def leaves_out(rules: Rules, task: Task, segments: Annotation) -> bool:
    """Whether an image does not count by these rules, whatever was found in it.

    The published evaluation never sees images without annotation, nor, of label maps, those with
    one value (docs/model.md 7.1); by the official rules all images count.
    """
    if rules.metrics == "official":
        return False
    if not TASKS[task].objects:
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


class Metric(Protocol):
    """What all metrics of images can do."""

    def update(self, result: Any, target: Any, /) -> None:
        """Count one image."""
        ...

    def merge(self, other: Any, /) -> None:
        """Add the images of another one, after those so far."""
        ...

    def figures(self) -> dict[str, Any]:
        """Figures in percent, and `per_class`."""
        ...


class Measure:
    """The metric of a task, fed with annotations as readers give them.

    Args:
        task, vocabulary, rules: what is measured, for which classes, and how.
    """

    def __init__(self, task: Task, vocabulary: Vocabulary, rules: Rules):
        self.task: Task = task
        self.rules = rules
        self.metric = _OF_TASK[task].metric(vocabulary, rules)

    @property
    def main(self) -> str:
        """The figure by which images can be ranked."""
        return TASKS[self.task].figure

    @property
    def says(self) -> str:
        """What was measured, by which rules."""
        is_published = self.rules.metrics == "pmt"
        left_out = "; images without annotation left out" if is_published else ""
        return _OF_TASK[self.task].says(self.rules) + left_out

    def update(self, found: Any, segments: Annotation) -> None:
        """Count one image; what was `found` is as the metric takes it, see `found_in`."""
        if leaves_out(self.rules, self.task, segments):
            return
        if self.rules.metrics == "pmt":  # sizes are those of the masks, whatever the file states
            segments = replace(segments, areas=None)
        self.metric.update(found, target_in(self.task, segments))

    def merge(self, other: Measure) -> None:
        """Add the images of another one, after those so far."""
        self.metric.merge(other.metric)


def found_in(result: SemanticResult | InstanceResult | PanopticResult) -> Any:
    """A result as the metrics of its task take it: label map, list of `Instance`, `PanopticMap`."""
    match result:
        case SemanticResult():
            return result.label_map
        case InstanceResult():
            every = result.candidates
            rows = zip(every.class_ids.tolist(), every.rles, every.scores.tolist(), strict=True)
            return [Instance(class_id, rle, score) for class_id, rle, score in rows]
        case PanopticResult():
            segments = [
                PanopticSegment(segment.id, segment.class_id) for segment in result.segments
            ]
            return PanopticMap.from_ids(result.segment_map, segments)


def target_in(task: Task, segments: Annotation) -> Any:
    """An annotation as the metrics of a task take it.

    Raises:
        InputError: semantic: its segments overlap.
    """
    return _OF_TASK[task].target(segments)


def target_map(segments: Annotation) -> NDArray[np.int32]:
    """(H, W) class ids of a semantic annotation, `IGNORE` (-1) where there is none.

    Raises:
        InputError: its segments overlap.
    """
    return np.append(segments.class_ids, IGNORE).astype(np.int32)[segments.index_map]


def target_instances(segments: Annotation) -> list[Instance]:
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


def panoptic_target(segments: Annotation) -> PanopticMap:
    """An annotation as the metrics take it."""
    return PanopticMap.of(
        segments.index_map, segments.track_ids, segments.class_ids, segments.crowd
    )


_COUNTED = {"official": "classes that occur", "pmt": "all classes, absent ones as 0"}


def _semantic_rules(rules: Rules) -> str:
    return (
        f"labels at image resolution; mIoU over {_COUNTED[rules.metrics]}, void left out "
        f"({rules.metrics} rule)"
    )


def _instance_rules(rules: Rules) -> str:
    areas = "of the masks" if rules.metrics == "pmt" else "that files state"
    return (
        f"mask AP by COCO's rules, at most {rules.max_detections[-1]} detections of a class in an "
        f"image, sizes by the areas {areas}; per class: AP"
    )


def _panoptic_rules(rules: Rules) -> str:
    crowds = ", stuff a crowd where the first segment is one" if rules.metrics == "pmt" else ""
    return f"PQ over {_COUNTED[rules.metrics]}{crowds} ({rules.metrics} rule); per class: PQ"


class _OfTask(NamedTuple):
    metric: Callable[[Vocabulary, Rules], Metric]
    target: Callable[[Annotation], Any]
    """An annotation as the metric takes it."""
    says: Callable[[Rules], str]


_OF_TASK: Mapping[Task, _OfTask] = {
    "semantic": _OfTask(
        lambda vocabulary, rules: MeanIoU(vocabulary.names, ignore=IGNORE, rule=rules.metrics),
        target_map,
        _semantic_rules,
    ),
    "instance": _OfTask(
        lambda vocabulary, rules: InstanceAP(vocabulary.names, max_detections=rules.max_detections),
        target_instances,
        _instance_rules,
    ),
    "panoptic": _OfTask(
        lambda vocabulary, rules: PanopticQuality(vocabulary, rule=rules.metrics),
        panoptic_target,
        _panoptic_rules,
    ),
}
