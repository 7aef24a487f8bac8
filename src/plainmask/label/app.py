"""The HTTP of labelling: routes and errors, for a page on this machine. `Session` does the work.

Pages find in `GET /api/project` what there is. To write they `POST /api/writer` and bring the token
that it gives as the header X-Writer; `GET /api/events` says what has changed. What changes labels
may bring an Idempotency-Key, a text of its own, so that it may be sent again where the answer was
lost: it is answered as before, and done once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from plainmask.errors import PlainmaskError
from plainmask.label.events import Events
from plainmask.label.exchange import (
    answer,
    as_png,
    body,
    broken,
    once,
    problem,
    refused,
    session_of,
    writers_body,
    wrong_request,
)
from plainmask.label.planes import Planes
from plainmask.label.project import Project
from plainmask.label.proposing import Proposal
from plainmask.label.repair import REPAIRS, WHATS
from plainmask.label.session import Session
from plainmask.label.shown import grey_png, labels_png, picture_file, planes_png, thumb
from plainmask.label.stroke import MASKED, Stroke
from plainmask.label.writer import WritingPage
from plainmask.options import one_of
from plainmask.vocabulary import Color, color_of

PAGE = Path(__file__).parent / "page"
HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""What a page of ours is called; another name means that another page's has been led here."""
MOST_POINTS = 300
"""Of the figures over time."""
LONGEST_WAIT, LOOK_EVERY = 30.0, 0.02
"""Seconds for which a proposal is waited for, and between looks."""


def build_app(
    session: Session, events: Events, *, is_over: Callable[[], bool] = lambda: False
) -> Starlette:
    """Labelling as an ASGI application, which closes the session at its end.

    Args:
        session: what it shows; its events go to `events`.
        events: told to pages.
        is_over: whether the server ends, so that pages are let go.
    """

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncGenerator[None]:
        yield
        await asyncio.to_thread(session.close)

    picture = "/api/pictures/{name}"
    app = Starlette(
        routes=[
            Route("/", home),
            Mount("/static", StaticFiles(directory=PAGE, check_dir=False)),
            Route("/api/project", project),
            Route("/api/writer", writer, methods=["POST"]),
            Route("/api/events", listen),
            Route("/api/next", next_picture),
            Route("/api/course", course),
            Route("/api/classes", classes, methods=["POST"]),
            Route("/api/classes/delete", delete_class, methods=["POST"]),
            Route("/api/undo", undo, methods=["POST"]),
            Route("/api/redo", redo, methods=["POST"]),
            Route("/api/label-rest", label_rest, methods=["POST"]),
            Route(picture, file),
            Route(f"{picture}/thumb", small),
            Route(f"{picture}/labels.png", labels),
            Route(f"{picture}/proposal.png", proposal),
            Route(f"{picture}/uncertainty.png", uncertainty),
            Route(f"{picture}/strokes", strokes, methods=["POST"]),
            Route(f"{picture}/accept", accept, methods=["POST"]),
            Route(f"{picture}/repair", repair, methods=["POST"]),
        ],
        middleware=[Middleware(AtHome)],
        lifespan=life,
        exception_handlers={
            HTTPException: wrong_request,
            PlainmaskError: refused,
            Exception: broken,
        },
    )
    app.state.session, app.state.events, app.state.is_over = session, events, is_over
    app.state.writer, app.state.writing = WritingPage(), asyncio.Lock()
    return app


class AtHome:
    """Lets in pages of this server alone: web pages from elsewhere may neither read nor write."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            given = cast("list[tuple[bytes, bytes]]", scope["headers"])
            headers = {name: value.decode("latin-1") for name, value in given}
            host, origin = headers.get(b"host", ""), headers.get(b"origin")
            name = host if host.endswith("]") else host.rpartition(":")[0] or host
            if name not in HOSTS or origin not in (None, f"http://{host}"):
                denied = problem(403, "this server answers pages of its own, on this machine")
                await denied(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def home(request: Request) -> Response:
    """GET /: the page."""
    headers = {"content-security-policy": "frame-ancestors 'none'", "cache-control": "no-cache"}
    return FileResponse(PAGE / "index.html", headers=headers)


async def project(request: Request) -> Response:
    """GET /api/project: task, classes, pictures, status."""
    return answer(await asyncio.to_thread(session_of(request).summary))


async def writer(request: Request) -> Response:
    """POST /api/writer {"writer": TOKEN, "take": false, "leave": false}: the token, or null."""
    given = await body(request)
    token = given.get("writer")
    token = token if isinstance(token, str) else None
    known: WritingPage = request.app.state.writer
    if given.get("leave") is True:
        known.leave(token)
        return answer({"writer": None})
    return answer({"writer": known.claim(token, take=given.get("take") is True)})


async def listen(request: Request) -> Response:
    """GET /api/events?writer=TOKEN: what happens, as server-sent events; status comes first."""
    session, known = session_of(request), cast(WritingPage, request.app.state.writer)
    token = request.query_params.get("writer")

    def first() -> dict[str, Any]:
        return {"type": "status"} | session.status()

    def is_over() -> bool:
        known.is_writer(token)  # who listens is there
        return request.app.state.is_over()

    events: Events = request.app.state.events
    headers = {"cache-control": "no-store"}
    return StreamingResponse(
        events.listen(first, is_over), media_type="text/event-stream", headers=headers
    )


async def next_picture(request: Request) -> Response:
    """GET /api/next: the picture to label next, or null."""
    return answer({"picture": await asyncio.to_thread(session_of(request).next_picture)})


async def course(request: Request) -> Response:
    """GET /api/course: {"points"}, the figures after each of the newest strokes; `CoursePoint`."""
    points = await asyncio.to_thread(session_of(request).course)
    return answer({"points": [point._asdict() for point in points[-MOST_POINTS:]]})


async def classes(request: Request) -> Response:
    """POST /api/classes {"name", "color"} adds one, {"id", "name", "color"} changes one."""
    given = await writers_body(request)
    class_id, name, color = given.get("id"), given.get("name"), given.get("color")
    if not isinstance(name, str | None) or not (class_id is None or type(class_id) is int):
        raise HTTPException(422, "a class has a name, which is text, and its id is a number")
    rgb = None if color is None else color_of(color)
    if color is not None and rgb is None:
        raise HTTPException(422, 'a colour is [R, G, B], each 0 to 255, or "#rrggbb"')
    session = session_of(request)
    await asyncio.to_thread(session.change_classes, changing(class_id, name, rgb))
    summary = await asyncio.to_thread(session.summary)
    request.app.state.events.tell({"type": "classes", "classes": summary["classes"]})
    return answer({"classes": summary["classes"]})


def changing(
    class_id: int | None, name: str | None, color: Color | None
) -> Callable[[Project], None]:
    """What adds a class, where there is no id, or changes one."""

    def change(project: Project) -> None:
        if class_id is None:
            project.add_classes([name or ""], color)
        else:
            project.change_class(class_id, name=name, color=color)

    return change


async def delete_class(request: Request) -> Response:
    """POST /api/classes/delete {"id", "into"}: into is the id of the class that its labels join.

    Without it only a class goes that has none. Undo brings it back.
    """
    given = await writers_body(request)
    class_id, into = given.get("id"), given.get("into")
    if type(class_id) is not int or not (into is None or type(into) is int):
        raise HTTPException(422, "to delete a class takes its id, and into, that of another")
    session = session_of(request)
    return await once(request, given, lambda key: session.join_class(class_id, into, key))


async def undo(request: Request) -> Response:
    """POST /api/undo: the picture, or the classes, that have changed; or the picture null."""
    given = await writers_body(request)
    return await once(request, given, session_of(request).undo)


async def redo(request: Request) -> Response:
    """POST /api/redo: likewise."""
    given = await writers_body(request)
    return await once(request, given, session_of(request).redo)


async def label_rest(request: Request) -> Response:
    """POST /api/label-rest: how far the labelling of all pictures is; events tell more."""
    await writers_body(request)
    return answer(await asyncio.to_thread(session_of(request).label_rest))


async def file(request: Request) -> Response:
    """GET /api/pictures/NAME: its file, or a PNG where browsers cannot show that."""
    path = session_of(request).project.picture(request.path_params["name"]).path
    content, kind = await asyncio.to_thread(picture_file, path)
    return Response(content, media_type=kind, headers={"x-content-type-options": "nosniff"})


async def small(request: Request) -> Response:
    """GET /api/pictures/NAME/thumb: a small JPEG."""
    path = session_of(request).project.picture(request.path_params["name"]).path
    headers = {"cache-control": "max-age=600"}
    content = await asyncio.to_thread(thumb, path)
    return Response(content, media_type="image/jpeg", headers=headers)


async def labels(request: Request) -> Response:
    """GET /api/pictures/NAME/labels.png: see `labels_png`."""
    session, name = session_of(request), request.path_params["name"]

    def made() -> bytes:
        return labels_png(session.planes(name), session.project.config.classes)

    return as_png(await asyncio.to_thread(made))


async def proposal(request: Request) -> Response:
    """GET /api/pictures/NAME/proposal.png?version=V: see `planes_png`; of at least this version."""
    return await proposed(request, lambda found: planes_png(Planes(found.classes, found.objects)))


async def uncertainty(request: Request) -> Response:
    """GET /api/pictures/NAME/uncertainty.png?version=V: 0 sure to 255 undecided."""
    return await proposed(request, lambda found: grey_png(found.uncertainty))


async def proposed(request: Request, drawn: Callable[[Proposal], bytes]) -> Response:
    """A part of a proposal, once it is there; 404 where there will be none."""
    session, name = session_of(request), request.path_params["name"]
    version = request.query_params.get("version", "0")
    if not version.isdecimal():
        raise HTTPException(422, "version is a number, as answers to strokes and events tell it")
    session.show(name)
    for _ in range(round(LONGEST_WAIT / LOOK_EVERY)):
        found = session.proposal(name, int(version[:18]))
        if isinstance(found, str):
            return problem(404, found)
        if found is not None:
            content = await asyncio.to_thread(drawn, found)
            return as_png(content, {"x-version": str(found.version)})
        await asyncio.sleep(LOOK_EVERY)
    return problem(503, "the proposal takes long; ask again")


async def strokes(request: Request) -> Response:
    """POST /api/pictures/NAME/strokes: on the disk when it is answered."""
    given = await writers_body(request) | {"picture": request.path_params["name"]}
    if given.get("kind") in MASKED:
        raise HTTPException(422, "what is seen is accepted by POST …/accept, repaired by …/repair")
    session, stroke = session_of(request), Stroke.read(given)
    return await once(request, given, lambda key: session.draw(stroke, key))


async def accept(request: Request) -> Response:
    """POST /api/pictures/NAME/accept {"what": "all"|"class"|"region", "class", "point"}."""
    given = await writers_body(request)
    what = one_of(str(given.get("what")), WHATS, "what to accept is unknown")
    class_id, point = given.get("class"), given.get("point")
    if what == "class" and type(class_id) is not int:
        raise HTTPException(422, 'to accept a class needs its id: "class"')
    if what == "region":
        # As a stroke has it, which knows what a point is.
        point = Stroke.read({"picture": "", "kind": "fill", "points": [point], "class": 0}).points[
            0
        ]
    session, name = session_of(request), request.path_params["name"]
    return await once(request, given, lambda key: session.accept(name, what, class_id, point, key))


async def repair(request: Request) -> Response:
    """POST /api/pictures/NAME/repair {"do": "merge"|"split", "points", "radius"}: a line."""
    given = await writers_body(request)
    do = one_of(str(given.get("do")), REPAIRS, "what to do with objects is unknown")
    line = {"picture": "", "kind": "erase", "points": given.get("points")}
    drawn = Stroke.read(line | {"radius": given.get("radius")})  # which knows what a line is
    session, name, radius = session_of(request), request.path_params["name"], drawn.radius
    assert radius is not None
    return await once(
        request, given, lambda key: session.repair(name, do, drawn.points, radius, key)
    )
