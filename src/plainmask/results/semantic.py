"""Semantic results: one class per pixel.

Letters: H W image size, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.errors import InputError
from plainmask.pictures.images import ImageSource
from plainmask.results.base import Moment, Result, check_map, check_range
from plainmask.results.segments import Segment, segments_of
from plainmask.vocabulary import Vocabulary

IGNORE = -1
"""In a label map: a pixel without a class."""


@dataclass(frozen=True, eq=False, repr=False)
class SemanticResult(Result):
    """One class per pixel.

    Its label picture is 8-bit grey with class ids and 255 where there is none; 16-bit and 65535
    for vocabularies of more than 255 classes.
    """

    kind = "semantic"
    ignore: ClassVar[int] = IGNORE
    """The value of a pixel without a class."""

    label_map: NDArray[np.int16] | NDArray[np.int32]
    """(H, W): class ids 0..C-1, or IGNORE (-1)."""
    vocabulary: Vocabulary
    scores: NDArray[np.float32] | None = None
    """(H, W) in 0..1: the score of the pixel's class, or its share of all where they exceed 1."""
    moment: Moment | None = None
    source: ImageSource | None = None

    def __post_init__(self) -> None:
        check_map("label_map", self.label_map, (np.int16, np.int32))
        check_range("label_map", self.label_map, IGNORE, len(self.vocabulary) - 1)
        if self.scores is not None and self.scores.shape != self.label_map.shape:
            raise InputError(
                f"scores of shape {self.scores.shape} for a label_map of {self.label_map.shape}"
            )

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.label_map.shape
        return height, width

    @property
    def segments(self) -> list[Segment]:
        """One segment per class that is present: id = class id + 1, score = mean over its pixels.

        The score is 1 if there are no scores.
        """
        return list(self._segments)

    @cached_property
    def _segments(self) -> tuple[Segment, ...]:
        """The same, found once: whoever draws, saves and sums up a frame asks five times."""
        found = segments_of(
            self.flat_map(), lambda key: (key - 1, self._score(key)), self.vocabulary
        )
        return tuple(found)

    def keep(
        self, score: float | None = None, classes: Sequence[int | str] | None = None
    ) -> SemanticResult:
        """Only the classes of at least this mean score, and of these; other pixels have none.

        See `Result.keep`.
        """
        wanted = self.vocabulary.ids_of(classes)
        segments = self.segments
        places = [
            place
            for place, segment in enumerate(segments)
            if segment.score >= (score or 0.0) and segment.class_id in wanted
        ]
        if len(places) == len(segments):
            return self
        inside = np.isin(self.label_map, [segments[place].class_id for place in places])
        return replace(
            self,
            label_map=np.where(inside, self.label_map, self.label_map.dtype.type(IGNORE)),
            moment=self.moment and self.moment.only(places),
        )

    def mask_of(self, segment: Segment) -> NDArray[np.bool_]:
        """The mask (H, W) bool of one of `segments`."""
        return self.label_map == segment.class_id

    def flat_map(self) -> NDArray[np.int32]:
        """Each pixel's class id + 1, 0 for none: (H, W) int32."""
        return self.label_map.astype(np.int32) + 1

    def label_picture(self) -> Image.Image:
        """Class ids, 8-bit or 16-bit; see the class."""
        dtype, void = (np.uint8, 255) if len(self.vocabulary) <= 255 else (np.uint16, 65535)
        return Image.fromarray(np.where(self.label_map < 0, void, self.label_map).astype(dtype))

    def to_hf(self) -> NDArray[np.int32]:
        """As `post_process_semantic_segmentation`: (H, W) int32 of class ids, -1 for none."""
        return self.label_map.astype(np.int32)

    def _score(self, key: int) -> float:
        if self.scores is None:
            return 1.0
        return float(self.scores[self.label_map == key - 1].mean(dtype=np.float64))

    def _row(self, segment: Segment) -> dict[str, Any]:
        row = super()._row(segment)
        return row if self.scores is not None else {**row, "score": None}  # it is not known

    def _caption(self, segment: Segment) -> str:
        return segment.label

    def summary(self) -> str:
        """What is there in a few words, as in `road 41%, sky 30%`: the largest come first."""
        height, width = self.image_size
        ordered = sorted(self.segments, key=lambda segment: -segment.area)
        shares = [(s.label, s.area / (height * width)) for s in ordered]
        parts = [
            f"{label} {share:.0%}" if share >= 0.005 else f"{label} <1%" for label, share in shares
        ]
        return ", ".join(parts) or "nothing"
