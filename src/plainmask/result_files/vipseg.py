"""VIPSeg: panoptic video, as PNGs of segment ids and one JSON file that lists the segments.

    FOLDER/VIDEO/FRAME.png    id = R + 256 G + 65536 B, 0 for none
    FILE.json                 {"annotations": [{"video_id", "annotations": [{"file_name",
                              "segments_info": [{"id", "category_id"}]}]}]}

The annotation has the same form, in `panomasksRGB` and `panoptic_gt_VIPSeg_SPLIT.json`; results
are in `pan_pred` and `pred.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plainmask.data.coco_json import Category, category_vocabulary, read_json, repeated
from plainmask.data.coco_panoptic import read_color_ids
from plainmask.data.files import file_problem, find_file, refuse
from plainmask.errors import InputError
from plainmask.metrics.panoptic_map import MAX_ID, PanopticMap, Region
from plainmask.vocabulary import Vocabulary

_JSON = ("panoptic_gt_VIPSeg_{split}.json", "panoptic_gt_{split}.json")
_MAPS = "panomasksRGB"
_RESULT_JSON = "pred.json"
_RESULT_MAPS = "pan_pred"


@dataclass(frozen=True, slots=True)
class _Info:
    id: int
    category_id: int
    iscrowd: bool = False
    area: float | None = None


@dataclass(frozen=True, slots=True)
class _Image:
    id: int | str
    file_name: str


@dataclass(frozen=True, slots=True)
class _Video:
    video_id: int | str
    images: tuple[_Image, ...]


@dataclass(frozen=True, slots=True)
class _Frame:
    segments_info: tuple[_Info, ...] = ()
    image_id: int | str | None = None
    file_name: str = ""


@dataclass(frozen=True, slots=True)
class _Annotation:
    video_id: int | str
    annotations: tuple[_Frame, ...]


@dataclass(frozen=True, slots=True)
class _File:
    annotations: tuple[_Annotation, ...]
    videos: tuple[_Video, ...] = ()
    categories: tuple[Category, ...] = ()


@dataclass(frozen=True)
class PanopticFrame:
    """One frame, not decoded yet."""

    png_path: Path
    regions: tuple[Region, ...]
    """In the order of the file."""


@dataclass(frozen=True, eq=False)
class PanopticTargets:
    """The annotation of a set of videos."""

    vocabulary: Vocabulary
    """By ascending category id."""
    videos: Mapping[str, Sequence[PanopticFrame]]
    """By name, in the order of the file."""


def read_panoptic_targets(root: str | Path, split: str | None) -> PanopticTargets:
    """Read the list of the annotation; PNGs are not decoded yet.

    Args:
        root: the folder `VIPSeg_720P`.
        split: such as val, which is the default.

    Raises:
        InputError: the file or PNGs are missing, or something in it is wrong (one error for all).
    """
    root = Path(root)
    candidates = [place.format(split=split or "val") for place in _JSON]
    path = find_file(root, candidates, "panoptic annotations")
    content = read_json(path, _File)
    vocabulary = category_vocabulary(content.categories, path)
    problems = repeated([video.video_id for video in content.videos], "video id")
    problems += [] if content.videos else ["it lists no videos"]
    listed = {str(entry.video_id): entry.annotations for entry in content.annotations}
    videos: dict[str, list[PanopticFrame]] = {}
    for video in content.videos:
        name = str(video.video_id)
        infos_of = {str(frame.image_id): frame.segments_info for frame in listed.get(name, ())}
        videos[name] = []
        for image in video.images:
            infos = infos_of.get(str(image.id))
            if infos is None:
                problems.append(f"video {name} has no annotation of its image {image.id}")
                continue
            png_path = root / _MAPS / name / f"{Path(image.file_name).stem}.png"
            problems += [problem] if (problem := file_problem(png_path)) else []
            where = f"{name}/{png_path.name}"
            regions, found = _regions(infos, where, vocabulary, annotation=True)
            problems += found
            videos[name].append(PanopticFrame(png_path, regions))
    refuse(path, "these entries are wrong; correct them, or get the files again", problems)
    return PanopticTargets(vocabulary, videos)


def find_panoptic_results(paths: Sequence[Path]) -> tuple[Path, Path]:
    """The JSON file and the folder of PNGs of a result.

    Args:
        paths: the folder with `pred.json` and `pan_pred`, or either of these, or both.

    Raises:
        InputError: one of the two is not there.
    """
    files = [path for path in paths if path.is_file()]
    folders = [path for path in paths if path.is_dir()]
    if len(files) > 1 or len(folders) > 1:
        raise InputError(
            f"a panoptic video result is one JSON file and one folder of PNGs, not "
            f"{', '.join(map(str, paths))}"
        )
    around = [*folders, *(path.parent for path in (*files, *folders))]
    jsons = [*files, *(path / _RESULT_JSON for path in around)]
    maps = [*(path / _RESULT_MAPS for path in around), *folders]
    json_path = next((path for path in jsons if path.is_file()), None)
    folder = next((path for path in maps if path.is_dir()), None)
    if json_path is None or folder is None:
        missing = _RESULT_JSON if json_path is None else f"the folder {_RESULT_MAPS}"
        raise InputError(
            f"{paths[0]}: {missing} is not in or beside it; a panoptic video result is the "
            f"file {_RESULT_JSON} and the folder {_RESULT_MAPS}/VIDEO/FRAME.png"
        )
    return json_path, folder


def read_panoptic_results(
    json_path: Path, folder: Path, targets: PanopticTargets
) -> dict[str, list[PanopticFrame]]:
    """Read the list of a result; PNGs are not decoded yet.

    Args:
        json_path: the list of segments.
        folder: with a folder of PNGs for each video.
        targets: what it belongs to.

    Returns:
        the frames by video, in the order of the annotation.

    Raises:
        InputError: videos or frames are missing or unknown, categories are unknown, or an id
            stands for several classes in one video (one error for all of it).
    """
    content = read_json(json_path, _File)
    problems = repeated([entry.video_id for entry in content.annotations], "video id")
    given = {str(entry.video_id): entry.annotations for entry in content.annotations}
    problems += [f"video {name} is unknown" for name in given if name not in targets.videos]
    results: dict[str, list[PanopticFrame]] = {}
    for name, frames in targets.videos.items():
        if name not in given:
            problems.append(f"video {name} is missing")
            continue
        ordered, found = _ordered(name, given[name], [frame.png_path.stem for frame in frames])
        problems += found
        results[name] = []
        for frame, entry in zip(frames, ordered, strict=False):
            png_path = folder / name / frame.png_path.name
            problems += [problem] if (problem := file_problem(png_path)) else []
            where = f"{name}/{png_path.name}"
            regions, wrong = _regions(entry.segments_info, where, targets.vocabulary)
            problems += wrong
            results[name].append(PanopticFrame(png_path, regions))
        problems += _class_problems(name, results[name], targets.vocabulary)
    refuse(json_path, "these results do not fit the annotation", problems)
    return results


def read_target_map(frame: PanopticFrame) -> PanopticMap:
    """Decode a frame of the annotation; ids that are not listed are void.

    Raises:
        InputError: the PNG cannot be read.
    """
    return PanopticMap.from_ids(read_color_ids(frame.png_path), frame.regions, others_are_void=True)


def read_result_map(frame: PanopticFrame, size: tuple[int, int]) -> PanopticMap:
    """Decode a frame of a result.

    Args:
        frame: the frame.
        size: (H, W) of the annotation.

    Raises:
        InputError: the PNG cannot be read, has another size, or does not hold the very ids that
            are listed for it.
    """
    ids = read_color_ids(frame.png_path)
    if ids.shape != size:
        raise InputError(
            f"{frame.png_path} is {ids.shape} high and wide, the annotation {size}; save results "
            "in the size of the annotation"
        )
    try:
        found = PanopticMap.from_ids(ids, frame.regions)
    except InputError as cause:
        raise InputError(f"{frame.png_path}: {cause}") from cause
    absent = found.ids[found.areas == 0]
    if absent.size:
        raise InputError(
            f"{frame.png_path}: the JSON file lists the id {absent[0]} for it, which no pixel has; "
            "list only segments that can be seen in the frame"
        )
    return found


def _ordered(
    video: str, entries: Sequence[_Frame], stems: Sequence[str]
) -> tuple[list[_Frame], list[str]]:
    """The frames of a result in the order of the annotation; and those that are not in both.

    Names decide; frames without names are in the order of the annotation.
    """
    if not any(entry.file_name for entry in entries):
        if len(entries) == len(stems):
            return list(entries), []
        return [], [f"video {video} has {len(entries)} frames, the annotation {len(stems)}"]
    names = [Path(entry.file_name).stem for entry in entries]
    by_name = dict(zip(names, entries, strict=True))
    problems = repeated(names, f"video {video}: frame")
    problems += [f"video {video}: frame {stem} is missing" for stem in stems if stem not in by_name]
    known = set(stems)
    problems += [f"video {video}: frame {name} is unknown" for name in by_name if name not in known]
    return [by_name.get(stem, _Frame()) for stem in stems], problems


def _regions(
    infos: Sequence[_Info], where: str, vocabulary: Vocabulary, *, annotation: bool = False
) -> tuple[tuple[Region, ...], list[str]]:
    """The segments of a frame, and what is wrong with them.

    An id may be listed several times for one class, as some tools do for stuff.
    """
    class_of = vocabulary.by_file_id
    regions: dict[int, Region] = {}
    problems: list[str] = []
    for info in infos:
        class_id = class_of.get(info.category_id)
        if class_id is None:
            problems.append(f"{where}: category {info.category_id} of segment {info.id} is unknown")
            continue
        if not 0 < info.id <= MAX_ID:
            problems.append(f"{where}: {info.id} is no segment id; they are 1..{MAX_ID}")
            continue
        # A result is measured by its pixels, and knows no crowds.
        area = int(info.area) if annotation and info.area is not None else None
        before = regions.get(info.id)
        if before is not None:
            area = None if area is None or before.area is None else before.area + area
            if before.class_id != class_id:
                problems.append(f"{where}: segment {info.id} is listed for two categories")
        regions[info.id] = Region(info.id, class_id, annotation and info.iscrowd, area)
    return tuple(regions.values()), problems


def _class_problems(
    video: str, frames: Sequence[PanopticFrame], vocabulary: Vocabulary
) -> list[str]:
    """One line per id that stands for several classes in a video."""
    classes: dict[int, dict[int, str]] = {}
    for frame in frames:
        for region in frame.regions:
            classes.setdefault(region.id, {}).setdefault(region.class_id, frame.png_path.stem)
    return [
        f"video {video}: the id {key} is "
        + " and ".join(f"{vocabulary.names[c]} in frame {stem}" for c, stem in found.items())
        + "; an id stands for one object"
        for key, found in classes.items()
        if len(found) > 1
    ]
