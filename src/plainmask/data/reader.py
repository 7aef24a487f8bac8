"""One door to all readers: a data set by the name of its format.

A new format is one file and one line in each function here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

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
from plainmask.data.files import find_splits, subfolders
from plainmask.data.label_folder import label_folder_splits, read_label_folder
from plainmask.data.record import Record
from plainmask.data.video_folder import read_video_folder, video_folder_splits
from plainmask.data.vipseg import read_vipseg
from plainmask.data.voc import looks_like_voc, read_voc, voc_objects_vocabulary, voc_splits
from plainmask.data.vspw import read_vspw
from plainmask.data.yolo import looks_like_yolo, read_yolo, yolo_splits, yolo_vocabulary
from plainmask.data.youtube_vis import (
    read_youtube_vis,
    youtube_vis_splits,
    youtube_vis_vocabulary,
)
from plainmask.errors import InputError
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


@dataclass(frozen=True)
class _Content:
    """What tells JSON files of the COCO family apart."""

    videos: list[Any] | None = None
    images: list[Any] | None = None
    categories: list[Any] | None = None


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
        root: its folder.
        split: such as train or val; None where the format needs none.
        vocabulary: the classes; None: the data set's own, see `dataset_vocabulary`.
        problems: of pictures, a list that takes what is wrong, instead of an error that lists it:
            what is sound is read then, and loaders refuse what training would forgive.

    Raises:
        InputError: files are missing or wrong, all of them in one error; see the readers.
    """
    match format:
        case "label_folder":
            return read_label_folder(root, split, vocabulary, problems=problems)
        case "camvid_clips":
            return read_camvid_clips(root, split, vocabulary)
        case "youtube_vis":
            return read_youtube_vis(root, split, vocabulary)
        case "coco_panoptic":
            return read_coco_panoptic(root, split, vocabulary, problems=problems)
        case "coco_instances":
            return read_coco_instances(root, split, vocabulary, problems=problems)
        case "ade20k" | "ade20k_panoptic":
            objects = format == "ade20k_panoptic"
            return read_ade20k(root, split, vocabulary, objects=objects, problems=problems)
        case "cityscapes":
            return read_cityscapes(root, split, vocabulary, problems=problems)
        case "cityscapes_panoptic":
            return read_cityscapes_panoptic(root, split, vocabulary, problems=problems)
        case "voc" | "voc_objects":
            objects = format == "voc_objects"
            return read_voc(root, split, vocabulary, objects=objects, problems=problems)
        case "yolo":
            return read_yolo(root, split, vocabulary, problems=problems)
        case "vipseg":
            return read_vipseg(root, split, vocabulary)
        case "vspw":
            return read_vspw(root, split, vocabulary)
        case "video_folder":
            return read_video_folder(root, split, vocabulary)


def dataset_vocabulary(format: DataFormat, root: str | Path, split: str | None) -> Vocabulary:
    """The classes that records of a data set have where none are given.

    Raises:
        InputError: the file that states them is missing or wrong.
    """
    match format:
        case "label_folder" | "camvid_clips":
            return Vocabulary.load(Path(root) / "classes.json")
        case "youtube_vis":
            return youtube_vis_vocabulary(root, split)
        case "coco_panoptic":
            return coco_panoptic_vocabulary(root, split)
        case "coco_instances":
            return coco_instances_vocabulary(root, split)
        case "yolo":
            return yolo_vocabulary(root)
        case "voc_objects":
            return voc_objects_vocabulary()
        case "ade20k":
            return Vocabulary.load("ade20k_semantic")
        case "cityscapes" | "cityscapes_panoptic":
            return Vocabulary.load("cityscapes")
        case "ade20k_panoptic" | "voc" | "vipseg" | "vspw":
            return Vocabulary.load(format)
        case "video_folder":
            table = Path(root) / "classes.json"
            one = {"name": "objects", "classes": [{"id": 0, "name": "object", "thing": True}]}
            return Vocabulary.load(table if table.is_file() else one)


def dataset_splits(format: DataFormat, root: str | Path) -> list[str | None]:
    """The splits with annotations that a data set has; [None] where it is not divided.

    Raises:
        InputError: its folder is not there or lacks what tells them.
    """
    root = Path(root)
    found: list[str] = []
    match format:
        case "label_folder" | "camvid_clips":
            found = label_folder_splits(root)
        case "youtube_vis":
            found = youtube_vis_splits(root)
        case "coco_panoptic":
            found = coco_panoptic_splits(root)
        case "coco_instances":
            found = coco_instances_splits(root)
        case "ade20k" | "ade20k_panoptic":
            found = ade20k_splits(root)
        case "cityscapes":
            found = cityscapes_splits(root)
        case "cityscapes_panoptic":
            found = cityscapes_panoptic_splits(root)
        case "voc" | "voc_objects":
            found = voc_splits(root)
        case "yolo":
            found = yolo_splits(root)
        case "vipseg":
            found = find_splits(root, ["panoptic_gt_VIPSeg_{split}.json"])
        case "vspw":
            found = [split for split in ("train", "val") if (root / f"{split}.txt").is_file()]
        case "video_folder":
            found = video_folder_splits(root)
    return [*found] or [None]


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
    """Tell a data set's format from the files in its folder.

    Where a folder holds panoptic files and others of the same pictures, it is taken as panoptic.

    Raises:
        InputError: it looks like none.
    """
    root = Path(root)
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
    if (root / "annotations_trainval2017.zip").is_file():
        return "coco_instances"
    patterns = ("*.json", "annotations/*.json*", "*/instances.json", "*/_annotations.coco.json")
    files = [path for pattern in patterns for path in root.glob(pattern)]
    for path in sorted(files, key=lambda path: path.stat().st_size):
        try:
            content = read_json(path, _Content)
        except InputError:  # a file of another kind
            continue
        if content.videos:
            return "youtube_vis"
        if content.images and content.categories:
            return "coco_instances"
    if looks_like_yolo(root):
        return "yolo"
    if any(root.glob("**/JPEGImages")):
        return "video_folder"
    if (root / "images").is_dir():
        return "video_folder" if _is_deep(root) else "label_folder"
    if label_folder_splits(root):
        return "label_folder"
    raise InputError(f"{root} looks like no data set that can be read; name its format")


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


def _is_deep(root: Path) -> bool:
    """Whether a folder holds pictures by video: two levels below `images`, or one and no table."""
    levels = [path for path in subfolders(root / "images") if subfolders(path)]
    return bool(levels) or any(root.glob("ImageSets"))
