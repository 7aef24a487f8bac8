"""What the results of all tasks have in common.

Letters: H W image size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.errors import InputError
from plainmask.pictures.images import ImageSource, read_image
from plainmask.results import formats, showing
from plainmask.results.regions import outlines_of, without_speckles
from plainmask.results.rle import Rle, rles_of
from plainmask.results.saving import Form, save
from plainmask.results.segments import Segment
from plainmask.results.task import TASKS, Task
from plainmask.vocabulary import Color, Vocabulary

if TYPE_CHECKING:
    from supervision import Detections

    from plainmask.results.draw import Region


@dataclass(frozen=True)
class Moment:
    """Where a result stands in a video."""

    frame_index: int
    """From 0."""
    track_ids: tuple[int, ...] = ()
    """One for each of the result's segments, the same for one object in all frames. Semantic and
    panoptic: the segment's id. Instance: the number of its query. Empty where nothing is tracked:
    a head without memory sees images."""
    age: tuple[int, ...] = ()
    """One for each tracked segment: in how many frames so far it was shown, this one too."""
    state: Any = field(default=None, compare=False, repr=False)
    """`plainmask.State` after this frame, on the CPU: a stream that is given it goes on from here.
    Results know nothing of torch, hence no type."""

    def only(self, places: Sequence[int]) -> Moment:
        """The same of some of the segments."""
        if not self.track_ids:
            return self
        track_ids = tuple(self.track_ids[place] for place in places)
        return replace(self, track_ids=track_ids, age=tuple(self.age[place] for place in places))


class Result(ABC):
    """What all results can do. Sizes are (H, W), masks and maps in pixels of the image."""

    kind: ClassVar[Task]
    vocabulary: Vocabulary
    moment: Moment | None
    """Of a frame of a video; None: an image."""
    source: ImageSource | None
    """The picture as it was given, a path or the picture itself; None: not known. What draws and
    saves takes it where no other is given."""

    if TYPE_CHECKING:  # at run time they would pass for defaults of the dataclasses' fields

        @property
        def image_size(self) -> tuple[int, int]:
            """(H, W)."""
            ...

        @property
        def segments(self) -> Sequence[Segment]:
            """All segments as a table, in the order of their ids."""
            ...

    @property
    def frame_index(self) -> int | None:
        """Place of the frame in its video, from 0; None: an image."""
        return None if self.moment is None else self.moment.frame_index

    @property
    def track_ids(self) -> tuple[int, ...]:
        """See `Moment`; none for an image."""
        return () if self.moment is None else self.moment.track_ids

    @property
    def age(self) -> tuple[int, ...]:
        """See `Moment`; none for an image."""
        return () if self.moment is None else self.moment.age

    @property
    def state(self) -> Any:
        """What the frames up to this one have left, a `plainmask.State`; None: an image."""
        return None if self.moment is None else self.moment.state

    @abstractmethod
    def mask_of(self, segment: Segment) -> NDArray[np.bool_]:
        """The mask (H, W) bool of one of `segments`."""

    def rle_of(self, segment: Segment) -> Rle:
        """The mask of one of `segments`, compressed."""
        return self._rles.get(segment.id) or Rle.encode(self.mask_of(segment))

    @abstractmethod
    def flat_map(self) -> NDArray[np.int32]:
        """Each pixel with the id of one segment: (H, W) int32, 0 for none."""

    def label_picture(self) -> Image.Image:
        """The pixels as a picture without loss, as `save` writes it; each class says how."""
        return Image.fromarray(formats.id_colors(self.flat_map()))

    @abstractmethod
    def keep(self, score: float | None = None, classes: Sequence[int | str] | None = None) -> Self:
        """A result of the same kind with only some of the segments; nothing else changes.

        Args:
            score: least score, 0..1; of instances, 0 gives all that can be seen. None: what they
                hold for sure (`confident`), and everything of the others.
            classes: names or ids; None: all.

        Raises:
            InputError: there is no such class.
        """

    def draw(self, image: ImageSource | None = None, *, legend: bool = False) -> Image.Image:
        """The segments over the image, with outlines and names.

        Parts of a few pixels are left out, and so are names for which an object has no room.

        Args:
            image: what was segmented, in any form that a segmenter takes, also a path; None: the
                `source`.
            legend: add a strip below the picture with the colour and name of each class.

        Raises:
            InputError: the image has another size, cannot be read, or is not known.
        """
        from plainmask.results.draw import add_legend, outline_width, overlay

        shown, lines = self._drawn(outline_width(self.image_size))
        picture = overlay(self.picture(image), shown, self._regions(), lines)
        return add_legend(picture, self._legend()) if legend else picture

    def show(self, image: ImageSource | None = None) -> None:
        """Open what `draw` paints, with a legend: in a notebook there, else in a window.

        Raises:
            InputError: as `draw`.
        """
        showing.show(self.draw(image, legend=True))

    def _repr_html_(self) -> str:
        """In a notebook: the picture, where it is known, and the table of segments."""
        return showing.as_html(self)

    def save(
        self,
        folder: str | Path,
        *,
        stem: str | None = None,
        image: ImageSource | None = None,
        forms: Sequence[Form] | None = None,
    ) -> list[Path]:
        """Write what `keep()` gives as files.

        labels     `<stem>.labels.png`: the pixels, see each class
        segments   `<stem>.segments.json`: the table of segments
        overlay    `<stem>.overlay.png`: what `draw` paints, with a legend
        crops      `<stem>.crops/<id>-<class>.png`: each segment cut out, transparent around it
        yolo       `yolo/<stem>.txt`: polygons of things, a line each: class id and x y in 0..1

        Each file is complete or absent. Results of before are replaced; a file of such a name that
        is no result is not.

        Args:
            folder: is made where it is missing.
            stem: how the names begin; None: as the file of the image, or "result".
            image: as for `draw`.
            forms: of these; None: labels, segments, and the overlay where the image is known.

        Returns:
            The paths, in this order; of crops the folder.

        Raises:
            InputError: the folder cannot be written, a file there is no result, or as `draw`.
        """
        return save(self, Path(folder), stem, image, forms)

    def to_coco(self, image_id: int | str = 0) -> list[dict[str, Any]]:
        """Entries of a COCO results file, one per segment, ready for JSON.

        `category_id` is the class's number in its data set (`file_id`), `bbox` x, y, width, height.
        The average precision of instances is measured on the entries of their `candidates`.
        """
        return formats.coco(self, image_id)

    def to_panoptic(self) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
        """As in COCO's panoptic files: picture (H, W, 3) uint8 and its `segments_info`.

        A pixel's colour is the segment's id = R + 256 G + 65536 B, black for none. Segments of
        which no pixel is visible are left out.
        """
        return formats.panoptic(self)

    @abstractmethod
    def to_hf(self) -> Any:
        """As the post-processing of Hugging Face transformers gives it, in NumPy."""

    def to_pipeline(self) -> list[dict[str, Any]]:
        """As the image-segmentation pipeline of Hugging Face transformers gives it.

        Of each segment that is visible in `to_hf` its `score` (None where semantic, as there),
        `label` and `mask`, a PIL picture of mode "L", 255 inside; in a video its `track_id`, too.
        """
        return formats.pipeline(self)

    def to_supervision(self) -> Detections:
        """As `supervision.Detections`, with masks, and `class_name` under `data`.

        Masks are a `CompactMask`, as small as ours, where the installed version has it (call its
        `to_dense` for an array), else (N, H, W) bool. In a video `tracker_id` is the `track_ids`.

        Raises:
            InputError: the package supervision is not installed.
        """
        return formats.supervision(self)

    def rows(self) -> list[dict[str, Any]]:
        """The segments as a table for JSON or pandas; with `track_id` and `age` in a video."""
        rows = [self._row(segment) for segment in self.segments]
        for row, track_id, age in zip(rows, self.track_ids, self.age, strict=False):
            row |= {"track_id": track_id, "age": age}
        return rows

    def summary(self) -> str:
        """What is there in a few words, as in `3 person, 1 car, sky, road`."""
        counts = Counter((s.label, s.thing) for s in self.segments)
        parts = [f"{n} {label}" if thing else label for (label, thing), n in counts.items()]
        return ", ".join(parts) or "nothing"

    def __repr__(self) -> str:
        """As in `<PanopticResult 640 x 480: 3 person, 1 car, sky, road>`."""
        height, width = self.image_size
        return f"<{type(self).__name__} {width} x {height}: {self.summary()}>"

    def picture(self, image: ImageSource | None = None) -> NDArray[np.uint8]:
        """The pixels that were segmented, (H, W, 3) uint8: of `image`, else of the `source`.

        Raises:
            InputError: it cannot be read, or is not known.
        """
        chosen = self.source if image is None else image
        if chosen is None:
            raise InputError(
                "this result does not know its picture (results of videos do not hold the frames); "
                "give what was segmented, as in draw(image)"
            )
        return chosen if isinstance(chosen, np.ndarray) else read_image(chosen)

    def _caption(self, segment: Segment) -> str:
        return f"{segment.label} {segment.score:.0%}" if segment.thing else segment.label

    def _drawn(self, width: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The map that is painted, and outlines of this width: (H, W) ids of segments each."""
        shown = without_speckles(self.flat_map())
        return shown, outlines_of(shown, width)

    @cached_property
    def _rles(self) -> dict[int, Rle]:
        """The masks of the map by id, found together: one by one takes five times as long."""
        return rles_of(self.flat_map())

    def _regions(self) -> list[Region]:
        """How each segment is painted."""
        from plainmask.results.draw import Region, shade

        regions: list[Region] = []
        seen: Counter[int] = Counter()
        for place, segment in enumerate(self.segments):
            # A track keeps its shade through the video; stuff has the colour of its class.
            tracked = self.track_ids and segment.thing and TASKS[self.kind].objects
            number = self.track_ids[place] if tracked else seen[segment.class_id]
            color = shade(self.vocabulary.classes[segment.class_id].color, number)
            seen[segment.class_id] += 1
            regions.append(Region(segment.id, color, self._caption(segment)))
        return regions

    def _legend(self) -> list[tuple[Color, str]]:
        """Colour and name of each class that is drawn, the largest first; of things how many."""
        areas: Counter[int] = Counter()
        counts: Counter[int] = Counter()
        for segment in self.keep().segments:
            areas[segment.class_id] += segment.area
            counts[segment.class_id] += 1
        entries: list[tuple[Color, str]] = []
        for class_id, _ in areas.most_common():
            entry = self.vocabulary.classes[class_id]
            counted = entry.thing and TASKS[self.kind].objects
            number = f"{counts[class_id]} " if counted else ""
            entries.append((entry.color, f"{number}{entry.name}"))
        return entries

    def _row(self, segment: Segment) -> dict[str, Any]:
        return asdict(segment)


def check_map(name: str, value: NDArray[Any], dtypes: tuple[type, ...]) -> None:
    """Raise an InputError unless the array is (H, W) of one of these types."""
    if value.ndim != 2 or value.dtype.type not in dtypes:
        allowed = " or ".join(dtype.__name__ for dtype in dtypes)
        raise InputError(
            f"{name} must be (H, W) of {allowed}, not {value.dtype} of shape {value.shape}"
        )


def check_range(name: str, value: NDArray[Any], low: int, high: int) -> None:
    """Raise an InputError unless all values are within low..high."""
    if value.size and (value.min() < low or value.max() > high):
        raise InputError(
            f"{name} must be in {low}..{high}, found {int(value.min())}..{int(value.max())}"
        )
