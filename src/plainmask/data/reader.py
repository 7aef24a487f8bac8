"""One door to all readers: a data set by the name of its format.

A new format is one file, one name in `DataFormat` and one row in `_FORMATS`; and what tells it from
others in `guess_format`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

from plainmask.data.ade20k import (
    ade20k_splits,
    has_ade20k_objects,
    looks_like_ade20k,
    read_ade20k,
)
from plainmask.data.camvid_clips import read_camvid_clips
from plainmask.data.cityscapes import (
    cityscapes_panoptic_splits,
    cityscapes_splits,
    looks_like_cityscapes,
    read_cityscapes,
    read_cityscapes_panoptic,
)
from plainmask.data.coco_instances import (
    coco_instances_splits,
    coco_instances_vocabulary,
    read_coco_instances,
)
from plainmask.data.coco_json import read_json
from plainmask.data.coco_panoptic import (
    coco_panoptic_splits,
    coco_panoptic_vocabulary,
    read_coco_panoptic,
)
from plainmask.data.files import pictures_below, subfolders
from plainmask.data.label_folder import (
    label_folder_splits,
    label_folder_vocabulary,
    read_label_folder,
)
from plainmask.data.record import Record
from plainmask.data.video_folder import (
    read_video_folder,
    video_folder_splits,
    video_folder_vocabulary,
)
from plainmask.data.vipseg import read_vipseg, vipseg_splits
from plainmask.data.voc import looks_like_voc, read_voc, voc_splits, voc_vocabulary
from plainmask.data.vspw import read_vspw, vspw_splits
from plainmask.data.yolo import looks_like_yolo, read_yolo, yolo_splits, yolo_vocabulary
from plainmask.data.yolo_table import YAML_NAMES, find_yaml
from plainmask.data.youtube_vis import (
    read_youtube_vis,
    youtube_vis_splits,
    youtube_vis_vocabulary,
)
from plainmask.errors import InputError
from plainmask.pictures.archive import is_file, is_folder
from plainmask.vocabulary import Vocabulary

DataFormat = Literal[
    "label_folder",
    "camvid_clips",
    "youtube_vis",
    "coco_panoptic",
    "coco_instances",
    "ade20k",
    "ade20k_panoptic",
    "cityscapes",
    "cityscapes_panoptic",
    "voc",
    "voc_objects",
    "yolo",
    "vipseg",
    "vspw",
    "video_folder",
]
"""How a data set is laid out; each is described in the module of its reader. OVIS is youtube_vis,
DAVIS is video_folder."""


class _Format(NamedTuple):
    """What is known of a format."""

    read: Callable[..., list[Record]]
    """Called with root, split and vocabulary; of pictures also with `problems`."""
    vocabulary: Callable[[Path, str | None], Vocabulary]
    splits: Callable[[Path], list[str]]
    of_videos: bool = False


def _built_in(name: str) -> Callable[[Path, str | None], Vocabulary]:
    return lambda root, split: Vocabulary.load(name)


_FORMATS: dict[DataFormat, _Format] = {
    "label_folder": _Format(
        read_label_folder, lambda root, split: label_folder_vocabulary(root), label_folder_splits
    ),
    "camvid_clips": _Format(
        read_camvid_clips,
        lambda root, split: label_folder_vocabulary(root),
        label_folder_splits,
        of_videos=True,
    ),
    "youtube_vis": _Format(
        read_youtube_vis, youtube_vis_vocabulary, youtube_vis_splits, of_videos=True
    ),
    "coco_panoptic": _Format(read_coco_panoptic, coco_panoptic_vocabulary, coco_panoptic_splits),
    "coco_instances": _Format(
        read_coco_instances, coco_instances_vocabulary, coco_instances_splits
    ),
    "ade20k": _Format(read_ade20k, _built_in("ade20k_semantic"), ade20k_splits),
    "ade20k_panoptic": _Format(
        partial(read_ade20k, objects=True), _built_in("ade20k_panoptic"), ade20k_splits
    ),
    "cityscapes": _Format(read_cityscapes, _built_in("cityscapes"), cityscapes_splits),
    "cityscapes_panoptic": _Format(
        read_cityscapes_panoptic, _built_in("cityscapes"), cityscapes_panoptic_splits
    ),
    "voc": _Format(read_voc, lambda root, split: voc_vocabulary(root), voc_splits),
    "voc_objects": _Format(
        partial(read_voc, objects=True),
        lambda root, split: voc_vocabulary(root, objects=True),
        voc_splits,
    ),
    "yolo": _Format(read_yolo, lambda root, split: yolo_vocabulary(root), yolo_splits),
    "vipseg": _Format(read_vipseg, _built_in("vipseg"), vipseg_splits, of_videos=True),
    "vspw": _Format(read_vspw, _built_in("vspw"), vspw_splits, of_videos=True),
    "video_folder": _Format(
        read_video_folder,
        lambda root, split: video_folder_vocabulary(root),
        video_folder_splits,
        of_videos=True,
    ),
}


def read_dataset(
    format: DataFormat,
    root: str | Path,
    split: str | None,
    vocabulary: Vocabulary | None = None,
    *,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the pictures or video frames of a data set; nothing is decoded yet.

    Args:
        format: its layout; see `guess_format`.
        root: its folder; of COCO, YouTube-VIS and YOLO also the file that lists all others.
        split: such as train or val; None where the format needs none.
        vocabulary: the classes; None: the data set's own, see `dataset_vocabulary`.
        problems: of pictures, a list that takes what is wrong, instead of an error that lists it:
            what is sound is read then, and loaders refuse what training would forgive.

    Raises:
        InputError: files are missing or wrong, all of them in one error; see the readers.
    """
    known = _FORMATS[format]
    if known.of_videos:
        return known.read(root, split, vocabulary)
    return known.read(root, split, vocabulary, problems=problems)


def dataset_vocabulary(format: DataFormat, root: str | Path, split: str | None) -> Vocabulary:
    """The classes that records of a data set have where none are given.

    Raises:
        InputError: the file that states them is missing or wrong.
    """
    return _FORMATS[format].vocabulary(Path(root), split)


def dataset_splits(format: DataFormat, root: str | Path) -> list[str | None]:
    """The splits with annotations that a data set has; [None] where it is not divided.

    Raises:
        InputError: its folder is not there or lacks what tells them.
    """
    return [*_FORMATS[format].splits(Path(root))] or [None]


def check_format(name: str) -> DataFormat:
    """The format of this name.

    Raises:
        InputError: there is none; lists them.
    """
    for known in get_args(DataFormat):
        if name == known:
            return known
    raise InputError(f"the format {name!r} is unknown; there are {', '.join(get_args(DataFormat))}")


def guess_format(root: str | Path) -> DataFormat:
    """Tell a data set's format from the files in its folder, or from the file that lists others.

    Where a folder holds panoptic files and others of the same pictures, it is taken as panoptic.

    Raises:
        InputError: it is not there, or looks like none; says which files could not be read.
    """
    root = Path(root)
    if is_file(root):
        return _format_of_file(root)
    if not is_folder(root):
        raise InputError(f"{root}: there is no such folder; check the path")
    if published := _published(root):
        return published
    broken: list[str] = []
    for path in _json_files(root):
        try:
            found = _format_of_json(path)
        except InputError as cause:
            broken.append(str(cause))
            continue
        if found is not None:
            return found
    if broken and any((root / "annotations").glob("*.json*")):
        raise InputError(broken[0])
    if _is_yolo(root, broken):
        return "yolo"
    if any(root.glob("**/JPEGImages")):
        return "video_folder"
    if any((root / "labels").rglob("*.txt")) and not pictures_below(root / "labels"):
        raise InputError(
            f"{root} looks like YOLO's labels without their data.yaml, which names the classes; "
            'write one, such as "train: images/train" and "names: [cat, dog]"'
        )
    if (root / "images").is_dir():
        return "video_folder" if _is_deep(root) else "label_folder"
    if label_folder_splits(root):
        return "label_folder"
    reason = f" ({'; '.join(broken)})" if broken else ""
    raise InputError(f"{root} looks like no data set that can be read; name its format{reason}")


def image_format(task: str, root: str | Path) -> DataFormat:
    """The format of a data set of images for a task; a folder may hold labels for several.

    Args:
        task: semantic, instance or panoptic.
        root: the folder of the data set.

    Raises:
        InputError: it looks like none, or holds no objects, where the task needs them.
    """
    found = guess_format(root)
    if task == "semantic":
        semantic: dict[DataFormat, DataFormat] = {
            "camvid_clips": "label_folder",
            "ade20k_panoptic": "ade20k",
            "cityscapes_panoptic": "cityscapes",
        }
        return semantic.get(found, found)
    if task == "instance":
        if found == "voc":
            return "voc_objects"
        if found == "coco_panoptic" and coco_instances_splits(Path(root)):
            return "coco_instances"
        if found not in ("coco_instances", "voc_objects", "yolo", "youtube_vis", "video_folder"):
            raise InputError(
                f"{root} is {found}, whose segments are not objects only; instances need such as "
                "COCO's or YOLO's. From panoptic data: plainmask data convert … --to coco_instances"
            )
    return found


def _published(root: Path) -> DataFormat | None:
    """The format of a data set that lies there as it was published, if it does."""
    if (root / "camvid.json").is_file():
        return "camvid_clips"
    if any(root.glob("panoptic_gt_*.json")):
        return "vipseg"
    if any(root.glob("data/*/origin")):
        return "vspw"
    if looks_like_cityscapes(root):
        return "cityscapes_panoptic" if cityscapes_panoptic_splits(root) else "cityscapes"
    if looks_like_ade20k(root):
        return "ade20k_panoptic" if has_ade20k_objects(root) else "ade20k"
    if looks_like_voc(root):
        return "voc"
    if coco_panoptic_splits(root):
        return "coco_panoptic"
    return "coco_instances" if (root / "annotations_trainval2017.zip").is_file() else None


def _json_files(root: Path) -> Iterator[Path]:
    """The files that may list a data set, the smallest first; hidden ones are left out."""
    patterns = ("*.json", "annotations/*.json*", "*/instances.json", "*/_annotations.coco.json")
    files = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    files = {path for path in files if not path.name.startswith(".")}
    yield from sorted(files, key=lambda path: (path.stat().st_size, path))


def _format_of_json(path: Path) -> DataFormat | None:
    """What a JSON file of the COCO family lists; None for other contents.

    Raises:
        InputError: it cannot be read or is no JSON.
    """
    content = read_json(path, cast(type[Any], Any))
    if not isinstance(content, dict):
        return None
    listed = cast(dict[str, Any], content)
    if isinstance(listed.get("videos"), list) and listed["videos"]:
        return "youtube_vis"
    has_pictures = isinstance(listed.get("images"), list) and listed["images"]
    return "coco_instances" if has_pictures and listed.get("categories") else None


def _format_of_file(path: Path) -> DataFormat:
    """The format of a data set that is given by the file that lists it."""
    if path.suffix in (".yaml", ".yml"):
        return "yolo"
    found = _format_of_json(path) if path.name.endswith((".json", ".json.gz")) else None
    if found is None:
        raise InputError(f"{path} lists no data set; give its folder, or a JSON file of COCO")
    return found


def _is_yolo(root: Path, broken: list[str]) -> bool:
    """Whether a YAML file says so; one that cannot be read goes to `broken`.

    Raises:
        InputError: it cannot be read, and its name is that of YOLO's.
    """
    try:
        return looks_like_yolo(root)
    except InputError as cause:
        path = find_yaml(root)
        if path is not None and path.name in YAML_NAMES:
            raise
        broken.append(str(cause))
        return False


def _is_deep(root: Path) -> bool:
    """Whether a folder holds pictures by video: two levels below `images`, or one and no table."""
    levels = [path for path in subfolders(root / "images") if subfolders(path)]
    return bool(levels) or any(root.glob("ImageSets"))
