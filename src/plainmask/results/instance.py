"""Instance results: objects that may overlap.

Letters: H W image size, N instances, C classes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.errors import InputError
from plainmask.results import formats
from plainmask.results.base import Moment, Result, check_range
from plainmask.results.rle import Rle
from plainmask.results.segments import Segment, segment_of
from plainmask.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False, repr=False)
class InstanceResult(Result):
    """Objects that may overlap, each with its own mask and score.

    All candidates are here, doubtful ones too, as the average precision needs them; where a pixel
    can have only one segment (pictures, `to_panoptic`, `to_hf`) and in the `repr`, those below
    `confident` are left out. Its label picture is that of `to_panoptic`; in a video its numbers are
    those of the tracks + 1.
    """

    kind = "instance"

    # A frozen field is as good as the base's property.
    image_size: tuple[int, int]  # pyright: ignore[reportIncompatibleMethodOverride]
    """(H, W); also known when there is no instance."""
    rles: tuple[Rle, ...]
    """N masks, compressed; see `masks`."""
    class_ids: NDArray[np.int64]
    """(N,): class ids 0..C-1."""
    scores: NDArray[np.float32]
    """(N,) in 0..1."""
    vocabulary: Vocabulary
    confident: float = 0.5
    """Least score to be shown; changes nothing in the list itself."""
    moment: Moment | None = None

    def __post_init__(self) -> None:
        lengths = (len(self.rles), *self.class_ids.shape, *self.scores.shape)
        if len(lengths) != 3 or len(set(lengths)) != 1:
            raise InputError(
                f"{len(self.rles)} masks need as many class_ids and scores, not shapes "
                f"{self.class_ids.shape} and {self.scores.shape}"
            )
        odd = sorted({rle.size for rle in self.rles} - {self.image_size})
        if odd:
            raise InputError(f"masks of size {odd[0]} in an image of size {self.image_size}")
        check_range("class_ids", self.class_ids, 0, len(self.vocabulary) - 1)

    def __len__(self) -> int:
        """N, the number of instances."""
        return len(self.rles)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(N, H, W) bool, decoded anew with each call."""
        return np.array([rle.decode() for rle in self.rles], bool).reshape(-1, *self.image_size)

    @property
    def boxes(self) -> NDArray[np.float32]:
        """(N, 4) float32 x0, y0, x1, y1 in pixels; zeros for an empty mask."""
        return np.array([rle.box for rle in self.rles], np.float32).reshape(-1, 4)

    @property
    def segments(self) -> list[Segment]:
        """One segment per instance, in their order, ids from 1."""
        rows = zip(self.rles, self.class_ids.tolist(), self.scores.tolist(), strict=True)
        return [
            segment_of(index, class_id, score, rle.area, rle.box, self.vocabulary)
            for index, (rle, class_id, score) in enumerate(rows, start=1)
        ]

    def above(self, score: float) -> InstanceResult:
        """Only the instances of at least this score; they are numbered anew."""
        keep = np.flatnonzero(self.scores >= score)
        return replace(
            self,
            rles=tuple(self.rles[index] for index in keep),
            class_ids=self.class_ids[keep],
            scores=self.scores[keep],
            moment=self.moment and self.moment.only(keep.tolist()),
        )

    def mask_of(self, segment: Segment) -> NDArray[np.bool_]:
        """The mask (H, W) bool of one of `segments`."""
        return self.rles[segment.id - 1].decode()

    def rle_of(self, segment: Segment) -> Rle:
        """The mask of one of `segments`, compressed."""
        return self.rles[segment.id - 1]

    def flat_map(self) -> NDArray[np.int32]:
        """Each pixel's confident instance of the highest score: (H, W) int32, 0 for none."""
        flat = np.zeros(self.image_size, np.int32)
        # Painted from the least sure to the surest; of equals the first ends on top.
        for index in np.argsort(-self.scores, kind="stable")[::-1]:
            if self.scores[index] >= self.confident:
                flat[self.rles[index].decode()] = index + 1
        return flat

    def label_picture(self) -> Image.Image:
        """Numbers of instances, or of tracks + 1 where there are any, as colours; see the class."""
        flat = self.flat_map()
        if self.track_ids:
            flat = np.array([0, *(key + 1 for key in self.track_ids)], np.int32)[flat]
        return Image.fromarray(formats.id_colors(flat))

    def to_hf(self) -> dict[str, Any]:
        """As `post_process_instance_segmentation`: ids from 0 and -1 for none."""
        return formats.hugging_face(self.flat_map() - 1, self.segments, first_id=0)

    def __repr__(self) -> str:
        """As in `<InstanceResult 480x640: 3 person, 1 car of 100 candidates>`."""
        height, width = self.image_size
        shown = Counter(s.label for s in self.segments if s.score >= self.confident)
        parts = ", ".join(f"{count} {label}" for label, count in shown.items()) or "nothing"
        return f"<InstanceResult {height}x{width}: {parts} of {len(self)} candidates>"

    def _row(self, segment: Segment) -> dict[str, Any]:
        return {**asdict(segment), "segmentation": self.rle_of(segment).to_coco()}
