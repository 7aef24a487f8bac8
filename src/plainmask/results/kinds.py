"""The three tasks by name, and what other rooms must know of each. How it is done stands there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Task: TypeAlias = Literal["semantic", "instance", "panoptic"]


@dataclass(frozen=True)
class Kind:
    """What is particular to a task."""

    objects: bool
    """Objects of one class are told apart, so they can be counted, followed and pasted. But a query
    is another object in each window of a picture, so windows cannot be put together."""
    figure: str
    """By which results of images are ranked."""
    per_class: str
    """The figure of one class, in images."""
    per_class_in_videos: str
    image_results: Literal["label_pictures", "coco_instances", "coco_panoptic"]
    """The official form of results of images."""
    video_results: Literal["vspw", "ytvis", "vipseg"]
    """The official form of results of videos."""


KINDS: Mapping[Task, Kind] = {
    "semantic": Kind(False, "mIoU", "IoU", "IoU", "label_pictures", "vspw"),
    "instance": Kind(True, "AP", "AP", "AP", "coco_instances", "ytvis"),
    "panoptic": Kind(True, "PQ", "PQ", "VPQ", "coco_panoptic", "vipseg"),
}
