"""The HTTP of a server: routes, errors, headers. `Service` does the work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from plainmask.errors import PlainmaskError
from plainmask.serve.around import Around, problem
from plainmask.serve.limits import RefusedError
from plainmask.serve.oip import routes as oip_routes
from plainmask.serve.routes import routes
from plainmask.serve.service import Service

log = logging.getLogger("plainmask.serve")


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
            ClientDisconnect: left,
            PlainmaskError: refused,
            Exception: broken,
        },
    )
    app.state.service, app.state.heads_root, app.state.uploads = service, heads_root, bool(token)
    return app


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


async def left(request: Request, error: Exception) -> Response:
    """The client went away before its body was whole; nobody reads this, but it is counted."""
    return problem(400, "the body broke off")


async def broken(request: Request, error: Exception) -> Response:
    """A bug of ours: its trace goes to the log, not to the client."""
    request_id = request.state.request_id
    log.exception("request %s failed", request_id, exc_info=error)
    return problem(500, f"the server failed at this request; its log has more: {request_id}")
