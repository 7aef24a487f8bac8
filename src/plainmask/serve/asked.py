"""What a request asks for: a picture, for which heads, and in what form the answer is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from starlette.datastructures import UploadFile
from starlette.requests import Request

from plainmask.serve.answers import MASKS, Masks
from plainmask.serve.fields import from_base64, least, parse_json, shown, words
from plainmask.serve.limits import RefusedError


@dataclass(frozen=True)
class Asked:
    """A picture and what is to be done with it."""

    content: bytes
    heads: tuple[str, ...]
    masks: Masks
    score: float | None
    classes: list[str] | None


async def read_request(request: Request) -> Asked:
    """The picture as the raw body, as a file of a form, or in base64 in JSON.

    Raises:
        RefusedError: something is missing or of another form than it must be.
    """
    kind = content_type(request)
    given: dict[str, Any] = dict(request.query_params)
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=10) as form:
            file = form.get("image")
            if not isinstance(file, UploadFile):
                raise RefusedError(422, "the form has no file called image: -F image=@FILE")
            content = await file.read()
            given |= {key: value for key, value in form.items() if isinstance(value, str)}
    elif kind == "application/json":
        content = await from_json(request, given)
    else:
        content = await request.body()
    if not content:
        raise RefusedError(422, "there is no picture: send its file as the body, --data-binary @F")
    masks = given.get("masks", "rle")
    if masks not in MASKS:
        raise RefusedError(422, f"masks must be one of {', '.join(MASKS)}, not {shown(masks)}")
    return Asked(
        content, tuple(words(given, "heads")), masks, least(given), words(given, "classes") or None
    )


async def from_json(request: Request, given: dict[str, Any]) -> bytes:
    """The picture of a JSON body; what else stands there is added to `given`."""
    body = parse_json(await request.body())
    if not isinstance(body, dict) or not isinstance(body.get("image"), str):
        raise RefusedError(422, 'the body must be {"image": "<base64>", ...}')
    fields = cast("dict[str, Any]", body)
    text = str(fields.pop("image"))
    given |= fields
    return from_base64(text, "image")


def content_type(request: Request) -> str:
    """What the body is said to be, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
