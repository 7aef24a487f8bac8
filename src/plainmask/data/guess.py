"""The format of a data set, told from what lies in its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from plainmask.data.coco_json import read_json
from plainmask.data.files import pictures_below, subfolders
from plainmask.data.label_folder import label_folder_splits
from plainmask.data.reader import FORMATS, DataFormat
from plainmask.data.yolo import looks_like_yolo
from plainmask.data.yolo_table import YAML_NAMES, find_yaml
from plainmask.errors import InputError
from plainmask.pictures.archive import is_file, is_folder


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
    for format, known in FORMATS.items():
        if known.looks_like(root):
            return format
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
    root = Path(root)
    found = guess_format(root)
    view = FORMATS[found].views.get(task)
    if view and (FORMATS[view].looks_like(root) or FORMATS[view].splits(root)):
        return view
    if task == "instance" and FORMATS[found].holds != "objects":
        raise InputError(
            f"{root} is {found}, whose segments are not objects only; instances need such as "
            "COCO's or YOLO's. From panoptic data: plainmask data convert … --to coco_instances"
        )
    return found


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
