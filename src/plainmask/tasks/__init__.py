"""Tasks: what predictions mean. Tensors come in, results in NumPy go out; here torch ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from plainmask.decoder.decoder import Predictions
from plainmask.decoder.propagation import State
from plainmask.pictures.geometry import Geometry
from plainmask.results import InstanceResult, PanopticResult, SemanticResult
from plainmask.tasks.instance import instance, instance_frame
from plainmask.tasks.panoptic import Frames, panoptic, panoptic_frame, panoptic_video
from plainmask.tasks.semantic import semantic, semantic_frame
from plainmask.vocabulary import Vocabulary

__all__ = [
    "Result",
    "Task",
    "Thresholds",
    "instance",
    "instance_frame",
    "panoptic",
    "panoptic_frame",
    "panoptic_video",
    "postprocess",
    "postprocess_frame",
    "postprocess_video",
    "semantic",
    "semantic_frame",
]

Result: TypeAlias = SemanticResult | InstanceResult | PanopticResult

Task: TypeAlias = Literal["semantic", "instance", "panoptic"]


class Thresholds(BaseModel):
    """What decides which segments appear; stored in a head's config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: float = Field(default=0.8, ge=0, le=1)
    """Panoptic: class probability that a query must exceed."""
    overlap: float = Field(default=0.8, ge=0, le=1)
    """Panoptic: share of its mask that a segment must get."""
    top_k: int = Field(default=100, gt=0)
    """Instance: most instances per image, or tracks per video."""
    confident: float = Field(default=0.5, ge=0, le=1)
    """Instance: least score to be shown, saved and counted; results hold less sure ones, too."""


def postprocess(
    task: Task,
    predictions: Predictions,
    geometry: Geometry,
    vocabulary: Vocabulary,
    thresholds: Thresholds,
) -> Result:
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


def postprocess_frame(
    task: Task,
    predictions: Predictions,
    geometry: Geometry,
    vocabulary: Vocabulary,
    thresholds: Thresholds,
    state: State,
) -> Result:
    """One frame of a video as it comes -> its result (docs/model.md 4).

    Args:
        task, geometry, vocabulary, thresholds: as in `postprocess`.
        predictions: the frame's mask logits and the mean of the class logits so far.
        state: what the network left after this frame, with the tracks of the frames before. The
            result's `state` has this frame's tracks, too.

    Raises:
        As `postprocess`.
    """
    match task:
        case "semantic":
            return semantic_frame(predictions, geometry, vocabulary, state)
        case "instance":
            return instance_frame(predictions, geometry, vocabulary, state, top_k=thresholds.top_k)
        case "panoptic":
            return panoptic_frame(
                predictions,
                geometry,
                vocabulary,
                state,
                score=thresholds.score,
                overlap=thresholds.overlap,
            )


def postprocess_video(
    task: Task, frames: Frames, vocabulary: Vocabulary, thresholds: Thresholds
) -> Iterator[Result]:
    """A whole video by the published protocol -> the result of each frame (docs/model.md 4).

    Args:
        frames: gives mask logits of each frame with the mean of the class logits over the whole
            video, how the frame came into the model, and what the network left after it; called
            up to twice.

    Raises:
        As `postprocess`.
    """
    if task == "panoptic":
        yield from panoptic_video(
            frames, vocabulary, score=thresholds.score, overlap=thresholds.overlap
        )
        return
    told: State | None = None
    for predictions, geometry, left in frames():
        state = left if told is None else left.with_tracks_of(told)
        result = postprocess_frame(task, predictions, geometry, vocabulary, thresholds, state)
        told = result.state
        yield result
