"""What project.json says: the task, the classes, and which encoder gives features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plainmask.errors import InputError
from plainmask.label.stroke import MOST_CLASSES
from plainmask.vocabulary import Color

BACKGROUND = 0
"""Where objects are told apart, the id of the class of all that is none."""
COLORS: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Of the first classes: Okabe and Ito's, which people who see colours differently tell apart."""
GREY: Color = (128, 128, 128)
"""Of the background."""

Kept = TypeVar("Kept", bound=BaseModel)
Channel8 = Annotated[int, Field(ge=0, le=255)]


LabelTask: TypeAlias = Literal["semantic", "instance"]
LABEL_TASKS: tuple[LabelTask, ...] = get_args(LabelTask)
"""What can be labelled: the class of each pixel, or objects."""


class LabelClass(BaseModel):
    """A class; its id is its place, and what label files hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    name: str = Field(min_length=1, max_length=100)
    color: tuple[Channel8, Channel8, Channel8]


class ProjectConfig(BaseModel):
    """project.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    task: LabelTask = "semantic"
    encoder: str
    """As it was given: a preset, or a path."""
    fingerprint: str
    head: str | None = None
    """What a decoder begins from: a name, or a folder; None: nothing."""
    classes: tuple[LabelClass, ...] = Field(default=(), max_length=MOST_CLASSES)

    @classmethod
    def begun(cls, task: LabelTask, encoder: str, fingerprint: str) -> Self:
        """A project in which there is nothing yet."""
        nothing = LabelClass(id=BACKGROUND, name="background", color=GREY)
        classes = (nothing,) if task == "instance" else ()
        return cls(task=task, encoder=encoder, fingerprint=fingerprint, classes=classes)

    @property
    def tells_objects(self) -> bool:
        """Whether pixels belong to objects, or are background."""
        return self.task == "instance"


def read_config(place: Path) -> ProjectConfig | None:
    """What stands in project.json; None: there is no project.

    Raises:
        InputError: it cannot be read.
    """
    return read_kept(place / "project.json", ProjectConfig)


def read_kept(path: Path, kind: type[Kept]) -> Kept | None:
    """What stands in a file of a project; None: there is no such file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(
            f"{path} cannot be read ({reason}); put back a copy, or name another --project"
        ) from error


def checked_class(place: int, name: str, color: Color) -> LabelClass:
    """A class as a person wants it.

    Raises:
        InputError: its name cannot be used.
    """
    try:
        return LabelClass(id=place, name=name.strip(), color=color)
    except ValidationError as error:
        first = error.errors()[0]
        where = first["loc"][0] if first["loc"] else "class"
        raise InputError(f"the {where} of a class cannot be used: {first['msg']}") from error
