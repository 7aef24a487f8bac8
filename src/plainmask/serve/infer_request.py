"""What a request for inference by the Open Inference Protocol asks for; no HTTP here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from plainmask.serve.fields import (
    NAME_LENGTH,
    flag,
    least,
    objects,
    parameters,
    parse_json,
    shown,
    words,
)
from plainmask.serve.limits import RefusedError
from plainmask.serve.tensors import SentPicture, read_file, read_picture

LENGTH = "inference-header-content-length"
"""The header that tells how much of a body is JSON; raw tensors follow. 0: it is a picture."""
OUTPUTS = ("segments", "map")
"""What comes where nothing is named."""

_Sent: TypeAlias = tuple[dict[str, Any], bytes]
"""A tensor as it stands in the JSON, and what follows of it behind."""


@dataclass(frozen=True)
class InSequence:
    """The video that a picture is the next frame of."""

    id: str
    start: bool
    end: bool
    state: bytes | None
    """What the frames before have left, elsewhere; with `start` only."""


@dataclass(frozen=True)
class InferRequest:
    """What a request for inference asks for."""

    image: SentPicture
    sequence: InSequence | None
    id: str
    """Empty: none was given."""
    outputs: dict[str, bool]
    """By name, whether it comes as raw bytes."""
    score: float | None
    classes: list[str] | None


def read_infer_request(content: bytes, headers: Mapping[str, str]) -> InferRequest:
    """What the body of a request asks for.

    Args:
        content: the body: JSON, with raw tensors behind it or not, or a picture's file.
        headers: of the request, their names in lower case.

    Raises:
        RefusedError: something is missing or of another form than it must be.
    """
    if headers.get("content-encoding", "identity") != "identity":
        raise RefusedError(415, "compressed requests are not taken here; send it as it is")
    length = _json_length(content, headers)
    if not length:
        if not content:
            raise RefusedError(400, "there is no picture: send its file as the body, or a request")
        return InferRequest(content, None, "", dict.fromkeys(OUTPUTS, False), None, None)
    asked: Any = parse_json(content[:length])
    if not isinstance(asked, dict):
        raise RefusedError(400, f'the request must be {{"inputs": [...]}}, not {shown(asked)}')
    asked = cast("dict[str, Any]", asked)
    given = parameters(asked, "the request")
    tensors = _inputs(asked, content[length:])
    sequence = _sequence_of(given, tensors.get("state"))
    names = OUTPUTS if sequence is None else (*OUTPUTS, "state")
    return InferRequest(
        read_picture(*tensors["image"]),
        sequence,
        _id_of(asked),
        _outputs_of(asked, names, flag(given, "binary_data_output", False)),
        least(given),
        words(given, "classes") or None,
    )


def _json_length(content: bytes, headers: Mapping[str, str]) -> int:
    """How much of a body is JSON; 0: the body is a picture."""
    value = headers.get(LENGTH)
    if value is None:
        kind, begins = headers.get("content-type", "").lower(), content[:99].lstrip()[:1]
        return len(content) if "json" in kind or begins == b"{" else 0
    if re.fullmatch(r"[0-9]{1,15}", value) is None or int(value) > len(content):
        raise RefusedError(
            400,
            f"{LENGTH} must be a number of bytes, at most the {len(content)} of the body, "
            f"not {shown(value)}",
        )
    return int(value)


def _inputs(asked: Mapping[str, Any], rest: bytes) -> dict[str, _Sent]:
    """The tensors of a request by name, each with the bytes behind the JSON that are its own."""
    inputs = objects(asked, "inputs")
    names = [tensor.get("name") for tensor in inputs]
    if names not in (["image"], ["image", "state"], ["state", "image"]):
        raise RefusedError(
            400,
            f"inputs must be one tensor called image, not {shown(names)}; a sequence that starts "
            "may have one called state, too",
        )
    found: dict[str, _Sent] = {}
    for place, tensor in enumerate(inputs):
        size = parameters(tensor, f"the input {names[place]}").get("binary_data_size", 0)
        known = type(size) is int and 0 <= size <= len(rest)
        # All that is left is the last one's, which tells whether that is right.
        own = len(rest) if place == len(inputs) - 1 else size if known else 0
        found[str(names[place])] = (tensor, rest[:own])
        rest = rest[own:]
    return found


def _sequence_of(given: Mapping[str, Any], state: _Sent | None) -> InSequence | None:
    """The sequence that a request names; None: it is a picture by itself."""
    value = given.get("sequence_id", 0)
    start, end = flag(given, "sequence_start", False), flag(given, "sequence_end", False)
    by_number = type(value) is int and 0 <= value < 2**64
    if not by_number and not (isinstance(value, str) and len(value) <= NAME_LENGTH):
        raise RefusedError(
            400,
            f"sequence_id must be a number from 0 or a text of at most {NAME_LENGTH} letters, not "
            f"{shown(value)}",
        )
    if value in (0, ""):  # as the protocol says that there is none
        if start or end or state:
            raise RefusedError(400, "a sequence needs a sequence_id, a number above 0 or a text")
        return None
    if state and not start:
        raise RefusedError(400, "a state is taken with sequence_start only")
    return InSequence(str(value), start, end, read_file(*state, "state") if state else None)


def _id_of(asked: Mapping[str, Any]) -> str:
    """The request's own id; empty where there is none."""
    value = asked.get("id", "")
    if isinstance(value, str) and len(value) <= NAME_LENGTH and value.isprintable():
        return value
    raise RefusedError(
        400, f"id must be a text of at most {NAME_LENGTH} printable letters, not {shown(value)}"
    )


def _outputs_of(asked: Mapping[str, Any], known: Sequence[str], binary: bool) -> dict[str, bool]:
    """The outputs that a request names, else the usual; of each, whether it comes as raw bytes."""
    outputs: dict[str, bool] = {}
    for tensor in objects(asked, "outputs"):
        name, given = tensor.get("name"), parameters(tensor, "an output")
        if not isinstance(name, str) or name not in known or name in outputs:
            raise RefusedError(
                400, f"outputs are {', '.join(known)}, each at most once, not {shown(name)}"
            )
        if other := sorted(given.keys() - {"binary_data"}):
            raise RefusedError(
                400, f"the only parameter of an output is binary_data, not {shown(other[0])}"
            )
        outputs[name] = flag(given, "binary_data", binary)
    return outputs or dict.fromkeys(OUTPUTS, binary)
