"""What was seen in a video: one row for each track, whatever the length of the video."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from plainmask.results import InstanceResult, Result


@dataclass(frozen=True)
class TrackRow:
    """One object, or one class of stuff, in a whole video."""

    id: int
    label: str
    """Class, as of the last frame that shows it."""
    frames: int
    """How many show it."""
    score: float
    """0..1, in the last frame that shows it."""


class Summary:
    """Counts tracks as results come; doubtful instances do not count."""

    def __init__(self) -> None:
        self._rows: dict[int, TrackRow] = {}

    def update(self, result: Result) -> None:
        """Take the result of the next frame."""
        least = result.confident if isinstance(result, InstanceResult) else 0.0
        seen: dict[int, TrackRow] = {}
        for segment, track_id, age in zip(
            result.segments, result.track_ids, result.age, strict=False
        ):
            known = seen.get(track_id)
            sure = segment.area > 0 and segment.score >= least
            if sure and (known is None or segment.score > known.score):
                seen[track_id] = TrackRow(track_id, segment.label, age, segment.score)
        self._rows |= seen

    def rows(self) -> list[TrackRow]:
        """All tracks, those of most frames first."""
        return sorted(self._rows.values(), key=lambda row: (-row.frames, row.id))

    def to_json(self) -> list[dict[str, Any]]:
        """The same for JSON."""
        return [asdict(row) for row in self.rows()]
