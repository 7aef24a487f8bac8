"""One door to all readers: a data set by the name of its format.

A new format is one file and one line in each function here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from plainmask.data.camvid_clips import read_camvid_clips
from plainmask.data.coco_instances import coco_instances_vocabulary, read_coco_instances
from plainmask.data.coco_json import read_json
from plainmask.data.coco_panoptic import coco_panoptic_vocabulary, read_coco_panoptic
from plainmask.data.files import subfolders
from plainmask.data.label_folder import read_label_folder
from plainmask.data.record import Record
from plainmask.data.video_folder import read_video_folder
from plainmask.data.vipseg import read_vipseg
from plainmask.data.vspw import read_vspw
from plainmask.data.youtube_vis import read_youtube_vis, youtube_vis_vocabulary
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

DataFormat = Literal[
    "label_folder",
    "camvid_clips",
    "youtube_vis",
    "coco_panoptic",
    "coco_instances",
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
    format: DataFormat, root: str | Path, split: str | None, vocabulary: Vocabulary | None = None
) -> list[Record]:
    """List the pictures or video frames of a data set; nothing is decoded yet.

    Args:
        format: its layout; see `guess_format`.
        root: its folder.
        split: such as train or val; None where the format needs none.
        vocabulary: the classes; None: the data set's own, see `dataset_vocabulary`.

    Raises:
        InputError: files are missing or wrong, all of them in one error; see the readers.
    """
    match format:
        case "label_folder":
            return read_label_folder(root, split, vocabulary)
        case "camvid_clips":
            return read_camvid_clips(root, split, vocabulary)
        case "youtube_vis":
            return read_youtube_vis(root, split, vocabulary)
        case "coco_panoptic":
            return read_coco_panoptic(root, split, vocabulary)
        case "coco_instances":
            return read_coco_instances(root, split, vocabulary)
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
        case "vipseg" | "vspw":
            return Vocabulary.load(format)
        case "video_folder":
            table = Path(root) / "classes.json"
            one = {"name": "objects", "classes": [{"id": 0, "name": "object", "thing": True}]}
            return Vocabulary.load(table if table.is_file() else one)


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

    Where a folder holds COCO's panoptic and instance files, it is taken as panoptic.

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
    if any(root.glob("annotations/panoptic_*.json")) or any(root.glob("panoptic_*.json")):
        return "coco_panoptic"
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
    if any(root.glob("**/JPEGImages")):
        return "video_folder"
    if (root / "images").is_dir():
        return "video_folder" if _is_deep(root) else "label_folder"
    raise InputError(f"{root} looks like no data set that can be read; name its format")


def _is_deep(root: Path) -> bool:
    """Whether a folder holds pictures by video: two levels below `images`, or one and no table."""
    levels = [path for path in subfolders(root / "images") if subfolders(path)]
    return bool(levels) or any(root.glob("ImageSets"))
