"""From a name or a file to a ready head: shipped heads, head folders, published models."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import torch
from pydantic import ValidationError

from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.decoder.official import read_checkpoint, split_checkpoint
from plainmask.decoder.published import PUBLISHED
from plainmask.encoder.exported import AnyEncoder, ExportedEncoder
from plainmask.encoder.positions import resize_table
from plainmask.encoder.presets import find_preset
from plainmask.encoder.sources import hub_first
from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import (
    build_encoder,
    load_encoder,
    load_strictly,
    read_weights_file,
    unwrap,
)
from plainmask.errors import HeadError, InputError
from plainmask.graphs.graph import is_graph
from plainmask.heads.exported import encoder_of, load_each, load_exported_encoder, load_head
from plainmask.heads.head import EncoderRef, Head, HeadConfig
from plainmask.inference.segmenter import HeadSegmenter, Segmenter, Weights
from plainmask.inference.shared_pass import Dtype
from plainmask.pictures.geometry import InputProtocol
from plainmask.results import InstanceResult, SemanticResult
from plainmask.results.task import TASKS, Task
from plainmask.tasks import Thresholds
from plainmask.vocabulary import Vocabulary

ShippedSemantic: TypeAlias = Literal["person-parts", "scenes", "street-semantic", "street-video"]
ShippedInstance: TypeAlias = Literal["moving-objects", "nuclei-instance"]
"""The shipped heads by what they give, so that an editor knows it."""


@overload
def load(
    name: ShippedSemantic,
    *,
    device: str | torch.device = "auto",
    dtype: Dtype = "auto",
    compile: bool = False,
    encoder: AnyEncoder | Weights | None = None,
) -> HeadSegmenter[SemanticResult]: ...


@overload
def load(
    name: ShippedInstance,
    *,
    device: str | torch.device = "auto",
    dtype: Dtype = "auto",
    compile: bool = False,
    encoder: AnyEncoder | Weights | None = None,
) -> HeadSegmenter[InstanceResult]: ...


@overload
def load(
    name: str | Path,
    *,
    device: str | torch.device = "auto",
    dtype: Dtype = "auto",
    compile: bool = False,
    encoder: AnyEncoder | Weights | None = None,
) -> HeadSegmenter[Any]: ...


def load(
    name: str | Path,
    *,
    device: str | torch.device = "auto",
    dtype: Dtype = "auto",
    compile: bool = False,
    encoder: AnyEncoder | Weights | None = None,
) -> HeadSegmenter[Any]:
    """A head on its encoder, ready for images and videos.

    Args:
        name: a shipped head ("street-semantic"), a head folder, or a hub repository: a head
            folder or one of the published models (`plainmask.decoder.published.PUBLISHED`); or an
            exported head, such as out/street-semantic.onnx, with its encoder beside it.
        device, dtype, compile: see `Segmenter`.
        encoder: instead of the encoder that the head names: a file, folder, preset, exported
            encoder or `Encoder`.
            One of the same shape but other weights is used with a warning.

    Raises:
        InputError: nothing of that name is found.
        WeightsError: weights are missing, gated, offline or of the wrong shape; says what to do.
        HeadError: the head does not fit the encoder or is of a newer format.
    """
    if str(name) in PUBLISHED:
        published = PUBLISHED[str(name)]
        if isinstance(encoder, ExportedEncoder):
            raise InputError(
                f"{name} is published as weights, which run on weights alone: give those of its "
                "encoder, or export both together"
            )
        return load_official(
            hub_first(published.repository, published.files),
            published.encoder if encoder is None else encoder,
            input_size=published.input_size,
            task=published.task,
            vocabulary=published.vocabulary,
            thresholds=published.thresholds,
            device=device,
            dtype=dtype,
            compile=compile,
            name=str(name),
        )
    head = load_head(name)
    loaded = _encoder_for(head, name, encoder)
    if encoder is not None:
        head = _rebind(head, loaded)
    name = head.config.name
    return Segmenter(loaded, {name: head}, device=device, dtype=dtype, compile=compile)[name]


def _encoder_for(head: Head, name: str | Path, encoder: AnyEncoder | Weights | None) -> AnyEncoder:
    """The encoder to run a head on: the one given, its own, or the one that it names."""
    reference = head.config.encoder
    if isinstance(encoder, AnyEncoder):
        return encoder
    if is_graph(name) and encoder is None:
        return encoder_of(name) if head.encoder is None else head.encoder
    if is_graph(name) and is_graph(encoder):  # with other heads, ONNX files hold weights alone
        return load_exported_encoder(encoder)
    if encoder is None and head.encoder is not None:
        return head.encoder
    if encoder is None and reference.name == "custom":
        raise HeadError(
            f"the head {head.config.name!r} was trained on an encoder of no released shape "
            f"(fingerprint {reference.fingerprint}): give its weights, encoder=PATH"
        )
    return load_encoder(
        reference.name if encoder is None else encoder,
        patch_size=reference.patch_size,
        taps=reference.taps,
        statistics="satellite" if reference.name.endswith("-sat") else None,
    )


def load_heads(
    names: Sequence[str | Path],
    *,
    device: str | torch.device = "auto",
    dtype: Dtype = "auto",
    compile: bool = False,
    encoder: AnyEncoder | Weights | None = None,
) -> Segmenter:
    """Several heads on one encoder, each named as it is; see `load`.

    Args:
        names: one at least; only the first may be a published model, which brings the encoder.
        device, dtype, compile, encoder: see `load`.

    Raises:
        InputError, WeightsError, HeadError: as `load`; or two heads have one name.
    """
    if str(names[0]) in PUBLISHED:
        first = load(names[0], device=device, dtype=dtype, encoder=encoder)
        heads, used = [first.head], first.encoder
    else:
        heads = load_each(names[0])
        used = _encoder_for(heads[0], names[0], encoder)
    segmenter = Segmenter(used, device=device, dtype=dtype, compile=compile)
    for head in (*heads, *(head for name in names[1:] for head in load_each(name))):
        if head.config.name in segmenter.heads:
            raise InputError(f"two of the heads are called {head.config.name!r}; give each once")
        bound = head if encoder is None else _rebind(head, segmenter.encoder)
        segmenter.add(head.config.name, bound)
    return segmenter


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
    compile: bool = False,
    name: str = "official",
) -> HeadSegmenter[Any]:
    """A head from weights with PMT's published names, of images or videos (docs/model.md 2.7).

    Video checkpoints are told by their `backbone.` keys. They hold their encoder, which is then
    used, and kept with the head where it is saved; an encoder given beside it is shared instead if
    its weights are the same, which is said, one way or the other.

    Args:
        checkpoint: a path or state dict, flat or wrapped in {"state_dict": …} or {"model": …}.
        encoder: a path, a state dict in any accepted layout, or a preset name; for video
            checkpoints it may be None.
        input_size: side S of the square model input, or (h, w); for videos the shorter side.
        patch_size: of the encoder at use; None: its kernel's, except that a kernel of 14 with two
            upscale stages means 16, resampled (docs/model.md 1.3).
        taps: encoder blocks (0-based) that the laterals read; None: the last of each quarter.
        num_heads: attention heads, where the encoder is of no released shape.
        residual_laterals: False for a decoder trained without the laterals' residual path.
        task: decides the protocol: windows for semantic images, fit-and-pad for the others
            (docs/model.md 3), bounded sides for all videos (docs/model.md 4).
        vocabulary: a built-in name, a file or a dict in the form of the built-in ones; None:
            class_0, class_1, …
        thresholds: of `score`, `overlap`, `top_k`, those that differ from the published ones.
        device, dtype, compile: see `Segmenter`.
        name: of the head.

    Raises:
        WeightsError: unknown, missing or mis-shaped keys (listed), or no encoder.
        InputError: the vocabulary has another number of classes, or a threshold is unknown.
    """
    state = (
        read_weights_file(Path(checkpoint))
        if isinstance(checkpoint, (str, Path))
        else unwrap(checkpoint, "the checkpoint")
    )
    decoder_state, own_state, is_video = split_checkpoint(state)
    if encoder is None and not own_state:
        raise InputError(
            "this checkpoint holds no encoder: give encoder=, a preset name such as "
            "'dinov3-large', a file or a state dict"
        )
    if isinstance(encoder, Encoder) and (patch_size or taps):
        raise InputError("patch_size and taps belong to load_encoder where encoder= is loaded")
    stages = sum(".upscale." in key and key.endswith("conv1.weight") for key in decoder_state)

    def build(source: Encoder | Weights) -> Encoder:
        if isinstance(source, Encoder):
            return source
        built = load_encoder(source, patch_size=patch_size, num_heads=num_heads, taps=taps)
        if patch_size is None and built.config.patch_size == 14 and stages == 2:
            built = build_encoder(built.state_dict(), built.config, patch_size=16)
        return built

    own = build(own_state) if own_state else None
    used, kept = _choose_encoder(own, None if encoder is None else build(encoder))
    ours, config = read_checkpoint(
        decoder_state, heads=num_heads or used.config.heads, residual_laterals=residual_laterals
    )
    with torch.device("meta"):
        decoder = PlainMaskDecoder(config)
    # Copies, made float32: the caller's tensors stay the caller's.
    load_strictly(decoder, {name: tensor.clone() for name, tensor in ours.items()}, "decoder")
    decoder.float()
    kind = "video" if is_video else "fit" if TASKS[task].objects else "windows"
    head = HeadConfig(
        name=name,
        task=task,
        vocabulary=_read_vocabulary(vocabulary, config.num_classes),
        decoder=config,
        encoder=EncoderRef.of(used),
        own_encoder=kept.config if kept else None,
        input=InputProtocol(kind=kind, size=input_size),
        thresholds=_read_thresholds(thresholds, top_k=10 if is_video else 100),
    )
    loaded = Head(head, decoder.eval(), kept)
    return Segmenter(used, {name: loaded}, device=device, dtype=dtype, compile=compile)[name]


def _choose_encoder(own: Encoder | None, given: Encoder | None) -> tuple[Encoder, Encoder | None]:
    """The encoder to run a checkpoint on, and the one to keep with its head, if any.

    Args:
        own: what the checkpoint holds.
        given: what the caller named beside it.
    """
    if own is None:
        assert given is not None
        return given, None
    if given is None:
        return own, own
    difference = encoder_difference(own, given)
    if difference > SAME_WEIGHTS:
        warnings.warn(
            f"the checkpoint's encoder is not {given.name}: weights differ by up to "
            f"{difference:.1e} of their largest entry, so it was changed in training. It is used, "
            "and kept with the head; it cannot share its pass with heads on other encoders",
            stacklevel=3,
        )
        return own, own
    if own.config.table_grid != given.config.table_grid:
        warnings.warn(
            f"the checkpoint's encoder is {given.name}, unchanged, but with a position table "
            f"resized to {own.config.table_grid}, which at other sizes is not the same. It is "
            "used, and kept with the head",
            stacklevel=3,
        )
        return own, own
    return given, None


SAME_WEIGHTS = 1e-5
"""Difference between two copies of one encoder, as a share of the largest entry.

See docs/model.md 2.7.
"""


def encoder_difference(one: Encoder, other: Encoder) -> float:
    """The largest difference of two encoders' weights, as a share of each tensor's largest entry.

    A position table is compared after it was resized; infinite for encoders of other shapes.
    """
    mine, theirs = one.state_dict(), other.state_dict()
    if mine.keys() != theirs.keys():
        return float("inf")
    grids = one.config.table_grid, other.config.table_grid
    if "positions" in theirs and grids[0] != grids[1]:
        table = resize_table(theirs["positions"], grids[1], grids[0], antialias=True)
        theirs["positions"] = table.reshape(-1, table.shape[-1])
    if any(mine[key].shape != theirs[key].shape for key in mine):
        return float("inf")
    return max(
        float((mine[key] - theirs[key]).abs().max() / mine[key].abs().max().clamp_min(1e-12))
        for key in mine
        if mine[key].numel()
    )


def _rebind(head: Head, encoder: AnyEncoder) -> Head:
    """The head on an encoder that the caller chose: of the same shape, perhaps of other weights."""
    reference = head.config.encoder
    preset = find_preset(reference.name).config if reference.name != "custom" else None
    found = encoder.config
    same_shape = preset is None or (
        (found.width, found.depth, found.heads, found.registers, found.positions)
        == (preset.width, preset.depth, preset.heads, preset.registers, preset.positions)
    )
    if reference.means(encoder) or not same_shape:
        return head  # Segmenter.add refuses another shape with both named
    warnings.warn(
        f"the head {head.config.name!r} was trained on {reference.name} with the fingerprint "
        f"{reference.fingerprint}; the encoder given has {encoder.fingerprint}, results may differ",
        stacklevel=3,
    )
    bound = reference.model_copy(update={"fingerprint": encoder.fingerprint})
    if head.encoder is None or isinstance(encoder, ExportedEncoder):
        return replace(head, config=head.config.model_copy(update={"encoder": bound}))
    # A head that keeps an encoder of its own keeps the one that it is used with.
    update = {"encoder": bound, "own_encoder": encoder.config}
    return Head(head.config.model_copy(update=update), head.decoder, encoder)


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


def _read_thresholds(
    thresholds: Mapping[str, Any] | Thresholds | None, *, top_k: int
) -> Thresholds:
    if isinstance(thresholds, Thresholds):
        return thresholds
    try:
        return Thresholds.model_validate({"top_k": top_k, **(thresholds or {})})
    except ValidationError as error:
        first = error.errors()[0]
        allowed = ", ".join(Thresholds.model_fields)
        raise InputError(
            f"thresholds: {'.'.join(map(str, first['loc']))}: {first['msg']}; there are {allowed}"
        ) from error
