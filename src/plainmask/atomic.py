"""Files that are either written whole or not at all, and never in place of a person's own."""

from __future__ import annotations

import errno
import re
import secrets
from contextlib import suppress
from pathlib import Path

from plainmask.errors import InputError

PNG_MARK = "plainmask"
"""Under "Software" in the PNG files that results are saved as."""
COMMENT_MARK = "made by plainmask"
"""The comment of overlay videos and of JPEG files."""
PAGE_MARK = "<!doctype html><meta charset=utf-8><meta name=generator content=plainmask>"
"""How pages begin."""
CSV_MARK = 'class,"percent"\n'
"""How tables of figures begin: with a name in quotes that needs none, which nobody else writes."""
LIST_MARK = b"[ \t \t\n"
"""How result files begin that are JSON lists by their official form, which has no room for a word:
white space that nobody else writes."""

_OURS = re.compile(
    rb'\s*\{\s*"plainmask":'  # tables of results, and their lines
    rb"|\[ \t \t\n"  # `LIST_MARK`
    rb"|\x89PNG.{0,4000}Software\x00plainmask"
    rb"|(?:\xff\xd8\xff|.{4}ftyp).{0,8000}made by plainmask"
    rb"|" + re.escape(PAGE_MARK.encode()) + rb"|" + re.escape(CSV_MARK.encode()),
    re.DOTALL,
)
"""How files begin that results are saved as; the longest begin of one is `_BEGIN` bytes."""
_BEGIN = 8192


def write_atomically(path: Path, content: bytes) -> Path:
    """Write a file, making its folder where needed; what stood there before stays until the end.

    The content goes to a temporary name in the same folder, which is then renamed: neither a full
    disk nor a killed process leaves half a file under the final name.

    Returns:
        `path`, for lists of what was written.

    Raises:
        InputError: the folder or file cannot be written; the message says why and what to do.
    """
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as cause:
        raise cannot_write(path, cause) from cause
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


def write_result(path: Path, content: bytes) -> Path:
    """As `write_atomically`, for a file that a person may have one of.

    Raises:
        InputError: it cannot be written, or `check_replaceable` says so.
    """
    check_replaceable(path, content)
    return write_atomically(path, content)


def check_replaceable(path: Path, content: bytes | None = None) -> None:
    """See that no file is lost that is not a result of plainmask.

    Args:
        path: what is to be written.
        content: a file that holds the same is no loss.

    Raises:
        InputError: another file has this name.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(_BEGIN)
            if not begin or _OURS.match(begin) or (content and begin + file.read() == content):
                return
    except (FileNotFoundError, NotADirectoryError):  # the folder is told of when it is made
        return
    except OSError as cause:
        raise cannot_write(path, cause) from cause
    raise InputError(
        f"{path} is there already and is no result of plainmask, so it is not replaced; move it, "
        "or give another folder"
    )


def temporary_beside(path: Path) -> Path:
    """A new name in the same folder, of a length that does not depend on the name."""
    # Not `tempfile`: its files are private (0600), results should follow the umask.
    return path.with_name(f".{secrets.token_hex(4)}.part")


def cannot_write(path: Path, cause: OSError) -> InputError:
    """The error for a file that cannot be written: why, and what to do."""
    if cause.errno == errno.ENAMETOOLONG:
        return InputError(f"{path} cannot be written: the name is too long; give a shorter one")
    return InputError(
        f"{path} cannot be written: {cause.strerror or cause}; give a folder that is writable and "
        "has room on its disk"
    )
