"""A recipe for someone's own data, where only the path is given: sensible choices, with reasons.

Classes, stuff and ids come from the data; sizes, queries and steps from a look at some of it and
at the machine.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plainmask.data.reader import (
    DataFormat,
    dataset_splits,
    dataset_vocabulary,
    guess_format,
    read_dataset,
)
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.tasks import Task
from plainmask.training.recipe import Recipe, build_recipe
from plainmask.vocabulary import Vocabulary

OWN: dict[str, Task] = {
    "own-semantic": "semantic",
    "own-instance": "instance",
    "own-panoptic": "panoptic",
}

LOOKED_AT = 40
"""Images that are decoded for it."""
TRAIN_SPLITS = ("train", "training", "train2017")
VAL_SPLITS = ("val", "valid", "validation", "val2017")
HELD_OUT = 0.1
"""Share of the training images to measure on, where there is no split for it."""
OBJECT_SIDE = 42
"""Pixels, three patches: what the middling object should be in tiles."""


@dataclass
class OwnRecipe:
    """A recipe, and why it is as it is."""

    recipe: Recipe
    reasons: list[str]


@dataclass
class _Survey:
    """What a look at some images shows."""

    images: int
    """In the training split."""
    shorter: float
    """Pixels of the middling shorter side."""
    longer: float
    objects: int
    """Most segments in an image."""
    object_side: float
    """Square root of the pixels of the middling segment."""


def own_recipe_by_name(name: str, overrides: Sequence[str], *, gpu: bool) -> OwnRecipe:
    """The recipe `own-semantic`, `own-instance` or `own-panoptic`, with settings changed.

    Args:
        name: one of `OWN`.
        overrides: `data.root=PATH`, and any other settings.
        gpu: whether there is one.

    Raises:
        InputError: `data.root` is missing, or see `own_recipe` and `build_recipe`.
    """
    roots = [text.partition("=")[2] for text in overrides if text.startswith("data.root=")]
    if not roots:
        raise InputError(f"{name} needs your data: plainmask train {name} data.root=FOLDER")
    found = own_recipe(OWN[name], Path(roots[-1]), gpu=gpu)
    settings = found.recipe.model_dump(mode="json", exclude_unset=True)
    return OwnRecipe(build_recipe(settings, overrides, name), found.reasons)


def own_recipe(task: Task, root: Path, *, gpu: bool, name: str | None = None) -> OwnRecipe:
    """Choose a recipe for the data in a folder.

    Args:
        task: what to train for.
        root: the data set, of any format that can be guessed.
        gpu: whether there is one.
        name: of the head; None: that of the folder.

    Raises:
        InputError: the folder holds no data set, or one without training images or without what
            the task needs.
    """
    form = _format(task, root)
    train, val = _splits(form, root)
    vocabulary = dataset_vocabulary(form, root, train)
    _check_classes(task, vocabulary, root)
    seen = _look_over(read_dataset(form, root, train, vocabulary), root)
    choice = _Choices(task, gpu, seen)
    settings = {
        "name": name or root.resolve().name,
        "task": task,
        "encoder": choice.encoder(),
        "data": {"root": str(root), "format": form, "train": train, **choice.validation(val)},
        **choice.sizes(),
        "decoder": {"num_blocks": 3, "upscale_stages": 2, "num_queries": choice.queries()},
        **choice.length(),
        **choice.supervision(),
        "data_terms": f"{seen.images} images of {root.resolve().name}; state their terms here",
        "licence": "as the data allows; the encoder DINOv2 is Apache-2.0",
    }
    facts = [
        f"data: {form}, {seen.images} training images of about {seen.longer:.0f} x "
        f"{seen.shorter:.0f} pixels, {len(vocabulary)} classes, up to {seen.objects} segments in "
        f"an image, the middling one {seen.object_side:.0f} pixels wide",
    ]
    return OwnRecipe(Recipe.model_validate(settings), facts + choice.reasons)


@dataclass
class _Choices:
    """One choice after the other; each leaves its reason."""

    task: Task
    gpu: bool
    seen: _Survey
    reasons: list[str] = field(default_factory=list)

    def encoder(self) -> str:
        name = "dinov2-base" if self.gpu else "dinov2-small"
        why = "a GPU is there" if self.gpu else "there is no GPU"
        self._say(f"encoder {name}: {why}; DINOv3 is better, but gated: encoder=dinov3-base")
        return name

    def validation(self, val: str | None) -> dict[str, Any]:
        if val is not None:
            self._say(f"figures on the split {val}")
            return {"val": val}
        self._say(f"figures on {HELD_OUT:.0%} of the training images, as there is no val split")
        return {"hold_out": HELD_OUT}

    def sizes(self) -> dict[str, Any]:
        crop = 518 if self.gpu else 336
        augment: dict[str, Any] = {"crop_size": crop, "flip": 0.5, "color_jitter": True}
        scale = float(np.clip(OBJECT_SIDE / self.seen.object_side, 0.25, 3))
        if self.task == "semantic":
            shorter = int(np.clip(self.seen.shorter, crop, 2 * crop))
            self._say(f"windows of {crop} pixels, the shorter side being {shorter}")
            augment["scale"] = [1.0, 2.0]
            return {
                "input": {"kind": "windows", "size": crop, "shorter": shorter},
                "augment": augment,
            }
        if scale * self.seen.longer > 1.5 * crop and scale > crop / self.seen.shorter:
            scale = round(scale, 2)
            self._say(
                f"tiles of {crop} pixels of images times {scale:g}: in one pass the middling "
                f"object would be smaller than {OBJECT_SIDE} pixels, three patches"
            )
            augment |= {"scale": [0.6 * scale, 1.6 * scale], "scale_of": "image"}
            return {"input": {"kind": "tiles", "size": crop, "scale": scale}, "augment": augment}
        self._say(f"whole images, the shorter side being {crop} pixels")
        augment["scale"] = [0.5, 2.0]
        return {"input": {"kind": "stride", "size": crop}, "augment": augment}

    def queries(self) -> int:
        count = int(np.clip(2 * self.seen.objects, 50, 200 if self.gpu else 100))
        self._say(f"{count} queries: twice the most segments in an image, within 50 and what fits")
        return count

    def length(self) -> dict[str, Any]:
        batch, epochs, least, most = (16, 40, 2000, 60_000) if self.gpu else (4, 24, 600, 4000)
        steps = int(np.clip(self.seen.images * epochs // batch, least, most))
        where = "a GPU" if self.gpu else "CPUs"
        self._say(f"{steps} steps of {batch} images: {epochs} epochs, within what {where} bear")
        optimizer = {"lr": 2e-4 if self.gpu else 5e-4, "warmup": max(1, steps // 20)}
        settings: dict[str, Any] = {"batch_size": batch, "steps": steps, "optimizer": optimizer}
        settings["workers"] = min(8, os.cpu_count() or 1) if self.gpu else 0
        settings["precision"] = "bf16" if self.gpu else "fp32"
        return settings

    def supervision(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"loss": {"num_points": 12544 if self.gpu else 6272}}
        if self.task == "semantic":
            settings["loss"]["semantic"] = 5.0
            self._say("a semantic loss on top of the published ones: it helps with few images")
        if self.task == "semantic" and not self.gpu:
            self._say("only the last layer is supervised: cheaper, and good enough for classes")
            return settings | {"supervise": "last", "masked_attention": False}
        return settings

    def _say(self, reason: str) -> None:
        self.reasons.append(reason)


def _format(task: Task, root: Path) -> DataFormat:
    form = guess_format(root)
    if form == "coco_panoptic" and task == "instance" and any(root.rglob("instances_*.json*")):
        return "coco_instances"
    return "label_folder" if form == "camvid_clips" else form


def _splits(form: DataFormat, root: Path) -> tuple[str | None, str | None]:
    """The training split, and the one to measure on, if there is one."""
    there = dataset_splits(form, root)
    train = next((name for name in TRAIN_SPLITS if name in there), None)
    if train is None and None not in there:
        names = ", ".join(str(name) for name in there) or "none"
        raise InputError(f"{root} has no split called train; its splits are {names}")
    return train, next((name for name in VAL_SPLITS if name in there), None)


def _check_classes(task: Task, vocabulary: Vocabulary, root: Path) -> None:
    things = [entry.name for entry in vocabulary.classes if entry.thing]
    if task == "instance" and not things:
        raise InputError(
            f"{root} has no class of things, which instances need; say thing: true in its class "
            "table, or train a semantic head"
        )


def _look_over(records: Sequence[Record], root: Path) -> _Survey:
    """Decode some images, evenly spread."""
    labelled = [record for record in records if record.labelled]
    if not labelled:
        raise InputError(f"{root}: no training image has an annotation")
    chosen = [labelled[k * len(labelled) // LOOKED_AT] for k in range(LOOKED_AT)]
    sizes: list[tuple[int, int]] = []
    counts: list[int] = []
    areas: list[int] = []
    for record in dict.fromkeys(chosen):
        segments = record.segments()
        sizes.append(segments.size)
        counts.append(len(segments))
        areas += [int(mask.sum()) for mask in segments.masks()]
    if not areas:
        raise InputError(f"{root}: the {len(sizes)} training images that were looked at are empty")
    return _Survey(
        len(labelled),
        float(np.median([min(size) for size in sizes])),
        float(np.median([max(size) for size in sizes])),
        max(counts),
        float(np.sqrt(np.median(areas))),
    )
