"""The simplest data set: a folder of images and a folder of label files with equal names.

    ROOT/images/SPLIT/NAME.jpg   any picture that can be read
    ROOT/labels/SPLIT/NAME.png   classes by number or by colour (see `read_semantic_label`)
    ROOT/classes.json            the class table, unless a vocabulary is given

Without splits the files lie in ROOT/images and ROOT/labels themselves. A split may also be a list
of names (ROOT/SPLIT.txt), or the folder above (ROOT/SPLIT/images). Labels may lie in `masks` or
`annotations`, and their names may end in what labels are called: NAME_mask.png.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from plainmask.data.files import file_problem, pictures_by_stem, refuse, subfolders
from plainmask.data.labels import LabelTable, ignored_colors, read_semantic_label
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.pictures.archive import entries, is_file, is_folder, open_file
from plainmask.pictures.images import read_image
from plainmask.vocabulary import Vocabulary

_LABEL_FOLDERS = ("labels", "masks", "annotations")
_IMAGE_ENDINGS = ("_leftImg8bit", "_image", "_img")
_LABEL_ENDINGS = (
    *("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation"),
    *("_gtFine_labelIds", "_labelIds", "_gtFine_labelTrainIds", "_labelTrainIds"),
)
_LISTS = ("{split}.txt", "splits/{split}.txt", "ImageSets/{split}.txt")


def read_label_folder(
    root: str | Path,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    *,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the labelled pictures of a folder, sorted by name; nothing is decoded yet.

    A record's segments are the classes that its label holds, one segment each, by ascending id;
    a label of ignored values only gives none. A label of another size than its picture is
    resized to it.

    Args:
        root: the folder with `images` and `labels`.
        split: the sub-folder of both, or a list; None where the files lie in them directly.
        vocabulary: the classes and the file values, or colours, that they and "ignore" have; None
            reads `classes.json` in the root. Colours to ignore stand there as `ignore_colors`.
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: a folder is missing or empty, or images and labels do not pair up (one error
            for all of them). When a record is read: a label value that the vocabulary does not
            know, with its file and number of pixels.
    """
    root = Path(root)
    class_table = root / "classes.json"
    if vocabulary is None:
        vocabulary = Vocabulary.load(class_table)
    images_folder, labels_folder, listed = _places(root, split)
    images = _pictures(images_folder, root / "images")
    labels = _by_image(_pictures(labels_folder, labels_folder), images)
    found: list[str] = []
    if listed is not None:
        names = [_listed_name(line, images) for line in listed]
        found = [f"listed, but not there: {name}" for name in names if name not in images]
        images = {name: images[name] for name in names if name in images}
        labels = {name: labels[name] for name in names if name in labels}
    found += _pair_problems(root, images, labels)
    rule = "every image needs one label of the same name, and the other way round"
    refuse(root, rule, found, into=problems)
    table = LabelTable.of(vocabulary, ignored_colors(class_table))
    return [
        Record(
            id=stem,
            load_image=partial(read_image, images[stem][0]),
            load_segments=partial(
                read_semantic_label,
                labels[stem][0],
                images[stem][0],
                table,
                strict=problems is not None,
            ),
            picture=images[stem][0],
        )
        for stem in sorted(images.keys() & labels.keys())
        if not any(map(file_problem, (*images[stem], *labels[stem])))
    ]


def label_folder_splits(root: Path) -> list[str]:
    """The splits that are there; none where the files lie in `images` itself."""
    folders = [path.name for path in subfolders(root / "images") if pictures_by_stem(path)]
    folders += [path.name for path in subfolders(root) if is_folder(path / "images")]
    folders += [path.name for path in subfolders(root) if is_folder(root / f"{path.name}annot")]
    lists = {place.rpartition("/")[0] for place in _LISTS}
    texts = [path.stem for place in lists for path in entries(root / place) if _is_list(path)]
    return sorted({*(folders or texts)})


def _is_list(path: Path) -> bool:
    return path.suffix == ".txt" and path.stem in ("train", "val", "valid", "test", "trainval")


def _places(root: Path, split: str | None) -> tuple[Path, Path, list[str] | None]:
    """The folders of images and labels, and the lines of the list that chooses among them."""
    if split is None:
        return root / "images", _label_folder(root, "{}"), None
    if is_folder(root / "images" / split):
        return root / "images" / split, _label_folder(root, f"{{}}/{split}"), None
    if is_folder(root / split / "images"):
        return root / split / "images", _label_folder(root, f"{split}/{{}}"), None
    if is_folder(root / f"{split}annot"):  # CamVid as SegNet has it
        return root / split, root / f"{split}annot", None
    for place in _LISTS:
        if is_file(listing := root / place.format(split=split)):
            with open_file(listing) as file:
                lines = file.read().decode("utf-8-sig").splitlines()
            names = [line.strip() for line in lines if line.strip()]
            if not names:
                raise InputError(f"{listing} is empty; it should name the images of the split")
            return root / "images", _label_folder(root, "{}"), names
    return root / "images" / split, _label_folder(root, f"{{}}/{split}"), None


def _label_folder(root: Path, place: str) -> Path:
    """The first folder of labels that is there."""
    places = [root / place.format(name) for name in _LABEL_FOLDERS]
    return next((path for path in places if is_folder(path)), places[0])


def _listed_name(line: str, images: Mapping[str, list[Path]]) -> str:
    """The name that a line of a list means: a name, a file, or the files of image and label."""
    stems = [PurePosixPath(text).name for text in (line, line.split()[0])]
    stems += [PurePosixPath(stem).stem for stem in stems]
    return next((stem for stem in stems if stem in images), stems[-1])


def _pictures(place: Path, folder: Path) -> dict[str, list[Path]]:
    """The pictures in a folder or its split, hidden files left out, by name without suffix."""
    pictures = pictures_by_stem(place)
    if not pictures:
        state = "holds no pictures" if is_folder(place) else "is not there"
        raise InputError(f"{place} {state}; {_available_splits(folder)}")
    return pictures


def _available_splits(folder: Path) -> str:
    """What to try instead of a split that is not there."""
    if not is_folder(folder):
        return f"{folder} is expected to be a folder"
    splits = [path.name for path in subfolders(folder)]
    return f"the splits there are {', '.join(splits)}" if splits else "check the path"


def _by_image(
    labels: Mapping[str, list[Path]], images: Mapping[str, list[Path]]
) -> dict[str, list[Path]]:
    """The labels by the names of their images, endings that say "label" or "image" cut off."""
    plain = {_without(name, _IMAGE_ENDINGS): name for name in images}
    found: dict[str, list[Path]] = {}
    for name, paths in labels.items():
        short = _without(name, _LABEL_ENDINGS)
        image = name if name in images or short not in plain else plain[short]
        found.setdefault(image, []).extend(paths)
    return found


def _without(name: str, endings: Sequence[str]) -> str:
    """The name without the longest of the endings that it has."""
    found = [ending for ending in endings if name.endswith(ending) and name != ending]
    return name.removesuffix(max(found, key=len)) if found else name


def _pair_problems(
    root: Path, images: Mapping[str, list[Path]], labels: Mapping[str, list[Path]]
) -> list[str]:
    """One line for every name that has not exactly one image and one label, and for empty files."""
    problems: list[str] = []
    for stem in sorted(images.keys() | labels.keys()):
        paths = [*images.get(stem, []), *labels.get(stem, [])]
        files = ", ".join(path.relative_to(root).as_posix() for path in paths)
        if stem not in labels:
            problems.append(f"image without label: {files}")
        elif stem not in images:
            problems.append(f"label without image: {files}")
        elif len(paths) > 2:
            problems.append(f"more than one file of a name: {files}")
        problems += [problem for path in paths if (problem := file_problem(path))]
    return problems
