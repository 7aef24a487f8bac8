"""Encoder features on disk, for sets small enough to be seen many times."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from plainmask.encoder.vit import Encoder, Features


class FeatureCache:
    """Looks features up by the pixels that the encoder would see; encodes what is missing.

    The key is a digest of the pixels (hence of the image and its whole geometry), of how much of
    them is padding, the encoder's fingerprint, the taps and the precision of the pass. Values are
    kept in float16. Files are written under another name first, so an interrupted run leaves none
    half-written, and two runs can share a folder. When `max_bytes` is reached, nothing more is
    written.
    """

    def __init__(self, folder: Path, encoder: Encoder, max_bytes: int):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.encoder = encoder
        self.max_bytes = max_bytes
        self.used_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        self.rule = f"{encoder.fingerprint} {encoder.config.taps}"

    def __call__(
        self,
        pixels: Tensor,
        *,
        content: Sequence[tuple[int, int]] | None = None,
        rope_scale: float = 1.0,
    ) -> Features:
        """Features of (B, 3, H, W) uint8 pixels, on their device, float32.

        Stretched coordinates cannot be cached: they go straight through to the encoder.
        """
        if rope_scale != 1 and self.encoder.config.positions == "rope":
            return self.encoder(pixels, content=content, rope_scale=rope_scale)
        rule = f"{self.rule} {_precision(self.encoder, pixels.device)}"
        whole = (pixels.shape[-2], pixels.shape[-1])
        sizes = [whole] * len(pixels) if content is None else list(content)
        rules = [rule if size == whole else f"{rule} {size}" for size in sizes]
        paths = [
            self.folder / f"{_key(rule, image)}.safetensors"
            for rule, image in zip(rules, pixels, strict=True)
        ]
        found = {path: _read(path) for path in paths}
        missing = {path: index for index, path in enumerate(paths) if found[path] is None}
        patch = self.encoder.config.patch_size
        grid = (pixels.shape[-2] // patch, pixels.shape[-1] // patch)
        if missing:  # equal pictures, as in a clip that stands still, are encoded once
            chosen = list(missing.values())
            passed = self.encoder(pixels[chosen], content=[sizes[index] for index in chosen])
            fresh = torch.stack(passed.taps, dim=1)
            for path, taps in zip(missing, fresh.half().cpu(), strict=True):  # (T, N, D)
                found[path] = taps
                self._write(path, taps)
        with torch.autocast("cpu", enabled=False):  # it would not have float16
            stacked = torch.stack([taps for path in paths if (taps := found[path]) is not None])
        taps = stacked.to(pixels.device).float().unbind(1)
        return Features(tuple(taps), grid, self.encoder.config.prefix)

    def _write(self, path: Path, taps: Tensor) -> None:
        size = taps.numel() * taps.element_size()
        if self.used_bytes + size > self.max_bytes:
            return
        scratch = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            scratch.write_bytes(save({"taps": taps.contiguous()}))
            scratch.replace(path)
        except OSError:  # a full disk: training goes on without the cache
            scratch.unlink(missing_ok=True)
            self.max_bytes = 0
            return
        self.used_bytes += size


def _precision(encoder: Encoder, device: torch.device) -> torch.dtype:
    """What a pass of the encoder computes in, here and now."""
    autocast = torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if autocast else encoder.dtype


def _key(rule: str, image: Tensor) -> str:
    digest = hashlib.sha256(f"{rule} {tuple(image.shape)}".encode())
    digest.update(image.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path) -> Tensor | None:
    """The (T, N, D) float16 taps of a file; None where it is missing or damaged."""
    if not path.is_file():
        return None
    try:
        return load_file(path)["taps"]
    except (SafetensorError, OSError, KeyError):
        return None
