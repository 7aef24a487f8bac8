"""Heads that come while the server runs: from a folder of its own, or as an uploaded zip."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from plainmask.errors import PlainmaskError
from plainmask.heads.head import Head, shipped_heads
from plainmask.serve.fields import shown
from plainmask.serve.limits import RefusedError

FILES = frozenset({"config.json", "model.safetensors", "encoder.safetensors", "README.md"})
"""What a head folder may hold."""
NEEDED = ("config.json", "model.safetensors")
LARGEST = 500_000_000
"""Bytes of an unpacked head."""


def head_of_folder(root: Path | None, name: str) -> Head:
    """A head from a folder below the one that the server allows.

    Raises:
        RefusedError: none is allowed (403), or it lies elsewhere or is missing (422).
        HeadError, WeightsError, InputError: it is no head.
    """
    if root is None:
        raise RefusedError(403, "this server takes no folders; start it with --heads-root FOLDER")
    inside, folder = root.resolve(), (root / name).resolve()
    if not folder.is_relative_to(inside) or folder == inside:
        raise RefusedError(403, f"{name!r} lies outside the folder that this server takes heads of")
    if not folder.is_dir():
        raise RefusedError(422, f"there is no folder {name!r}")
    return Head.load(folder)


def head_of_name(root: Path | None, name: str) -> Head:
    """A head from the folder of this name below the one that the server allows, else a shipped one.

    Raises:
        RefusedError: there is none (404).
        HeadError, WeightsError, InputError: it is no head.
    """
    if root is not None and (root / name / NEEDED[0]).is_file():
        return head_of_folder(root, name)
    shipped = shipped_heads()
    if name in shipped:
        return Head.load(shipped[name])
    where = "; --heads-root names a folder of others" if root is None else f", and none in {root}"
    raise RefusedError(404, f"no head {shown(name)} is shipped{where}")


def head_of_zip(content: bytes) -> Head:
    """A head from a zip of its folder's files, or of the folder.

    Raises:
        RefusedError: it is no zip, or holds no head (422): other files, paths that lead elsewhere,
            more than `LARGEST` bytes (413).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, TemporaryDirectory() as folder:
            for name, member in members(archive).items():
                with archive.open(member) as source, (Path(folder) / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
            try:
                return Head.load(folder)
            except PlainmaskError as error:  # where it lay for a moment tells nobody anything
                raise RefusedError(422, str(error).replace(folder, "the zip")) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise RefusedError(422, f"the upload is not a zip that can be read: {error}") from error


def members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files of a head in a zip, by name."""
    found: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for member in archive.infolist():
        folder, _, name = member.filename.rpartition("/")
        if not name:  # the folder itself
            continue
        folders.add(folder)
        if name not in FILES or name in found or len(folders) > 1 or folder.count("/"):
            raise RefusedError(
                422,
                f"the zip holds {member.filename!r}; a head has {', '.join(sorted(FILES))}, all in "
                "one folder or none",
            )
        found[name] = member
    for name in NEEDED:
        if name not in found:
            raise RefusedError(422, f"the zip has no {name}, which every head has")
    # What the zip says of itself; unpacking stops there, as the zip would be damaged beyond it.
    if sum(member.file_size for member in found.values()) > LARGEST:
        raise RefusedError(413, f"the head has more than {LARGEST / 1e6:g} MB unpacked")
    return found
