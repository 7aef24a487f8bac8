"""What a request asks for: a picture, for which heads, and in what form the answer is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from starlette.datastructures import UploadFile
from starlette.requests import Request

from plainmask.serve.answers import MASKS, Masks
from plainmask.serve.fields import from_base64, least, parse_json, shown, whole, words
from plainmask.serve.limits import RefusedError

SIDE = 448
"""Pixels of the shorter side of a picture for features, where none are named."""
LARGEST_SIDE = 2048


@dataclass(frozen=True)
class Asked:
    """A picture and what is to be done with it."""

    content: bytes
    heads: tuple[str, ...]
    masks: Masks
    score: float | None
    classes: list[str] | None


@dataclass(frozen=True)
class AskedFeatures:
    """A picture whose features are asked for."""

    content: bytes
    blocks: tuple[int, ...]
    side: int
    """Of the picture, the shorter one, before it is cut into patches."""


async def read_request(request: Request) -> Asked:
    """The picture as the raw body, as a file of a form, or in base64 in JSON.

    Raises:
        RefusedError: something is missing or of another form than it must be.
    """
    content, given = await read_content(request)
    masks = given.get("masks", "rle")
    if masks not in MASKS:
        raise RefusedError(422, f"masks must be one of {', '.join(MASKS)}, not {shown(masks)}")
    return Asked(
        content, tuple(words(given, "heads")), masks, least(given), words(given, "classes") or None
    )


async def read_features_request(request: Request, depth: int) -> AskedFeatures:
    """The same for features of an encoder of `depth` blocks; the last one's, where none is named.

    Raises:
        RefusedError: as `read_request`, or there is no such block or size.
    """
    content, given = await read_content(request)
    blocks = given.get("blocks", [depth - 1])
    if isinstance(blocks, str):
        blocks = blocks.split(",")
    if not isinstance(blocks, list) or not blocks:
        raise RefusedError(422, f"blocks must be numbers, such as 3,7, not {shown(blocks)}")
    chosen = {whole(block, "a block", 0, depth - 1) for block in cast("list[Any]", blocks)}
    side = whole(given.get("size", SIDE), "size", 1, LARGEST_SIDE)
    return AskedFeatures(content, tuple(sorted(chosen)), side)


async def read_content(request: Request) -> tuple[bytes, dict[str, Any]]:
    """The content of the picture's file, and what else is asked by name."""
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
    return content, given


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
