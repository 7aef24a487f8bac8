"""Tasks: what predictions mean. Tensors come in, results in NumPy go out; here torch ends.

An image, a frame and a whole video take the same path through each task. A frame comes with the
`State` that the network left after it; a whole video is its frames, judged together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from plainmask.decoder.decoder import Predictions
from plainmask.decoder.propagation import State
from plainmask.pictures.geometry import Geometry
from plainmask.results import InstanceResult, PanopticResult, SemanticResult
from plainmask.results.task import Task
from plainmask.tasks.instance import instance
from plainmask.tasks.panoptic import Areas, Frames, panoptic, video_areas
from plainmask.tasks.semantic import semantic
from plainmask.tasks.thresholds import Thresholds
from plainmask.vocabulary import Vocabulary

__all__ = [
    "Task",
    "TaskResult",
    "Thresholds",
    "instance",
    "panoptic",
    "postprocess",
    "postprocess_video",
    "semantic",
]

TaskResult: TypeAlias = SemanticResult | InstanceResult | PanopticResult


def postprocess(
    task: Task,
    predictions: Predictions,
    geometry: Geometry,
    vocabulary: Vocabulary,
    thresholds: Thresholds,
    state: State | None = None,
    areas: Areas | None = None,
) -> TaskResult:
    """Predictions of an image's N windows, or of a frame of a video -> what the task makes of them.

    Args:
        task, geometry, vocabulary, thresholds: what is asked for.
        predictions: of a frame: its mask logits, and the mean of the class logits so far.
        state: of a frame (docs/model.md 4): what the network left after it, with the tracks of the
            frames before; the result's `state` has this frame's tracks, too. None: an image.
        areas: panoptic: what judges the frame, see `video_areas`; None: itself alone.

    Raises:
        PlainmaskError: the network returned NaN or infinity.
        InputError: predictions, geometry and vocabulary do not belong together, or the task
            cannot use several windows.
    """
    match task:
        case "semantic":
            return semantic(predictions, geometry, vocabulary, state)
        case "instance":
            return instance(predictions, geometry, vocabulary, thresholds, state)
        case "panoptic":
            return panoptic(predictions, geometry, vocabulary, thresholds, state, areas)


def postprocess_video(
    task: Task, frames: Frames, vocabulary: Vocabulary, thresholds: Thresholds
) -> Iterator[TaskResult]:
    """A whole video by the published protocol -> the result of each frame (docs/model.md 4).

    Args:
        task, vocabulary, thresholds: as in `postprocess`.
        frames: gives mask logits of each frame with the mean of the class logits over the whole
            video, how the frame came into the model, and what the network left after it; called
            up to twice.

    Raises:
        As `postprocess`.
    """
    areas = video_areas(frames, vocabulary, thresholds) if task == "panoptic" else None
    told: State | None = None
    for predictions, geometry, left in frames():
        state = left if told is None else left.with_tracks_of(told)
        result = postprocess(task, predictions, geometry, vocabulary, thresholds, state, areas)
        told = result.state
        yield result
