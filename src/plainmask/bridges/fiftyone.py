"""FiftyOne: heads as one of its models, a label field a head, and embeddings of the encoder.

    dataset.apply_model(plainmask.bridges.fiftyone.model(["scenes", "nuclei-instance"]), "ours")

Letters: H W image size, N images, D width of the encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.extra import need
from plainmask.inference.loading import load_heads
from plainmask.inference.segmenter import Segmenter
from plainmask.inference.shared_pass import Dtype
from plainmask.results import Result
from plainmask.results.task import TASKS

__all__ = ["FiftyOneHeads", "model"]

EMBEDDED = 32
"""Patches along the shorter side of a picture that is embedded."""


def model(
    heads: str | Path | Sequence[str | Path],
    *,
    video: bool = False,
    encoder: str | Path | None = None,
    device: str = "auto",
    dtype: Dtype = "auto",
) -> Any:
    """A `fiftyone.core.models.Model` for `apply_model` and `compute_embeddings`.

    Args:
        heads: a shipped head, head folder or hub repository; or a list of them, which share passes
            of the encoder. The labels of one go to the field that is named, those of several each
            to a field of its own: `apply_model(model, "ours")` fills `ours_scenes` and so on.
        video: follow videos (frame labels, `index` is the track) instead of looking at pictures.
        encoder, device, dtype: see `plainmask.load`.

    Raises:
        InputError: FiftyOne is not installed, or as `plainmask.load`.
    """
    core = need("fiftyone.core.models", "FiftyOne", 'pip install "plainmask[fiftyone]"')
    alone = isinstance(heads, str | Path)
    names = [heads] if isinstance(heads, str | Path) else heads
    segmenter = load_heads(names, device=device, dtype=dtype, encoder=encoder)
    # FiftyOne asks whether a model is of its classes; what they do themselves is not used.
    kind: Any = type("PlainmaskModel", (FiftyOneHeads, core.EmbeddingsMixin, core.Model), {})
    return kind(segmenter, alone, video)


class FiftyOneHeads:
    """What FiftyOne asks of a model; `model` makes one.

    Semantic heads give a `Segmentation` with the class + 1 in each pixel, 0 for none
    (`mask_targets` has the names), the others `Detections` with masks.
    """

    ragged_batches = False
    """Pictures of one batch may have different sizes."""
    transforms = None
    preprocess = False

    def __init__(self, segmenter: Segmenter, alone: bool, video: bool):
        self.segmenter = segmenter
        self.config = SimpleNamespace(confidence_thresh=None)
        """`confidence_thresh` is the least score; None: what a head is sure of."""
        self._labels = need("fiftyone.core.labels", "FiftyOne", "")
        self._alone = alone
        self._video = video
        self._last: Sequence[NDArray[np.uint8]] = ()

    @property
    def media_type(self) -> str:
        """What is looked at: "image" or "video"."""
        return "video" if self._video else "image"

    @property
    def has_embeddings(self) -> bool:
        """Whether what is looked at can be embedded: pictures can."""
        return not self._video

    @property
    def mask_targets(self) -> dict[Any, Any]:
        """Names by pixel value, as `dataset.mask_targets` has it; of several heads by field."""
        targets = {
            field_of(name): {entry.id + 1: entry.name for entry in head.config.vocabulary.classes}
            for name, head in self.segmenter.heads.items()
            if not TASKS[head.config.task].objects
        }
        return next(iter(targets.values()), {}) if self._alone else targets

    def predict(self, arg: Any) -> Any:
        """The labels of a picture (H, W, 3) uint8, a dict where there are several heads.

        Of a video (an `eta.core.video.VideoReader`) the same by the number of the frame.
        """
        if not self._video:
            return self.predict_all([arg])[0]
        numbers: list[int] = []
        found = self.segmenter.track(_frames(arg, numbers))
        return {numbers[place]: self._named(results) for place, results in enumerate(found)}

    def predict_all(self, args: Iterable[Any]) -> list[Any]:
        """The same for several pictures or videos."""
        if self._video:
            return [self.predict(arg) for arg in args]
        self._last = list(args)
        return [self._named(results) for results in self.segmenter(self._last)]

    def embed(self, arg: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The mean of the patches of a picture (H, W, 3) uint8 in the last tap: (D,).

        One pass of the encoder, no decoder.
        """
        self._last = [arg]
        return self.get_embeddings()[0]

    def embed_all(self, args: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The same for N pictures: (N, D)."""
        self._last = list(args)
        return self.get_embeddings()

    def get_embeddings(self) -> NDArray[np.float32]:
        """(N, D) of the pictures that were looked at last."""
        size = EMBEDDED * self.segmenter.encoder.config.patch_size
        found = [self.segmenter.features(image, size=size) for image in self._last]
        means = [features.taps[-1][0, features.prefix :].mean(0) for features in found]
        return np.stack([mean.cpu().numpy() for mean in means])

    def _named(self, results: Mapping[str, Result]) -> Any:
        least = self.config.confidence_thresh
        labels = {field_of(name): self._label(one.keep(least)) for name, one in results.items()}
        return next(iter(labels.values())) if self._alone else labels

    def _label(self, result: Result) -> Any:
        if not TASKS[result.kind].objects:
            small = len(result.vocabulary) < 256
            return self._labels.Segmentation(
                mask=result.flat_map().astype(np.uint8 if small else np.uint16)
            )
        height, width = result.image_size
        track_ids = result.track_ids or [None] * len(result.segments)
        found: list[Any] = []
        for segment, index in zip(result.segments, track_ids, strict=True):
            x0, y0, x1, y1 = (round(value) for value in segment.box)
            box = [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height]
            found.append(
                self._labels.Detection(
                    label=segment.label,
                    bounding_box=box,
                    mask=result.mask_of(segment)[y0:y1, x0:x1],
                    confidence=segment.score,
                    index=index,
                )
            )
        return self._labels.Detections(detections=found)


def field_of(head: str) -> str:
    """What the field of a head is called: letters, digits and underscores."""
    return "".join(letter if letter.isalnum() else "_" for letter in head)


def _frames(reader: Any, numbers: list[int]) -> Iterator[NDArray[np.uint8]]:
    """The frames of a reader; their numbers are noted, as frames may be read ahead."""
    for image in reader:
        numbers.append(reader.frame_number)
        yield image
