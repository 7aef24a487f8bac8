"""Finding a released encoder by a name or by its shape."""

from __future__ import annotations

import difflib

from plainmask.encoder.releases import PRESETS, Preset
from plainmask.encoder.vit import EncoderConfig
from plainmask.errors import InputError


def find_preset(name: str) -> Preset:
    """The preset of this name; a hub id, timm name or Meta name finds it too.

    Raises:
        InputError: there is none; the message offers the nearest names.
    """
    wanted = name.removeprefix("timm/")
    for preset in PRESETS:
        if wanted in (preset.name, preset.hub_id, preset.timm_name, preset.meta_name):
            return preset
    names = [preset.name for preset in PRESETS]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
    if name.startswith((".", "/", "~")) or name.endswith((".pth", ".pt", ".bin", ".safetensors")):
        raise InputError(
            f"there is no file or folder {name}, and no encoder of that name; encoders are "
            f"{', '.join(names)}"
        )
    raise InputError(f"there is no encoder named {name!r}; did you mean {', '.join(near)}?")


def matching_preset(width: int, depth: int, *, rope: bool) -> EncoderConfig | None:
    """The configuration of a released encoder of this shape, if there is one."""
    for preset in PRESETS:
        config = preset.config
        if (config.width, config.depth, config.positions == "rope") == (width, depth, rope):
            return config
    return None
