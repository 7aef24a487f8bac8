"""The model repository of the Open Inference Protocol: what is served, and what could be."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plainmask.heads.head import shipped_heads
from plainmask.serve.fields import flag, parameters, parse_json, shown
from plainmask.serve.limits import RefusedError
from plainmask.serve.service import Service
from plainmask.serve.uploads import NEEDED, head_of_name

VERSION = "1"
"""Of every head."""


async def index(request: Request) -> Response:
    """POST /v2/repository/index: what is served, and what could be."""
    service: Service = request.app.state.service
    asked = await read_object(request)
    only_ready = flag(asked, "ready", False)
    served = service.segmenter.heads
    names = list(served) if only_ready else [*served, *others(request, served)]
    rows = [
        {
            "name": name,
            "version": VERSION,
            "state": "READY" if name in served else "UNAVAILABLE",
            "reason": "" if name in served else "not loaded",
        }
        for name in names
    ]
    return JSONResponse(rows)


async def load(request: Request) -> Response:
    """POST /v2/repository/models/NAME/load: serve it, or what is there under its name now."""
    service: Service = request.app.state.service
    name = request.path_params["name"]
    if given := parameters(await read_object(request), "the request"):
        raise RefusedError(422, f"load takes no parameters here, such as {shown(sorted(given)[0])}")
    root: Path | None = request.app.state.heads_root
    await service.put(name, partial(head_of_name, root, name))
    return JSONResponse({"name": name, "load": True})


async def unload(request: Request) -> Response:
    """POST /v2/repository/models/NAME/unload: serve it no more."""
    service: Service = request.app.state.service
    name = request.path_params["name"]
    await read_object(request)  # Triton's clients say whether what depends on it goes, too
    service.remove(name)
    return JSONResponse({"name": name, "unload": True})


def others(request: Request, served: Any) -> list[str]:
    """Heads that `load` would find, without those that are served."""
    root: Path | None = request.app.state.heads_root
    own = [place.parent.name for place in root.glob(f"*/{NEEDED[0]}")] if root else []
    return sorted({*own, *shipped_heads()} - set(served))


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of a body; empty where there is none.

    Raises:
        RefusedError: it is something else (400).
    """
    body = await request.body()
    value: Any = parse_json(body) if body else {}
    if not isinstance(value, dict):
        raise RefusedError(400, f"the body must be a JSON object, not {shown(value)}")
    return cast("dict[str, Any]", value)
