"""The three tasks by name, and what other rooms must know of each. How it is done stands there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Task: TypeAlias = Literal["semantic", "instance", "panoptic"]
ImageResultFormat: TypeAlias = Literal["label_pictures", "coco_instances", "coco_panoptic"]


@dataclass(frozen=True)
class Traits:
    """What is particular to a task."""

    objects: bool
    """Objects of one class are told apart, so they can be counted, followed and pasted. But a query
    is another object in each window of a picture, so windows cannot be put together."""
    figure: str
    """By which results of images are ranked."""
    per_class: str
    """The figure of one class, in images."""
    per_class_in_videos: str
    image_results: ImageResultFormat
    """The official form of results of images."""
    video_results: Literal["vspw", "ytvis", "vipseg"]
    """The official form of results of videos."""


TASKS: Mapping[Task, Traits] = {
    "semantic": Traits(False, "mIoU", "IoU", "IoU", "label_pictures", "vspw"),
    "instance": Traits(True, "AP", "AP", "AP", "coco_instances", "ytvis"),
    "panoptic": Traits(True, "PQ", "PQ", "VPQ", "coco_panoptic", "vipseg"),
}
