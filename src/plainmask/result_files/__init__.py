"""Official result files of video benchmarks, read and checked, with the annotation they belong to.

One module a format. Only what is scored is read: no pictures are needed, and annotations are taken
as the official tools take them, with stated areas and in the order of the file. No torch here.
"""

from typing import TYPE_CHECKING

from plainmask.public import resolver

if TYPE_CHECKING:
    from plainmask.result_files.images import ResultWriter

__all__ = [
    "ResultWriter",
]

__getattr__ = resolver(
    __name__,
    {
        "ResultWriter": "result_files.images",
    },
)
