"""Heads over millions of pictures: many processes, machines or other people's engines."""

from typing import TYPE_CHECKING

from plainmask.public import resolver

if TYPE_CHECKING:
    from plainmask.cluster.segment_batch import SegmentBatch

__all__ = ["SegmentBatch"]

__getattr__ = resolver(__name__, {"SegmentBatch": "cluster.segment_batch"})
