"""The description of the routes: complete, and a server that stands whatever is made up of it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.routing import Route
from starlette.testclient import TestClient

from images import png
from plainmask.inference.segmenter import Segmenter
from plainmask.serve.app import build_app
from plainmask.serve.routes import openapi
from plainmask.serve.service import Service
from servers import served, street_and_cells
from tiny import tiny_encoder, tiny_head, tiny_video_head

PHOTO = png(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
HEADS = ("cells", "video")

BEARER = {"authorization": "Bearer sesame"}
FILES = st.one_of(st.just(PHOTO), st.binary(max_size=99))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]

for kind in ("application/octet-stream", "image/*", "application/zip"):
    schemathesis.openapi.media_type(kind, FILES)


@pytest.fixture(scope="module")
def schema() -> Iterator[schemathesis.BaseSchema]:
    """Of a server that runs until the last of these tests."""
    encoder = tiny_encoder()
    cells, video = tiny_head("semantic", encoder), tiny_video_head("panoptic", encoder)
    segmenter = Segmenter(encoder, {"cells": cells, "video": video}, device="cpu")
    with served(segmenter, token="sesame") as address:
        yield with_names(
            schemathesis.openapi.from_url(f"http://{address}/openapi.json", headers=BEARER)
        )


def with_names(found: schemathesis.BaseSchema) -> schemathesis.BaseSchema:
    """Half of the names are served, so that what is behind them is reached."""

    @found.hook
    def map_path_parameters(context: Any, path_parameters: Any) -> Any:
        if isinstance(path_parameters, dict) and len(str(path_parameters.get("name"))) % 2:
            return path_parameters | {"name": HEADS[len(str(path_parameters)) % 4 // 2]}
        return path_parameters

    return found


def test_every_route_is_described():
    app = build_app(Service.of(street_and_cells()))
    with TestClient(app) as client:
        paths = client.get("/openapi.json").json()["paths"]
    told = {
        (path, method.upper())
        for path, about in paths.items()
        for method in about.keys() - {"parameters"}
    }
    served = {
        (route.path, method)
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods or {"GET", "PUT", "DELETE"}
    }
    assert told == {(path, method) for path, method in served if method != "HEAD"}


OPERATIONS = [
    (path, method, mode)
    for path, about in openapi()["paths"].items()
    for method in sorted(about.keys() - {"parameters", "delete"})
    if not path.endswith("unload")  # what is gone cannot be asked any more
    for mode in GenerationMode
    if method != "get" or mode is GenerationMode.POSITIVE
]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_nothing_that_is_sent_breaks_the_server(
    schema: schemathesis.BaseSchema, path: str, method: str, mode: GenerationMode
):
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=HealthCheck)
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=BEARER, checks=CHECKS)

    ask()
