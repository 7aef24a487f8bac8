"""From any file to one array, and from the array to the model's pixels and back."""

from typing import TYPE_CHECKING

from plainmask.public import resolver

if TYPE_CHECKING:
    from plainmask.pictures.images import read_image

__all__ = [
    "read_image",
]

__getattr__ = resolver(
    __name__,
    {
        "read_image": "pictures.images",
    },
)
