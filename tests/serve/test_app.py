"""The routes, as clients use them: three ways to send a picture, and every error by its code."""

import base64
import io
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from images import png
from plainmask.results.rle import Rle
from plainmask.serve.app import build_app
from plainmask.serve.batch import Batches
from plainmask.serve.limits import Limits
from plainmask.serve.service import Service
from servers import street_and_cells

SIZE = (60, 80)
PNG = {"content-type": "image/png"}
JSON = {"content-type": "application/json"}


def photo(height: int = SIZE[0], width: int = SIZE[1]) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return png(pixels)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    limits = Limits(body_megabytes=0.2, megapixels=0.05)
    with TestClient(build_app(Service.of(street_and_cells(), limits))) as made:
        yield made


@pytest.mark.parametrize(
    "ways",
    [
        {"content": photo(), "params": {"heads": "cells"}},
        {
            "content": photo(),
            "params": {"heads": "cells"},
            "headers": {"content-type": "image/png"},
        },
        {"files": {"image": photo()}, "data": {"heads": "cells"}},
        {"json": {"image": base64.b64encode(photo()).decode(), "heads": ["cells"]}},
    ],
    ids=["raw", "raw with its type", "form", "JSON"],
)
def test_a_picture_comes_in_three_ways(client: TestClient, ways: dict[str, Any]):
    answer = client.post("/v1/segment", **ways)
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"].items()
    assert found[0] == "cells"
    expected = street_and_cells()["cells"](photo())
    assert found[1]["kind"] == "semantic"
    assert found[1]["image_size"] == list(SIZE)
    assert [row["label"] for row in found[1]["segments"]] == [s.label for s in expected.segments]
    for row, segment in zip(found[1]["segments"], expected.segments, strict=True):
        rle = Rle(tuple(row["rle"]["size"]), row["rle"]["counts"])
        assert np.array_equal(rle.decode(), expected.mask_of(segment))


def test_several_heads_in_one_pass_and_the_times(client: TestClient):
    answer = client.post("/v1/segment?masks=none", content=photo(61, 80))
    assert list(answer.json()["results"]) == ["street", "cells"]
    assert "rle" not in answer.text
    times = answer.headers["server-timing"]
    assert [part.split(";")[0] for part in times.split(", ")] == [
        "decode",
        "queue",
        "encoder",
        "decoder",
        "results",
    ]
    assert answer.headers["x-request-id"]


def test_masks_as_polygons_and_as_a_picture(client: TestClient):
    polygons = client.post("/v1/segment?heads=cells&masks=polygons", content=photo()).json()
    assert all(len(row["polygon"]) >= 8 for row in polygons["results"]["cells"]["segments"])
    labels = client.post("/v1/segment?heads=cells&masks=png", content=photo()).json()
    picture = Image.open(io.BytesIO(base64.b64decode(labels["results"]["cells"]["labels"])))
    assert picture.size == (SIZE[1], SIZE[0])


@pytest.mark.parametrize("heads", ["cells", "cells,street"])
def test_an_overlay_where_a_picture_is_wanted(client: TestClient, heads: str):
    answer = client.post(
        f"/v1/segment?heads={heads}", content=photo(), headers={"accept": "image/png"}
    )
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).width >= SIZE[1]


def test_what_is_served_is_told(client: TestClient):
    heads = client.get("/v1/heads").json()["heads"]
    assert [head["name"] for head in heads] == ["street", "cells"]
    assert client.get("/v1/heads/cells").json() == heads[1]
    assert client.get("/healthz").json()["ready"]
    assert "plainmask_requests_total" in client.get("/metrics").text
    assert "Drop a picture" in client.get("/").text


@pytest.mark.parametrize(
    ("status", "message", "ways"),
    [
        (422, "not a picture that can be read", {"content": b"hello"}),
        (422, "there is no picture", {"content": b""}),
        (404, "no head 'cell'; did you mean cells?", {"params": {"heads": "cell"}}),
        (404, "there are street, cells", {"params": {"heads": "xyz"}}),
        (422, "masks must be one of rle, polygons, png, none", {"params": {"masks": "bits"}}),
        (422, "score must be a number from 0 to 1", {"params": {"score": "high"}}),
        (422, "score must be a number from 0 to 1", {"params": {"score": "nan"}}),
        (422, "no class is called 'unicorn'", {"params": {"classes": "unicorn", "heads": "cells"}}),
        (413, "has more than 0.2 MB", {"content": b"x" * 300_000}),
        (413, "300 x 200 pixels", {"content": photo(200, 300)[:100_000]}),
        (400, "not valid JSON", {"content": b"{", "headers": JSON}),
        (422, 'must be {"image"', {"json": ["a"]}),
        (400, "not valid JSON", {"content": b"[" * 100_000, "headers": JSON}),
        (422, "image is not base64", {"json": {"image": "***"}}),
        (422, "image is not base64", {"json": {"image": "ä"}}),
        (422, "score must be a number", {"json": {"image": "aGk=", "score": 10**400}}),
        (422, "heads must be names", {"json": {"image": "aGk=", "heads": [1]}}),
        (422, "heads must be names", {"json": {"image": "aGk=", "heads": "x" * 100_000}}),
        (422, "no file called image", {"files": {"picture": photo()}}),
        (
            400,
            "boundary",
            {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
        ),
    ],
)
def test_what_cannot_be_answered_is_one_error_with_its_code(
    client: TestClient, status: int, message: str, ways: dict[str, Any]
):
    if not {"content", "json", "files"} & ways.keys():
        ways = ways | {"content": photo()}
    answer = client.post("/v1/segment", **ways)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]
    assert client.post("/v1/segment", content=photo()).status_code == 200  # it goes on


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v3", 404), ("GET", "/v1/segment", 405)]
)
def test_no_such_route(client: TestClient, method: str, path: str, status: int):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert path in answer.json()["error"]


def test_a_bug_shows_no_trace(monkeypatch: pytest.MonkeyPatch):
    service = Service.of(street_and_cells())

    def broken(names: Any) -> Any:
        raise KeyError("secret")

    monkeypatch.setattr(service, "heads", broken)
    with TestClient(build_app(service), raise_server_exceptions=False) as client:
        answer = client.post("/v1/segment", content=photo(), headers={"x-request-id": "mine"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "mine" in answer.json()["error"]


def test_a_token_is_asked_for():
    with TestClient(build_app(Service.of(street_and_cells()), token="sesame")) as client:
        assert client.get("/v1/heads").status_code == 401
        assert client.get("/healthz").status_code == 200
        assert client.get("/v2/health/ready").status_code == 200
        bearer = {"authorization": "Bearer sesame"}
        assert client.get("/v1/heads", headers=bearer).status_code == 200


def test_web_pages_of_other_places_may_ask_where_allowed():
    app = build_app(Service.of(street_and_cells()), origins=["https://example.org"])
    with TestClient(app) as client:
        answer = client.get("/v1/heads", headers={"origin": "https://example.org"})
    assert answer.headers["access-control-allow-origin"] == "https://example.org"


def test_an_answer_that_takes_too_long(monkeypatch: pytest.MonkeyPatch):
    service = Service.of(street_and_cells(), Limits(seconds=0.3))
    see = Batches.see

    def slowly(self: Batches, parts: Any) -> None:
        time.sleep(1.5)
        see(self, parts)

    monkeypatch.setattr(Batches, "see", slowly)
    with TestClient(build_app(service)) as client:
        answer = client.post("/v1/segment", content=photo())
    assert answer.status_code == 504
    assert "no answer within 0.3 s" in answer.json()["error"]
