"""What most people meet: one frozen encoder, any number of named heads, one pass per image."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, overload

import torch
from pydantic import ValidationError
from torch import Tensor

from plainmask.data.images import ImageSource, read_image
from plainmask.decoder import PlainMaskDecoder, Predictions
from plainmask.encoder.presets import find_preset
from plainmask.encoder.sources import hub_first
from plainmask.encoder.vit import Encoder, check_pixels
from plainmask.encoder.weights import (
    build_encoder,
    load_encoder,
    load_strictly,
    read_weights_file,
    unwrap,
)
from plainmask.errors import HeadError, InputError
from plainmask.geometry import Geometry, InputProtocol
from plainmask.head import EncoderRef, Head, HeadConfig, Result, find_head
from plainmask.official import FILES as PUBLISHED_FILES
from plainmask.official import PUBLISHED, read_checkpoint
from plainmask.tasks import Task, Thresholds
from plainmask.vocabulary import Vocabulary

Weights = str | Path | Mapping[str, Tensor]
Dtype = Literal["auto", "float32", "bfloat16", "float16"] | torch.dtype


class Segmenter:
    """One encoder and its heads.

    Each image goes through the encoder once per input protocol that the heads use, however many
    heads there are. Nothing about an image is remembered between calls.

    Args:
        encoder: an encoder, or what `load_encoder` takes: a preset name, file or folder.
        heads: by name; a `Head`, the name of a shipped head, a head folder or hub repository.
        device: "auto" (CUDA, else Apple's MPS, else the CPU) or a torch device.
        dtype: "auto" (bfloat16 on CUDA, else float32), or what to compute in by autocast.

    Raises:
        HeadError: a head was trained on another encoder.
    """

    def __init__(
        self,
        encoder: Encoder | Weights,
        heads: Mapping[str, Head | str | Path] | None = None,
        *,
        device: str | torch.device = "auto",
        dtype: Dtype = "auto",
    ):
        self.device = pick_device(device)
        self.dtype = pick_dtype(dtype, self.device)
        loaded = encoder if isinstance(encoder, Encoder) else load_encoder(encoder)
        self.encoder = loaded.to(self.device)
        self._heads: dict[str, Head] = {}
        for name, head in (heads or {}).items():
            self.add(name, head)

    def __repr__(self) -> str:
        heads = ", ".join(f"{name} ({head.config.task})" for name, head in self._heads.items())
        return f"Segmenter({self.encoder.name} on {self.device}, heads: {heads or 'none'})"

    @property
    def heads(self) -> Mapping[str, Head]:
        """The heads by name; change them with `add` and `remove`."""
        return MappingProxyType(self._heads)

    def add(self, name: str, head: Head | str | Path) -> None:
        """Add a head, or replace the one of that name; the other heads are untouched.

        Raises:
            HeadError: the head was trained on another encoder.
        """
        new = head if isinstance(head, Head) else Head.load(find_head(head))
        new.check(self.encoder)
        new.decoder.to(self.device).eval()
        self._heads[name] = new

    def remove(self, name: str) -> None:
        """Take a head out.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self._heads:
            raise InputError(
                f"there is no head {name!r}; there are {', '.join(self._heads) or 'none'}"
            )
        del self._heads[name]

    @overload
    def __call__(self, image: ImageSource) -> Any: ...
    @overload
    def __call__(self, image: list[ImageSource]) -> list[Any]: ...
    def __call__(self, image: ImageSource | list[ImageSource]) -> Any:
        """Segment an image, or each of a list.

        Args:
            image: a path, PIL image, (H, W, 3) uint8 array or (3, H, W) uint8 tensor, or a list
                of these, of any sizes.

        Returns:
            A result of the head's task in the image's own pixels; a list for a list; with several
            heads a dict of results by head name.

        Raises:
            InputError: an image cannot be used (says which and why), or there is no head.
        """
        if isinstance(image, list):
            return [self(one) for one in image]
        self._need_heads()
        pixels = read_image(image)
        results: dict[str, Result] = {}
        for protocol, names in self._by_protocol().items():
            geometry = Geometry.plan(
                (pixels.shape[0], pixels.shape[1]), protocol, self.encoder.config.patch_size
            )
            windows = torch.from_numpy(geometry.fit(pixels))
            for name, predictions in self._predict(windows, names).items():
                results[name] = self._heads[name].result(predictions, geometry)
        return self._only(results)

    def logits(self, pixels: Tensor) -> Predictions | dict[str, Predictions]:
        """The raw network on pixels as they are: no resize, no padding, no masked attention.

        Args:
            pixels: (B, 3, H, W) uint8 RGB, on any device.

        Returns:
            mask and class logits (see `Predictions`); with several heads a dict by name.

        Raises:
            InputError: another dtype or layout, smaller than a patch, or there is no head.
        """
        self._need_heads()
        check_pixels(pixels, self.encoder.config.patch_size)
        return self._only(self._predict(pixels, list(self._heads)))

    def _need_heads(self) -> None:
        if not self._heads:
            raise InputError("this Segmenter has no head; add one with segmenter.add(name, head)")

    def _by_protocol(self) -> dict[InputProtocol, list[str]]:
        groups: dict[InputProtocol, list[str]] = {}
        for name, head in self._heads.items():
            groups.setdefault(head.config.input, []).append(name)
        return groups

    def _predict(self, pixels: Tensor, names: Sequence[str]) -> dict[str, Predictions]:
        """One pass of the encoder that reads every tap wanted, then every head on its taps."""
        heads = {name: self._heads[name] for name in names}
        wanted = sorted({tap for head in heads.values() for tap in head.config.encoder.taps})
        half = self.dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=half):
            features = self.encoder(pixels.to(self.device), taps=wanted)
            by_tap = dict(zip(wanted, features.taps, strict=True))
            outputs: dict[str, Predictions] = {}
            for name, head in heads.items():
                taps = tuple(by_tap[tap] for tap in head.config.encoder.taps)
                mask_logits, class_logits = head.decoder(features._replace(taps=taps))
                outputs[name] = Predictions(mask_logits.float(), class_logits.float())
        return outputs

    def _only(self, results: dict[str, Any]) -> Any:
        """The result itself where there is one head."""
        return next(iter(results.values())) if len(results) == 1 else results


def load(
    name: str | Path,
    *,
    device: str | torch.device = "auto",
    dtype: Dtype = "auto",
    encoder: Encoder | Weights | None = None,
) -> Segmenter:
    """A ready `Segmenter` with one head, named as the head is.

    Args:
        name: a shipped head ("street-semantic"), a head folder, or a hub repository: a head
            folder or one of the published PMT models (`plainmask.official.PUBLISHED`).
        device, dtype: see `Segmenter`.
        encoder: instead of the encoder that the head names: a file, folder, preset or `Encoder`.
            One of the same shape but other weights is used with a warning.

    Raises:
        InputError: nothing of that name is found.
        WeightsError: weights are missing, gated, offline or of the wrong shape; says what to do.
        HeadError: the head does not fit the encoder or is of a newer format.
    """
    if str(name) in PUBLISHED:
        published = PUBLISHED[str(name)]
        return load_official(
            hub_first(str(name), PUBLISHED_FILES),
            published.encoder if encoder is None else encoder,
            input_size=published.input_size,
            task=published.task,
            vocabulary=published.vocabulary,
            device=device,
            dtype=dtype,
            name=str(name),
        )
    head = Head.load(find_head(name))
    reference = head.config.encoder
    if encoder is None and reference.name == "custom":
        raise HeadError(
            f"the head {head.config.name!r} was trained on an encoder of no released shape "
            f"(fingerprint {reference.fingerprint}): give its weights, encoder=PATH"
        )
    loaded = reference.name if encoder is None else encoder
    if not isinstance(loaded, Encoder):
        loaded = load_encoder(loaded, patch_size=reference.patch_size, taps=reference.taps)
    if encoder is not None:
        head = _rebind(head, loaded)
    return Segmenter(loaded, {head.config.name: head}, device=device, dtype=dtype)


def load_official(
    checkpoint: Weights,
    encoder: Encoder | Weights | None = None,
    *,
    input_size: int | tuple[int, int],
    patch_size: int | None = None,
    taps: tuple[int, ...] | None = None,
    num_heads: int | None = None,
    residual_laterals: bool = True,
    task: Task = "panoptic",
    vocabulary: str | Path | Mapping[str, Any] | Vocabulary | None = None,
    thresholds: Mapping[str, Any] | Thresholds | None = None,
    device: str | torch.device = "auto",
    dtype: Dtype = "auto",
    name: str = "official",
) -> Segmenter:
    """A `Segmenter` from weights with the published names of image PMT (SPEC 9).

    Args:
        checkpoint: a path or state dict, flat or wrapped in {"state_dict": …}.
        encoder: a path, a state dict in any accepted layout, or a preset name.
        input_size: side S of the square model input, or (h, w).
        patch_size: of the encoder at use; None: its kernel's, except that a kernel of 14 with two
            upscale stages means 16, resampled (SPEC 1.3).
        taps: encoder blocks (0-based) that the laterals read; None: the last of each quarter.
        num_heads: attention heads, where the encoder is of no released shape.
        residual_laterals: False for a decoder trained without the laterals' residual path.
        task: decides the protocol: windows for semantic, fit-and-pad for the others (SPEC 7).
        vocabulary: a built-in name, a file or a dict in the form of the built-in ones; None:
            class_0, class_1, …
        thresholds: of `score`, `overlap`, `top_k`, those that differ from the published ones.
        device, dtype: see `Segmenter`.
        name: of the head in the Segmenter.

    Raises:
        WeightsError: unknown, missing or mis-shaped keys (listed), or no encoder.
        InputError: the vocabulary has another number of classes, or a threshold is unknown.
    """
    if encoder is None:
        raise InputError(
            "image checkpoints hold no encoder: give encoder=, a preset name such as "
            "'dinov3-large', a file or a state dict"
        )
    state = (
        read_weights_file(Path(checkpoint))
        if isinstance(checkpoint, (str, Path))
        else unwrap(checkpoint, "the checkpoint")
    )
    if isinstance(encoder, Encoder):
        if patch_size or taps:
            raise InputError("patch_size and taps belong to load_encoder where encoder= is loaded")
    else:
        encoder = load_encoder(encoder, patch_size=patch_size, num_heads=num_heads, taps=taps)
        stages = sum(".upscale." in key and key.endswith("conv1.weight") for key in state)
        if patch_size is None and encoder.config.patch_size == 14 and stages == 2:
            encoder = build_encoder(encoder.state_dict(), encoder.config, patch_size=16)
    ours, config = read_checkpoint(
        state, heads=num_heads or encoder.config.heads, residual_laterals=residual_laterals
    )
    with torch.device("meta"):
        decoder = PlainMaskDecoder(config)
    # Copies, made float32: the caller's tensors stay the caller's.
    load_strictly(decoder, {name: tensor.clone() for name, tensor in ours.items()}, "decoder")
    decoder.float()
    head = HeadConfig(
        name=name,
        task=task,
        vocabulary=_read_vocabulary(vocabulary, config.num_classes),
        decoder=config,
        encoder=EncoderRef.of(encoder),
        input=InputProtocol(kind="windows" if task == "semantic" else "fit", size=input_size),
        thresholds=_read_thresholds(thresholds),
    )
    return Segmenter(encoder, {name: Head(head, decoder.eval())}, device=device, dtype=dtype)


def pick_device(device: str | torch.device) -> torch.device:
    """The device meant; "auto" is CUDA, else Apple's MPS, else the CPU.

    Raises:
        InputError: there is no such device here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the device {device} cannot be used here: {reason}") from error
    return chosen


def pick_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """The dtype to compute in; "auto" is bfloat16 on CUDA (DINOv3 overflows in float16).

    Raises:
        InputError: a dtype that is none of float32, bfloat16, float16.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    chosen = known.get(dtype) if isinstance(dtype, str) else dtype
    if chosen not in known.values():
        raise InputError(f"dtype {dtype!r} must be auto, {', '.join(known)}")
    assert chosen is not None
    return chosen


def _rebind(head: Head, encoder: Encoder) -> Head:
    """The head on an encoder that the caller chose: of the same shape, perhaps of other weights."""
    reference = head.config.encoder
    preset = find_preset(reference.name).config if reference.name != "custom" else None
    found = encoder.config
    same_shape = preset is None or (
        (found.width, found.depth, found.heads, found.registers, found.positions)
        == (preset.width, preset.depth, preset.heads, preset.registers, preset.positions)
    )
    if encoder.fingerprint == reference.fingerprint or not same_shape:
        return head  # Segmenter.add refuses another shape with both named
    warnings.warn(
        f"the head {head.config.name!r} was trained on {reference.name} with the fingerprint "
        f"{reference.fingerprint}; the encoder given has {encoder.fingerprint}, results may differ",
        stacklevel=3,
    )
    bound = reference.model_copy(update={"fingerprint": encoder.fingerprint})
    return Head(head.config.model_copy(update={"encoder": bound}), head.decoder)


def _read_vocabulary(
    vocabulary: str | Path | Mapping[str, Any] | Vocabulary | None, num_classes: int
) -> Vocabulary:
    if vocabulary is None:
        return Vocabulary.numbered(num_classes)
    loaded = vocabulary if isinstance(vocabulary, Vocabulary) else Vocabulary.load(vocabulary)
    if len(loaded) != num_classes:
        raise InputError(
            f"the vocabulary {loaded.name!r} has {len(loaded)} classes, the checkpoint has "
            f"{num_classes}; give the one that it was trained with"
        )
    return loaded


def _read_thresholds(thresholds: Mapping[str, Any] | Thresholds | None) -> Thresholds:
    try:
        return Thresholds.model_validate(thresholds or {})
    except ValidationError as error:
        first = error.errors()[0]
        allowed = ", ".join(Thresholds.model_fields)
        raise InputError(
            f"thresholds: {'.'.join(map(str, first['loc']))}: {first['msg']}; there are {allowed}"
        ) from error
