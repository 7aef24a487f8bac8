"""Pictures and videos by path or address, read ahead by threads.

Letters: H W image size.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError, PlainmaskError
from plainmask.inference.images import CHUNK_PIXELS
from plainmask.pictures.images import read_image
from plainmask.threads import Promise, Worker

READERS = 4
"""Threads: a store takes long to answer, and decoding lets others run."""
WINDOW = 32
"""Pictures among which those of one size are brought together, at most."""
WINDOW_PIXELS = 2 * CHUNK_PIXELS
"""Of these: a window ends with the picture that has as many."""


def pictures_by_size(
    paths: Sequence[str],
) -> Iterator[tuple[int, NDArray[np.uint8] | Exception]]:
    """Place and pixels (H, W, 3) of each picture, or why there are none.

    The order depends on the pictures alone: within a window by size, so that those of one size
    follow each other.
    """
    window: list[tuple[int, NDArray[np.uint8]]] = []
    for place, outcome in enumerate(_in_order(paths)):
        if isinstance(outcome, Exception):
            yield place, outcome
            continue
        window.append((place, outcome))
        held = sum(pixels.shape[0] * pixels.shape[1] for _, pixels in window)
        if len(window) == WINDOW or held >= WINDOW_PIXELS:
            yield from sorted(window, key=lambda one: one[1].shape)
            window = []
    yield from sorted(window, key=lambda one: one[1].shape)


def _in_order(paths: Sequence[str]) -> Iterator[NDArray[np.uint8] | Exception]:
    with ExitStack() as stack:
        readers = [stack.enter_context(closing(Worker())) for _ in range(min(READERS, len(paths)))]
        pending: deque[Promise[NDArray[np.uint8] | Exception]] = deque()
        for place, path in enumerate(paths):
            pending.append(readers[place % READERS].submit(_read, path))
            if len(pending) > 2 * READERS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _read(path: str) -> NDArray[np.uint8] | Exception:
    try:
        if "://" not in path:
            return read_image(path)
        content = _fetched(path)
        try:
            return read_image(content)
        except InputError as error:
            return InputError(f"{path}: {str(error).removeprefix('these bytes: ')}")
    except (PlainmaskError, MemoryError) as error:
        return error


def _fetched(address: str) -> bytes:
    from plainmask.cluster.places import place_of  # needs pyarrow, which files on a disk do not

    return place_of(address).read()


@contextmanager
def local_file(path: str) -> Generator[str]:
    """Where the file of a path or address is on the disk, for the block.

    Raises:
        InputError: it cannot be fetched.
    """
    if "://" not in path:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="plainmask-") as folder:
        file = Path(folder) / path.rpartition("/")[2]
        file.write_bytes(_fetched(path))
        yield str(file)
