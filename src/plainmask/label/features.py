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
from plainmask.encoder.vit import Features
from plainmask.errors import InputError
from plainmask.inference.shared_pass import SharedPass
from plainmask.label.project import ProjectPicture
from plainmask.pictures.geometry import Geometry, InputProtocol, Size
from plainmask.pictures.images import read_image

PROTOCOL = InputProtocol(kind="stride", size=448)
"""How pictures are seen, here and by the head that comes of them."""


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
        self.rule = f"{shared.encoder.fingerprint} {config.taps} {PROTOCOL} {shared.dtype}"
        self._keys: dict[tuple[Path, int, int], str] = {}

    @property
    def width(self) -> int:
        """D, numbers of a patch."""
        config = self.shared.encoder.config
        return config.width * len(config.taps)

    @property
    def patch(self) -> int:
        """Side of a patch in pixels, as the encoder sees them."""
        return self.shared.encoder.config.patch_size

    def of(self, picture: ProjectPicture) -> NDArray[np.float16]:
        """The features (h * w, D) of a picture, read-only.

        Raises:
            InputError: its file is not there any more, or cannot be read.
        """
        path = self._path(picture)
        found = _read(path)
        height, width = seen(picture.size, self.patch).grid(self.patch)
        if found is None or len(found) != height * width:
            found = self._compute(picture)
            self._keep(path, found)
        return found

    def for_decoder(self, picture: ProjectPicture) -> Features:
        """The same as a decoder takes them, without the tokens that stand before patches."""
        grid = seen(picture.size, self.patch).grid(self.patch)
        taps = torch.from_numpy(self.of(picture).astype(np.float32))[None]
        taps = taps.to(self.shared.device).split(self.shared.encoder.config.width, dim=2)
        return Features(tuple(taps), grid, 0)

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
        return compute_taps(image, self.shared)

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
    """How a picture (H, W) is shown to an encoder.

    Raises:
        InputError: it is too long and thin.
    """
    return Geometry.plan(size, PROTOCOL, patch)


def compute_taps(image: NDArray[np.uint8], shared: SharedPass) -> NDArray[np.float16]:
    """The features (h * w, D) of an image (H, W, 3) uint8; errors as `seen`."""
    height, width = image.shape[:2]
    geometry = seen((height, width), shared.encoder.config.patch_size)
    with shared.computing():
        pixels = torch.from_numpy(geometry.fit(image)).to(shared.device)
        found = shared.computing_encoder(pixels)
        taps = torch.cat([tap[0, found.prefix :] for tap in found.taps], dim=1)
        return taps.half().cpu().numpy()


def _read(path: Path) -> NDArray[np.float16] | None:
    """Features of a file, not read before they are used; None: it is missing or damaged."""
    try:
        found = np.load(path, mmap_mode="r")
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and found.dtype == np.float16 else None
