"""Panoptic results: things and stuff, at most one segment per pixel.

Letters: H W image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError
from plainmask.pictures.images import ImageSource
from plainmask.results import formats
from plainmask.results.base import Moment, Result, check_map
from plainmask.results.segments import Segment, ids_of
from plainmask.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False, repr=False)
class PanopticResult(Result):
    """Things and stuff: each pixel belongs to one segment or none.

    Its label picture is that of `to_panoptic`.
    """

    kind = "panoptic"

    segment_map: NDArray[np.int32]
    """(H, W): segment ids, 0 for none."""
    # A frozen field is as good as the base's property.
    segments: Sequence[Segment]  # pyright: ignore[reportIncompatibleMethodOverride]
    """Every id of the map but 0, once, in ascending order; `segments_of` makes them."""
    vocabulary: Vocabulary
    moment: Moment | None = None
    source: ImageSource | None = None

    def __post_init__(self) -> None:
        check_map("segment_map", self.segment_map, (np.int32,))
        ids = [segment.id for segment in self.segments]
        found = ids_of(self.segment_map)
        if ids != [key for key in found if key] or min(ids, default=1) < 1:
            raise InputError(f"segments have the ids {ids}, the segment_map {found}")

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.segment_map.shape
        return height, width

    def keep(
        self, score: float | None = None, classes: Sequence[int | str] | None = None
    ) -> PanopticResult:
        """Only the segments of at least this score and of these classes; they keep their ids.

        See `Result.keep`. The pixels of the others have no segment.
        """
        wanted = self.vocabulary.ids_of(classes)
        places = [
            place
            for place, segment in enumerate(self.segments)
            if segment.score >= (score or 0.0) and segment.class_id in wanted
        ]
        kept = [self.segments[place] for place in places]
        inside = np.isin(self.segment_map, [segment.id for segment in kept])
        return replace(
            self,
            segment_map=np.where(inside, self.segment_map, np.int32(0)),
            segments=kept,
            moment=self.moment and self.moment.only(places),
        )

    def mask_of(self, segment: Segment) -> NDArray[np.bool_]:
        """The mask (H, W) bool of one of `segments`."""
        return self.segment_map == segment.id

    def flat_map(self) -> NDArray[np.int32]:
        """The segment map itself."""
        return self.segment_map

    def to_hf(self) -> dict[str, Any]:
        """As `post_process_panoptic_segmentation`: ids from 1 and 0 for none.

        Stuff counts as fused, as its segments of one class are one.
        """
        return formats.hugging_face(self.segment_map, self.segments, first_id=1)
