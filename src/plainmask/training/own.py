"""A recipe for someone's own data, where only the path is given: sensible choices, with reasons.

Classes, stuff and ids come from the data; sizes, queries and steps from a look at some of it and
at the machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plainmask.data.coco_json import json_once
from plainmask.data.guess import image_format
from plainmask.data.reader import (
    DataFormat,
    check_format,
    dataset_splits,
    dataset_vocabulary,
    read_dataset,
)
from plainmask.data.record import Record
from plainmask.encoder.attention import has_bfloat16_units
from plainmask.encoder.presets import find_preset
from plainmask.encoder.releases import Preset
from plainmask.errors import InputError
from plainmask.heads.head import find_head, read_config
from plainmask.progress import counted
from plainmask.results.task import TASKS, Task
from plainmask.training.from_encoder import ENCODER
from plainmask.training.recipe import Recipe, build_recipe, parse_overrides
from plainmask.training.records import TrainingData, read_data
from plainmask.vocabulary import Vocabulary

OWN: dict[str, Task] = {f"own-{task}": task for task in TASKS}

LOOKED_AT = 40
"""Images that are decoded for it."""
TRAIN_SPLITS = ("train", "training", "train2017")
VAL_SPLITS = ("val", "valid", "validation", "val2017")
HELD_OUT = 0.1
"""Share of the training images to measure on, where there is no split for it."""
VALIDATION = ("val", "hold_out")
"""Settings of `data` that say what to measure on."""
VIEWS, CACHED = 8, 500
"""Views of an image whose features are kept, and images up to which they are: about 7 GB."""
BLOCKS, BEGUN = 2, 3
"""Blocks of a decoder that begins afresh, which are as good as six, and of one that begins as the
encoder's (benchmarks/ablations)."""
OBJECT_SIDE = 42
"""Pixels, three patches: what the middling object should be in tiles."""


def _preset(encoder: str) -> Preset | None:
    """The release that an encoder is; None for weights of one's own."""
    try:
        return find_preset(encoder)
    except InputError:
        return None


@dataclass
class OwnRecipe:
    """A recipe, why it is as it is, and its data, which were read for it."""

    recipe: Recipe
    reasons: list[str]
    data: TrainingData


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
    said = parse_overrides(overrides)
    if "data.root" not in said:
        raise InputError(f"{name} needs your data: plainmask train {name} data.root=FOLDER")
    return own_recipe(OWN[name], Path(str(said["data.root"])), gpu=gpu, overrides=overrides)


def own_recipe(task: Task, root: Path, *, gpu: bool, overrides: Sequence[str] = ()) -> OwnRecipe:
    """Choose a recipe for the data in a folder.

    Args:
        task: what to train for.
        root: the data set, of any format that can be guessed.
        gpu: whether there is one.
        overrides: `a.b=value`: settings that are not to be chosen; what would be derived from a
            choice is derived from them.

    Raises:
        InputError: the folder holds no data set, or one without training images or without what
            the task needs; or see `build_recipe`.
    """
    with json_once():
        recipe, reasons = _choose(task, root, gpu, overrides)
        return OwnRecipe(recipe, reasons, read_data(recipe))


def _choose(
    task: Task, root: Path, gpu: bool, overrides: Sequence[str]
) -> tuple[Recipe, list[str]]:
    said = _flat(parse_overrides(overrides))
    form = check_format(said["data.format"]) if "data.format" in said else image_format(task, root)
    train, val = _splits(form, root, said.get("data.train"))
    vocabulary = dataset_vocabulary(form, root, train)
    _check_classes(task, vocabulary, root)
    seen = _look_over(task, read_dataset(form, root, train, vocabulary), root)
    choice = _Choices(task, gpu, seen, said)
    settings = {
        "name": root.resolve().name,
        "task": task,
        "encoder": choice.encoder(),
        "data": {"root": str(root), "format": form, "train": train, **choice.validation(val)},
        **choice.sizes(),
        **choice.decoder(),
        **choice.length(),
        **choice.supervision(),
        "data_terms": f"{counted(seen.images, 'image')} of {root.resolve().name}; state their "
        "terms here",
    }
    preset = _preset(choice.encoder_name)
    terms = "state its licence here" if preset is None else preset.licence
    settings["licence"] = f"as the data allows; the encoder's: {terms}"
    facts = [
        f"data: {form}, {counted(seen.images, 'training image')} of about {seen.longer:.0f} x "
        f"{seen.shorter:.0f} pixels, {counted(len(vocabulary), 'class')}, up to "
        f"{counted(seen.objects, 'segment')} in an image, "
        f"the middling one {seen.object_side:.0f} pixels wide",
    ]
    recipe = build_recipe(settings, overrides, "the recipe for your data")
    return recipe, facts + choice.reasons


@dataclass
class _Choices:
    """One choice after the other; each leaves its reason.

    What the person said stands, and what follows from it follows.
    """

    task: Task
    gpu: bool
    seen: _Survey
    said: Mapping[str, Any]
    """Settings by key, such as `optimizer.lr`."""
    reasons: list[str] = field(default_factory=list)

    @property
    def encoder_name(self) -> str:
        return str(self.said.get("encoder", "dinov2-base" if self.gpu else "dinov2-small"))

    def encoder(self) -> str:
        name = self.encoder_name
        if "encoder" not in self.said:
            why = "a GPU is there" if self.gpu else "there is no GPU"
            better = name.replace("dinov2", "dinov3")
            self._say(f"encoder {name}: {why}; DINOv3 is better, but gated: encoder={better}")
        return name

    def validation(self, val: str | None) -> dict[str, Any]:
        """Where figures come from: said, else a split of its own, else held out."""
        held = {key: self.said[f"data.{key}"] for key in VALIDATION if f"data.{key}" in self.said}
        if held:
            return held
        if val is not None:
            self._say(f"figures on the split {val}")
            return {"val": val}
        if self.seen.images == 1:
            self._say("no figures: there is no val split, and one image only")
            return {}
        self._say(f"figures on {HELD_OUT:.0%} of the training images, as there is no val split")
        return {"hold_out": HELD_OUT}

    def sizes(self) -> dict[str, Any]:
        usual = self._number("augment.crop_size", 560 if self.gpu else 336)
        size = self._number("input.size", usual)
        # What is learnt from is as large as what is seen at use, in whole patches of 14 and of 16.
        crop = max(1, round(size / 112)) * 112
        augment: dict[str, Any] = {"crop_size": crop, "flip": 0.5, "color_jitter": True}
        scale = float(np.clip(OBJECT_SIDE / self.seen.object_side, 0.25, 3))
        if self.task == "semantic":
            shorter = int(np.clip(self.seen.shorter, size, 2 * size))
            self._say(f"windows of {size} pixels, the shorter side being {shorter}")
            augment["scale"] = [1.0, 2.0]
            return {
                "input": {"kind": "windows", "size": size, "shorter": shorter},
                "augment": augment,
            }
        if scale * self.seen.longer > 1.5 * size and scale > size / self.seen.shorter:
            scale = round(scale, 2)
            self._say(
                f"tiles of {size} pixels of images times {scale:g}: in one pass the middling "
                f"object would be smaller than {OBJECT_SIDE} pixels, three patches"
            )
            augment |= {"scale": [0.6 * scale, 1.6 * scale], "scale_of": "image"}
            return {"input": {"kind": "tiles", "size": size, "scale": scale}, "augment": augment}
        self._say(f"whole images, the shorter side being {size} pixels")
        augment["scale"] = [0.5, 2.0]
        return {"input": {"kind": "stride", "size": size}, "augment": augment}

    @property
    def begun(self) -> bool:
        """Whether blocks begin as the encoder's: as the person says; else on CPUs, whose runs are
        short, where there is nothing against it."""
        if "start_from" in self.said:
            return self.said["start_from"] == ENCODER
        preset = _preset(self.encoder_name)
        chosen = self.said.keys() & {"decoder.num_blocks", "decoder.ffn_hidden"}
        return not self.gpu and not chosen and preset is not None and preset.config.ffn == "mlp"

    def decoder(self) -> dict[str, Any]:
        # Masks of objects lose nothing at half the resolution, which takes two thirds of the time;
        # thin classes would.
        stages = 1 if self.task == "instance" else 2
        queries = self.queries()
        shape = {"num_blocks": self.blocks(), "upscale_stages": stages, "num_queries": queries}
        if not self.begun:
            return {"decoder": shape}
        if "start_from" not in self.said:
            self._say(
                f"{BEGUN} blocks that begin as copies of the encoder's: better after short runs, "
                "1.3 times the time a step; start_from=null begins afresh"
            )
        return {"decoder": shape, "start_from": ENCODER}

    def blocks(self) -> int:
        if self.begun:
            return BEGUN
        head = self.said.get("start_from")
        if head is None:
            return BLOCKS
        return max(BLOCKS, read_config(find_head(str(head))).decoder.num_blocks)

    def queries(self) -> int:
        if "decoder.num_queries" in self.said:
            return self.said["decoder.num_queries"]
        count = int(np.clip(2 * self.seen.objects, 50, 200 if self.gpu else 100))
        self._say(f"{count} queries: twice the most segments in an image, within 50 and what fits")
        return count

    def length(self) -> dict[str, Any]:
        usual, goal, least, most = (16, 40, 2000, 60_000) if self.gpu else (4, 24, 400, 4000)
        if self.begun and not self.gpu:  # in as much time, and better: what is begun learns faster
            goal, least, most = 18, 300, 3000
        batch = self._number("batch_size", usual)
        wanted = self.seen.images * goal // batch
        steps = self._number("steps", int(np.clip(wanted, least, most)))
        if steps == self.said.get("steps"):
            why = "as you say"
        elif steps == wanted:
            why = f"about {counted(goal, 'epoch')}"
        else:
            bears = "a GPU bears" if self.gpu else "CPUs bear"
            why = "fewer would teach little" if wanted < steps else f"what {bears}"
        self._say(f"{counted(steps, 'step')} of {counted(batch, 'image')}: {why}")
        warmup = min(max(1, steps // 20), steps - 1)
        afresh = not self.begun and self.said.get("start_from") is None
        settings: dict[str, Any] = {
            "batch_size": batch,
            "steps": steps,
            "optimizer": {"lr": 5e-4 if afresh and not self.gpu else 2e-4, "warmup": warmup},
            "workers": min(8, os.cpu_count() or 1) if self.gpu else 0,
            "precision": self.precision(),
        }
        if self.said.get("patience") is not None:
            settings["evaluate_every"] = max(1, steps // 20)
        if not self.gpu and steps * batch >= 2 * VIEWS * self.seen.images <= 2 * VIEWS * CACHED:
            self._say(f"features of {VIEWS} views of each image are kept while it trains")
            settings["cache"] = {"views": VIEWS}
        return settings

    def precision(self) -> str:
        if not self.gpu and has_bfloat16_units():
            self._say("bf16: this CPU multiplies in it, more than twice as fast")
        return "bf16" if self.gpu or has_bfloat16_units() else "fp32"

    def supervision(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"loss": {"num_points": 12544 if self.gpu else 6272}}
        if self.task == "semantic":
            settings["loss"]["semantic"] = 5.0
            self._say("a semantic loss on top of the published ones: it helps with few images")
        if self.task == "semantic" and not self.gpu and not self.said.get("masked_attention"):
            self._say("only the last layer is supervised: cheaper, and good enough for classes")
            return settings | {"supervise": "last", "masked_attention": False}
        return settings

    def _number(self, key: str, usual: int) -> int:
        """What the person said, if it is a number that can be reckoned with, else the usual one."""
        said = self.said.get(key)
        return said if isinstance(said, int) and said > 0 else usual

    def _say(self, reason: str) -> None:
        self.reasons.append(reason)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of settings by their whole keys, too: `input={size: 448}` says `input.size`."""
    flat = dict(settings)
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat({f"{key}.{name}": inner for name, inner in value.items()})
    return flat


def _splits(form: DataFormat, root: Path, train: str | None) -> tuple[str | None, str | None]:
    """The training split, and the one to measure on, if there is one."""
    there = dataset_splits(form, root)
    train = train or next((name for name in TRAIN_SPLITS if name in there), None)
    if train is None and None not in there:
        names = ", ".join(str(name) for name in there) or "none"
        raise InputError(
            f"{root} has no split called train; its splits are {names}. Name one: data.train=NAME"
        )
    return train, next((name for name in VAL_SPLITS if name in there), None)


def _check_classes(task: Task, vocabulary: Vocabulary, root: Path) -> None:
    things = [entry.name for entry in vocabulary.classes if entry.thing]
    if task == "instance" and len(things) < len(vocabulary):
        raise InputError(
            f"{root} has classes that are not things ({len(vocabulary) - len(things)} of "
            f"{len(vocabulary)}), and instances are things; convert it (plainmask data convert "
            "--to coco_instances), say thing: true in its class table, or train another head"
        )


def _look_over(task: Task, records: Sequence[Record], root: Path) -> _Survey:
    """Decode some images, evenly spread.

    Raises:
        InputError: there are none, or segments overlap where the task needs a map.
    """
    labelled = [record for record in records if record.labelled]
    if not labelled:
        raise InputError(f"{root}: no training image has an annotation")
    chosen = [labelled[k * len(labelled) // LOOKED_AT] for k in range(LOOKED_AT)]
    sizes: list[tuple[int, int]] = []
    counts: list[int] = []
    areas: list[int] = []
    for record in dict.fromkeys(chosen):
        segments = record.annotation()
        if task != "instance" and len(segments.layers) > 1:
            raise InputError(
                f"{root}: segments of {record.id} overlap, and a {task} head gives each pixel to "
                "one; train an instance head (own-instance)"
            )
        sizes.append(segments.size)
        counts.append(len(segments))
        areas += [area for area in segments.pixels().tolist() if area]
    if not areas:
        raise InputError(f"{root}: the {len(sizes)} training images that were looked at are empty")
    return _Survey(
        len(labelled),
        float(np.median([min(size) for size in sizes])),
        float(np.median([max(size) for size in sizes])),
        max(counts),
        float(np.sqrt(np.median(areas))),
    )
