"""Official result files x the annotation of a data set -> figures. No model and no torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from plainmask.data.guess import image_format
from plainmask.data.reader import FORMATS, DataFormat
from plainmask.data.video_folder import holds_one_mask
from plainmask.errors import InputError
from plainmask.evaluation.image_result_files import evaluate_image_results
from plainmask.evaluation.measures import Rules
from plainmask.evaluation.report import Evaluation
from plainmask.evaluation.video_measures import (
    CONFIDENT,
    InstanceVideos,
    PanopticVideos,
    SemanticVideos,
)
from plainmask.metrics.jf import RegionBoundary
from plainmask.result_files.label_maps import (
    LabelFrame,
    find_object_frames,
    find_vspw_frames,
    read_class_maps,
    read_object_maps,
)
from plainmask.result_files.panoptic_maps import read_result_map, read_target_map
from plainmask.result_files.vipseg import (
    find_panoptic_results,
    read_panoptic_results,
    read_panoptic_targets,
)
from plainmask.result_files.youtube_vis import (
    find_track_targets,
    read_track_results,
    read_track_targets,
)
from plainmask.results.task import ImageResultFormat
from plainmask.vocabulary import Vocabulary

ResultFormat: TypeAlias = Literal["youtube_vis", "vipseg", "vspw", "davis"] | ImageResultFormat
OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with what is done and what there is in all: videos of tracks, frames of the others."""


def evaluate_results(
    files: Sequence[str | Path],
    data: str | Path,
    split: str | None = None,
    *,
    format: ResultFormat | None = None,
    data_format: DataFormat | None = None,
    rules: Rules | None = None,
    unsupervised: bool = False,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Compare result files with the annotation of a data set, by the rules of its benchmark.

    Args:
        files: one result: YouTube-VIS or OVIS: JSON files, whose entries are taken together;
            VIPSeg: the folder with `pred.json` and `pan_pred`, or these two; VSPW and DAVIS: the
            folder with a folder of PNGs for each video. Of images, see `evaluate_image_results`.
        data: the folder of the data set; of YouTube-VIS also the annotation file itself.
        split: such as val; None: the one on which the benchmark is mostly measured.
        format: of the results; None: told from the files.
        data_format, rules: of images, see `evaluate_image_results`.
        unsupervised: DAVIS: the objects of results have numbers of their own.
        on_progress: called after each video or frame.

    Raises:
        InputError: files are missing or damaged, or do not fit the annotation.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise InputError("there is no result file; give at least one")
    for path in (*paths, Path(data)):
        if not path.exists():
            raise InputError(f"{path} is not there; check the path")
    report = on_progress or (lambda done, total: None)
    match format or guess_result_format(paths, Path(data)):
        case "coco_instances" | "coco_panoptic" | "label_pictures" as form:
            return evaluate_image_results(
                paths,
                Path(data),
                split,
                form,
                data_format=data_format,
                rules=rules,
                report=report,
            )
        case "youtube_vis":
            return _youtube_vis(paths, Path(data), split, report)
        case "vipseg":
            return _vipseg(paths, Path(data), split, report)
        case "vspw":
            return _vspw(_only(paths), Path(data), split, report)
        case "davis":
            return _davis(_only(paths), Path(data), split, unsupervised, report)


def guess_result_format(paths: Sequence[Path], data: Path) -> ResultFormat:
    """Tell the format of a result from its files, and of label maps from the data set.

    Raises:
        InputError: it is none of those that can be evaluated.
    """
    first = paths[0]
    if any((path / "pred.json").is_file() for path in paths):
        return "vipseg"
    if first.is_file():
        if first.suffix.lower() != ".json":
            raise InputError(f"{first} is no JSON file; {_ACCEPTED}")
        beginning = _beginning(first)
        if beginning.startswith(b"["):
            is_empty = beginning[1:].lstrip().startswith(b"]")  # nothing was found
            is_image = _holds_images(data) if is_empty else b'"image_id"' in beginning
            return "coco_instances" if is_image else "youtube_vis"
        return "vipseg" if b'"video_id"' in beginning else "coco_panoptic"
    if any(data.glob("panoptic_gt_*.json")):
        return "vipseg"
    if any(data.glob("data/*/mask")):
        return "vspw"
    if _holds_images(data):
        return "label_pictures"
    if any(data.glob("Annotations*")) or (data / "labels").is_dir() or (data / "masks").is_dir():
        return "davis"
    raise InputError(f"{data} has no annotation that {first} could belong to; {_ACCEPTED}")


_ACCEPTED = (
    "results are a JSON list (COCO, YouTube-VIS, OVIS), a JSON file with a folder of PNGs (COCO "
    "panoptic; pred.json and pan_pred of VIPSeg), or a folder of NAME.png (semantic) or "
    "VIDEO/FRAME.png (VSPW, DAVIS)"
)
_BEGINNING = 1 << 20
"""Bytes of a JSON file that are looked at; one entry may have long masks."""


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BEGINNING).lstrip(b"\xef\xbb\xbf \t\r\n")


def _holds_images(data: Path) -> bool:
    """Whether a folder holds images with labels, not videos."""
    try:
        return not FORMATS[image_format("semantic", data)].of_videos
    except InputError:
        return False


def _only(paths: Sequence[Path]) -> Path:
    if len(paths) > 1 or not paths[0].is_dir():
        raise InputError(
            f"results of this kind are one folder of VIDEO/FRAME.png, not "
            f"{', '.join(map(str, paths))}"
        )
    return paths[0]


def _youtube_vis(
    paths: Sequence[Path], data: Path, split: str | None, report: OnProgress
) -> Evaluation:
    lists = {
        name: read_track_targets(path) for name, path in find_track_targets(data, split).items()
    }
    targets = list(lists.values())
    results = read_track_results(paths, targets)
    measure = InstanceVideos(targets[0].vocabulary, lists=[*lists])
    videos = [(name, part, video) for name, part in lists.items() for video in part.videos]
    for done, (name, part, video) in enumerate(videos, 1):
        found, wanted = results.get(video, ()), part.tracks.get(video, ())
        measure.update(found, wanted, video=video, list=name)
        report(done, len(videos))
    apart = f"; means over the lists {' and '.join(lists)}, which are evaluated apart"
    protocol = (
        "YouTube-VIS rules: COCO's procedure on tracks, sizes by mean area, at most 100 tracks of "
        f"a class in a video{apart if len(lists) > 1 else ''}; per class: AP; identity figures of "
        f"tracks with a score of {CONFIDENT} or more"
    )
    return Evaluation.of(measure.figures(), len(videos), "videos", protocol)


def _vipseg(paths: Sequence[Path], data: Path, split: str | None, report: OnProgress) -> Evaluation:
    targets = read_panoptic_targets(data, split)
    results = read_panoptic_results(*find_panoptic_results(paths), targets)
    measure = PanopticVideos(targets.vocabulary)
    frames = [
        (video, *pair)
        for video, wanted in targets.videos.items()
        for pair in zip(wanted, results[video], strict=True)
    ]
    for done, (video, target_frame, result_frame) in enumerate(frames, 1):
        target = read_target_map(target_frame)
        found = read_result_map(result_frame, target.size)
        measure.update(found, target, video=video)
        report(done, len(frames))
    protocol = (
        "VIPSeg rules: VPQ is the mean over windows of 1, 2, 4, 6 and 8 frames, per class too; "
        "STQ counts every thing and only classes, STQ_published is what the published script "
        "prints (a thing that is listed first is lost, void is a class); identity figures of things"
    )
    return Evaluation.of(measure.figures(), len(targets.videos), "videos", protocol)


def _vspw(folder: Path, data: Path, split: str | None, report: OnProgress) -> Evaluation:
    vocabulary = Vocabulary.load("vspw")
    frames = find_vspw_frames(data, split, folder)
    measure = SemanticVideos(vocabulary, "vspw")
    for done, frame in enumerate(frames, 1):
        measure.update(*read_class_maps(frame, vocabulary), video=frame.video)
        report(done, len(frames))
    protocol = (
        "VSPW rules: mIoU over classes of the annotation; mVC over all windows of all videos; "
        "mVC16_published is what the published script prints (with the windows of 8 frames); "
        "mVC_by_video: the mean over videos; per class: IoU"
    )
    return Evaluation.of(measure.figures(), _videos_of(frames), "videos", protocol)


def _davis(
    folder: Path, data: Path, split: str | None, unsupervised: bool, report: OnProgress
) -> Evaluation:
    frames = find_object_frames(data, split, folder, unsupervised=unsupervised)
    one_mask = holds_one_mask(frames[0].target_path)
    metric = RegionBoundary(protocol="unsupervised" if unsupervised else "semi-supervised")
    for done, frame in enumerate(frames, 1):
        result, target = read_object_maps(frame, one_mask=one_mask)
        try:
            metric.update(result, target, video=frame.video)
        except InputError as cause:
            raise InputError(f"{frame.result_path}: {cause}") from cause
        report(done, len(frames))
    protocol = f"DAVIS rules, {metric.protocol}; means over objects; per object: (J + F) / 2"
    return Evaluation.of(metric.figures(), _videos_of(frames), "videos", protocol)


def _videos_of(frames: Sequence[LabelFrame]) -> int:
    return len({frame.video for frame in frames})
