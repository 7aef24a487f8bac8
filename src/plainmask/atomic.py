"""Files that are either written whole or not at all."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from plainmask.errors import InputError


def write_atomically(path: Path, content: bytes) -> Path:
    """Write a file, making its folder where needed; what stood there before stays until the end.

    The content goes to a temporary name in the same folder, which is then renamed: neither a full
    disk nor a killed process leaves half a file under the final name.

    Returns:
        `path`, for lists of what was written.

    Raises:
        InputError: the folder or file cannot be written; the message says why and what to do.
    """
    # Not `tempfile`: its files are private (0600), results should follow the umask.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as cause:
        with suppress(OSError):
            temporary.unlink()
        raise InputError(
            f"{path} cannot be written: {cause.strerror}; give a folder that is writable and has "
            "room on its disk"
        ) from cause
    return path
