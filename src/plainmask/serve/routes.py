"""The routes of our own; those of the Open Inference Protocol are in `oip`."""

from __future__ import annotations

import asyncio
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from torch import Tensor

from plainmask import __version__
from plainmask.encoder.exported import AnyEncoder
from plainmask.results.formats import png_bytes
from plainmask.results.sheet import sheet
from plainmask.serve.answers import answer, timing
from plainmask.serve.asked import content_type, read_features_request, read_request
from plainmask.serve.fields import parse_json
from plainmask.serve.limits import RefusedError
from plainmask.serve.parts import Found
from plainmask.serve.service import Service
from plainmask.serve.socket import follow
from plainmask.serve.uploads import head_of_folder, head_of_zip


@cache
def openapi() -> dict[str, Any]:
    """The description of all routes, also those of the Open Inference Protocol."""
    text = (Path(__file__).parent / "openapi.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text.replace("VERSION", __version__))


def routes() -> list[BaseRoute]:
    """All of them."""
    return [
        Route("/", home),
        Route("/healthz", healthy),
        Route("/metrics", metrics),
        Route("/openapi.json", description),
        Route("/v1/segment", segment, methods=["POST"]),
        Route("/v1/features", features, methods=["POST"]),
        Route("/v1/heads", heads),
        Route("/v1/heads/{name}", OneHead),
        WebSocketRoute("/v1/stream", follow),
    ]


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
    response.headers["server-timing"] = timing(found.seconds)
    return response


async def features(request: Request) -> Response:
    """POST /v1/features: what the encoder makes of a picture, as safetensors.

    Of each block N `N.patches` (h, w, D) and `N.prefix` (R, D) float32, the class token and the
    registers, through the encoder's final norm: see `Segmenter.features`.
    """
    service: Service = request.app.state.service
    encoder = service.segmenter.encoder
    asked = await read_features_request(request, encoder.config.depth)
    found = await service.features(asked.content, asked.blocks, asked.side)
    content = await asyncio.to_thread(safetensors_of, found, encoder)
    times = {"server-timing": timing(found.seconds)}
    return Response(content, media_type="application/octet-stream", headers=times)


def safetensors_of(found: Found, encoder: AnyEncoder) -> bytes:
    """Features of one picture as a file."""
    tensors: dict[str, Tensor] = {}
    for block, (tap,) in found.taps.items():
        prefix, patches = tap.cpu().tensor_split([encoder.config.prefix])
        tensors[f"{block}.prefix"] = prefix.contiguous()
        tensors[f"{block}.patches"] = patches.unflatten(0, found.grid).contiguous()
    # One entry: of several, the library writes any first, and equal features would differ in bytes.
    return save(tensors, {"encoder": f"{encoder.name} {encoder.fingerprint}"})


async def heads(request: Request) -> Response:
    """GET /v1/heads: what is served."""
    service: Service = request.app.state.service
    return JSONResponse({"heads": [about(service, name) for name in service.segmenter.heads]})


class OneHead(HTTPEndpoint):
    """/v1/heads/NAME."""

    async def get(self, request: Request) -> Response:
        """Tell about it."""
        service: Service = request.app.state.service
        (name,) = service.heads([request.path_params["name"]])
        return JSONResponse(about(service, name))

    async def put(self, request: Request) -> Response:
        """Serve it, from a folder or as an uploaded zip of one, instead of what has its name."""
        service: Service = request.app.state.service
        name = request.path_params["name"]
        body = await request.body()
        if content_type(request) == "application/json":
            given: Any = parse_json(body)
            folder: object = given.get("folder") if isinstance(given, dict) else None
            if not isinstance(folder, str):
                raise RefusedError(422, 'the body must be {"folder": "NAME"}, or a zip of a head')
            root: Path | None = request.app.state.heads_root
            load = partial(head_of_folder, root, folder)
        elif not request.app.state.uploads:
            raise RefusedError(403, "this server takes uploads only where it has a token: --token")
        else:
            load = partial(head_of_zip, body)
        known = await service.put(name, load)
        return JSONResponse(about(service, name), 200 if known else 201)

    async def delete(self, request: Request) -> Response:
        """Serve it no more."""
        service: Service = request.app.state.service
        service.remove(request.path_params["name"])
        return Response(status_code=204)


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


async def description(request: Request) -> Response:
    """GET /openapi.json: these routes, for programs."""
    return JSONResponse(openapi())


async def metrics(request: Request) -> Response:
    """GET /metrics: for Prometheus."""
    service: Service = request.app.state.service
    return Response(service.numbers.text(), media_type="text/plain; version=0.0.4")


async def home(request: Request) -> Response:
    """GET /: a page to drop a picture on."""
    return HTMLResponse((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
