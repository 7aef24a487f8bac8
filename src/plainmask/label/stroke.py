"""One stroke: what a person drew on a picture, and which pixels that means.

Points are (x, y) in pixels of the upright picture; the pixel in column c covers c..c+1, so its
middle is c + 0.5. What a stroke means depends on nothing but the stroke and the labels before it;
`drawing` knows what that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plainmask.errors import InputError

NO_LABEL = 255
"""The label of pixels that nobody has labelled."""
MOST_CLASSES, MOST_OBJECTS = 255, 32_767
"""In a project, and in a picture."""
MOST_POINTS = 100_000
FARTHEST = 1e6
"""Largest coordinate."""

StrokeKind: TypeAlias = Literal["brush", "erase", "fill", "polygon", "accept", "merge", "split"]
MASKED = ("accept", "merge", "split")
"""Kinds that say of each pixel what it becomes."""
Coordinate = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST)]
ClassId = Annotated[int, Field(ge=0, lt=MOST_CLASSES)]
ObjectNumber = Annotated[int, Field(ge=0, le=MOST_OBJECTS)]
"""Unique in its picture; 0: no object, but background."""


class Join(NamedTuple):
    """A class that was given up: from then on its labels are those of another."""

    class_id: ClassId
    into: ClassId | None
    """None: they are taken away; it was given up while it had none."""


class Stroke(BaseModel):
    """What a person did to the labels of one picture.

    - `brush`: a line of round ends along the points, `radius` wide to each side.
    - `erase`: the same, which takes labels away.
    - `fill`: the region of equal labels around the first point.
    - `polygon`: what lies between three points or more, by the even-odd rule.
    - `accept`: a proposal that was found right: a mask gives the class of each pixel, 255 for none;
      where objects are told apart, the place in `objects`, from 1, and 0 for none. It labels what
      has no label.
    - `merge` and `split`: objects that were made one, or two; likewise, over labels that are there.

    A mask is a PNG in base64, whose top-left corner is the first point. An object has one class:
    that of its last stroke.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    picture: str
    kind: StrokeKind
    class_id: ClassId | None = Field(default=None, alias="class")
    """None for `erase`, and where there is a mask."""
    object: ObjectNumber | None = None
    """None where objects are not told apart."""
    points: tuple[tuple[Coordinate, Coordinate], ...] = Field(min_length=1, max_length=MOST_POINTS)
    radius: float | None = Field(default=None, gt=0, le=10_000)
    locked: tuple[ClassId, ...] = ()
    """Classes whose labels stay as they are."""
    mask: str | None = None
    objects: tuple[tuple[ObjectNumber, ClassId], ...] = ()
    """What values of the mask mean, from 1; none: they are classes."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        is_masked = self.kind in MASKED
        has_class = not is_masked and self.kind != "erase"
        if (self.class_id is None) == has_class:
            raise ValueError(f"{self.kind} takes {'a' if has_class else 'no'} class")
        if (self.radius is None) == (self.kind in ("brush", "erase")):
            wants = "no radius" if self.radius is not None else "a radius"
            raise ValueError(f"{self.kind} takes {wants}")
        if (self.mask is None) == is_masked:
            raise ValueError(f"a mask belongs to {', '.join(MASKED)}, and to nothing else")
        if self.object is not None and not has_class:
            raise ValueError(f"{self.kind} takes no object")
        if self.objects and not is_masked:
            raise ValueError("a list of objects belongs to a mask")
        if self.kind == "polygon" and len(self.points) < 3:
            raise ValueError("a polygon has three points or more")
        return self

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """A stroke as a client sends it.

        Raises:
            InputError: something is missing or of another form; names the first such thing.
        """
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            reason = first["msg"].removeprefix("Value error, ")
            raise InputError(
                f"the stroke cannot be used: {f'{where}: ' if where else ''}{reason}"
            ) from error
