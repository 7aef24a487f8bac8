"""What an evaluation says, of images or videos, of a head or of result files. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Evaluation:
    """Figures in percent, where they are no numbers of things."""

    figures: dict[str, float | int | None]
    """By metric name, such as `mIoU` or `VPQ_2`; None where a figure is not defined."""
    per_class: dict[str, float | None]
    """By class name, of the metric that `protocol` says; None for a class that does not occur."""
    count: int
    """Images or videos that were looked at."""
    unit: Literal["images", "videos"]
    protocol: str
    """What was measured, on what, by which rules."""
    per_object: dict[str, float] = field(default_factory=dict)
    """By video and object, where objects have no classes."""

    def to_json(self) -> dict[str, Any]:
        """One flat object for programs."""
        objects = {"per_object": self.per_object} if self.per_object else {}
        return {
            **self.figures,
            "per_class": self.per_class,
            **objects,
            self.unit: self.count,
            "protocol": self.protocol,
        }
