"""Labelled pictures and videos read as records, looked over and converted; a file each format."""

from typing import TYPE_CHECKING

from plainmask.public import resolver

if TYPE_CHECKING:
    from plainmask.data.check import check_dataset
    from plainmask.data.convert import convert_dataset
    from plainmask.data.guess import guess_format
    from plainmask.data.reader import read_dataset
    from plainmask.data.record import Annotation, Record, group_videos
    from plainmask.data.sheets import contact_sheet

__all__ = [
    "Annotation",
    "Record",
    "check_dataset",
    "contact_sheet",
    "convert_dataset",
    "group_videos",
    "guess_format",
    "read_dataset",
]

__getattr__ = resolver(
    __name__,
    {
        "Record": "data.record",
        "Annotation": "data.record",
        "check_dataset": "data.check",
        "contact_sheet": "data.sheets",
        "convert_dataset": "data.convert",
        "group_videos": "data.record",
        "guess_format": "data.guess",
        "read_dataset": "data.reader",
    },
)
