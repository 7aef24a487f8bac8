"""What stands in a request, or the error that says why it cannot: JSON, base64, names, a score."""

from __future__ import annotations

import base64
import json
import reprlib
from collections.abc import Mapping
from typing import Any, cast

from plainmask.serve.limits import RefusedError


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
        RefusedError: it is neither (422).
    """
    value = given.get(key) or []
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list) and all(isinstance(v, str) for v in cast("list[Any]", value)):
        return cast("list[str]", value)
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


def shown(value: object) -> str:
    """A value for a message, shortened: clients may send megabytes."""
    return reprlib.repr(value)
