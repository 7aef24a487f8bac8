"""Results against annotations: figures, and a page to look at."""

from typing import TYPE_CHECKING

from plainmask.public import resolver

if TYPE_CHECKING:
    from plainmask.evaluation.images import evaluate
    from plainmask.evaluation.measures import Rules
    from plainmask.evaluation.page import write_page
    from plainmask.evaluation.report import Evaluation
    from plainmask.evaluation.result_files import evaluate_results
    from plainmask.evaluation.sharing import Share
    from plainmask.evaluation.videos import evaluate_videos

__all__ = [
    "Evaluation",
    "Rules",
    "Share",
    "evaluate",
    "evaluate_results",
    "evaluate_videos",
    "write_page",
]

__getattr__ = resolver(
    __name__,
    {
        "Evaluation": "evaluation.report",
        "Rules": "evaluation.measures",
        "Share": "evaluation.sharing",
        "evaluate": "evaluation.images",
        "evaluate_results": "evaluation.result_files",
        "evaluate_videos": "evaluation.videos",
        "write_page": "evaluation.page",
    },
)
