"""One frozen encoder and how it is run: a single pass, whose features serve every head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from plainmask.encoder.vit import Encoder, Features
from plainmask.errors import InputError
from plainmask.heads.head import Head

Dtype = Literal["auto", "float32", "bfloat16", "float16"] | torch.dtype


@dataclass(frozen=True)
class SharedPass:
    """An encoder on its device."""

    encoder: Encoder
    device: torch.device
    dtype: torch.dtype
    """What to compute in, by autocast."""

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
        found = self.encoder(pixels.to(self.device), taps=wanted, content=content)
        by_tap = dict(zip(wanted, found.taps, strict=True))
        return {
            name: found._replace(taps=tuple(by_tap[tap] for tap in head.config.encoder.taps))
            for name, head in heads.items()
        }

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
