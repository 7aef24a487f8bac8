"""The work, cut into parts: what is done of it is told by the ids that the results have."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

from plainmask.cluster.manifest import Manifest


class WorkPart(NamedTuple):
    """Pictures that are done in one go, and whose rows are one file."""

    ids: list[str]
    """Of the pictures."""
    paths: list[str]
    heads: list[list[str]]
    """What is missing of each picture, in the order of the heads."""


def part_name(ids: list[str]) -> str:
    """A name for rows with these ids: whoever makes them again gives the file the same name."""
    return hashlib.blake2b("\n".join(ids).encode(), digest_size=16).hexdigest()


def parts_of(
    manifest: Manifest, fingerprints: Mapping[str, str], done: Container[str], size: int
) -> Iterator[WorkPart]:
    """What is to be done of a manifest.

    The pictures of a part stand together in the manifest, whatever is done of others. So a part
    that was begun and is not done is the same part in the next run, and has the same results.

    Args:
        manifest: all pictures.
        fingerprints: of the heads, by name.
        done: ids of the rows that there are: a picture's, "-" and a fingerprint.
        size: pictures of the manifest that make a part.
    """
    for first in range(0, len(manifest.ids), size):
        part = WorkPart([], [], [])
        for place in range(first, min(first + size, len(manifest.ids))):
            key = manifest.ids[place]
            heads = [name for name, mark in fingerprints.items() if f"{key}-{mark}" not in done]
            if heads:
                part.ids.append(key)
                part.paths.append(manifest.paths[place])
                part.heads.append(heads)
        if part.ids:
            yield part
