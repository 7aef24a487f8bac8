"""A record: one picture and its annotation as they are in the data set, decoded when asked.

What a segment means (a class region, an object, something to ignore) is the task's to decide;
records only say what is there. No torch here.

Letters: H W image size, N segments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Segments:
    """The annotation of one picture: disjoint segments, as one compact map.

    Objects that overlap do not fit in one map; a reader of such data brings its own form.
    """

    index_map: NDArray[np.int32]
    """(H, W): the segment of each pixel, 0..N-1; -1 where there is none (void in semantic and
    panoptic data, background in instance data)."""
    class_ids: NDArray[np.int64]
    """(N,): the class of each segment, by its id in the vocabulary."""
    crowd: NDArray[np.bool_]
    """(N,): segments that stand for a group of objects: not learnt, and forgiven by metrics."""

    def __post_init__(self) -> None:
        assert self.index_map.ndim == 2, f"index map of shape {self.index_map.shape}"
        assert self.class_ids.shape == self.crowd.shape == (len(self),), "one entry per segment"
        assert self.index_map.min(initial=-1) == -1, "-1 is the only void"
        assert self.index_map.max(initial=-1) < len(self), "a segment without a class"

    def __len__(self) -> int:
        """N, the number of segments."""
        return len(self.class_ids)


@dataclass(frozen=True, eq=False)
class Record:
    """One annotated picture of a data set. It holds no pixels: reading happens in the calls.

    A `functools.partial` of a module-level function as loader lets records go to worker processes.
    """

    id: str
    """Unique in its data set; names the result files."""
    load_image: Callable[[], NDArray[np.uint8]]
    load_segments: Callable[[], Segments]
    sequence: str | None = None
    """The video that the picture belongs to, if any."""
    frame: int | None = None
    """Its place in the sequence, from 0."""

    def image(self) -> NDArray[np.uint8]:
        """Decode the picture: (H, W, 3) uint8 RGB.

        Raises:
            InputError: the file cannot be read.
        """
        return self.load_image()

    def segments(self) -> Segments:
        """Decode the annotation, of the picture's size.

        Raises:
            InputError: the annotation cannot be read or holds what the vocabulary does not know.
        """
        return self.load_segments()
