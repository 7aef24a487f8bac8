"""What all tasks do with the queries of a prediction.

Letters: N windows, Q queries, C classes without "no object", H W image size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.errors import InputError, PlainmaskError
from plainmask.pictures.geometry import Geometry
from plainmask.vocabulary import Vocabulary

P = ParamSpec("P")
T = TypeVar("T")

CHUNK = 16
"""Masks that exist at the image's size at one time: 130 MB at full HD in float32."""


def undisturbed(
    function: Callable[Concatenate[Predictions, P], T],
) -> Callable[Concatenate[Predictions, P], T]:
    """A function of predictions that does what it does alone, whatever surrounds the call.

    A caller's autocast would compute in half precision.
    """

    @wraps(function)
    def alone(predictions: Predictions, *args: P.args, **kwargs: P.kwargs) -> T:
        device = predictions.mask_logits.device.type
        with torch.inference_mode(), torch.autocast(device, enabled=False):
            return function(predictions, *args, **kwargs)

    return alone


def class_probs(predictions: Predictions, geometry: Geometry, vocabulary: Vocabulary) -> Tensor:
    """Softmax over the classes and "no object" (the last): (N, Q, C+1) float32.

    Raises:
        PlainmaskError: the network returned NaN or infinity.
        InputError: predictions, geometry and vocabulary do not belong together.
    """
    logits = predictions.class_logits.float()
    if logits.shape[-1] != len(vocabulary) + 1:
        raise InputError(
            f"the head tells {logits.shape[-1] - 1} classes apart, but the vocabulary "
            f"{vocabulary.name!r} has {len(vocabulary)}; give the one it was trained with"
        )
    if len(logits) != len(geometry.windows):
        raise InputError(
            f"predictions of {len(logits)} windows for an image of {len(geometry.windows)}"
        )
    # Extremes keep NaN and infinity, and make no copy.
    ends = [end for part in predictions for end in part.aminmax()]
    if not torch.stack([end.float() for end in ends]).isfinite().all():
        raise PlainmaskError(
            "the network returned NaN or infinity, most likely because half precision overflowed; "
            'load the model with dtype="float32"'
        )
    return logits.softmax(-1)


def require_one_window(geometry: Geometry, task: str) -> None:
    """Refuse several windows: a query is another object in each of them.

    Raises:
        InputError: there is more than one.
    """
    if len(geometry.windows) > 1:
        raise InputError(
            f"{task} segmentation needs the whole image in one pass, but the input protocol cut "
            f"it into {len(geometry.windows)} windows; use the protocol fit or stride"
        )


def image_masks(
    predictions: Predictions, geometry: Geometry, queries: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Mask logits at the image's size, a few queries at a time.

    Args:
        predictions: of the one window of the image.
        geometry: how the image came into the model.
        queries: (K,) indices of the queries wanted.

    Yields:
        Some of `queries`, in their order, and their mask logits (k, H, W) float32.
    """
    for part in queries.split(CHUNK) if len(queries) else ():
        yield part, geometry.restore(predictions.mask_logits[:, part])


def image_probs(
    predictions: Predictions, geometry: Geometry, queries: Tensor, *, early: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Mask probabilities at the image's size, a few queries at a time.

    Args:
        predictions, geometry, queries: as in `image_masks`.
        early: take the sigmoid at the resized image's size, before the last resize, as published
            for video (docs/model.md 4.6).

    Yields:
        Some of `queries`, in their order, and their probabilities (k, H, W) float32.
    """
    if not early:
        for part, logits in image_masks(predictions, geometry, queries):
            yield part, logits.sigmoid_()
        return
    for part in queries.split(CHUNK) if len(queries) else ():
        content = geometry.stitch(geometry.upsample(predictions.mask_logits[:, part]))
        yield part, geometry.to_image(content.sigmoid())


def new_best(best: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step of a running argmax over the first axis.

    Args:
        best: (H, W), the largest values so far.
        values: (k, H, W), the next ones.

    Returns:
        The largest of both (H, W), where it is new (H, W) bool, and its place in `values`. On ties
        the earlier one stays.
    """
    value, place = values.max(0)
    return torch.maximum(best, value), value > best, place
