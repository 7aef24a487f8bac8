"""A data set x a Segmenter -> figures. Metrics never see a tensor that the user would not get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainmask.data.record import Record, Segments
from plainmask.errors import InputError
from plainmask.evaluation import Evaluation
from plainmask.metrics.miou import MeanIoU
from plainmask.segmenter import Segmenter
from plainmask.vocabulary import Vocabulary

IGNORE = -1
"""In target maps: no class; no class id, however many there are."""


def evaluate(
    segmenter: Segmenter,
    records: Sequence[Record],
    *,
    on_record: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Segment every record with the only head of `segmenter` and compare.

    Args:
        segmenter: with one head, of a semantic task.
        records: read one at a time; nothing but the confusion matrix is kept.
        on_record: called with (records done, records in all) after each.

    Raises:
        InputError: no records, several heads, another task, a record that cannot be read, or no
            labelled pixel in all of them.
    """
    if len(segmenter.heads) != 1:
        raise InputError(f"one head is evaluated at a time, not {len(segmenter.heads)}")
    if not records:
        raise InputError("there are no images to evaluate on")
    (head,) = segmenter.heads.values()
    config = head.config
    if config.task != "semantic":
        raise InputError(
            f"{config.name!r} is a head for {config.task} segmentation, whose evaluation comes "
            "with a later version; this one evaluates semantic heads"
        )
    metric = MeanIoU(config.vocabulary.names, ignore=IGNORE)
    for done, record in enumerate(records, 1):
        result = segmenter(record.image())
        metric.update(result.label_map, target_map(record.segments()))
        if on_record:
            on_record(done, len(records))
    figures = metric.figures()
    if figures["mIoU"] is None:
        raise InputError(f"in the {len(records)} images no pixel is labelled with a class")
    return Evaluation(
        figures={"mIoU": figures["mIoU"]},
        per_class=figures["per_class"],
        count=len(records),
        unit="images",
        protocol=(
            f"input {config.input}, single scale, labels at image resolution; "
            f"mIoU over classes that occur, void left out ({metric.rule} rule)"
        ),
    )


def target_map(segments: Segments) -> NDArray[np.int64]:
    """(H, W) class ids of a semantic annotation, `IGNORE` where there is none.

    Raises:
        InputError: its segments overlap.
    """
    return np.append(segments.class_ids, IGNORE)[segments.index_map]


def label_vocabulary(own: Vocabulary, root: Path) -> Vocabulary:
    """The classes of a head with the numbers that they have in the label files of a data set.

    A data set without `classes.json` is read with the numbers that the head was trained with.

    Args:
        own: the head's vocabulary; it decides on classes and their order.
        root: the folder of the data set.

    Raises:
        InputError: the data set's class table has other names; names the first difference.
    """
    path = root / "classes.json"
    if not path.is_file():
        return own
    table = Vocabulary.load(path)
    file_ids = {entry.name: entry.file_id for entry in table.classes}
    for name in own.names:
        if name not in file_ids:
            raise InputError(
                f"{path} has no class {name!r}, which the head has; its classes are "
                f"{', '.join(own.names)}"
            )
    for name in table.names:
        if name not in own.names:
            raise InputError(
                f"{path} has the class {name!r}, which the head does not know; its classes are "
                f"{', '.join(own.names)}. Values that should not count belong under ignore_values"
            )
    classes = tuple(
        entry.model_copy(update={"file_id": file_ids[entry.name]}) for entry in own.classes
    )
    return own.model_copy(update={"classes": classes, "ignore_values": table.ignore_values})
