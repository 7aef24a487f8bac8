"""The HTTP of a server: routes, errors, headers. `Service` does the work."""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from plainmask.errors import PlainmaskError
from plainmask.serve.limits import RefusedError
from plainmask.serve.oip import routes as oip_routes
from plainmask.serve.routes import routes
from plainmask.serve.service import Service

log = logging.getLogger("plainmask.serve")
OPEN = frozenset({"/", "/healthz", "/v2/health/live", "/v2/health/ready"})
"""Paths for which no token is asked: probes have none."""


def build_app(
    service: Service,
    *,
    token: str | None = None,
    origins: Sequence[str] = (),
    heads_root: Path | None = None,
) -> Starlette:
    """The server as an ASGI application, which closes the service at its end.

    Args:
        service: what it serves.
        token: what requests must bring as a bearer; None: nothing.
        heads_root: where heads may be taken from; uploads are taken where there is a token.
        origins: of web pages that may ask it, such as "https://example.org", or "*".
    """

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncGenerator[None]:
        yield
        await asyncio.to_thread(service.close)

    middleware = [Middleware(Around, service=service, token=token, origins=tuple(origins))]
    if origins:
        allowed = Middleware(
            CORSMiddleware, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"]
        )
        middleware.insert(0, allowed)
    app = Starlette(
        routes=[*routes(), *oip_routes()],
        middleware=middleware,
        lifespan=life,
        exception_handlers={
            HTTPException: wrong_request,
            PlainmaskError: refused,
            Exception: broken,
        },
    )
    app.state.service, app.state.heads_root, app.state.uploads = service, heads_root, bool(token)
    return app


class Around:
    """Around every request: its id, who may ask, how much may come, and what is counted."""

    def __init__(self, app: ASGIApp, service: Service, token: str | None, origins: Sequence[str]):
        self.app, self.service, self.token, self.origins = app, service, token, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = dict(cast("list[tuple[bytes, bytes]]", scope["headers"]))
        if scope["type"] == "websocket":
            welcome = self._knows(headers) and self._is_at_home(headers)
            await (self.app if welcome else WebSocketClose(1008))(scope, receive, send)
            return
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

        if scope["path"] not in OPEN and not self._knows(headers):
            denied = problem(401, "this server wants a token: Authorization: Bearer TOKEN")
            await denied(scope, receive, counted)
            return
        await self.app(scope, bounded, counted)

    def _knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether who asks has the token."""
        wanted = f"Bearer {self.token}".encode()
        given = headers.get(b"authorization", b"")
        return self.token is None or secrets.compare_digest(given, wanted)

    def _is_at_home(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a web page that opens a socket is ours, or of a place that may: browsers leave
        it to the server."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        own = origin.partition("//")[2] == headers.get(b"host", b"").decode("latin-1")
        return not origin or own or origin in self.origins or "*" in self.origins


def problem(status: int, message: str, *, retry_after: float | None = None) -> Response:
    """An error as clients get it."""
    headers = {} if retry_after is None else {"retry-after": str(round(retry_after))}
    return JSONResponse({"error": message}, status, headers)


async def refused(request: Request, error: Exception) -> Response:
    """What plainmask says on purpose."""
    if isinstance(error, RefusedError):
        return problem(error.status, str(error), retry_after=error.retry_after)
    return problem(500 if type(error) is PlainmaskError else 422, str(error))


async def wrong_request(request: Request, error: Exception) -> Response:
    """What starlette says: no such route, another method, a broken form."""
    assert isinstance(error, HTTPException)
    told = problem(error.status_code, f"{request.method} {request.url.path}: {error.detail}")
    told.headers.update(error.headers or {})  # such as Allow, of a wrong method
    return told


async def broken(request: Request, error: Exception) -> Response:
    """A bug of ours: its trace goes to the log, not to the client."""
    request_id = request.state.request_id
    log.exception("request %s failed", request_id, exc_info=error)
    return problem(500, f"the server failed at this request; its log has more: {request_id}")
