"""Features over HTTP: as the library gives them, within one pass with heads, and every refusal."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load
from starlette.testclient import TestClient

from images import png
from plainmask.serve.app import build_app
from plainmask.serve.limits import Limits
from plainmask.serve.service import Service
from servers import street_and_cells

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
PHOTO = png(PIXELS)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    service = Service.of(street_and_cells(), Limits(body_megabytes=0.2, megapixels=0.05))
    with TestClient(build_app(service)) as made:
        yield made


def test_they_are_those_of_the_library(client: TestClient):
    segmenter = street_and_cells()
    taps = segmenter.encoder.config.taps
    answer = client.post("/v1/features?size=64&blocks=" + ",".join(map(str, taps)), content=PHOTO)
    assert answer.status_code == 200, answer.text
    found, expected = load(answer.content), segmenter.features(PIXELS, size=64)
    assert sorted(found) == sorted(
        f"{block}.{part}" for block in taps for part in ("patches", "prefix")
    )
    for block, (tap,) in zip(taps, expected.taps, strict=True):
        assert np.array_equal(found[f"{block}.prefix"], tap[: expected.prefix])
        patches = tap[expected.prefix :].unflatten(0, expected.grid)
        assert np.array_equal(found[f"{block}.patches"], patches)
    assert "encoder;dur=" in answer.headers["server-timing"]


def test_the_last_block_where_none_is_named(client: TestClient):
    depth = street_and_cells().encoder.config.depth
    answer = client.post("/v1/features?size=64", content=PHOTO)
    assert sorted(load(answer.content)) == [f"{depth - 1}.patches", f"{depth - 1}.prefix"]
    as_form = client.post("/v1/features", files={"image": PHOTO}, data={"size": "64"})
    assert as_form.content == answer.content


def test_the_same_picture_again_needs_no_encoder(client: TestClient):
    def passes() -> str:
        lines = client.get("/metrics").text.splitlines()
        return next(line for line in lines if line.startswith("plainmask_encoder_passes_total{"))

    client.post("/v1/features?size=80&blocks=0,1", content=PHOTO)
    before = passes()
    client.post("/v1/features?size=80&blocks=1", content=PHOTO)
    assert passes() == before


@pytest.mark.parametrize(
    ("status", "message", "query", "content"),
    [
        (422, "a block must be a whole number from 0 to", "blocks=99", PHOTO),
        (422, "a block must be a whole number from 0 to", "blocks=-1", PHOTO),
        (422, "a block must be a whole number from 0 to", "blocks=last", PHOTO),
        (422, "a block must be a whole number from 0 to", "blocks=", PHOTO),
        (422, "size must be a whole number from 1 to 2048, not 4096", "size=4096", PHOTO),
        (422, "size must be a whole number", "size=0", PHOTO),
        (422, "size must be a whole number", "size=1e3", PHOTO),
        (422, "not a picture that can be read", "", b"hello"),
        (422, "there is no picture", "", b""),
        (422, "patches", "size=2048", png(np.zeros((1, 40_000, 3), np.uint8))),
    ],
)
def test_what_cannot_be_answered_is_one_error(
    client: TestClient, status: int, message: str, query: str, content: Any
):
    answer = client.post(f"/v1/features?{query}", content=content)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]
