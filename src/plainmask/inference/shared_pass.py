"""One frozen encoder and how it is run: a single pass, whose features serve every head."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plainmask.encoder.attention import has_bfloat16_units
from plainmask.encoder.exported import AnyEncoder, ExportedEncoder
from plainmask.encoder.vit import Features
from plainmask.errors import InputError
from plainmask.heads.head import Head
from plainmask.pictures.geometry import Geometry, InputProtocol

Module = TypeVar("Module", bound=nn.Module)
Dtype = Literal["auto", "float32", "bfloat16", "float16"] | torch.dtype


@dataclass(frozen=True)
class SharedPass:
    """An encoder on its device."""

    encoder: AnyEncoder
    """As it was given."""
    device: torch.device
    dtype: torch.dtype
    """What to compute in, by autocast."""
    computing_encoder: AnyEncoder
    """The same with its matrices in `dtype`: autocast would cast what is frozen at every call."""

    @classmethod
    def of(cls, encoder: AnyEncoder, device: torch.device, dtype: torch.dtype) -> SharedPass:
        """An encoder that lies on `device`, to be computed in `dtype`."""
        return cls(encoder, device, dtype, _with_matrices(encoder, dtype))

    def features(
        self,
        pixels: Tensor,
        heads: Mapping[str, Head],
        content: Sequence[tuple[int, int]] | None = None,
    ) -> dict[str, Features]:
        """One pass that reads every tap wanted: for each head the features of its taps.

        Args:
            pixels: (B, 3, H, W) uint8 RGB.
            heads: by name.
            content: see `Encoder.forward`.
        """
        wanted = sorted({tap for head in heads.values() for tap in head.config.encoder.taps})
        found = self.computing_encoder(pixels.to(self.device), taps=wanted, content=content)
        by_tap = dict(zip(wanted, found.taps, strict=True))
        return {
            name: found._replace(taps=tuple(by_tap[tap] for tap in head.config.encoder.taps))
            for name, head in heads.items()
        }

    def features_of(
        self, images: Sequence[NDArray[np.uint8]], geometry: Geometry, heads: Mapping[str, Head]
    ) -> dict[str, Features]:
        """The same for K images (H, W, 3) uint8 of one size: K * N windows, image by image."""
        windows = torch.from_numpy(np.concatenate([geometry.fit(image) for image in images]))
        content = geometry.content and geometry.content * len(images)
        return self.features(windows, heads, content)

    def computing(self) -> AbstractContextManager[Any]:
        """Without gradients, in `dtype`."""
        return _Computing(self.device.type, self.dtype)


class _Computing:
    """`torch.inference_mode` and `torch.autocast` in one."""

    def __init__(self, device: str, dtype: torch.dtype):
        self.parts = (
            torch.inference_mode(),
            torch.autocast(device, dtype, enabled=dtype != torch.float32),
        )

    def __enter__(self) -> None:
        for part in self.parts:
            part.__enter__()

    def __exit__(self, *error: Any) -> None:
        for part in reversed(self.parts):
            part.__exit__(*error)


def by_protocol(heads: Mapping[str, Head]) -> dict[InputProtocol, dict[str, Head]]:
    """Heads that take an image in the same way share an encoder pass."""
    groups: dict[InputProtocol, dict[str, Head]] = {}
    for name, head in heads.items():
        groups.setdefault(head.config.input, {})[name] = head
    return groups


def placed(module: Module, device: torch.device) -> Module:
    """The module on this device, ready to be used: itself where it is, else a copy.

    What a caller hands in stays where it is and as it is.
    """
    here = all(value.device == device for value in module.state_dict().values())
    if here and not any(part.training for part in module.modules()):
        return module
    return copy.deepcopy(module).to(device).eval()


def _with_matrices(encoder: AnyEncoder, dtype: torch.dtype) -> AnyEncoder:
    """The encoder with the weights of its products in another dtype; all else is shared."""
    if isinstance(encoder, ExportedEncoder) or dtype == encoder.dtype:
        return encoder
    held = copy.deepcopy(encoder, {id(value): value for value in encoder.parameters()})
    for part in held.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            part.weight = nn.Parameter(part.weight.to(dtype), requires_grad=False)
    return held


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
    """The dtype to compute in.

    "auto" is what the variable PLAINMASK_DTYPE says, else bfloat16 on CUDA and on CPUs that
    multiply in it, else float32. (DINOv3 overflows in float16.)

    Raises:
        InputError: a dtype that is none of float32, bfloat16, float16.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    what = "dtype"
    if dtype == "auto" and "PLAINMASK_DTYPE" in os.environ:
        what, dtype = "PLAINMASK_DTYPE:", cast(Dtype, os.environ["PLAINMASK_DTYPE"])
    if dtype == "auto":
        fast = device.type == "cuda" or (device.type == "cpu" and has_bfloat16_units())
        return torch.bfloat16 if fast else torch.float32
    chosen = known.get(dtype) if isinstance(dtype, str) else dtype
    if chosen not in known.values():
        raise InputError(f"{what} {dtype!r} must be auto, {', '.join(known)}")
    assert chosen is not None
    return chosen


def as_exported(
    device: str | torch.device, dtype: Dtype, *, compile: bool
) -> tuple[torch.device, torch.dtype]:
    """Where and in what exported files are run: on the CPU, with what they were exported in.

    Raises:
        InputError: something else is asked for.
    """
    here, plain = torch.device("cpu"), (torch.float32, "float32", "auto")
    if compile or dtype not in plain or (device != "auto" and torch.device(device) != here):
        raise InputError(
            "exported files run on the CPU, with the precision that was chosen at the export: "
            "leave device and dtype to them, and do not compile"
        )
    return here, torch.float32
