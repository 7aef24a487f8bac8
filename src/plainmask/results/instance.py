"""Instance results: objects that may overlap.

Letters: H W image size, N instances, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.errors import InputError
from plainmask.pictures.images import ImageSource
from plainmask.results import formats
from plainmask.results.base import Moment, Result, check_range
from plainmask.results.masks import areas_of
from plainmask.results.regions import Window, outline, window_of, without_speckles
from plainmask.results.rle import Rle
from plainmask.results.segments import Segment, segment_of
from plainmask.vocabulary import Vocabulary


class _Rows(NamedTuple):
    """What belongs to each of N instances."""

    rles: tuple[Rle, ...]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    track_ids: tuple[int, ...]
    age: tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class InstanceResult(Result):
    """Objects that may overlap, each with its own mask and score.

    A head gives the N objects that it is sure of: what `segments`, `masks`, `rles`, `class_ids`,
    `scores`, `boxes`, `track_ids`, `age` and `len` list belongs together, in one order. Whatever
    else it took into account, down to score 0, is in `candidates`: the average precision is
    measured on these, and `keep(score)` chooses from them.

    A result that is put together by hand lists what it is given, and has no other candidates. Where
    a pixel can have only one segment (pictures, `to_panoptic`, `to_hf`), in the files of `save` and
    in the `repr`, those below `confident` are left out. Its label picture is that of `to_panoptic`;
    in a video its numbers are those of the tracks + 1.
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
    """Least score to be shown."""
    moment: Moment | None = None
    source: ImageSource | None = None
    pool: _Rows | None = None
    """What `candidates` lists; None: no more than is here."""

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

    @property
    def candidates(self) -> InstanceResult:
        """Everything that was taken into account, doubtful and hidden objects too, by itself."""
        if self.pool is None:
            return self
        rles, class_ids, scores, track_ids, age = self.pool
        moment = self.moment and replace(self.moment, track_ids=track_ids, age=age)
        return replace(
            self, rles=rles, class_ids=class_ids, scores=scores, moment=moment, pool=None
        )

    def sure(self) -> InstanceResult:
        """`keep()` with these as its `candidates`: what a head gives."""
        everything = _Rows(self.rles, self.class_ids, self.scores, self.track_ids, self.age)
        return replace(self.keep(), pool=everything)

    def keep(
        self, score: float | None = None, classes: Sequence[int | str] | None = None
    ) -> InstanceResult:
        """Only the candidates of at least this score, of these classes, and of a pixel at least.

        See `Result.keep`. They are numbered anew, `confident` becomes the score, and there are no
        other candidates any more.
        """
        every = self.candidates
        least = self.confident if score is None else score
        wanted = np.isin(every.class_ids, self.vocabulary.ids_of(classes))
        seen = areas_of(every.rles) > 0
        keep = np.flatnonzero((every.scores >= least) & wanted & seen)
        return replace(
            every,
            rles=tuple(every.rles[index] for index in keep),
            class_ids=every.class_ids[keep],
            scores=every.scores[keep],
            confident=least,
            moment=every.moment and every.moment.only(keep.tolist()),
        )

    def mask_of(self, segment: Segment) -> NDArray[np.bool_]:
        """The mask (H, W) bool of one of `segments`."""
        return self.rles[segment.id - 1].decode()

    def rle_of(self, segment: Segment) -> Rle:
        """The mask of one of `segments`, compressed."""
        return self.rles[segment.id - 1]

    def flat_map(self) -> NDArray[np.int32]:
        """Each pixel's smallest confident instance, so that none is hidden under a larger one.

        (H, W) int32, 0 for none. Of two of one size it is the surer one.
        """
        flat = np.zeros(self.image_size, np.int32)
        for key, place, mask in self._layers():
            np.copyto(flat[place], key, where=mask)
        return flat

    def _drawn(self, width: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The map, and the outline of every instance in it, also where another lies over it."""
        flat, lines = np.zeros((2, *self.image_size), np.int32)
        for key, place, mask in self._layers():
            np.copyto(flat[place], key, where=mask)
            np.copyto(lines[place], key, where=outline(mask, width))
        return without_speckles(flat), lines

    def _layers(self) -> Iterator[tuple[int, Window, NDArray[np.bool_]]]:
        """The confident instances, from what lies below to what lies on top.

        Of each its number in a map, from 1, the window that it is seen in, and its mask there.
        """
        sure = np.flatnonzero(self.scores >= self.confident)
        areas = areas_of([self.rles[index] for index in sure])
        for index in sure[np.lexsort((-sure, self.scores[sure], -areas))].tolist():
            rle = self.rles[index]
            if place := window_of(rle.box, self.image_size):
                yield index + 1, place, rle.decode_within(*place)

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
        """As in `<InstanceResult 640 x 480: 3 person, 1 car of 100 candidates>`."""
        return f"{super().__repr__()[:-1]} of {len(self.candidates)} candidates>"

    def summary(self) -> str:
        """What is there in a few words, as in `3 person, 1 car`; without doubtful candidates."""
        shown = Counter(segment.label for segment in self.keep().segments)
        return ", ".join(f"{count} {label}" for label, count in shown.items()) or "nothing"

    def _row(self, segment: Segment) -> dict[str, Any]:
        return {**asdict(segment), "segmentation": self.rle_of(segment).to_coco()}
