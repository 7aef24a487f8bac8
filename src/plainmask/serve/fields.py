"""What stands in a request, or the error that says why it cannot: JSON, base64, names, a score."""

from __future__ import annotations

import base64
import json
import re
import reprlib
from collections.abc import Mapping
from typing import Any, cast

from plainmask.serve.limits import RefusedError

NAME_LENGTH = 200
"""Of a name or an id that a client gives: it is looked up, and comes back in errors."""


def parse_json(content: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        RefusedError: it is none, or nested too deeply (400).
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not valid JSON: {error}") from error


def from_base64(text: str, name: str) -> bytes:
    """The bytes of a text in base64.

    Raises:
        RefusedError: it is not in base64 (422).
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise RefusedError(422, f"{name} is not base64: {error}") from error


def words(given: Mapping[str, Any], key: str) -> list[str]:
    """A list, or names with commas between.

    Raises:
        RefusedError: it is neither, or a name is longer than `NAME_LENGTH` (422).
    """
    value = given.get(key) or []
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list):
        names = cast("list[Any]", value)
        if all(isinstance(name, str) and len(name) <= NAME_LENGTH for name in names):
            return names
    raise RefusedError(422, f"{key} must be names, such as a,b, not {shown(value)}")


def least(given: Mapping[str, Any]) -> float | None:
    """The least score to keep; None: what the head says.

    Raises:
        RefusedError: it is no number from 0 to 1 (422).
    """
    value = given.get("score")
    if value is None:
        return None
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        score = -1.0
    if not 0 <= score <= 1:
        raise RefusedError(422, f"score must be a number from 0 to 1, not {shown(value)}")
    return score


def whole(value: object, name: str, first: int, last: int) -> int:
    """A whole number, also in a text.

    Raises:
        RefusedError: it is none, or not from `first` to `last` (422).
    """
    if isinstance(value, str) and re.fullmatch(r" *[0-9]{1,9} *", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and first <= value <= last:
        return value
    raise RefusedError(
        422, f"{name} must be a whole number from {first} to {last}, not {shown(value)}"
    )


def flag(given: Mapping[str, Any], key: str, default: bool) -> bool:
    """True or false.

    Raises:
        RefusedError: it is neither (400).
    """
    value = given.get(key, default)
    if not isinstance(value, bool):
        raise RefusedError(400, f"{key} must be true or false, not {shown(value)}")
    return value


def objects(given: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of JSON objects; empty where there is none.

    Raises:
        RefusedError: it is something else (400).
    """
    value = given.get(key) or []
    if isinstance(value, list) and all(isinstance(v, dict) for v in cast("list[Any]", value)):
        return cast("list[dict[str, Any]]", value)
    raise RefusedError(400, f"{key} must be a list of objects, not {shown(value)}")


def parameters(given: Mapping[str, Any], of: str) -> dict[str, Any]:
    """The parameters of a request or a tensor, as the Open Inference Protocol has them.

    Raises:
        RefusedError: they are no JSON object (400).
    """
    value = given.get("parameters") or {}
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    raise RefusedError(400, f"the parameters of {of} must be an object, not {shown(value)}")


def shown(value: object) -> str:
    """A value for a message, shortened: clients may send megabytes."""
    return reprlib.repr(value)
