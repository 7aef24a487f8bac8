"""Features of the last pictures, by what the encoder saw: another head costs its decoder only."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from plainmask.serve.parts import Taps


class KeptFeatures:
    """The taps of the pictures seen last, within a number of bytes. Used by one thread."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.bytes = 0
        self._kept: OrderedDict[bytes, Taps] = OrderedDict()

    def find(self, key: bytes, wanted: list[int]) -> Taps | None:
        """Those of a picture; None where one that is wanted is missing."""
        taps = self._kept.get(key)
        if taps is None or not taps.keys() >= set(wanted):
            return None
        self._kept.move_to_end(key)
        return taps

    def keep(self, key: bytes, taps: Taps) -> None:
        """Remember a picture, and forget those asked for longest ago, if need be."""
        self.bytes -= _size(self._kept.pop(key, {}))
        self._kept[key] = taps
        self.bytes += _size(taps)
        while self.bytes > self.max_bytes:
            _, old = self._kept.popitem(last=False)
            self.bytes -= _size(old)


def key_of(windows: NDArray[np.uint8], content: object) -> bytes:
    """A digest of what the encoder sees of a picture: its windows, and where they hold nothing."""
    digest = hashlib.blake2b(f"{windows.shape} {content}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(windows).data)
    return digest.digest()


def _size(taps: Taps) -> int:
    return sum(tap.numel() * tap.element_size() for tap in taps.values())
