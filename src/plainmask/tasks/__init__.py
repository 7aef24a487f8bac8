"""Tasks: what predictions mean. Tensors come in, results in NumPy go out; here torch ends."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from plainmask.decoder import Predictions
from plainmask.geometry import Geometry
from plainmask.results import InstanceResult, PanopticResult, SemanticResult
from plainmask.tasks.instance import instance
from plainmask.tasks.panoptic import panoptic
from plainmask.tasks.semantic import semantic
from plainmask.vocabulary import Vocabulary

__all__ = ["Task", "Thresholds", "instance", "panoptic", "postprocess", "semantic"]

Task: TypeAlias = Literal["semantic", "instance", "panoptic"]


class Thresholds(BaseModel):
    """What decides which segments appear; stored in a head's config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: float = Field(default=0.8, ge=0, le=1)
    """Panoptic: class probability that a query must exceed."""
    overlap: float = Field(default=0.8, ge=0, le=1)
    """Panoptic: share of its mask that a segment must get."""
    top_k: int = Field(default=100, gt=0)
    """Instance: most instances per image."""


def postprocess(
    task: Task,
    predictions: Predictions,
    geometry: Geometry,
    vocabulary: Vocabulary,
    thresholds: Thresholds,
) -> SemanticResult | InstanceResult | PanopticResult:
    """Predictions of one image's N windows -> what the task makes of them.

    Raises:
        PlainmaskError: the network returned NaN or infinity.
        InputError: predictions, geometry and vocabulary do not belong together, or the task
            cannot use several windows.
    """
    match task:
        case "semantic":
            return semantic(predictions, geometry, vocabulary)
        case "instance":
            return instance(predictions, geometry, vocabulary, top_k=thresholds.top_k)
        case "panoptic":
            return panoptic(
                predictions,
                geometry,
                vocabulary,
                score=thresholds.score,
                overlap=thresholds.overlap,
            )
