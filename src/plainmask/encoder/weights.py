"""From a file, a state dict or a name to a frozen encoder."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from plainmask.encoder.fingerprint import fingerprint
from plainmask.encoder.layouts import read_state
from plainmask.encoder.onnx_weights import read_onnx_weights
from plainmask.encoder.positions import resample_patch_kernel
from plainmask.encoder.presets import find_preset
from plainmask.encoder.releases import PRESETS, Preset
from plainmask.encoder.sources import preset_file, weight_files
from plainmask.encoder.vit import (
    IMAGENET_STATISTICS,
    SATELLITE_STATISTICS,
    Encoder,
    EncoderConfig,
    Statistics,
)
from plainmask.errors import InputError, WeightsError


def load_encoder(
    source: str | Path | Mapping[str, Tensor],
    *,
    patch_size: int | None = None,
    num_heads: int | None = None,
    taps: tuple[int, ...] | None = None,
    statistics: Literal["imagenet", "satellite"] | None = None,
) -> Encoder:
    """A frozen float32 encoder on the CPU.

    Args:
        source: a preset name ("dinov2-small"), hub id or timm name; a file (.safetensors, .pth,
            .pt, .bin, .onnx) or a folder with one; or a state dict. Accepted are the layouts of
            Hugging Face, timm and the publishers.
        patch_size: run it at another patch size; the kernel is resampled (PMT runs DINOv2 at 16).
        num_heads: only needed for a shape that was never released.
        taps: blocks to read, instead of the last of each quarter.
        statistics: what the pixels are normalised by, where no preset says it. None: what a
            `preprocessor_config.json` beside the weights states, satellite where file or folder are
            called so (…sat493m…), else those of the weights' family, mostly ImageNet's.

    Raises:
        InputError: no such preset, file or folder; heads or taps that no such encoder has.
        WeightsError: the weights cannot be obtained, or are no encoder; says what to do.
    """
    preset = None
    taps = None if taps is None else tuple(taps)
    if isinstance(source, str) and not Path(source).exists():
        preset = find_preset(source)
        state = read_weights_file(preset_file(preset))
        num_heads = preset.config.heads
    elif isinstance(source, (str, Path)):
        state = read_weights_file(Path(source))
    else:
        state = unwrap(source, "the encoder")
    ours, config = read_state(state, num_heads=num_heads, taps=taps)
    if preset is not None:
        config = _as_preset(config, preset, taps)
        timm_names = (preset.timm_name, f"timm/{preset.timm_name}")
        if preset.family == "dinov2" and source in timm_names:  # its rule, whatever the file
            config = config.model_copy(update={"table_antialias": True})
    else:
        place = Path(source) if isinstance(source, (str, Path)) else None
        mean, std = _statistics(place, statistics, config)
        config = config.model_copy(update={"mean": mean, "std": std})
    encoder = build_encoder(ours, config, patch_size=patch_size)
    if preset is not None:
        encoder.name = preset.name
    elif isinstance(source, (str, Path)):
        encoder.name = _name(encoder, _called(Path(source)))
    return encoder


def build_encoder(
    ours: Mapping[str, Tensor], config: EncoderConfig, *, patch_size: int | None = None
) -> Encoder:
    """An encoder from a state in our layout; `patch_size` resamples its patch kernel.

    Raises:
        WeightsError: keys are missing or left over, or have another shape.
    """
    run_by = config.model_copy(update={"patch_size": patch_size or config.patch_size})
    with torch.device("meta"):
        encoder = Encoder(run_by)
    # The digest is of the weights as published: a resampled kernel may differ in its last bits
    # from machine to machine, the patch size in use says all.
    encoder.fingerprint = encoder.older_fingerprint = fingerprint(ours, run_by)
    if (run_by.mean, run_by.std) != IMAGENET_STATISTICS:
        encoder.older_fingerprint = fingerprint(ours, run_by, with_statistics=False)
    encoder.name = _name(encoder)
    state = {name: tensor.float() for name, tensor in ours.items()}
    if patch_size is not None:
        state["patch.weight"] = resample_patch_kernel(
            state["patch.weight"], (patch_size, patch_size)
        )
    load_strictly(encoder, state, "encoder")
    return encoder.requires_grad_(False)


def load_strictly(module: torch.nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Put `state` into `module` (which may be on the meta device); list all that does not fit.

    Raises:
        WeightsError: naming every missing, left-over and mis-shaped key.
    """
    expected = module.state_dict()
    problems = [f"missing {key}" for key in expected if key not in state]
    problems += [f"unexpected {key}" for key in state if key not in expected]
    problems += [
        f"{key} has the shape {tuple(state[key].shape)}, expected {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if problems:
        raise WeightsError(f"the {what} weights do not fit: " + "; ".join(problems))
    module.load_state_dict(state, strict=True, assign=True)


def read_weights_file(path: Path) -> dict[str, Tensor]:
    """All tensors of a weights file, or of a folder with one, on the CPU.

    Pickles are read with `weights_only`; a wrapper {"state_dict": …}, {"model": …} or
    {"backbone": …} is opened, and `._orig_mod` of compiled modules is cut out of the names.

    Raises:
        InputError: there is no such file.
        WeightsError: it holds no tensors that can be read.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise InputError(f"there is no weights file at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".onnx":
            return read_onnx_weights(path)
        mmap = zipfile.is_zipfile(path)  # files from before torch 1.6 cannot be mapped
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} cannot be read as weights: {error}") from error
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):  # what a pickle calls the code that it wants to run
            raise WeightsError(
                f"{path} is no file that torch wrote (a text, or a pointer of Git LFS?); fetch it "
                "again"
            ) from error
        raise WeightsError(
            f"{path} holds more than tensors and was not opened, since a pickle can run code; "
            "convert it to safetensors where you trust it"
        ) from error
    return unwrap(loaded, str(path))


def unwrap(loaded: object, where: str) -> dict[str, Tensor]:
    """The flat mapping of tensors in what a checkpoint file held.

    Raises:
        WeightsError: there is none.
    """
    for key in ("state_dict", "model", "backbone"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{where} holds no mapping of names to tensors")
    state = {str(k).replace("._orig_mod", ""): v for k, v in loaded.items()}
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(f"{where} holds no tensors")
    return tensors


def _read_folder(folder: Path) -> dict[str, Tensor]:
    for index in folder.glob("*.index.json"):  # a model in several files
        files = [folder / name for name in weight_files(index)]
        return {k: v for file in files for k, v in read_weights_file(file).items()}
    for name in ("model.safetensors", "encoder.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return read_weights_file(folder / name)
    raise InputError(f"the folder {folder} holds no model.safetensors or pytorch_model.bin")


def _statistics(place: Path | None, named: str | None, config: EncoderConfig) -> Statistics:
    """What the pixels of weights from a file are normalised by; see `load_encoder`."""
    if named is not None:
        return SATELLITE_STATISTICS if named == "satellite" else IMAGENET_STATISTICS
    of_family = config.mean, config.std
    if place is None:
        return of_family
    folder = place if place.is_dir() else place.parent
    try:
        stated: Any = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
        mean, std = stated["image_mean"], stated["image_std"]
        if stated.get("do_normalize") is False:  # C-RADIO's network does it, TIPSv2 does without
            return of_family
        red, green, blue = map(float, mean)
        return (red, green, blue), (float(std[0]), float(std[1]), float(std[2]))
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return SATELLITE_STATISTICS if "sat493m" in _called(place) else of_family


def _called(place: Path) -> str:
    """The names of a file and its folder, or of a folder."""
    folder = place if place.is_dir() else place.parent
    return f"{folder.resolve().name} {place.name}".lower()


def _as_preset(
    config: EncoderConfig, preset: Preset, taps: tuple[int, ...] | None
) -> EncoderConfig:
    """The preset's own configuration, once the weights are seen to have its shape."""
    update: dict[str, object] = {"table_antialias": config.table_antialias}
    if taps is not None:
        update["taps"] = taps
    expected = preset.config.model_copy(update=update)
    found = config.model_copy(update={"mean": expected.mean, "std": expected.std})
    if found != expected:
        differing = [
            k for k in type(found).model_fields if getattr(found, k) != getattr(expected, k)
        ]
        raise WeightsError(
            f"the weights found for {preset.name} are another model: they differ in "
            + ", ".join(f"{k} ({getattr(found, k)} for {getattr(expected, k)})" for k in differing)
        )
    return expected


def _name(encoder: Encoder, called: str = "") -> str:
    """The preset whose shape this is, else "custom".

    Families share shapes: where several do, it is the last one that is named in what the weights
    are `called` (timm's name of EUPE has "dinov3" in it, too), else the first.
    """
    shape = _shape(encoder.config)
    for preset in PRESETS:
        if preset.fingerprint == encoder.fingerprint:
            return preset.name
    alike = [preset for preset in PRESETS if _shape(preset.config) == shape]
    named = [p for p in alike if p.family in called or p.meta_name in called]
    chosen = named[-1:] or alike[:1]
    return chosen[0].name if chosen else "custom"


def _shape(config: EncoderConfig) -> tuple[object, ...]:
    return (
        config.width,
        config.depth,
        config.heads,
        config.ffn,
        config.registers,
        config.positions,
        config.mean,
    )
