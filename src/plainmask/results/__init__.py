"""What people get: segments of one image, in NumPy, with pictures, files and foreign formats.

No torch here. A result knows nothing of the model that made it, so results of other models can be
put into these classes, drawn, saved and scored.
"""

from plainmask.results.base import Moment, Result
from plainmask.results.instance import InstanceResult
from plainmask.results.panoptic import PanopticResult
from plainmask.results.segments import Segment
from plainmask.results.semantic import IGNORE, SemanticResult

__all__ = [
    "IGNORE",
    "InstanceResult",
    "Moment",
    "PanopticResult",
    "Result",
    "Segment",
    "SemanticResult",
]
