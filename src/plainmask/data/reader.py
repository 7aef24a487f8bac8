"""One door to all readers: a data set by the name of its format.

A new format is one file, one name in `DataFormat` and one row in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, get_args

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
from plainmask.data.coco_panoptic import (
    coco_panoptic_splits,
    coco_panoptic_vocabulary,
    read_coco_panoptic,
)
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
from plainmask.data.yolo import read_yolo, yolo_splits, yolo_vocabulary
from plainmask.data.youtube_vis import (
    read_youtube_vis,
    youtube_vis_splits,
    youtube_vis_vocabulary,
)
from plainmask.options import one_of
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


Holds = Literal["classes", "objects", "both"]


def _built_in(name: str) -> Callable[[Path, str | None], Vocabulary]:
    return lambda root, split: Vocabulary.load(name)


def _in_root(read: Callable[[Path], Vocabulary]) -> Callable[[Path, str | None], Vocabulary]:
    """The classes of all splits are read in one place."""
    return lambda root, split: read(root)


class Format(NamedTuple):
    """What is known of a format."""

    read: Callable[..., list[Record]]
    """Called with root, split and vocabulary; of pictures also with `problems`."""
    vocabulary: Callable[[Path, str | None], Vocabulary]
    splits: Callable[[Path], list[str]]
    holds: Holds
    """What annotations tell apart; of video_folder it may also be classes."""
    of_videos: bool = False
    numbered: bool = False
    """Whether label values have a meaning that no file of every data set states. Of the others, the
    readers go by names."""
    looks_like: Callable[[Path], bool] = lambda root: False
    """Whether a folder is that of a data set as it was published. Of people's own data,
    `guess_format` looks at what files say."""
    views: Mapping[str, DataFormat] = {}
    """By task: the format in which the same folder is read for it, where it can be."""


FORMATS: dict[DataFormat, Format] = {
    "camvid_clips": Format(
        read_camvid_clips,
        _in_root(label_folder_vocabulary),
        label_folder_splits,
        "classes",
        of_videos=True,
        looks_like=lambda root: (root / "camvid.json").is_file(),
        views={"semantic": "label_folder"},
    ),
    "vipseg": Format(
        read_vipseg,
        _built_in("vipseg"),
        vipseg_splits,
        "both",
        of_videos=True,
        looks_like=lambda root: any(root.glob("panoptic_gt_*.json")),
    ),
    "vspw": Format(
        read_vspw,
        _built_in("vspw"),
        vspw_splits,
        "classes",
        of_videos=True,
        numbered=True,
        looks_like=lambda root: any(root.glob("data/*/origin")),
    ),
    "cityscapes_panoptic": Format(
        read_cityscapes_panoptic,
        _built_in("cityscapes"),
        cityscapes_panoptic_splits,
        "both",
        looks_like=lambda root: (
            looks_like_cityscapes(root) and any(cityscapes_panoptic_splits(root))
        ),
        views={"semantic": "cityscapes"},
    ),
    "cityscapes": Format(
        read_cityscapes,
        _built_in("cityscapes"),
        cityscapes_splits,
        "classes",
        numbered=True,
        looks_like=looks_like_cityscapes,
    ),
    "ade20k_panoptic": Format(
        partial(read_ade20k, objects=True),
        _built_in("ade20k_panoptic"),
        ade20k_splits,
        "both",
        numbered=True,
        looks_like=lambda root: looks_like_ade20k(root) and has_ade20k_objects(root),
        views={"semantic": "ade20k"},
    ),
    "ade20k": Format(
        read_ade20k,
        _built_in("ade20k_semantic"),
        ade20k_splits,
        "classes",
        numbered=True,
        looks_like=looks_like_ade20k,
    ),
    "voc": Format(
        read_voc,
        _in_root(voc_vocabulary),
        voc_splits,
        "classes",
        numbered=True,
        looks_like=looks_like_voc,
        views={"instance": "voc_objects"},
    ),
    "voc_objects": Format(
        partial(read_voc, objects=True),
        _in_root(partial(voc_vocabulary, objects=True)),
        voc_splits,
        "objects",
        numbered=True,
        looks_like=looks_like_voc,
    ),
    "coco_panoptic": Format(
        read_coco_panoptic,
        coco_panoptic_vocabulary,
        coco_panoptic_splits,
        "both",
        looks_like=lambda root: any(coco_panoptic_splits(root)),
        views={"instance": "coco_instances"},
    ),
    "coco_instances": Format(
        read_coco_instances,
        coco_instances_vocabulary,
        coco_instances_splits,
        "objects",
        looks_like=lambda root: (root / "annotations_trainval2017.zip").is_file(),
    ),
    "youtube_vis": Format(
        read_youtube_vis, youtube_vis_vocabulary, youtube_vis_splits, "objects", of_videos=True
    ),
    "yolo": Format(read_yolo, _in_root(yolo_vocabulary), yolo_splits, "objects"),
    "video_folder": Format(
        read_video_folder,
        _in_root(video_folder_vocabulary),
        video_folder_splits,
        "objects",
        of_videos=True,
    ),
    "label_folder": Format(
        read_label_folder, _in_root(label_folder_vocabulary), label_folder_splits, "classes"
    ),
}
"""In the order in which folders are compared with them."""


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
    known = FORMATS[format]
    if known.of_videos:
        return known.read(root, split, vocabulary)
    return known.read(root, split, vocabulary, problems=problems)


def dataset_vocabulary(format: DataFormat, root: str | Path, split: str | None) -> Vocabulary:
    """The classes that records of a data set have where none are given.

    Raises:
        InputError: the file that states them is missing or wrong.
    """
    return FORMATS[format].vocabulary(Path(root), split)


def dataset_splits(format: DataFormat, root: str | Path) -> list[str | None]:
    """The splits with annotations that a data set has; [None] where it is not divided.

    Raises:
        InputError: its folder is not there or lacks what tells them.
    """
    return [*FORMATS[format].splits(Path(root))] or [None]


def check_format(name: str) -> DataFormat:
    """The format of this name.

    Raises:
        InputError: there is none; lists them.
    """
    return one_of(name, get_args(DataFormat), f"the format {name!r} is unknown")
