"""VIPSeg: panoptic video, as PNGs of segment ids and one JSON file that lists the segments.

    FOLDER/VIDEO/FRAME.png    id = R + 256 G + 65536 B, 0 for none
    FILE.json                 {"annotations": [{"video_id", "annotations": [{"file_name",
                              "segments_info": [{"id", "category_id"}]}]}]}

Results are in `pan_pred` and `pred.json`; of the annotation see `data.vipseg`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from plainmask.data.coco_json import Text, category_vocabulary, read_json, repeated
from plainmask.data.coco_panoptic import SegmentInfo
from plainmask.data.files import file_problem, refuse
from plainmask.data.vipseg import class_problems, list_vipseg
from plainmask.errors import InputError
from plainmask.result_files.panoptic_maps import PanopticFrame, panoptic_segments
from plainmask.vocabulary import Vocabulary

_RESULT_JSON = "pred.json"
_RESULT_MAPS = "pan_pred"


_Infos: TypeAlias = tuple[SegmentInfo, ...]


@dataclass(frozen=True, slots=True)
class _Frame:
    segments_info: _Infos = ()
    file_name: str = ""


@dataclass(frozen=True, slots=True)
class _Video:
    video_id: Text
    annotations: tuple[_Frame, ...]


@dataclass(frozen=True, slots=True)
class _File:
    annotations: tuple[_Video, ...]


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
    listed = list_vipseg(root, split or "val")
    vocabulary = category_vocabulary(listed.categories, listed.path)
    problems = listed.problems
    videos: dict[str, list[PanopticFrame]] = {}
    for name, frames in listed.videos.items():
        videos[name] = []
        for frame in frames:
            if frame.segments is None:
                problems.append(f"video {name} has no annotation of its image {frame.image_id}")
                continue
            target, found = _frame(frame.png_path, frame.segments, vocabulary, annotation=True)
            problems += found
            videos[name].append(target)
    rule = "these entries are wrong; correct them, or get the files again"
    refuse(listed.path, rule, problems)
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
    given = {entry.video_id: entry.annotations for entry in content.annotations}
    problems += [f"video {name} is unknown" for name in given if name not in targets.videos]
    vocabulary = targets.vocabulary
    names = {entry.file_id: entry.name for entry in vocabulary.classes}
    results: dict[str, list[PanopticFrame]] = {}
    for name, frames in targets.videos.items():
        if name not in given:
            problems.append(f"video {name} is missing")
            continue
        ordered, found = _ordered(name, given[name], [frame.png_path.stem for frame in frames])
        problems += found
        results[name] = []
        for stem, infos in ordered.items():
            result, found = _frame(folder / name / f"{stem}.png", infos, vocabulary)
            problems += found
            results[name].append(result)
        problems += class_problems(name, ordered.items(), names)
    refuse(json_path, "these results do not fit the annotation", problems)
    return results


def _ordered(
    video: str, entries: Sequence[_Frame], stems: Sequence[str]
) -> tuple[dict[str, _Infos], list[str]]:
    """The segments of each frame of the annotation; and the frames that are not in both.

    Names decide; frames without names are in the order of the annotation.
    """
    if not any(entry.file_name for entry in entries):
        if len(entries) == len(stems):
            infos = (entry.segments_info for entry in entries)
            return dict(zip(stems, infos, strict=True)), []
        return {}, [f"video {video} has {len(entries)} frames, the annotation {len(stems)}"]
    names = [Path(entry.file_name).stem for entry in entries]
    by_name = {name: entry.segments_info for name, entry in zip(names, entries, strict=True)}
    problems = repeated(names, f"video {video}: frame")
    problems += [f"video {video}: frame {stem} is missing" for stem in stems if stem not in by_name]
    known = set(stems)
    problems += [f"video {video}: frame {name} is unknown" for name in by_name if name not in known]
    return {stem: by_name.get(stem, ()) for stem in stems}, problems


def _frame(
    png_path: Path, infos: _Infos, vocabulary: Vocabulary, *, annotation: bool = False
) -> tuple[PanopticFrame, list[str]]:
    """A frame with its segments, and what is wrong with them or with its PNG."""
    where = f"{png_path.parent.name}/{png_path.name}"
    segments, problems = panoptic_segments(infos, where, vocabulary, annotation=annotation)
    missing = file_problem(png_path)
    return PanopticFrame(png_path, segments), [*([missing] if missing else []), *problems]
