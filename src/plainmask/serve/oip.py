"""The Open Inference Protocol, version 2, over REST, with its binary extension.

A model is a head, of version 1. Its input is one picture, its outputs are the segments as JSON and
a map of their ids. A sequence is a video, whose memory the server keeps; what is remembered can be
asked for as the output `state`, and given to another server as the input `state`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plainmask import __version__
from plainmask.heads.head import Head
from plainmask.results import Result
from plainmask.serve.answers import answer, timing
from plainmask.serve.fields import shown
from plainmask.serve.infer_request import LENGTH, InferRequest, InSequence, read_infer_request
from plainmask.serve.limits import RefusedError
from plainmask.serve.repository import VERSION, index, load, unload
from plainmask.serve.service import Service
from plainmask.serve.tensors import written

EXTENSIONS = ("binary_tensor_data", "model_repository", "sequence", "sequence(string_id)")


async def infer(request: Request) -> Response:
    """POST /v2/models/NAME/infer: what a head finds in a picture, or in the next frame."""
    service: Service = request.app.state.service
    name, head = model(request)
    content = await request.body()
    wanted = await asyncio.to_thread(read_infer_request, content, request.headers)
    if wanted.sequence is None:
        _, found = await service.segment(wanted.image, {name: head})
        seen = Inferred(found.results[name], found.seconds, {}, b"")
    else:
        seen = await next_of(wanted.sequence, wanted, service, name, head)
    about = {
        "model_name": name,
        "model_version": VERSION,
        "id": wanted.id or request.state.request_id,
    }
    response = await asyncio.to_thread(told, about, seen, wanted)
    response.headers["server-timing"] = timing(seen.seconds)
    return response


@dataclass(frozen=True, eq=False)
class Inferred:
    """What became of a picture or a frame."""

    result: Result
    seconds: dict[str, float]
    notice: dict[str, str]
    state: bytes


async def next_of(
    sequence: InSequence, wanted: InferRequest, service: Service, name: str, head: Head
) -> Inferred:
    """The next frame of a sequence.

    Raises:
        RefusedError: it has not been started (400), or there are too many (429).
    """
    key = (name, sequence.id)
    if sequence.start:
        following = service.streams.open(key, {name: head})
    elif (following := service.streams.find(key)) is None:
        raise RefusedError(
            400,
            f"the sequence {shown(sequence.id)} of {name} is not there: it was not started, has "
            f"ended, or sent nothing for {service.limits.idle:g} s; send sequence_start",
        )
    try:
        if sequence.state is not None:
            await asyncio.to_thread(following.go_on_from, sequence.state)
        found = await service.follow(name, following, wanted.image)
        asked_for = "state" in wanted.outputs
        state = await asyncio.to_thread(following.packed) if asked_for else b""
    except Exception:
        if sequence.start:
            service.streams.close(key)
        raise
    if sequence.end:
        service.streams.close(key)
    return Inferred(found.result, found.seconds, found.notice, state)


def told(about: dict[str, Any], seen: Inferred, wanted: InferRequest) -> Response:
    """The outputs that are wanted, as JSON with the raw ones behind it."""
    result = seen.result.keep(wanted.score, wanted.classes)
    outputs = {
        "segments": lambda: as_json(answer(result, "rle") | seen.notice),
        "map": result.flat_map,
        "state": lambda: seen.state,
    }
    tensors: list[dict[str, Any]] = []
    rest: list[bytes] = []
    for name, binary in wanted.outputs.items():
        tensor, raw = written(name, outputs[name](), binary=binary)
        tensors.append(tensor)
        rest.append(raw)
    content = as_json(about | {"outputs": tensors}).encode()
    if not any(wanted.outputs.values()):
        return Response(content, media_type="application/json")
    return Response(
        b"".join([content, *rest]),
        media_type="application/octet-stream",
        headers={LENGTH: str(len(content))},
    )


def as_json(value: object) -> str:
    """As short as JSON can be."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def model(request: Request) -> tuple[str, Head]:
    """The head that a path names."""
    service: Service = request.app.state.service
    ((name, head),) = service.heads([request.path_params["name"]]).items()
    version = request.path_params.get("version", VERSION)
    if version != VERSION:
        raise RefusedError(
            404, f"the head {name!r} has the version {VERSION} only, not {shown(version)}"
        )
    return name, head


async def server(request: Request) -> Response:
    """GET /v2: what this is."""
    about = {"name": "plainmask", "version": __version__, "extensions": list(EXTENSIONS)}
    return JSONResponse(about)


async def health(request: Request) -> Response:
    """GET /v2/health/live and /ready: both keys, as the text and the servers differ here."""
    return JSONResponse({"live": True, "ready": True})


async def models(request: Request) -> Response:
    """GET /v2/models: the names of what is served."""
    service: Service = request.app.state.service
    return JSONResponse({"models": list(service.segmenter.heads)})


async def metadata(request: Request) -> Response:
    """GET /v2/models/NAME: its tensors."""
    name, _ = model(request)
    about: dict[str, Any] = {
        "name": name,
        "versions": [VERSION],
        "platform": "plainmask",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}],
        "outputs": [
            {"name": "segments", "datatype": "BYTES", "shape": [1]},
            {"name": "map", "datatype": "INT32", "shape": [-1, -1]},
        ],
    }
    return JSONResponse(about)


async def ready(request: Request) -> Response:
    """GET /v2/models/NAME/ready: whether it answers."""
    name, _ = model(request)
    return JSONResponse({"name": name, "ready": True})


def routes() -> list[Route]:
    """All of the protocol's."""
    found = [
        Route("/v2", server),
        Route("/v2/health/live", health),
        Route("/v2/health/ready", health),
        Route("/v2/models", models),
        Route("/v2/repository/index", index, methods=["POST"]),
        Route("/v2/repository/models/{name}/load", load, methods=["POST"]),
        Route("/v2/repository/models/{name}/unload", unload, methods=["POST"]),
    ]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        found += [
            Route(path, metadata),
            Route(f"{path}/ready", ready),
            Route(f"{path}/infer", infer, methods=["POST"]),
        ]
    return found
