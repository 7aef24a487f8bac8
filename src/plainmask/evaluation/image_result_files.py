"""Official result files of images x the annotation of a data set -> figures. No model here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from plainmask.data.guess import image_format
from plainmask.data.reader import DataFormat, dataset_vocabulary, read_dataset
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.evaluation.measures import Measure, Pairs, Rules
from plainmask.evaluation.report import Evaluation
from plainmask.result_files.images import (
    image_name,
    in_official_order,
    instances_of,
    read_instance_results,
    read_label_picture,
    read_panoptic_images,
)
from plainmask.result_files.panoptic_maps import read_result_map
from plainmask.results.task import TASKS, ImageResultFormat, Task
from plainmask.vocabulary import Vocabulary


def evaluate_image_results(
    paths: Sequence[Path],
    data: Path,
    split: str | None,
    form: ImageResultFormat,
    *,
    data_format: DataFormat | None = None,
    rules: Rules | None = None,
    report: Callable[[int, int], None],
) -> Evaluation:
    """Compare result files with the annotation of a data set of images.

    Args:
        paths: COCO instances: JSON files, whose entries are taken together; COCO panoptic: the
            JSON file beside its folder of PNGs; label pictures: their folder.
        data: the folder of the data set.
        split: such as val; None: val, where the format needs one.
        form: of the results.
        data_format: of the data set; None: guessed.
        rules: of the figures; None: the official ones.
        report: called with pictures done and in all.

    Raises:
        InputError: files are missing or damaged, or do not fit the annotation.
    """
    task: Task = next(task for task, traits in TASKS.items() if traits.image_results == form)
    chosen = data_format or image_format(task, data)
    split = split or ("val" if chosen.startswith("coco") else None)
    vocabulary = dataset_vocabulary(chosen, data, split)
    records = read_dataset(chosen, data, split, vocabulary)
    read = {
        "coco_instances": _instances,
        "coco_panoptic": _panoptic,
        "label_pictures": _labels,
    }[form]
    measure = Measure(task, vocabulary, rules or Rules())
    for done, (found, segments) in enumerate(read(paths, records, vocabulary), 1):
        measure.update(found, segments)
        report(done, len(records))
    protocol = f"{form}; {measure.says}"
    return Evaluation.of(measure.metric.figures(), len(records), "images", protocol)


def _instances(paths: Sequence[Path], records: Sequence[Record], vocabulary: Vocabulary) -> Pairs:
    entries = read_instance_results(paths, records, vocabulary)
    for record in in_official_order(records):
        segments = record.annotation()
        mine = entries.get(str(image_name(record)), [])
        try:
            found = instances_of(mine, segments.size, vocabulary)
        except InputError as cause:
            names = ", ".join(map(str, paths))
            raise InputError(f"{names}, image {image_name(record)}: {cause}") from cause
        yield found, segments


def _panoptic(paths: Sequence[Path], records: Sequence[Record], vocabulary: Vocabulary) -> Pairs:
    files = [path for path in paths if path.is_file()]
    folders = [path for path in paths if path.is_dir()]
    if len(files) != 1 or len(folders) > 1:
        raise InputError(
            "a panoptic result is one JSON file, and its folder of PNGs unless that is called like "
            f"the file; not {', '.join(map(str, paths))}"
        )
    folder = folders[0] if folders else files[0].with_suffix("")
    pictures = read_panoptic_images(files[0], folder, records, vocabulary)
    for record in records:
        segments = record.annotation()
        yield read_result_map(pictures[str(image_name(record))], segments.size), segments


def _labels(paths: Sequence[Path], records: Sequence[Record], vocabulary: Vocabulary) -> Pairs:
    if len(paths) != 1:
        raise InputError(f"a semantic result is one folder, not {', '.join(map(str, paths))}")
    folder = paths[0]
    missing = [f"{r.id}.png" for r in records if not (folder / f"{r.id}.png").is_file()]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of {len(records)} results, such as {missing[0]}; each "
            "picture needs one PNG of its name"
        )
    for record in records:
        segments = record.annotation()
        path = folder / f"{record.id}.png"
        yield read_label_picture(path, segments.size, vocabulary), segments
