"""CVAT: heads as its auto-annotation functions, for `cvat-cli` and its agents.

    cvat-cli task auto-annotate 7 --function-module plainmask.bridges.cvat -p head=str:scenes

A head is not told what to look for. So a click or a box (interaction) chooses among what it found
in the picture, and a shape to track is followed as the object of the head that it fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from PIL import Image

from plainmask.bridges.clicks import Clicks, as_drawn, meant, overlap
from plainmask.bridges.cvat_shapes import SHAPES, cvat_sdk, mask_of_shape, shape_points
from plainmask.decoder.propagation import State
from plainmask.errors import InputError
from plainmask.heads.head import Head
from plainmask.inference.loading import load
from plainmask.inference.segmenter import HeadSegmenter
from plainmask.inference.shared_pass import Dtype
from plainmask.inference.stream import Encoded, encode, follow_encoded, states_after, tell
from plainmask.options import one_of
from plainmask.pictures.images import read_image
from plainmask.results import Result
from plainmask.results.trace import trace_parts

__all__ = ["Detection", "Interaction", "Tracking", "create"]

FunctionKind = Literal["detection", "interaction", "tracking"]

FITS = 0.5
"""Share of pixels that a drawn shape and an object have in common, of those of both, at least."""


def create(
    head: str,
    kind: str = "detection",
    encoder: str | None = None,
    device: str = "auto",
    dtype: Dtype = "auto",
) -> Detection | Interaction | Tracking:
    """What `cvat-cli` calls, with each `-p NAME=str:VALUE` as an argument.

    Args:
        head: a shipped head, a head folder or a hub repository.
        kind: detection: masks of what a picture shows; interaction: the mask that clicks and a box
            mean; tracking: a mask, polygon or rectangle that is followed through a video, by a head
            with memory.
        encoder, device, dtype: see `plainmask.load`.

    Raises:
        InputError: cvat_sdk is not installed, there is no such kind, the head has no memory to
            track with, or as `plainmask.load`.
    """
    chosen = one_of(kind, get_args(FunctionKind), f"CVAT knows no function of the kind {kind!r}")
    sdk = cvat_sdk("auto_annotation")
    loaded = load(head, device=device, dtype=dtype, encoder=encoder)
    if chosen == "detection":
        labels = [
            sdk.label_spec(entry.name, entry.id, type="mask")
            for entry in loaded.head.config.vocabulary.classes
        ]
        return Detection(loaded, sdk.DetectionFunctionSpec(labels=labels))
    if chosen == "interaction":
        least = {"min_pos_points": 0, "min_neg_points": 0, "min_bounding_boxes": 0}
        return Interaction(loaded, sdk.InteractionFunctionSpec(**least))
    if loaded.head.config.decoder.propagation == "none":
        raise InputError(
            f"the head {loaded.name!r} has no memory, so it cannot track; take one of videos, such "
            "as moving-objects"
        )
    return Tracking(loaded, sdk.TrackingFunctionSpec(supported_shape_types=SHAPES))


@dataclass
class Detection:
    """A detection function: what a picture shows, as masks, or as polygons if asked for."""

    head: HeadSegmenter[Any]
    spec: Any
    """`DetectionFunctionSpec`: the classes by their names, each of type "mask"."""

    def detect(self, context: Any, image: Image.Image) -> list[Any]:
        """The shapes in a picture, `LabeledShapeRequest` each.

        `context.conf_threshold` is the least score; None: what the head is sure of. A polygon is a
        part of an object; those of one object share a `group`.
        """
        sdk = cvat_sdk("auto_annotation")
        result: Result = self.head(image).keep(context.conf_threshold)
        shapes: list[Any] = []
        for group, segment in enumerate(result.segments, 1):
            mask = result.mask_of(segment)
            if not context.conv_mask_to_poly:
                points = shape_points("mask", mask)
                shapes.append(sdk.mask(segment.class_id, points, score=segment.score))
                continue
            parts = trace_parts(mask)
            more = {"group": group} if len(parts) > 1 else {}
            for part in parts:
                points = part.ravel().astype(float).tolist()
                shapes.append(sdk.polygon(segment.class_id, points, score=segment.score, **more))
        return shapes


@dataclass
class Interaction:
    """An interaction function: the one of the head's objects that clicks and a box mean.

    The agent keeps what `preprocess_image` gives, so further clicks in a picture cost nothing.
    """

    head: HeadSegmenter[Any]
    spec: Any
    """`InteractionFunctionSpec`: points inside, points outside, and a box; none is required."""

    def preprocess_image(self, context: Any, image: Image.Image) -> Result:
        """Everything that the head sees in a picture, doubtful objects, too."""
        return self.head(image).keep(0.0)

    def detect(self, context: Any, pp_image: Result, prompts: Any) -> list[Any]:
        """At most one `InteractionResultShape`, a mask with its score.

        See `plainmask.bridges.clicks.meant`.
        """
        sdk, models = cvat_sdk("auto_annotation"), cvat_sdk("models")
        corners = prompts.bounding_box
        box = corners and [*corners[0], *corners[1]]
        found = meant(pp_image, Clicks(prompts.pos_points, prompts.neg_points, box))
        if found is None:
            return []
        mask, score = found
        confidence = models.AttributeValRequest(
            spec_id=int(sdk.InteractionResultAttributes.CONFIDENCE), value=f"{score:.4f}"
        )
        points = shape_points("mask", mask)
        return [sdk.InteractionResultShape(type="mask", points=points, attributes=[confidence])]


@dataclass
class Tracked:
    """One shape on its way through a video."""

    states: dict[str, State]
    """What the frames so far have left."""
    track_id: int | None
    """Of the object that the shape was drawn around; None: the head sees none there."""


@dataclass
class Tracking:
    """A tracking function: a shape is the object of the head that it fits best, and goes with it.

    Frames pass through the encoder once, however many shapes are tracked.
    """

    head: HeadSegmenter[Any]
    spec: Any
    """`TrackingFunctionSpec` of masks, polygons and rectangles."""

    def preprocess_image(self, context: Any, image: Image.Image) -> dict[str, Encoded]:
        """What the encoder sees in a frame."""
        return encode(self.head.shared, self._heads, [read_image(image)])

    def init_tracking_state(
        self, context: Any, pp_image: dict[str, Encoded], shape: Any
    ) -> Tracked:
        """The object that a `TrackableShape` was drawn around, in the first frame."""
        result, states = self._step(pp_image, {})
        drawn = mask_of_shape(shape.type, shape.points, result.image_size)
        fits = [
            overlap(as_drawn(shape.type, result.mask_of(segment)), drawn)
            for segment in result.segments
        ]
        best = max(zip(fits, result.track_ids, strict=True), default=(0.0, None))
        return Tracked(states, best[1] if best[0] >= FITS else None)

    def track(self, context: Any, pp_image: dict[str, Encoded], state: Tracked) -> Any:
        """The object in the next frame, as a `TrackableShape` of the type drawn; None: not seen."""
        if state.track_id is None:
            return None
        result, state.states = self._step(pp_image, state.states)
        if state.track_id not in result.track_ids:
            return None
        segment = result.segments[result.track_ids.index(state.track_id)]
        kind = context.original_shape_type
        points = shape_points(kind, result.mask_of(segment))
        return cvat_sdk("auto_annotation").TrackableShape(type=kind, points=points)

    def _step(
        self, frame: dict[str, Encoded], states: dict[str, State]
    ) -> tuple[Result, dict[str, State]]:
        (seen,) = follow_encoded(self.head.shared, self._heads, states, frame)
        results = tell(self._heads, seen, states)
        return results[self.head.name], states_after(seen, results)

    @property
    def _heads(self) -> dict[str, Head]:
        return {self.head.name: self.head.head}
