"""A head: decoder + task + vocabulary + input protocol + thresholds, and its folder.

FOLDER/config.json          everything but the weights; `HeadConfig`
FOLDER/model.safetensors    the decoder's tensors in our names, float16 or float32
FOLDER/README.md            the model card, made from the config
FOLDER/encoder.safetensors  only where training changed the encoder: the head's own
"""

from __future__ import annotations

import difflib
import json
import os
import tempfile
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder, Predictions
from plainmask.decoder.exported import AnyDecoder, ExportedDecoder
from plainmask.decoder.propagation import State
from plainmask.encoder.exported import AnyEncoder
from plainmask.encoder.vit import Encoder, EncoderConfig, Features
from plainmask.encoder.weights import build_encoder, load_strictly, read_weights_file
from plainmask.errors import HeadError, InputError, WeightsError
from plainmask.heads.card import model_card
from plainmask.heads.hub import pull_folder, push_folder
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.results import Moment
from plainmask.results.task import TASKS, Task
from plainmask.tasks import TaskResult, Thresholds, postprocess
from plainmask.tasks.choice import choice_of
from plainmask.tasks.tracks import frame_index
from plainmask.vocabulary import Vocabulary

FORMAT_VERSION = 1
FILES = ("config.json", "model.safetensors")
"""What `Head.load` reads of every head folder."""
ENCODER_FILE = "encoder.safetensors"
"""What it reads besides where the head has an encoder of its own."""


class EncoderRef(BaseModel):
    """Which encoder a head reads, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Preset that its weights come from, or "custom"."""
    fingerprint: str
    patch_size: int
    taps: tuple[int, ...]

    @classmethod
    def of(cls, encoder: AnyEncoder) -> Self:
        """The reference to this encoder, with its configured taps."""
        config = encoder.config
        return cls(
            name=encoder.name,
            fingerprint=encoder.fingerprint,
            patch_size=config.patch_size,
            taps=config.taps,
        )

    def means(self, encoder: AnyEncoder) -> bool:
        """Whether this is the encoder meant.

        Fingerprints of older heads leave out what pixels are normalised by; there the name says it.
        """
        older = self.fingerprint == encoder.older_fingerprint and self.name == encoder.name
        return self.fingerprint == encoder.fingerprint or older

    def check(self, encoder: AnyEncoder, head: str) -> None:
        """Raise HeadError unless this is the encoder meant."""
        if not self.means(encoder):
            raise HeadError(
                f"the head {head!r} was trained on {self.name} (fingerprint {self.fingerprint}), "
                f"but this encoder is {encoder.name} (fingerprint {encoder.fingerprint}); its "
                f"features mean something else. Give the weights that it was trained on: "
                f"plainmask.load({head!r}, encoder=PATH)"
            )


class Provenance(BaseModel):
    """Where a head comes from, for its model card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = ""
    """Training data and its terms."""
    licence: str = ""
    """Of the head's weights."""
    figures: dict[str, float] = {}
    """Measured figures by name, in percent."""
    per_class: dict[str, float | None] = {}
    """IoU by class name, in percent."""
    command: str = ""
    """What reproduces the figures."""
    recipe: dict[str, Any] = {}
    """The resolved training recipe."""
    weaknesses: str = ""
    """What the head is not good at."""


class HeadConfig(BaseModel):
    """config.json of a head folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    name: str
    task: Task
    vocabulary: Vocabulary
    decoder: DecoderConfig
    encoder: EncoderRef
    own_encoder: EncoderConfig | None = None
    """Shape of the encoder that lies in the folder; None: the encoder is a released one."""
    input: InputProtocol
    thresholds: Thresholds = Thresholds()
    memory: int | None = Field(default=None, gt=0)
    """Frames of a video after which a semantic head starts its memory anew; None: never. For heads
    whose queries drift away in videos longer than they were trained for."""
    cut: float | None = Field(default=None, gt=0, lt=1)
    """How alike two frames are at least (see `plainmask.inference.cuts`): where the next is less
    so, another scene begins, with a fresh memory and new tracks; None: videos have one scene. Not
    by the offline protocol, which is as published."""
    provenance: Provenance = Provenance()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.memory is not None and TASKS[self.task].objects:
            raise ValueError(
                "memory: only semantic heads can start anew, as objects are known by their queries"
            )
        return self


@dataclass(frozen=True)
class Head:
    """One trained head, mostly without the encoder that it reads."""

    config: HeadConfig
    decoder: AnyDecoder
    encoder: AnyEncoder | None = None
    """Its own, where training or a published file changed the encoder, or both are one file."""

    def check(self, encoder: AnyEncoder) -> None:
        """Raise HeadError unless the decoder reads this encoder's features."""
        name, decoder, reference = self.config.name, self.config.decoder, self.config.encoder
        reference.check(encoder, name)
        if decoder.width != encoder.config.width:
            raise HeadError(
                f"the head {name!r} reads features {decoder.width} wide, the encoder "
                f"{encoder.name} gives {encoder.config.width}"
            )
        if decoder.num_taps != len(reference.taps) or max(reference.taps) >= encoder.config.depth:
            raise HeadError(
                f"the head {name!r} has {decoder.num_taps} laterals for the taps {reference.taps} "
                f"of an encoder with {encoder.config.depth} blocks"
            )

    def seeing(self, kind: Literal["stride", "tiles"], scale: float | None = None) -> Self:
        """The head with another way for images to reach it, at the size that it was trained at.

        Args:
            kind: `stride`, one pass at native aspect, or `tiles`, for larger images.
            scale: `tiles`: factor on the image's size; None: 1.
        """
        size = self.config.input.size
        if kind == "stride" and not isinstance(size, int):
            size = min(size)
        protocol = InputProtocol(kind=kind, size=size, scale=scale)
        return replace(self, config=self.config.model_copy(update={"input": protocol}))

    def uncut(self) -> Head:
        """The same head for videos of one scene."""
        return replace(self, config=self.config.model_copy(update={"cut": None}))

    def predict(self, features: Features) -> Predictions:
        """What `result` needs to know of images: the decoder's predictions in float32.

        On a CPU without queries that cannot be in a result, whose masks are a tenth of a decoder's
        work; on a GPU, which would have to be asked, with all.
        """
        config, choose = self.config, None
        if config.decoder.propagation == "none" and self.decoder.queries.device.type == "cpu":
            choose = choice_of(config.task, config.thresholds)
        return self.decoder(features, choose=choose).float()

    def result(self, predictions: Predictions, geometry: Geometry) -> TaskResult:
        """Predictions for the windows of one image -> what people get for that image.

        For a head that propagates, an image is a video of one frame.
        """
        config = self.config
        if config.decoder.propagation == "none":
            return self._read(predictions, geometry)
        queries = self.decoder.first_queries(len(predictions.class_logits))
        start = State.start(queries, config.decoder.num_classes)
        state = start.after(queries, predictions.class_logits)
        return replace(self.frame_result(predictions, geometry, state), moment=None)

    def frame_result(
        self, predictions: Predictions, geometry: Geometry, state: State
    ) -> TaskResult:
        """Predictions for the windows of one frame of a video -> its result.

        A head without propagation sees each frame as an image: its queries are not the same
        objects in the next frame, so their class logits are not averaged and nothing is tracked.

        Args:
            predictions: of this frame.
            geometry: how the frame came into the model.
            state: what the network left after this frame, with the tracks of the frames before.
        """
        config = self.config
        if config.decoder.propagation == "none" and TASKS[config.task].objects:
            moment = Moment(frame_index(state), state=state.to("cpu"))
            return replace(self.result(predictions, geometry), moment=moment)
        if config.decoder.propagation != "none":
            predictions = Predictions(predictions.mask_logits, state.class_logits)
        return self._read(predictions, geometry, state)

    def _read(
        self, predictions: Predictions, geometry: Geometry, state: State | None = None
    ) -> TaskResult:
        c = self.config
        return postprocess(c.task, predictions, geometry, c.vocabulary, c.thresholds, state)

    def save(self, folder: str | Path, *, dtype: torch.dtype = torch.float16) -> Path:
        """Write the head folder; after an error it is as it was before.

        Raises:
            InputError: the folder exists and is no head, or cannot be written; or this is an
                exported head, whose weights lie in its graph alone.
        """
        if isinstance(self.decoder, ExportedDecoder):
            raise InputError(
                f"the head {self.config.name!r} comes from {self.decoder.graph.path}, an exported "
                "file; save the head that was exported"
            )
        target = Path(folder)
        is_head = (target / "config.json").is_file()
        if target.exists() and not is_head and (target.is_file() or any(target.iterdir())):
            raise InputError(f"{target} exists and is no head folder; choose another")
        state = {k: v.detach().cpu().contiguous() for k, v in self.decoder.state_dict().items()}
        # Statistics and counters keep their dtype: float16 could not hold large variances.
        narrowed = {
            k: v.to(dtype) if v.is_floating_point() and "running_" not in k else v
            for k, v in state.items()
        }
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".head-") as scratch:
                new = Path(scratch) / "head"
                new.mkdir()
                texts = {
                    "config.json": self.config.model_dump_json(indent=1) + "\n",
                    "README.md": model_card(self.config.model_dump(mode="json")),
                }
                for name, text in texts.items():
                    (new / name).write_text(text, encoding="utf-8")
                # Not `save_file`: its files are private (0600), and its errors are no OSErrors.
                (new / "model.safetensors").write_bytes(save(narrowed))
                if isinstance(self.encoder, Encoder):
                    whole = {
                        k: v.detach().cpu().contiguous()
                        for k, v in self.encoder.state_dict().items()
                    }
                    (new / ENCODER_FILE).write_bytes(save(whole))
                if target.exists():  # moved aside, and gone with the scratch folder
                    target.replace(Path(scratch) / "old")
                new.replace(target)
        except OSError as error:
            raise InputError(f"the head folder {target} cannot be written: {error}") from error
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a head folder; the decoder is float32, in eval mode, on the CPU.

        Raises:
            InputError: no such folder, or no head in it.
            HeadError: written by a newer plainmask, or the config is damaged.
            WeightsError: the tensors do not fit the config.
        """
        place = Path(folder)
        config = read_config(place)
        with torch.device("meta"):
            decoder = PlainMaskDecoder(config.decoder)
        try:
            stored = load_file(place / "model.safetensors")
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"{place / 'model.safetensors'} cannot be read: {error}; fetch the head again"
            ) from error
        state = {k: v.float() if v.is_floating_point() else v for k, v in stored.items()}
        load_strictly(decoder, state, f"head {config.name!r}")
        if config.own_encoder is None:
            return cls(config, decoder.eval())
        own = read_weights_file(place / ENCODER_FILE)
        return cls(config, decoder.eval(), build_encoder(own, config.own_encoder))

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """A head folder on disk, or the head in a hub repository ("user/name")."""
        return cls.load(name if Path(name).is_dir() else pull_head(str(name)))

    def push_to_hub(self, repository: str, *, private: bool = False) -> str:
        """Upload the head folder to a hub repository, made if missing; returns its address.

        Raises:
            WeightsError: not logged in, refused or offline; says what to do.
        """
        with tempfile.TemporaryDirectory() as scratch:
            folder = self.save(Path(scratch) / "head")
            return push_folder(folder, repository, private=private)


def read_config(folder: Path) -> HeadConfig:
    """The checked config.json of a head folder.

    Raises:
        InputError: there is none.
        HeadError: it is of a newer format, or not valid.
    """
    path = folder / "config.json"
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{folder} is no head folder: {path.name} is missing") from error
    except ValueError as error:
        raise HeadError(f"{path} is not valid JSON: {error}") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise HeadError(
            f"{folder} is a head of format {version}, this plainmask reads up to {FORMAT_VERSION}; "
            "upgrade with pip install -U plainmask"
        )
    try:
        return HeadConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise HeadError(f"{path}: {where}: {first['msg']}") from error


def pull_head(repository: str) -> Path:
    """The folder of a head in a hub repository, with its own encoder if it has one.

    Raises:
        InputError: the repository holds no head.
        WeightsError: see `pull_folder`.
    """
    folder = pull_folder(repository, FILES)
    if read_config(folder).own_encoder is not None:
        pull_folder(repository, (ENCODER_FILE,))
    return folder


def find_head(name: str | Path) -> Path:
    """The folder of a shipped head, a folder on disk, or a hub repository ("user/name").

    Raises:
        InputError: none of these; lists the shipped heads.
    """
    if not isinstance(name, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(
            "a head is the name of a shipped one, a folder or a hub repository, not a "
            f"{type(name).__name__}"
        )
    if Path(name).is_dir():
        return Path(name)
    shipped = shipped_heads()
    if str(name) in shipped:
        return shipped[str(name)]
    if isinstance(name, str) and name.count("/") == 1 and not name.startswith((".", "/")):
        return pull_head(name)
    near = difflib.get_close_matches(str(name), shipped, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(
        f"there is no head {str(name)!r}; {guess}shipped: {', '.join(shipped) or 'none'}. "
        "A head folder or a hub repository (user/name) works, too"
    )


def shipped_heads() -> dict[str, Path]:
    """The heads that come with the package: name -> folder."""
    root = Path(str(resources.files("plainmask"))) / "heads"
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return {folder.name: folder for folder in folders if (folder / "config.json").is_file()}
