"""What decides which segments appear in results."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Thresholds(BaseModel):
    """What decides which segments appear; stored in a head's config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: float = Field(default=0.8, ge=0, le=1)
    """Panoptic: class probability that a query must exceed."""
    overlap: float = Field(default=0.8, ge=0, le=1)
    """Panoptic: share of its mask that a segment must get."""
    top_k: int = Field(default=100, gt=0)
    """Instance: most instances per image, or tracks per video (published: 10, OVIS 20)."""
    confident: float = Field(default=0.5, ge=0, le=1)
    """Instance: least score to be shown, saved and counted; results hold less sure ones, too."""


PUBLISHED = Thresholds()
"""Those of the published heads of images."""
