"""What the results of all tasks have in common.

Letters: H W image size.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.atomic import write_atomically
from plainmask.errors import InputError
from plainmask.results import formats
from plainmask.results.rle import Rle
from plainmask.results.segments import Segment
from plainmask.vocabulary import Vocabulary

if TYPE_CHECKING:
    from supervision import Detections


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

    kind: ClassVar[str]
    """The task: semantic, instance or panoptic."""
    vocabulary: Vocabulary
    moment: Moment | None
    """Of a frame of a video; None: an image."""

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
        return Rle.encode(self.mask_of(segment))

    @abstractmethod
    def flat_map(self) -> NDArray[np.int32]:
        """Each pixel with the id of one segment: (H, W) int32, 0 for none."""

    def label_picture(self) -> Image.Image:
        """The pixels as a picture without loss, as `save` writes it; each class says how."""
        return Image.fromarray(formats.id_colors(self.flat_map()))

    def draw(self, image: Image.Image | NDArray[np.uint8]) -> Image.Image:
        """The segments over the image, with contours and names.

        Args:
            image: what was segmented: a PIL image or (H, W, 3) uint8 RGB.

        Raises:
            InputError: the image has another size.
        """
        from plainmask.results.draw import Region, overlay, shade

        regions: list[Region] = []
        seen: Counter[int] = Counter()
        for place, segment in enumerate(self.segments):
            # A track keeps its shade through the video; stuff has the colour of its class.
            tracked = self.track_ids and segment.thing and self.kind != "semantic"
            number = self.track_ids[place] if tracked else seen[segment.class_id]
            color = shade(self.vocabulary.classes[segment.class_id].color, number)
            seen[segment.class_id] += 1
            regions.append(Region(segment.id, color, self._caption(segment)))
        return overlay(image, self.flat_map(), regions)

    def save(
        self,
        folder: str | Path,
        *,
        stem: str = "result",
        image: Image.Image | NDArray[np.uint8] | None = None,
    ) -> list[Path]:
        """Write the result as files.

        `<stem>.labels.png` holds the pixels (see each class), `<stem>.json` the table of segments,
        and `<stem>.overlay.png`, if the image is given, what `draw` paints. Each file is complete
        or absent. Existing files of these names are replaced.

        Returns:
            The paths, in this order.

        Raises:
            InputError: the folder cannot be written, or the image has another size.
        """
        files = {"labels.png": formats.png_bytes(self.label_picture()), "json": self._json()}
        if image is not None:
            files["overlay.png"] = formats.png_bytes(self.draw(image))
        return [write_atomically(Path(folder) / f"{stem}.{end}", files[end]) for end in files]

    def to_coco(self, image_id: int | str = 0) -> list[dict[str, Any]]:
        """Entries of a COCO results file, one per segment, ready for JSON.

        `category_id` is the class's number in its data set (`file_id`), `bbox` x, y, width, height.
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

    def to_supervision(self) -> Detections:
        """As `supervision.Detections`, with masks and `class_name` under `data`.

        Raises:
            InputError: the package supervision is not installed.
        """
        return formats.supervision(self)

    def rows(self) -> list[dict[str, Any]]:
        """The segments as a table ready for JSON; with `track_id` and `age` in a video."""
        rows = [self._row(segment) for segment in self.segments]
        for row, track_id, age in zip(rows, self.track_ids, self.age, strict=False):
            row |= {"track_id": track_id, "age": age}
        return rows

    def __repr__(self) -> str:
        """As in `<PanopticResult 480x640: 3 person, 1 car, sky, road>`."""
        counts = Counter((s.label, s.thing) for s in self.segments)
        parts = [f"{n} {label}" if thing else label for (label, thing), n in counts.items()]
        height, width = self.image_size
        return f"<{type(self).__name__} {height}x{width}: {', '.join(parts) or 'nothing'}>"

    def _caption(self, segment: Segment) -> str:
        return f"{segment.label} {segment.score:.0%}" if segment.thing else segment.label

    def _json(self) -> bytes:
        table: dict[str, Any] = {
            "kind": self.kind,
            "image_size": list(self.image_size),
            "vocabulary": self.vocabulary.name,
            "segments": self.rows(),
        }
        if self.moment is not None:
            table["frame_index"] = self.moment.frame_index
        return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()

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
