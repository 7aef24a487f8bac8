"""Metrics: results compared with annotations. They know no model and no torch."""

from typing import TYPE_CHECKING

from plainmask.public import resolver

if TYPE_CHECKING:
    from plainmask.metrics.identity import TrackIdentity
    from plainmask.metrics.instance_ap import InstanceAP
    from plainmask.metrics.jf import RegionBoundary
    from plainmask.metrics.miou import MeanIoU
    from plainmask.metrics.pq import PanopticQuality
    from plainmask.metrics.stq import SegmentationTrackingQuality
    from plainmask.metrics.track_ap import TrackAP
    from plainmask.metrics.vc import VideoConsistency
    from plainmask.metrics.vpq import VideoPanopticQuality

__all__ = [
    "InstanceAP",
    "MeanIoU",
    "PanopticQuality",
    "RegionBoundary",
    "SegmentationTrackingQuality",
    "TrackAP",
    "TrackIdentity",
    "VideoConsistency",
    "VideoPanopticQuality",
]

__getattr__ = resolver(
    __name__,
    {
        "InstanceAP": "metrics.instance_ap",
        "MeanIoU": "metrics.miou",
        "PanopticQuality": "metrics.pq",
        "RegionBoundary": "metrics.jf",
        "SegmentationTrackingQuality": "metrics.stq",
        "TrackAP": "metrics.track_ap",
        "TrackIdentity": "metrics.identity",
        "VideoConsistency": "metrics.vc",
        "VideoPanopticQuality": "metrics.vpq",
    },
)
