"""A record: one picture and its annotation as they are in the data set, decoded when asked.

What a segment means (a class region, an object, something to ignore) is the task's to decide;
records only say what is there. A video is the records of its frames. No torch here.

Letters: H W image size, N segments, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainmask.errors import InputError

NO_SEGMENT = -1
"""In layers: void in semantic and panoptic data, background in instance data."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """The annotation of one picture, as compact maps: one where segments are disjoint.

    `of_map` and `of_masks` build it.
    """

    layers: NDArray[np.int32]
    """(L, H, W): the segment of each pixel, 0..N-1; -1 where there is none. Each segment lies on
    one layer only, and segments that overlap lie on different ones. L >= 1."""
    class_ids: NDArray[np.int64]
    """(N,): the class of each segment, by its id in the vocabulary."""
    crowd: NDArray[np.bool_]
    """(N,): segments that stand for a group of objects: not learnt, and forgiven by metrics."""
    track_ids: NDArray[np.int64]
    """(N,): different for each segment; one object has the same in all frames of a video."""
    areas: NDArray[np.float64] | None = None
    """(N,): pixels as the annotation file states them, NaN where it does not; metrics of objects
    by size go by these. None: it states none."""

    def __post_init__(self) -> None:
        assert self.layers.ndim == 3, f"layers of shape {self.layers.shape}"
        assert len(self.layers) >= 1, "no layer"
        shapes = {self.class_ids.shape, self.crowd.shape, self.track_ids.shape}
        shapes |= set() if self.areas is None else {self.areas.shape}
        assert shapes == {(len(self),)}, "one entry per segment"
        assert len(np.unique(self.track_ids)) == len(self), "a track with two segments"
        assert self.layers.min(initial=-1) == NO_SEGMENT, "-1 is the only void"
        assert self.layers.max(initial=-1) < len(self), "a segment without a class"
        if len(self.layers) > 1:
            homes = sum((np.bincount(layer.ravel() + 1) > 0)[1:].sum() for layer in self.layers)
            present = np.bincount(self.layers.ravel() + 1) > 0
            assert homes == present[1:].sum(), "a segment on two layers"

    @classmethod
    def of_map(
        cls,
        index_map: NDArray[np.int32],
        class_ids: ArrayLike,
        crowd: ArrayLike | None = None,
        track_ids: ArrayLike | None = None,
    ) -> Annotation:
        """Disjoint segments, from one map of them.

        Args:
            index_map: (H, W), 0..N-1 or -1.
            class_ids: N numbers.
            crowd: N flags; None: no crowds.
            track_ids: N numbers; None: 0..N-1.
        """
        classes = np.asarray(class_ids, np.int64)
        return cls(
            index_map[None],
            classes,
            np.zeros(len(classes), np.bool_) if crowd is None else np.asarray(crowd, np.bool_),
            np.arange(len(classes)) if track_ids is None else np.asarray(track_ids, np.int64),
        )

    @classmethod
    def of_masks(
        cls,
        masks: Sequence[NDArray[np.bool_]],
        size: tuple[int, int],
        class_ids: ArrayLike,
        crowd: ArrayLike | None = None,
        track_ids: ArrayLike | None = None,
    ) -> Annotation:
        """Segments that may overlap: each goes to the first layer where its pixels are free.

        Args:
            masks: N of (H, W).
            size: H and W, since there may be no masks.
            class_ids: N numbers.
            crowd: N flags; None: no crowds.
            track_ids: N numbers; None: 0..N-1.
        """
        layers = [np.full(size, NO_SEGMENT, np.int32)]
        for index, mask in enumerate(masks):
            assert mask.shape == size, f"mask of shape {mask.shape}, not {size}"
            free = (layer for layer in layers if (layer[mask] == NO_SEGMENT).all())
            layer = next(free, None)
            if layer is None:
                layer = np.full(size, NO_SEGMENT, np.int32)
                layers.append(layer)
            layer[mask] = index
        flat = cls.of_map(layers[0], class_ids, crowd, track_ids)
        return flat if len(layers) == 1 else replace(flat, layers=np.stack(layers))

    def __len__(self) -> int:
        """N, the number of segments."""
        return len(self.class_ids)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.layers.shape[1:]
        return height, width

    @property
    def index_map(self) -> NDArray[np.int32]:
        """(H, W): the only layer.

        Raises:
            InputError: segments overlap, so there are several.
        """
        if len(self.layers) > 1:
            raise InputError(
                f"segments overlap here: {len(self)} lie on {len(self.layers)} layers, and this "
                "needs each pixel to belong to one at most. Use data whose segments are disjoint "
                "(label maps, panoptic data)"
            )
        return self.layers[0]

    def pixels(self) -> NDArray[np.int64]:
        """(N,): how many pixels each segment has."""
        counts = np.zeros(len(self) + 1, np.int64)
        for layer in self.layers:
            counts += np.bincount(layer.ravel() + 1, minlength=len(counts))
        return counts[1:]

    def masks(self) -> NDArray[np.bool_]:
        """(N, H, W): one mask per segment."""
        masks = np.zeros((len(self), *self.size), np.bool_)
        for layer in self.layers:
            for index in np.flatnonzero(np.bincount(layer.ravel() + 1)[1:]):
                masks[index] = layer == index
        return masks


@dataclass(frozen=True, eq=False)
class Record:
    """One picture of a data set, usually annotated. It holds no pixels: reading is in the calls.

    A `functools.partial` of a module-level function as loader lets records go to worker processes.
    """

    id: str
    """Unique in its data set; names the result files. Of frames usually "VIDEO/FRAME"."""
    load_image: Callable[[], NDArray[np.uint8]]
    load_annotation: Callable[[], Annotation] | None
    """None: the data set has no annotation for this picture."""
    sequence: str | None = None
    """The video that the picture belongs to, if any."""
    frame: int | None = None
    """Its place in the sequence, from 0."""
    image_id: int | str | None = None
    """What result files call the picture; None: `id`."""
    classes: frozenset[int] | None = None
    """Classes of its segments without crowds, where they are known before decoding."""
    picture: Path | None = None
    """The file of the picture, where the reader states it."""

    @property
    def labelled(self) -> bool:
        """Whether there is an annotation (maybe one without segments)."""
        return self.load_annotation is not None

    def image(self) -> NDArray[np.uint8]:
        """Decode the picture: (H, W, 3) uint8 RGB.

        Raises:
            InputError: the file cannot be read.
        """
        return self.load_image()

    def annotation(self) -> Annotation:
        """Decode the annotation, of the picture's size.

        Raises:
            InputError: there is no annotation, or it cannot be read or holds what the vocabulary
                does not know.
        """
        if self.load_annotation is None:
            raise InputError(
                f"the data set holds no annotation for {self.id}; it can be segmented, but neither "
                "trained nor evaluated on. Choose a split with annotations"
            )
        return self.load_annotation()


@dataclass(frozen=True, eq=False)
class LabelledVideo:
    """The frames of one video, in the order of time."""

    id: str
    frames: tuple[Record, ...]

    def __len__(self) -> int:
        """T, the number of frames."""
        return len(self.frames)


def group_videos(records: Iterable[Record]) -> list[LabelledVideo]:
    """Bring the records of a video data set together, one video per sequence.

    Videos come in the order in which they first occur, their frames in the order of time.

    Raises:
        InputError: a record belongs to no video, or two to one place in a video.
    """
    sequences: dict[str, dict[int, Record]] = {}
    for record in records:
        if record.sequence is None or record.frame is None:
            raise InputError(
                f"{record.id} is a single picture, not the frame of a video; read a video data set"
            )
        frames = sequences.setdefault(record.sequence, {})
        if record.frame in frames:
            raise InputError(
                f"{frames[record.frame].id} and {record.id} are both frame {record.frame} of the "
                f"video {record.sequence}; give each data set on its own"
            )
        frames[record.frame] = record
    return [
        LabelledVideo(name, tuple(frames[place] for place in sorted(frames)))
        for name, frames in sequences.items()
    ]


def with_classes(records: Iterable[Record], class_of: Mapping[int, int]) -> list[Record]:
    """The records in the classes of another vocabulary, segments of other classes left out.

    Records that are known beforehand to keep no segment are left out.

    Args:
        records: of any data set.
        class_of: new class id of each old one that stays.
    """
    kept: list[Record] = []
    for record in records:
        classes = record.classes
        if classes is not None:
            classes = frozenset(class_of[old] for old in classes if old in class_of)
        if record.load_annotation is not None:
            load = partial(_load_with_classes, record.load_annotation, class_of)
            record = replace(record, load_annotation=load, classes=classes)
        if classes is None or classes:
            kept.append(record)
    return kept


def _load_with_classes(load: Callable[[], Annotation], class_of: Mapping[int, int]) -> Annotation:
    segments = load()
    kept = np.array([old in class_of for old in segments.class_ids.tolist()], np.bool_)
    # Looking up -1 finds the last entry, so void stays void.
    numbers = np.append(np.where(kept, np.cumsum(kept) - 1, NO_SEGMENT), NO_SEGMENT)
    return Annotation(
        layers=numbers[segments.layers].astype(np.int32),
        class_ids=np.array([class_of[old] for old in segments.class_ids[kept].tolist()], np.int64),
        crowd=segments.crowd[kept],
        track_ids=segments.track_ids[kept],
        areas=None if segments.areas is None else segments.areas[kept],
    )
