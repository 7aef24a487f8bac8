"""The training recipe: one strict schema for what people write in YAML (docs/architecture.md).

A recipe file starts with a comment that says its command, hardware, time and expected figure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from plainmask.atomic import write_atomically
from plainmask.data.reader import DataFormat
from plainmask.decoder.decoder import DecoderConfig, published_stages
from plainmask.decoder.propagation import Propagation
from plainmask.encoder.vit import EncoderConfig
from plainmask.errors import InputError
from plainmask.pictures.geometry import InputProtocol
from plainmask.results.task import TASKS, Task
from plainmask.training.loss import LossConfig
from plainmask.training.samples.augment import AugmentConfig, Probability, VideoAugmentConfig
from plainmask.training.samples.clips import ClipConfig, PasteConfig


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StillsConfig(_Part):
    """Labelled images beside the data: further pictures, or clips made of them (`clip.stills`)."""

    root: Path
    format: DataFormat = "coco_panoptic"
    split: str | None = "train"
    classes: Literal["same", "from_coco", "any_thing"] = "same"
    """How the classes of the images become those of the data. `same`: by name; `from_coco`: by
    the table that the data's vocabulary has for COCO's categories; `any_thing`: every thing is of
    the only class that the data has. Segments of other classes are left out."""


class DataConfig(_Part):
    """Where the labelled images or videos are."""

    root: Path
    format: DataFormat = "label_folder"
    train: str | None = "train"
    val: str | None = None
    """Split to evaluate on while training; None for none."""
    hold_out: str | Annotated[float, Field(gt=0, lt=1)] | None = None
    """Leave training images out, and evaluate on them instead of a val split. A text: those whose
    name starts with it, for choosing settings on a scene that was never seen. A number: that share
    of all, evenly spread; of videos, whole ones."""
    stills: StillsConfig | None = None
    """Further images to train on; where there is `clip`, clips are made of them. Of images without
    `clip`, those that the data has already, by their names, are left out."""


class DecoderRecipe(_Part):
    """The decoder's free choices; width, heads and taps are the encoder's."""

    num_queries: int = 100
    num_blocks: int = 6
    ffn_hidden: int | None = None
    """None: the encoder's width, as published; that of what it starts from, if anything."""
    upscale_stages: int | None = None
    """None: by patch size, as published."""
    propagation: Propagation = "none"
    """What carries queries from frame to frame."""

    def build_config(self, encoder: EncoderConfig, num_classes: int) -> DecoderConfig:
        """The whole configuration for this encoder and number of classes."""
        return DecoderConfig(
            width=encoder.width,
            heads=encoder.heads,
            num_taps=len(encoder.taps),
            num_queries=self.num_queries,
            num_classes=num_classes,
            num_blocks=self.num_blocks,
            ffn_hidden=self.ffn_hidden or encoder.width,
            upscale_stages=self.upscale_stages or published_stages(encoder.patch_size),
            propagation=self.propagation,
        )


class OptimizerConfig(_Part):
    """AdamW with linear warm-up and decay; the defaults are those of image PMT (docs/model.md 7.8).

    Video PMT (docs/model.md 7.8): lr 1e-4, schedule polynomial, clip null.
    """

    lr: float = 2e-4
    schedule: Literal["cosine", "polynomial"] = "cosine"
    min_lr: float = 1e-9
    """At the end of the cosine."""
    weight_decay: float = 0.05
    warmup: int = 6000
    clip: float | None = 0.01
    """Largest global norm of the gradients; None: any."""


class CacheConfig(_Part):
    """Keep encoder features on disk, for small sets: a step then skips the encoder."""

    folder: Path | None = None
    """Several runs may share one; None: in the run's folder, and gone when the run is done."""
    max_gb: float = Field(default=20.0, gt=0)
    views: int = Field(default=8, gt=0)
    """Different augmentations of an image that are drawn, one an epoch, before they repeat."""


def _kind_of_augment(value: object) -> str:
    """Which of the two is meant: with crops of one size, or as published for videos."""
    names: Any = value if isinstance(value, dict) else getattr(value, "__dict__", ())
    return "video" if "shorter" in names else "fixed"


Augment: TypeAlias = Annotated[
    Annotated[AugmentConfig, Tag("fixed")] | Annotated[VideoAugmentConfig, Tag("video")],
    Discriminator(_kind_of_augment),
]
"""One crop size (`crop_size`, `scale`), or native aspect, padded (`shorter`, `longest`)."""


class Recipe(_Part):
    """One training run. Everything that decides the result is in here."""

    name: str
    task: Task
    encoder: str
    """A preset name, hub id, file or folder."""
    vocabulary: str | None = None
    """A built-in name or a file; None: the data's own class table."""
    data: DataConfig
    input: InputProtocol
    """How images reach the network at evaluation and afterwards."""
    decoder: DecoderRecipe = DecoderRecipe()
    start_from: str | None = None
    """A head whose weights the decoder starts from: a shipped one, a folder or hub repository.
    What it does not have, or has in another shape, starts fresh. `encoder`: the decoder's blocks
    begin as copies of the encoder's last ones (from_encoder.py)."""
    average: float | None = Field(default=None, ge=0, lt=1)
    """Evaluate and keep the running mean of the weights, which looks back on about
    1 / (1 - average) steps (0.99: 100); None: the weights as they are after the last step."""
    freeze_norms: bool = False
    """Leave the statistics of the batch norms as `start_from` has them: for batches of so few
    pictures that their own would say more about these than about pictures."""
    augment: Augment
    paste: Probability = 0.0
    """Images: probability of pasting the objects of another training image over an image."""
    pasting: PasteConfig = PasteConfig(max_objects=8)
    """How; `partial` is for clips only."""
    clip: ClipConfig | None = None
    """Train on clips of videos; None: on images."""
    chunk: int | None = Field(default=None, gt=0)
    """Frames between two cuts of the gradient; None: it runs through the whole clip.

    See docs/model.md 6.8.
    """
    carry: Probability = 0.0
    """Semantic clips: probability that a clip starts from the queries that the clip before left
    behind, whatever that showed, instead of the learnt ones. So a link learns to serve videos that
    are far longer than clips, and to take a new scene; without it, queries drift away."""
    replay: int = Field(default=0, ge=0)
    """Clips: up to so many times, drawn evenly from 0, the first chunk is watched forward and
    backward before anything is learnt from it. So a link meets queries that are as old as those of
    videos far longer than clips; without it, queries drift away there."""
    rematch: bool = False
    """Match objects anew in every chunk, as published; else they keep their queries."""
    rope_rescale: bool = False
    """Stretch the coordinates of the patches by a random factor of 1/2..2 in every step.

    See docs/model.md 6.6.
    """
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: int = Field(gt=0)
    batch_size: int = Field(default=16, gt=0)
    """Pictures or clips of a step, over all devices; shared out to them."""
    accumulate: int = Field(default=1, gt=0)
    """Parts of a batch that a device takes one after the other, for less memory. Batch norms and
    mask losses see each part by itself, as they do on several devices."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    supervise: Literal["every_layer", "last"] = "every_layer"
    """Which predictions get a loss; the published models: every layer."""
    masked_attention: bool = True
    """Masked attention with annealing; needs every layer supervised."""
    workers: int = Field(default=0, ge=0)
    cache: CacheConfig | None = None
    log_every: int = Field(default=20, gt=0)
    save_every: int = Field(default=100, gt=0)
    evaluate_every: int | None = Field(default=None, gt=0)
    """Steps between evaluations on the val split; None: only at the end."""
    patience: int | None = Field(default=None, gt=0)
    """End the run when so many evaluations in a row brought no better figure, with the best head;
    None: go through all steps. The first figure of the task counts: PQ, VPQ, AP or mIoU."""
    data_terms: str = ""
    """Name and terms of the training data, for the head's README."""
    licence: str = ""
    """Licence of the trained weights, likewise."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.masked_attention and self.supervise == "last":
            raise ValueError("masked_attention needs supervise: every_layer")
        if self.optimizer.warmup >= self.steps:
            raise ValueError(
                f"optimizer.warmup {self.optimizer.warmup} must be less than steps {self.steps}"
            )
        if self.patience is not None and self.evaluate_every is None:
            raise ValueError("patience counts evaluations on the way: give evaluate_every")
        if self.freeze_norms and self.start_from is None:
            raise ValueError("freeze_norms keeps statistics that a head has: give start_from")
        if self.clip is not None and self.masked_attention:
            raise ValueError("clips are trained without masked attention: masked_attention: false")
        if self.decoder.propagation != "none" and self.clip is None:
            raise ValueError(
                f"decoder.propagation {self.decoder.propagation} is learnt from clips: give clip"
            )
        pasted = self.paste if self.clip is None else self.clip.paste
        if pasted and not TASKS[self.task].objects:
            raise ValueError(
                "paste adds objects, but in semantic data a class is one segment; leave it 0"
            )
        if self.paste and self.clip is not None:
            raise ValueError("paste is for images; over clips, clip.paste pastes")
        if self.replay and self.clip is None:
            raise ValueError("replay is for clips, whose queries are carried: give clip")
        if self.carry and (self.clip is None or self.task != "semantic"):
            raise ValueError("carry is for clips of semantic data: objects end with their video")
        if self.loss.semantic and self.task != "semantic":
            raise ValueError(f"loss.semantic is for semantic heads, not for task {self.task}")
        return self

    def looks_at(self, step: int) -> bool:
        """Whether the run evaluates after this many steps; at the end it always does."""
        every = self.evaluate_every
        return every is not None and step % every == 0 and step < self.steps


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with plainmask, by name: of its own heads and of published ones."""
    inside = Path(__file__).parents[1] / "recipes"  # in a wheel; a checkout has them at its top
    folder = inside if inside.is_dir() else Path(__file__).parents[3] / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe_file(name: str | Path, *, others: Iterable[str] = ()) -> Path:
    """The file of a recipe: given as such, or by the name of a shipped one.

    Args:
        name: a path or a name.
        others: further names that a person may have meant.

    Raises:
        InputError: there is none; says which name is near.
    """
    path, shipped = Path(name), shipped_recipes()
    if path.exists():
        return path
    if str(name) in shipped:
        return shipped[str(name)]
    names = [*others, *shipped]
    near = difflib.get_close_matches(path.stem, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"by name there are {', '.join(names)}"
    raise InputError(f"the recipe {name} cannot be read: there is no such file; {hint}")


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a YAML recipe and apply `a.b=value` overrides (values are YAML, too).

    Raises:
        InputError: no such file, broken YAML, or a key or value that the schema does not know;
            the message names the key's path and, for a misspelt key, the nearest valid one.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the recipe {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"the recipe {path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"the recipe {path} must be a mapping of settings")
    return build_recipe(content, overrides, f"the recipe {path}")


def build_recipe(content: dict[str, Any], overrides: Iterable[str], source: str) -> Recipe:
    """Settings with `a.b=value` overrides as a recipe.

    Args:
        content: the settings; the overrides change it.
        overrides: in the order in which they count.
        source: where the settings come from, for messages.

    Raises:
        InputError: as `load_recipe`.
    """
    said = parse_overrides(overrides)
    for key, value in said.items():
        _apply(content, key, value)
    _shorten_warmup(content, said)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise InputError(f"{source} is not valid:\n  " + "\n  ".join(lines)) from error


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """The values of `a.b=value` overrides by their keys, in the order in which they count.

    Raises:
        InputError: one is not of this form, or its value is no YAML.
    """
    said: dict[str, Any] = {}
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise InputError(f"the override {override!r} must be key=value, such as steps=100")
        said.pop(key, None)
        try:
            said[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"the override {override!r} is not valid YAML: {error}") from error
    return said


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write the resolved recipe as YAML."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomically(path, text.encode())


def _apply(content: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        child = place.get(parent)
        place[parent] = place = dict(child) if isinstance(child, dict) else {}
    place[last] = value


def _shorten_warmup(content: dict[str, Any], said: Mapping[str, Any]) -> None:
    """A twentieth of the steps, where a person cut them so short that the warm-up does not fit."""
    steps, optimizer = said.get("steps"), content.get("optimizer", {})
    if {"optimizer", "optimizer.warmup"} & said.keys() or not isinstance(optimizer, dict):
        return
    if not isinstance(steps, int) or steps < 1:
        return
    warmup: Any = optimizer.get("warmup", OptimizerConfig().warmup)
    if isinstance(warmup, int) and warmup >= steps:
        content["optimizer"] = optimizer | {"warmup": steps // 20}


def _explain(problem: Any) -> str:
    """One line for a mistake: its key, what is wrong, and what was found, if that is short."""
    location = [part for part in problem["loc"] if part not in _KINDS]
    path = ".".join(map(str, location))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), _valid_keys(problem["loc"][:-1]))
        return f"{path}: unknown key" + (f"; did you mean {near[0]}?" if near else "")
    reason = problem["msg"].removeprefix("Value error, ")
    found = problem["input"]
    # Of several settings that do not go together, the reason names the keys.
    told = isinstance(found, dict | BaseModel) or problem["type"] == "value_error"
    return f"{path}: {reason}".removeprefix(": ") + ("" if told else f" (found {found!r})")


_KINDS: dict[str | int, type[BaseModel]] = {"fixed": AugmentConfig, "video": VideoAugmentConfig}
"""What the tags in the location of a mistake in `augment` stand for."""


def _valid_keys(location: tuple[str | int, ...]) -> list[str]:
    model: Any = Recipe
    for part in location:
        if part in _KINDS:
            model = _KINDS[part]
            continue
        annotation = model.model_fields[str(part)].annotation
        options = getattr(annotation, "__args__", (annotation,))
        model = next((option for option in options if isinstance(option, type)), model)
    return list(model.model_fields)
