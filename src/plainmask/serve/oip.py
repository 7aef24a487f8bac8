"""The Open Inference Protocol, version 2, over REST, with its binary extension.

A model is a head, of version 1. Its input is one picture, its outputs are the segments as JSON and
a map of their ids.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plainmask import __version__
from plainmask.heads.head import Head
from plainmask.results import Result
from plainmask.serve.answers import answer, timing
from plainmask.serve.fields import shown
from plainmask.serve.infer_request import LENGTH, InferRequest, read_infer_request
from plainmask.serve.limits import RefusedError
from plainmask.serve.service import Service
from plainmask.serve.tensors import written

VERSION = "1"


async def infer(request: Request) -> Response:
    """POST /v2/models/NAME/infer: what a head finds in a picture."""
    service: Service = request.app.state.service
    name, head = model(request)
    content = await request.body()
    wanted = await asyncio.to_thread(read_infer_request, content, request.headers)
    _, found = await service.segment(wanted.image, {name: head})
    about = {
        "model_name": name,
        "model_version": VERSION,
        "id": wanted.id or request.state.request_id,
    }
    response = await asyncio.to_thread(told, about, found.results[name], wanted)
    response.headers["server-timing"] = timing(found.seconds)
    return response


def told(about: dict[str, Any], result: Result, wanted: InferRequest) -> Response:
    """The outputs that are wanted, as JSON with the raw ones behind it."""
    result = result.keep(wanted.score, wanted.classes)
    tensors: list[dict[str, Any]] = []
    rest: list[bytes] = []
    for name, binary in wanted.outputs.items():
        value = as_json(answer(result, "rle")) if name == "segments" else result.flat_map()
        tensor, raw = written(name, value, binary=binary)
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
    extensions = ["binary_tensor_data"]
    return JSONResponse({"name": "plainmask", "version": __version__, "extensions": extensions})


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


async def index(request: Request) -> Response:
    """POST /v2/repository/index: what is served, and its state."""
    service: Service = request.app.state.service
    rows = [
        {"name": name, "version": VERSION, "state": "READY", "reason": ""}
        for name in service.segmenter.heads
    ]
    return JSONResponse(rows)


async def fixed(request: Request) -> Response:
    """POST /v2/repository/models/NAME/load and /unload."""
    raise RefusedError(
        501, "load and unload are not served; PUT and DELETE /v1/heads/NAME do what they would"
    )


def routes() -> list[Route]:
    """All of the protocol's."""
    found = [
        Route("/v2", server),
        Route("/v2/health/live", health),
        Route("/v2/health/ready", health),
        Route("/v2/models", models),
        Route("/v2/repository/index", index, methods=["POST"]),
        Route("/v2/repository/models/{name}/load", fixed, methods=["POST"]),
        Route("/v2/repository/models/{name}/unload", fixed, methods=["POST"]),
    ]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        found += [
            Route(path, metadata),
            Route(f"{path}/ready", ready),
            Route(f"{path}/infer", infer, methods=["POST"]),
        ]
    return found
