"""Head folders to and from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub

from plainmask.encoder.sources import first_line, hub_file
from plainmask.errors import InputError, WeightsError


def pull_folder(repository: str, files: Sequence[str]) -> Path:
    """A local folder with these files of a hub repository, downloaded where not cached.

    Raises:
        InputError: the repository holds no such file, hence no head.
        WeightsError: gated, refused, unknown or offline; says what to do.
    """
    try:
        paths = [hub_file(repository, name) for name in files]
        return paths[0].parent
    except FileNotFoundError as error:
        raise InputError(f"the hub repository {repository} is no head folder: {error}") from error


def push_folder(folder: Path, repository: str, *, private: bool) -> str:
    """Upload a folder to a repository, made if missing; returns its address.

    Raises:
        WeightsError: not logged in, refused or offline.
    """
    if huggingface_hub.get_token() is None:
        raise WeightsError(
            f"{repository} was not uploaded: not logged in to the hub; run `hf auth login` (or set "
            "HF_TOKEN) first"
        )
    api = huggingface_hub.HfApi()
    try:
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:  # see hub_file
        raise WeightsError(
            f"{repository} could not be uploaded: {first_line(error)}; check `hf auth whoami` and "
            "that the token may write there"
        ) from error
    return str(address)
