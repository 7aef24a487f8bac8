"""Saving and resuming a run; a file is whole or not there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import Precision
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from plainmask.errors import InputError, WeightsError


@dataclass(frozen=True)
class Standing:
    """Where a run stands."""

    step: int
    """Optimiser steps done."""
    seconds: float
    """Time spent training, over all sittings."""
    queries: Tensor | None = None
    """What the last clips left behind, where the recipe has `carry`."""


def save_checkpoint(
    path: Path,
    decoder: nn.Module,
    mean: AveragedModel | None,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    standing: Standing,
) -> None:
    """Write everything that a run needs to go on, by way of a temporary name.

    Random numbers need no state: every draw comes from (seed, epoch, index) or (seed,
    step).

    Raises:
        InputError: the folder cannot be written to, or the disk is full; the last good checkpoint
            is still there.
    """
    scratch = path.with_suffix(".tmp")
    content = {
        "decoder": decoder.state_dict(),
        "mean": None if mean is None else mean.state_dict(),
        "optimizer": optimizer.state_dict(),
        "precision": precision.state_dict(),  # the scale of fp16 losses; empty otherwise
        "step": standing.step,
        "seconds": standing.seconds,
        "queries": standing.queries,
    }
    try:
        with scratch.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except (OSError, RuntimeError) as error:
        scratch.unlink(missing_ok=True)
        kept = f"; the last good one, {path}, is kept" if path.exists() else ""
        raise InputError(f"the checkpoint {path} cannot be written: {error}{kept}") from error


def load_checkpoint(
    path: Path,
    decoder: nn.Module,
    mean: AveragedModel | None,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
) -> Standing:
    """Put a saved run into decoder, mean of its weights and optimiser, all on their device already.

    Raises:
        WeightsError: the file is damaged, or belongs to a decoder of another shape.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        decoder.load_state_dict(content["decoder"])
        if mean is not None:
            mean.module.load_state_dict(content["decoder"])  # a run without a mean begins one here
            if content.get("mean"):
                mean.load_state_dict(content["mean"])
        optimizer.load_state_dict(content["optimizer"])
        precision.load_state_dict(content.get("precision", {}))
    except Exception as error:
        raise WeightsError(
            f"the checkpoint {path} does not fit this recipe or is damaged: {error}; "
            "train into another folder, or delete it to start anew"
        ) from error
    return Standing(content["step"], content["seconds"], content.get("queries"))
