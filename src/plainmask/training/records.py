"""What a recipe trains on: its vocabulary, records of both splits, and the sampler over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plainmask.data.coco_json import Category, class_of_category, json_once
from plainmask.data.reader import dataset_vocabulary, read_dataset
from plainmask.data.record import Record, group_videos, with_classes
from plainmask.errors import InputError
from plainmask.progress import counted
from plainmask.training.processes import say
from plainmask.training.recipe import Recipe, StillsConfig
from plainmask.training.samples.augment import AugmentConfig, VideoAugmentConfig
from plainmask.training.samples.batches import ClipSampler, ImageSampler
from plainmask.vocabulary import Vocabulary, from_coco


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is measured on."""

    vocabulary: Vocabulary
    train: list[Record]
    val: list[Record]


def read_data(recipe: Recipe) -> TrainingData:
    """The classes and records of a recipe; nothing is decoded yet.

    Raises:
        InputError: see the readers, and `hold_out`.
    """
    with json_once():
        vocabulary = read_vocabulary(recipe)
        return TrainingData(vocabulary, *read_records(recipe, vocabulary))


def read_vocabulary(recipe: Recipe) -> Vocabulary:
    """The recipe's vocabulary, or the class table of its data."""
    if recipe.vocabulary is not None:
        return Vocabulary.load(recipe.vocabulary)
    return dataset_vocabulary(recipe.data.format, recipe.data.root, recipe.data.train)


def read_records(recipe: Recipe, vocabulary: Vocabulary) -> tuple[list[Record], list[Record]]:
    """Training and validation records."""
    data = recipe.data
    records = read_dataset(data.format, data.root, data.train, vocabulary)
    measured: list[Record] = []
    if data.hold_out is not None:
        records, measured = hold_out(records, data.hold_out)
    elif data.val is not None:
        measured = read_dataset(data.format, data.root, data.val, vocabulary)
    if recipe.clip is None and data.stills is not None:
        known = {record.id for record in [*records, *measured]}
        stills = read_stills(data.stills, vocabulary, recipe.vocabulary)
        records += [record for record in stills if record.id not in known]
    return records, measured


def hold_out(records: Sequence[Record], which: str | float) -> tuple[list[Record], list[Record]]:
    """Part the training records in those to train on and those to measure on.

    Args:
        records: all of them.
        which: how the names of the latter begin, or their share, evenly spread, of each at least
            one; of frames of videos, the share of videos.

    Raises:
        InputError: one of the two would be empty.
    """
    if isinstance(which, str):
        outside = {record.id for record in records if record.id.startswith(which)}
    else:
        units = list(dict.fromkeys(record.sequence or record.id for record in records))
        apart = min(1 / which, len(units))
        places = (int((k + 0.5) * apart) for k in range(max(1, len(units) - 1)))
        chosen = {units[place] for place in places if place < len(units)}
        outside = {record.id for record in records if (record.sequence or record.id) in chosen}
    kept = [record for record in records if record.id not in outside]
    held_out = [record for record in records if record.id in outside]
    if not held_out or not kept:
        raise InputError(
            f"data.hold_out {which!r} must match some, not all, of the "
            f"{counted(len(records), 'image')}"
            + (f"; their names begin like {records[0].id!r}" if records else "")
        )
    return kept, held_out


def build_sampler(
    recipe: Recipe, records: Sequence[Record], vocabulary: Vocabulary, patch_size: int
) -> ImageSampler | ClipSampler:
    """What makes the samples of a run from its training records.

    Where the recipe asks for clips, records that are no frames of videos are stills.

    Args:
        recipe: the run.
        records: of the training split.
        vocabulary: their classes.
        patch_size: of the encoder.

    Raises:
        InputError: no training record has an annotation, the stills cannot be used, or samples
            would not be whole patches.
    """
    check_sizes(recipe.augment, patch_size)
    labelled = [record for record in records if record.labelled]
    if not labelled:
        raise InputError(
            f"no picture of {recipe.data.root}, split {recipe.data.train}, has an annotation; "
            "train on a split with annotations"
        )
    if left_out := len(records) - len(labelled):
        pictures = counted(len(records), "picture")
        say(f"{left_out} of {pictures} have no annotation and are not trained on")
    if recipe.clip is None:
        return ImageSampler(
            labelled,
            recipe.augment,
            paste=recipe.paste,
            pasting=recipe.pasting,
            pasted_classes=thing_ids(vocabulary),
        )
    videos = group_videos(record for record in records if record.sequence is not None)
    stills = [record for record in labelled if record.sequence is None]
    if recipe.data.stills is not None:
        stills += read_stills(recipe.data.stills, vocabulary, recipe.vocabulary)
    return ClipSampler(
        # A video without annotations can show nothing; that of others is drawn without such frames.
        [video for video in videos if any(frame.labelled for frame in video.frames)],
        stills,
        recipe.clip,
        recipe.augment,
        # As published (docs/model.md 7.7): only objects of video instance data can be absent.
        always_present=recipe.task != "instance" and recipe.clip.published,
        # Stuff has one segment in a frame; a pasted piece of it would be a second one.
        pasted_classes=thing_ids(vocabulary),
    )


def read_stills(
    config: StillsConfig, vocabulary: Vocabulary, vocabulary_name: str | None
) -> list[Record]:
    """Records of labelled images, in the classes of the videos.

    Args:
        config: which images, and what becomes of their classes.
        vocabulary: of the videos.
        vocabulary_name: the built-in one that this is, whose table `from_coco` needs.

    Raises:
        InputError: no picture has a segment of a class of the videos, or see the readers.
    """
    try:
        own = stills_vocabulary(config)
    except InputError as cause:
        raise InputError(f"data.stills: {cause}; data.stills=null does without") from cause
    class_of = _class_of(config, own, vocabulary, vocabulary_name)
    found = read_dataset(config.format, config.root, config.split, own)
    records = with_classes([record for record in found if record.labelled], class_of)
    if not class_of or not records:
        raise InputError(
            f"data.stills: no picture of {config.root} shows a class of the data "
            f"({_few(vocabulary)}) with classes: {config.classes}; its own are {_few(own)}"
        )
    return records


def stills_vocabulary(config: StillsConfig) -> Vocabulary:
    """The classes in which the images are read."""
    if config.classes == "from_coco":  # by COCO's numbers, whatever else a file may say
        return Vocabulary.load(
            "coco_panoptic" if config.format == "coco_panoptic" else "coco_instance"
        )
    return dataset_vocabulary(config.format, config.root, config.split)


def check_sizes(augment: AugmentConfig | VideoAugmentConfig, patch_size: int) -> None:
    """Raise InputError unless all samples are whole patches high and wide.

    The encoder drops what exceeds them, and targets would no longer lie where predictions do.
    """
    if isinstance(augment, AugmentConfig):
        name, sides = "crop_size", augment.crop_size
    else:
        name, sides = "multiple", (augment.multiple,)
    if any(side % patch_size for side in sides):
        nearest = [max(1, round(side / patch_size)) * patch_size for side in sides]
        raise InputError(
            f"augment.{name} {' x '.join(map(str, sides))} must be whole patches of the encoder, "
            f"{patch_size} pixels each; {' x '.join(map(str, nearest))} would do"
        )


def thing_ids(vocabulary: Vocabulary) -> frozenset[int]:
    """Ids of the classes whose objects can be counted."""
    return frozenset(entry.id for entry in vocabulary.classes if entry.thing)


def _class_of(
    config: StillsConfig, own: Vocabulary, vocabulary: Vocabulary, vocabulary_name: str | None
) -> dict[int, int]:
    """The videos' class of each class of the images that stays."""
    match config.classes:
        case "same":
            names = [Category(entry.id, entry.name) for entry in own.classes]
            return class_of_category(names, vocabulary)
        case "any_thing":
            if len(vocabulary) != 1:
                raise InputError(
                    "data.stills.classes any_thing needs videos with one class, not "
                    f"{len(vocabulary)}"
                )
            return dict.fromkeys(thing_ids(own), 0)
        case "from_coco":
            own_ids, video_ids = own.by_file_id, vocabulary.by_file_id
            table = from_coco(vocabulary_name)
            return {own_ids[old]: video_ids[new] for old, new in table.items()}


def _few(vocabulary: Vocabulary) -> str:
    names = vocabulary.names
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
