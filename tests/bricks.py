"""Pictures of a brick in the sea, and a recipe that learns from them in a few steps."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from plainmask.decoder.decoder import Predictions
from plainmask.encoder.vit import Attention
from plainmask.training import objective
from plainmask.training.loop import train
from plainmask.training.recipe import Recipe


def data_folder(root: Path, **counts: int) -> None:
    """Pictures of a brick in the sea, with labels, in the splits and numbers given."""
    random = np.random.default_rng(0)
    for split, count in counts.items():
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for index in range(count):
            label = np.zeros((40, 56), np.uint8)
            top, left = random.integers(0, 20, 2)
            label[top : top + 20, left : left + 24] = 1
            label[:2] = 255
            image = np.where(label[..., None] == 1, (200, 60, 40), (30, 90, 160)).astype(np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{index}.png")
            Image.fromarray(label).save(root / "labels" / split / f"{index}.png")
    classes = [{"id": 0, "name": "sea"}, {"id": 1, "name": "brick"}]
    (root / "classes.json").write_text(json.dumps({"ignore_value": 255, "classes": classes}))


def a_recipe(workshop: Path, **changes: Any) -> Recipe:
    settings: dict[str, Any] = {
        "name": "tiny",
        "task": "semantic",
        "encoder": str(workshop / "encoder.safetensors"),
        "data": {"root": workshop / "data", "train": "train", "val": "val"},
        "input": {"kind": "stride", "size": 48},
        "decoder": {"num_queries": 6, "num_blocks": 2, "upscale_stages": 1},
        "augment": {"crop_size": [48, 64], "scale": [0.9, 1.3], "color_jitter": True},
        "loss": {"num_points": 256, "semantic": 2.0},
        "optimizer": {"lr": 2e-3, "warmup": 3, "clip": 1.0},
        "steps": 8,
        "batch_size": 2,
        "log_every": 2,
        "save_every": 3,
    }
    return Recipe.model_validate(settings | changes)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoint.pt", weights_only=True)["decoder"]


def dtypes_of_a_run(
    recipe: Recipe, run: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[set[torch.dtype], set[torch.dtype]]:
    """What the decoder's attention was computed in, and what its losses were."""
    attended: set[torch.dtype] = set()
    judged: set[torch.dtype] = set()
    original = objective.set_loss

    def watching(layers: Sequence[Predictions], *args: Any, **options: Any) -> dict[str, Tensor]:
        judged.update(part.dtype for layer in layers for part in layer)
        return original(layers, *args, **options)

    def attending(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, Attention) and module.training:
            attended.add(output.dtype)

    monkeypatch.setattr(objective, "set_loss", watching)
    hook = nn.modules.module.register_module_forward_hook(attending)
    try:
        train(recipe, run, device="cpu")
    finally:
        hook.remove()
    return attended, judged
