"""A data set x a head -> figures. Metrics never see a tensor that the user would not get."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plainmask.data.files import shortened
from plainmask.data.reader import FORMATS, DataFormat, dataset_vocabulary
from plainmask.data.record import Record
from plainmask.errors import InputError, PlainmaskError
from plainmask.evaluation.measures import Measure, Rules, found_in
from plainmask.evaluation.report import Evaluation, only_labelled, without_annotation
from plainmask.evaluation.sharing import ALONE, Share
from plainmask.heads.head import HeadConfig
from plainmask.inference.segmenter import HeadSegmenter
from plainmask.result_files.images import ResultWriter, in_official_order
from plainmask.results.task import TASKS
from plainmask.vocabulary import Vocabulary

BLOCK = 8
"""Images that go to a process at a time."""

OnRecord = Callable[[int, int], None]
"""Called with (records done, records in all)."""


@dataclass
class _Part:
    """What was found out about some images."""

    measure: Measure
    per_image: dict[str, float | None] = field(default_factory=dict)
    rows: list[Any] = field(default_factory=list)
    """Of the JSON file among the result files."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why an image could not be looked at, by record id."""

    @property
    def done(self) -> int:
        """How many images were taken in hand."""
        return len(self.per_image) + len(self.failed)

    def add(self, other: _Part) -> None:
        self.measure.merge(other.measure)
        self.per_image |= other.per_image
        self.rows += other.rows
        self.failed |= other.failed


def evaluate(
    segmenter: HeadSegmenter[Any],
    records: Sequence[Record],
    *,
    rules: Rules | None = None,
    writer: ResultWriter | None = None,
    on_record: OnRecord | None = None,
    share: Share = ALONE,
) -> Evaluation:
    """Segment every record and compare.

    Args:
        segmenter: a head on its encoder, as `plainmask.load` gives it.
        records: images; read one at a time, and nothing of their pixels is kept. Those without
            annotation are left out, and so are those that fail; `protocol` says how many, and
            `failed` which and why.
        rules: of the figures; None: the official ones.
        writer: also writes result files.
        on_record: called after each record, of this process.
        share: of several processes, all of which call this; they get the same figures.

    Raises:
        InputError: no records, no record can be read, or nothing is labelled.
    """
    config = segmenter.head.config
    rules = rules or Rules()
    mine = share.of(_to_look_at(records))

    def look() -> _Part:
        parts = (_look_at(segmenter, [record], rules, writer) for record in mine)
        return _total(parts, config, rules, len(mine), on_record)

    return _summary(share.joined(look), records, config, rules, writer)


def evaluate_in_processes(
    open_segmenter: Callable[[int], HeadSegmenter[Any]],
    records: Sequence[Record],
    config: HeadConfig,
    *,
    processes: int,
    rules: Rules | None = None,
    writer: ResultWriter | None = None,
    on_record: OnRecord | None = None,
) -> Evaluation:
    """As `evaluate`, with the records shared out among processes; the figures are the same.

    Args:
        open_segmenter: called in each process with its number, from 0; can be pickled.
        records, rules, writer, on_record: as in `evaluate`.
        config: of the head that it opens.
        processes: how many.
    """
    labelled = _to_look_at(records)
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
    numbers = context.Queue()
    for number in range(processes):
        numbers.put(number)
    available = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = max(1, available // processes)
    setup = (open_segmenter, numbers, threads, rules or Rules(), writer)
    blocks = [labelled[first : first + BLOCK] for first in range(0, len(labelled), BLOCK)]
    with ProcessPoolExecutor(processes, context, _set_up, setup) as pool:
        parts = pool.map(_look_at_block, blocks)  # in the order of the records
        total = _total(parts, config, rules or Rules(), len(labelled), on_record)
    return _summary([total], records, config, rules or Rules(), writer)


def _to_look_at(records: Sequence[Record]) -> list[Record]:
    """The labelled records, in the order in which they count."""
    names = Counter(record.id for record in records)
    if len(names) < len(records):
        raise InputError(f"the image {names.most_common(1)[0][0]} is there more than once")
    return in_official_order(only_labelled(records))


def _look_at(
    segmenter: HeadSegmenter[Any],
    records: Iterable[Record],
    rules: Rules,
    writer: ResultWriter | None,
) -> _Part:
    """Segment, compare and write some records."""
    config = segmenter.head.config
    part = _Part(Measure(config.task, config.vocabulary, rules))
    for record in records:
        # By the official rules always: the others are about absent classes of a whole data set.
        alone = Measure(config.task, config.vocabulary, replace(rules, metrics="official"))
        try:
            result, segments = segmenter(record.image()), record.annotation()
            found = found_in(result)
            alone.update(found, segments)
        except (PlainmaskError, MemoryError, RuntimeError) as error:  # out of memory is the last
            part.failed[record.id] = str(error)
            continue
        part.measure.update(found, segments)
        part.per_image[record.id] = alone.metric.figures()[alone.main]
        if writer is not None:
            part.rows += writer.write(record, result)
    return part


_look: Callable[[Sequence[Record]], _Part]
"""In a process of `evaluate_in_processes`: what it does with a block."""


def _set_up(
    open_segmenter: Callable[[int], HeadSegmenter[Any]],
    numbers: Any,
    threads: int,
    rules: Rules,
    writer: ResultWriter | None,
) -> None:
    """Once in each process."""
    import torch

    global _look  # the pool gives its processes no other place to keep things
    torch.set_num_threads(threads)
    segmenter = open_segmenter(numbers.get())

    def look(records: Sequence[Record]) -> _Part:
        return _look_at(segmenter, records, rules, writer)

    _look = look


def _look_at_block(records: Sequence[Record]) -> _Part:
    return _look(records)


def _total(
    parts: Iterable[_Part],
    config: HeadConfig,
    rules: Rules,
    count: int,
    on_record: OnRecord | None,
) -> _Part:
    """Add the parts of so many records up as they come."""
    total = _Part(Measure(config.task, config.vocabulary, rules))
    for part in parts:
        before = total.done
        total.add(part)
        for done in range(before, total.done):
            if on_record:
                on_record(done + 1, count)
    return total


def _summary(
    parts: Iterable[_Part],
    records: Sequence[Record],
    config: HeadConfig,
    rules: Rules,
    writer: ResultWriter | None,
) -> Evaluation:
    """What the parts of the labelled ones among the records say together."""
    unlabelled = sum(not record.labelled for record in records)
    count = len(records) - unlabelled
    total = _total(parts, config, rules, count, None)
    if not total.per_image:
        name, reason = next(iter(total.failed.items()))
        raise InputError(f"none of the {count} images could be looked at; {name}: {reason}")
    if writer is not None:
        writer.finish(config.task, total.rows)
    if all(value is None for value in total.per_image.values()):
        objects = TASKS[config.task].objects
        what = "object is there" if objects else "pixel is labelled with a class"
        raise InputError(f"in the {len(total.per_image)} images no {what}")
    protocol = (
        f"input {config.input}, single scale; {total.measure.says}"
        + without_annotation(unlabelled, "images")
        + (f"; {len(total.failed)} images that failed left out" if total.failed else "")
    )
    figures = total.measure.metric.figures()
    found = Evaluation.of(figures, len(total.per_image), "images", protocol)
    return replace(found, per_image=total.per_image, failed=total.failed)


def label_vocabulary(
    own: Vocabulary, root: Path, format: DataFormat | None = None, split: str | None = None
) -> Vocabulary:
    """The classes of a head with the numbers and colours that they have in a data set's labels.

    A data set without `classes.json` is read with the numbers that the head was trained with.

    Args:
        own: the head's vocabulary; it decides on classes and their order.
        root: the folder of the data set.
        format, split: of the data set; None: nothing is known of its numbers.

    Raises:
        InputError: the data set's class table has other names; names the first difference. Or
            there is none, and the numbers of the format mean other classes.
    """
    path = root / "classes.json"
    if not path.is_file():
        if format is not None and FORMATS[format].numbered:
            _check_numbers(own, dataset_vocabulary(format, root, split), f"{root} ({format})")
        return own
    table = Vocabulary.load(path)
    by_name = {entry.name: entry for entry in table.classes}
    for name in own.names:
        if name not in by_name:
            raise InputError(
                f"{path} has no class {name!r}, which the head has; its classes are "
                f"{', '.join(own.names)}"
            )
    # Where objects are read from files that hold classes, too, what is none does not count.
    of_objects = format is not None and FORMATS[format].holds == "objects"
    counted = [entry.name for entry in table.classes if entry.thing or not of_objects]
    for name in counted:
        if name not in own.names:
            raise InputError(
                f"{path} has the class {name!r}, which the head does not know; its classes are "
                f"{', '.join(own.names)}. Values that should not count belong under ignore_values"
            )
    # The colours, too: label files may be coloured.
    classes = tuple(
        entry.model_copy(update={"file_id": there.file_id, "color": there.color})
        for entry in own.classes
        for there in (by_name[entry.name],)
    )
    return own.model_copy(update={"classes": classes, "ignore_values": table.ignore_values})


def _check_numbers(own: Vocabulary, table: Vocabulary, data: str) -> None:
    """Raise InputError unless the labels of a data set mean the classes of a head."""
    numbers = {entry.name: entry.file_id for entry in table.classes}
    shared = [entry for entry in own.classes if entry.name in numbers]
    if not shared:
        raise InputError(
            f"{data} and the head share no class: there it is {shortened(table.names, ', ')}, the "
            f"head knows {shortened(own.names, ', ')}; evaluate it on data with its classes"
        )
    for entry in shared:
        if entry.file_id != numbers[entry.name]:
            raise InputError(
                f"{data} labels the class {entry.name!r} as {numbers[entry.name]}, the head was "
                f"trained with {entry.file_id}; put a classes.json with the head's classes and "
                "their numbers in these labels into the folder"
            )
