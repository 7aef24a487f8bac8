"""What the encoder says of each picture, computed once and kept on disk.

Letters: H W size of the picture, h w patch grid, D numbers of a patch (all taps side by side).
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from plainmask.atomic import temporary_beside
from plainmask.errors import InputError
from plainmask.inference.shared_pass import SharedPass
from plainmask.label.project import ProjectPicture
from plainmask.pictures.geometry import Geometry, Size, bounded_size
from plainmask.pictures.images import read_image

SHORTER = 448
"""Pixels of the shorter side as the encoder sees it."""
LONGEST = 3 * SHORTER
"""Bound of the longer side; a longer and thinner picture is seen smaller."""


class KeptTaps:
    """The features of pictures, by what their files hold. Used by one thread.

    Args:
        folder: of the files; made when the first is written.
        shared: the encoder.
        max_bytes: which all files may take; those used longest ago go.
    """

    def __init__(self, folder: Path, shared: SharedPass, max_bytes: int):
        self.folder, self.shared, self.max_bytes = folder, shared, max_bytes
        config = shared.encoder.config
        self.rule = f"{shared.encoder.fingerprint} {config.taps} {SHORTER} {LONGEST} {shared.dtype}"
        self._keys: dict[tuple[Path, int, int], str] = {}

    @property
    def width(self) -> int:
        """D, numbers of a patch."""
        config = self.shared.encoder.config
        return config.width * len(config.taps)

    def geometry(self, size: Size) -> Geometry:
        """How a picture (H, W) is seen: whole patches, no padding."""
        return seen(size, self.shared.encoder.config.patch_size)

    def grid(self, size: Size) -> Size:
        """The patch grid (h, w) of a picture (H, W)."""
        patch = self.shared.encoder.config.patch_size
        height, width = self.geometry(size).model_size
        return height // patch, width // patch

    def of(self, picture: ProjectPicture) -> NDArray[np.float16]:
        """The features (h * w, D) of a picture, read-only.

        Raises:
            InputError: its file is not there any more, or cannot be read.
        """
        path = self._path(picture)
        found = _read(path)
        height, width = self.grid(picture.size)
        if found is None or len(found) != height * width:
            found = self._compute(picture)
            self._keep(path, found)
        return found

    def _path(self, picture: ProjectPicture) -> Path:
        try:
            about = picture.path.stat()
            key = picture.path, about.st_mtime_ns, about.st_size
            if key not in self._keys:
                digest = hashlib.blake2b(self.rule.encode(), digest_size=16)
                digest.update(picture.path.read_bytes())
                self._keys[key] = digest.hexdigest()
        except OSError as error:
            raise InputError(
                f"{picture.path} cannot be read any more ({error.strerror}); put it back, or go on "
                "with another picture"
            ) from error
        return self.folder / f"{self._keys[key]}.npy"

    def _compute(self, picture: ProjectPicture) -> NDArray[np.float16]:
        image = read_image(picture.path)
        if image.shape[:2] != picture.size:
            raise InputError(
                f"{picture.path} has {image.shape[1]} x {image.shape[0]} pixels now; start "
                "plainmask label again"
            )
        pixels = torch.from_numpy(self.geometry(picture.size).fit(image))
        with self.shared.computing():
            found = self.shared.computing_encoder(pixels.to(self.shared.device))
            taps = torch.cat([tap[0, found.prefix :] for tap in found.taps], dim=1)
            return taps.half().cpu().numpy()

    def _keep(self, path: Path, taps: NDArray[np.float16]) -> None:
        """Write a file; a disk that is full or may not be written only costs time later."""
        scratch = temporary_beside(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._make_room(taps.nbytes)
            with scratch.open("xb") as file:
                np.save(file, taps)
            scratch.replace(path)
        except OSError:
            with suppress(OSError):
                scratch.unlink()

    def _make_room(self, size: int) -> None:
        files = [(path.stat(), path) for path in self.folder.glob("*.npy")]
        used = size + sum(about.st_size for about, _ in files)
        for about, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if used <= self.max_bytes:
                return
            path.unlink()
            used -= about.st_size


def seen(size: Size, patch: int) -> Geometry:
    """How a picture (H, W) is shown to an encoder: the nearest size of whole patches."""
    bounded = bounded_size(size, SHORTER, LONGEST)
    height, width = (max(1, round(side / patch)) * patch for side in bounded)
    return Geometry(size, (height, width), (height, width), ((0, 0),))


def _read(path: Path) -> NDArray[np.float16] | None:
    """Features of a file, not read before they are used; None: it is missing or damaged."""
    try:
        found = np.load(path, mmap_mode="r")
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and found.dtype == np.float16 else None
