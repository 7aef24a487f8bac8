"""The HTTP of a server: routes, errors, headers. `Service` does the work."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plainmask import __version__
from plainmask.errors import InputError, PlainmaskError
from plainmask.results.formats import png_bytes
from plainmask.results.sheet import sheet
from plainmask.serve.answers import MASKS, Masks, answer
from plainmask.serve.limits import RefusedError
from plainmask.serve.service import Service

log = logging.getLogger("plainmask.serve")


def build_app(
    service: Service, *, token: str | None = None, origins: Sequence[str] = ()
) -> Starlette:
    """The server as an ASGI application, which closes the service at its end.

    Args:
        service: what it serves.
        token: what requests must bring as a bearer; None: nothing.
        origins: of web pages that may ask it, such as "https://example.org", or "*".
    """

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncGenerator[None]:
        yield
        await asyncio.to_thread(service.close)

    routes = [
        Route("/", home),
        Route("/healthz", healthy),
        Route("/metrics", metrics),
        Route("/v1/segment", segment, methods=["POST"]),
        Route("/v1/heads", heads),
        Route("/v1/heads/{name}", head),
    ]
    middleware = [Middleware(Around, service=service, token=token)]
    if origins:
        allowed = Middleware(
            CORSMiddleware, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"]
        )
        middleware.insert(0, allowed)
    app = Starlette(
        routes=routes,
        middleware=middleware,
        lifespan=life,
        exception_handlers={
            HTTPException: wrong_request,
            PlainmaskError: refused,
            Exception: broken,
        },
    )
    app.state.service = service
    return app


class Around:
    """Around every request: its id, who may ask, how much may come, and what is counted."""

    def __init__(self, app: ASGIApp, service: Service, token: str | None):
        self.app, self.service, self.token = app, service, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(cast("list[tuple[bytes, bytes]]", scope["headers"]))
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if given.isprintable() and 0 < len(given) <= 100 else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        limit, taken = int(1e6 * self.service.limits.body_megabytes), 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise RefusedError(413, f"the request has more than {limit / 1e6:g} MB")
            return message

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", request_id.encode("latin-1")))
                route = str(getattr(scope.get("route"), "path", "none"))
                self.service.numbers.requests.labels(route, str(message["status"])).inc()
            await send(message)

        wanted = f"Bearer {self.token}".encode()
        is_open = self.token is None or scope["path"] in ("/", "/healthz")
        if not is_open and headers.get(b"authorization") != wanted:
            denied = problem(401, "this server wants a token: Authorization: Bearer TOKEN")
            await denied(scope, receive, counted)
            return
        await self.app(scope, bounded, counted)


@dataclass(frozen=True)
class Asked:
    """A picture and what is to be done with it."""

    content: bytes
    heads: tuple[str, ...]
    masks: Masks
    score: float | None
    classes: list[str] | None


async def segment(request: Request) -> Response:
    """POST /v1/segment: what heads find in a picture."""
    service: Service = request.app.state.service
    asked = await read_request(request)
    image, found = await service.segment(asked.content, service.heads(asked.heads))

    def told() -> Response:
        kept = {name: r.keep(asked.score, asked.classes) for name, r in found.results.items()}
        if "image/png" in request.headers.get("accept", ""):
            (first, *others) = kept.values()
            drawn = sheet(image, kept) if others else first.draw(image, legend=True)
            return Response(png_bytes(drawn), media_type="image/png")
        results = {name: answer(result, asked.masks) for name, result in kept.items()}
        return JSONResponse({"results": results})

    response = await asyncio.to_thread(told)
    response.headers["server-timing"] = ", ".join(
        f"{what};dur={1e3 * seconds:.1f}" for what, seconds in found.seconds.items()
    )
    return response


async def read_request(request: Request) -> Asked:
    """The picture as the raw body, as a file of a form, or in base64 in JSON.

    Raises:
        RefusedError: something is missing or of another form than it must be.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
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
        raise RefusedError(422, f"masks must be one of {', '.join(MASKS)}, not {masks!r}")
    return Asked(
        content, tuple(words(given, "heads")), masks, least(given), words(given, "classes") or None
    )


async def from_json(request: Request, given: dict[str, Any]) -> bytes:
    """The picture of a JSON body; what else stands there is added to `given`."""
    try:
        body: Any = json.loads(await request.body())
    except ValueError as error:
        raise RefusedError(400, f"the body is not valid JSON: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("image"), str):
        raise RefusedError(422, 'the body must be {"image": "<base64>", ...}')
    fields = cast("dict[str, Any]", body)
    text = str(fields.pop("image"))
    given |= fields
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise RefusedError(422, f"image is not base64: {error}") from error


def words(given: dict[str, Any], key: str) -> list[str]:
    """A list, or names with commas between."""
    value = given.get(key) or []
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list) and all(isinstance(v, str) for v in cast("list[Any]", value)):
        return cast("list[str]", value)
    raise RefusedError(422, f"{key} must be names, such as a,b, not {value!r}")


def least(given: dict[str, Any]) -> float | None:
    """The least score to keep; None: what the head says."""
    value = given.get("score")
    if value is None:
        return None
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = -1.0
    if not 0 <= score <= 1:
        raise RefusedError(422, f"score must be a number from 0 to 1, not {value!r}")
    return score


async def heads(request: Request) -> Response:
    """GET /v1/heads: what is served."""
    service: Service = request.app.state.service
    return JSONResponse({"heads": [about(service, name) for name in service.segmenter.heads]})


async def head(request: Request) -> Response:
    """GET /v1/heads/NAME: one of them."""
    service: Service = request.app.state.service
    (name,) = service.heads([request.path_params["name"]])
    return JSONResponse(about(service, name))


def about(service: Service, name: str) -> dict[str, Any]:
    """A head in a few facts."""
    config = service.segmenter.heads[name].config
    return {
        "name": name,
        "task": config.task,
        "classes": list(config.vocabulary.names),
        "input": str(config.input),
        "encoder": service.segmenter.encoder.name,
        "licence": config.provenance.licence,
        "figures": dict(config.provenance.figures),
    }


async def healthy(request: Request) -> Response:
    """GET /healthz: the server is there."""
    return JSONResponse({"live": True, "ready": True, "version": __version__})


async def metrics(request: Request) -> Response:
    """GET /metrics: for Prometheus."""
    service: Service = request.app.state.service
    return Response(service.numbers.text(), media_type="text/plain; version=0.0.4")


async def home(request: Request) -> Response:
    """GET /: a page to drop a picture on."""
    return HTMLResponse((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))


def problem(status: int, message: str, *, retry_after: float | None = None) -> Response:
    """An error as clients get it."""
    headers = {} if retry_after is None else {"retry-after": str(round(retry_after))}
    return JSONResponse({"error": message}, status, headers)


async def refused(request: Request, error: Exception) -> Response:
    """What plainmask says on purpose."""
    if isinstance(error, RefusedError):
        return problem(error.status, str(error), retry_after=error.retry_after)
    return problem(422 if isinstance(error, InputError) else 500, str(error))


async def wrong_request(request: Request, error: Exception) -> Response:
    """What starlette says: no such route, another method, a broken form."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, f"{request.method} {request.url.path}: {error.detail}")


async def broken(request: Request, error: Exception) -> Response:
    """A bug of ours: its trace goes to the log, not to the client."""
    request_id = request.state.request_id
    log.exception("request %s failed", request_id, exc_info=error)
    return problem(500, f"the server failed at this request; its log has more: {request_id}")
