"""Around every request: its id, who may ask, how much may come, what is counted and logged."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from plainmask.serve.limits import RefusedError
from plainmask.serve.service import Service

log = logging.getLogger("plainmask.serve")
OPEN = frozenset({"/", "/healthz", "/v2/health/live", "/v2/health/ready"})
"""Paths for which no token is asked: probes have none."""
UNLOGGED = OPEN | {"/metrics"}
"""Paths that are asked by the clock."""


class Around:
    """The middleware that every request passes."""

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
        exchange = Exchange(self.service, scope, receive, send, id_of(headers))
        scope.setdefault("state", {})["request_id"] = exchange.id
        if scope["path"] not in OPEN and not self._knows(headers):
            denied = problem(401, "this server wants a token: Authorization: Bearer TOKEN")
            await denied(scope, receive, exchange.send)
        else:
            await exchange.run(self.app)
        exchange.log()

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


class Exchange:
    """One request and its answer, as they go by."""

    def __init__(
        self, service: Service, scope: Scope, receive: Receive, send: Send, request_id: str
    ):
        self.service, self.scope, self.id = service, scope, request_id
        self._receive, self._send = receive, send
        self._limit = int(1e6 * service.limits.body_megabytes)
        self._taken = 0
        self._whole = asyncio.Event()
        self._began = time.perf_counter()
        self.status = 0
        """Of the answer; 0: the client went away before there was one."""
        self.timing = ""

    async def run(self, app: ASGIApp) -> None:
        """Have the request answered, unless who asks goes away: then nothing works for it."""
        answering = asyncio.ensure_future(app(self.scope, self.receive, self.send))
        leaving = asyncio.ensure_future(self._gone())
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not answering.done() and not self.status:
            answering.cancel()
        try:
            await answering
        except asyncio.CancelledError:
            if not leaving.done():  # the server ends, not the client
                raise

    async def receive(self) -> Message:
        """The next part of the body.

        Raises:
            RefusedError: the body is too large (413), or nothing comes (408).
        """
        try:
            message = await asyncio.wait_for(self._receive(), self.service.limits.seconds)
        except TimeoutError as error:
            raise RefusedError(
                408, f"nothing of the body came for {self.service.limits.seconds:g} s"
            ) from error
        self._taken += len(message.get("body", b""))
        if self._taken > self._limit:
            raise RefusedError(413, f"the request has more than {self._limit / 1e6:g} MB")
        if not message.get("more_body", False):
            self._whole.set()
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer."""
        if message["type"] == "http.response.start":
            message["headers"].append((b"x-request-id", self.id.encode("latin-1")))
            self.status = message["status"]
            self.timing = dict(message["headers"]).get(b"server-timing", b"").decode("latin-1")
            route = str(getattr(self.scope.get("route"), "path", "none"))
            self.service.numbers.requests.labels(route, str(self.status)).inc()
        await self._send(message)

    def log(self) -> None:
        """Tell of it, once it is over."""
        if self.scope["path"] in UNLOGGED:
            return
        client = self.scope.get("client") or ("",)
        fields: dict[str, Any] = {
            "request_id": self.id,
            "client": client[0],
            "method": self.scope["method"],
            "path": self.scope["path"],
            "query": self.scope["query_string"].decode("latin-1"),
            "status": self.status,
            "bytes": self._taken,
            "milliseconds": round(1e3 * (time.perf_counter() - self._began), 1),
            "timing": self.timing,
        }
        log.info("request" if self.status else "the client went away", extra={"fields": fields})

    async def _gone(self) -> None:
        """Wait until who asks has gone."""
        await self._whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def id_of(headers: Mapping[bytes, bytes]) -> str:
    """A request's own id, or a new one."""
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if given.isprintable() and 0 < len(given) <= 100 else uuid.uuid4().hex


def problem(status: int, message: str, *, retry_after: float | None = None) -> Response:
    """An error as clients get it."""
    headers = {} if retry_after is None else {"retry-after": str(round(retry_after))}
    return JSONResponse({"error": message}, status, headers)
