"""What requests of a page bring, and how they are answered; `app` has the routes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plainmask.label.session import Session
from plainmask.label.writer import WritingPage

log = logging.getLogger("plainmask.label")
MOST_BYTES = 8_000_000
"""Of a request."""


async def once(
    request: Request, given: dict[str, Any], work: Callable[[str | None], dict[str, Any] | None]
) -> Response:
    """What comes of a request, which is not done where it was before.

    Args:
        request: one that changes labels.
        given: its body.
        work: does it, and takes its key for the journal; None: there was nothing to do.
    """
    session, key, found = session_of(request), request.headers.get("idempotency-key"), None
    async with request.app.state.writing:  # the same request may still be at work
        if key:
            # Another request by a key that was used is another request.
            whole = json.dumps([key, request.url.path, given], sort_keys=True)
            key = hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()
            found = await asyncio.to_thread(session.answered, key)
        if found is None:
            found = await asyncio.to_thread(work, key or None)
    return answer(found or {"picture": None})


def session_of(request: Request) -> Session:
    """The session that a request is about."""
    return request.app.state.session


async def body(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings; empty where it brings nothing."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise HTTPException(413, f"the request has more than {MOST_BYTES / 1e6:g} MB")
    try:
        given: Any = json.loads(content or b"{}")
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not valid JSON: {error}") from error
    if not isinstance(given, dict):
        raise HTTPException(400, "the body must be a JSON object")
    return cast("dict[str, Any]", given)


async def writers_body(request: Request) -> dict[str, Any]:
    """As `body`, of a page that may write."""
    known: WritingPage = request.app.state.writer
    if not known.is_writer(request.headers.get("x-writer")):
        raise HTTPException(423, "another page writes in this project; this one only shows it")
    return await body(request)


def answer(value: dict[str, Any]) -> Response:
    """JSON that is not kept."""
    return JSONResponse(value, headers={"cache-control": "no-store"})


def as_png(content: bytes, headers: dict[str, str] | None = None) -> Response:
    """A PNG that is not kept."""
    headers = {"cache-control": "no-store"} | (headers or {})
    return Response(content, media_type="image/png", headers=headers)


def problem(status: int, message: str) -> Response:
    """An error as pages get it."""
    return JSONResponse({"error": message}, status)


async def refused(request: Request, error: Exception) -> Response:
    """What plainmask says on purpose; what a disk does not take is not the fault of who sent it."""
    cause = error.__cause__
    is_disk = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
    return problem(507 if is_disk else 422, str(error))


async def wrong_request(request: Request, error: Exception) -> Response:
    """What is wrong with the request itself."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail)


async def broken(request: Request, error: Exception) -> Response:
    """A bug of ours."""
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "the server failed at this; what it prints says more")
