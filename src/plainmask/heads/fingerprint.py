"""One name for what a head answers, wherever its files are."""

from __future__ import annotations

import hashlib

from plainmask.encoder.fingerprint import add_tensors
from plainmask.heads.head import Head


def head_fingerprint(head: Head) -> str:
    """Digest of all that a head's answers depend on: encoder, weights, classes, thresholds, name.

    Where it comes from (`provenance`) is left out. 16 hexadecimal digits.
    """
    digest = hashlib.sha256(head.config.model_dump_json(exclude={"provenance"}).encode())
    add_tensors(digest, head.decoder.state_dict())
    return digest.hexdigest()[:16]
