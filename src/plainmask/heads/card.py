"""The model card (README.md) of a head folder, made from its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plainmask.results.task import TASKS


def model_card(config: Mapping[str, Any]) -> str:
    """Markdown with the hub's metadata header; `config` is a dumped HeadConfig."""
    provenance, encoder = config["provenance"], config["encoder"]
    classes = config["vocabulary"]["classes"]
    shown = ", ".join(entry["name"] for entry in classes[:40])
    rest = f" and {len(classes) - 40} more" if len(classes) > 40 else ""
    input_text = ", ".join(f"{k} {v}" for k, v in config["input"].items() if v is not None)
    lines = [
        "---",
        "library_name: plainmask",
        "pipeline_tag: image-segmentation",
        "---",
        f"# {config['name']}",
        "",
        f"A plainmask head for {config['task']} segmentation: "
        f"a Plain Mask Decoder on the frozen encoder **{encoder['name']}** "
        f"(fingerprint `{encoder['fingerprint']}`).",
        "",
        "```python",
        "import plainmask",
        "",
        "# a shipped head by its name, others by their folder or hub repository",
        _example(config),
        "```",
        "",
        f"- Classes ({len(classes)}): {shown}{rest}",
        f"- Input: {input_text}",
        f"- Decoder: {config['decoder']['num_blocks']} blocks, "
        f"{config['decoder']['num_queries']} queries, width {config['decoder']['width']}, "
        f"propagation {config['decoder']['propagation']}",
    ]
    if config["memory"]:
        lines += [f"- Its memory of a video starts anew every {config['memory']} frames"]
    if config["own_encoder"]:
        lines += ["- Its encoder was changed in training and lies in this folder."]
    if provenance["data"]:
        lines += ["", "## Training data and terms", "", provenance["data"]]
    if provenance["licence"]:
        lines += ["", f"Licence of these weights: {provenance['licence']}"]
    if provenance["weaknesses"]:
        lines += ["", "## What it is not good at", "", provenance["weaknesses"]]
    if provenance["figures"]:
        lines += ["", "## Figures", "", "| figure | % |", "|---|---|"]
        lines += [f"| {name} | {value:.1f} |" for name, value in provenance["figures"].items()]
        measured = {k: v for k, v in provenance["per_class"].items() if v is not None}
        of_each = TASKS[config["task"]].per_class
        lines += [f"| {of_each} {name} | {value:.1f} |" for name, value in measured.items()]
    if provenance["command"]:
        lines += ["", "Reproduce: `" + provenance["command"] + "`"]
    return "\n".join(lines) + "\n"


def _example(config: Mapping[str, Any]) -> str:
    """How the head is used, on a photo or on a video."""
    loaded = f'plainmask.load("{config["name"]}")'
    if config["decoder"]["propagation"] == "none":
        return f'result = {loaded}("photo.jpg")'
    return f'for result in {loaded}.track("video.mp4"):\n    print(result)'
