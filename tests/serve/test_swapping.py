"""Heads that come and go while the server runs: nothing fails, and nothing harmful gets in."""

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from images import png
from plainmask.encoder.vit import Encoder
from plainmask.inference.segmenter import Segmenter
from plainmask.serve import uploads
from plainmask.serve.app import build_app
from plainmask.serve.service import Service
from tiny import tiny_encoder, tiny_head

ZIP = {"content-type": "application/zip"}
BEARER = {"authorization": "Bearer sesame"}


def photo(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)
    return png(pixels)


def head_folder(folder: Path, encoder: Encoder, seed: int = 1) -> Path:
    torch.manual_seed(seed)
    return tiny_head("semantic", encoder, num_classes=4).save(folder)


def zipped(folder: Path, rename: Callable[[str], str] = str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, rename(path.name))
    return buffer.getvalue()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    encoder = tiny_encoder()
    segmenter = Segmenter(encoder, {"old": tiny_head("semantic", encoder)}, device="cpu")
    head_folder(tmp_path / "heads/new", encoder)
    app = build_app(Service.of(segmenter), token="sesame", heads_root=tmp_path / "heads")
    with TestClient(app, headers=BEARER) as made:
        yield made


def test_a_head_is_put_from_a_folder_replaced_and_removed(client: TestClient, tmp_path: Path):
    answer = client.put("/v1/heads/more", json={"folder": "new"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "more"
    assert client.put("/v1/heads/old", json={"folder": "new"}).status_code == 200
    both = client.post("/v1/segment", content=photo()).json()["results"]
    assert both["more"] == both["old"]
    assert client.delete("/v1/heads/old").status_code == 204
    assert list(client.post("/v1/segment", content=photo()).json()["results"]) == ["more"]
    assert client.delete("/v1/heads/old").status_code == 404


def test_a_server_without_heads_says_so(client: TestClient):
    assert client.delete("/v1/heads/old").status_code == 204
    answer = client.post("/v1/segment", content=photo())
    assert answer.status_code == 404
    assert "has no head; put one" in answer.json()["error"]


@pytest.mark.parametrize("rename", [str, lambda name: f"head/{name}"], ids=["files", "folder"])
def test_a_head_is_uploaded(client: TestClient, tmp_path: Path, rename: Callable[[str], str]):
    content = zipped(tmp_path / "heads/new", rename)
    assert client.put("/v1/heads/mine", content=content, headers=ZIP).status_code == 201
    assert client.get("/v1/heads/mine").json()["task"] == "semantic"


def test_the_encoder_and_other_heads_are_as_before(client: TestClient):
    before = client.post("/v1/segment?heads=old", content=photo()).json()
    client.put("/v1/heads/more", json={"folder": "new"})
    assert client.post("/v1/segment?heads=old", content=photo()).json() == before


def test_no_request_fails_while_heads_are_swapped(client: TestClient):
    stop, statuses = threading.Event(), list[int]()

    def ask() -> None:
        seed = 0
        while not stop.is_set():
            seed += 1
            answer = client.post("/v1/segment?heads=old", content=photo(seed))
            statuses.append(answer.status_code)

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for one in clients:
        one.start()
    swaps = [client.put("/v1/heads/old", json={"folder": "new"}).status_code for _ in range(20)]
    stop.set()
    for one in clients:
        one.join()
    assert swaps == [200] * 20
    assert len(statuses) >= 3
    assert set(statuses) == {200}


def harmful(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"no zip", 422, "not a zip that can be read"),
        (harmful({}), 422, "the zip has no config.json"),
        (harmful({"config.json": b"{}"}), 422, "the zip has no model.safetensors"),
        (harmful({"../config.json": b"{}", "model.safetensors": b""}), 422, "all in one folder"),
        (harmful({"a/config.json": b"{}", "b/model.safetensors": b""}), 422, "all in one folder"),
        (harmful({"a/b/config.json": b"{}"}), 422, "all in one folder"),
        (harmful({"model.pt": b"x"}), 422, "the zip holds 'model.pt'"),
        (harmful({"config.json": b"{", "model.safetensors": b""}), 422, "config.json"),
        (harmful({"config.json": b"{}", "model.safetensors": b"x" * 2000}), 413, "unpacked"),
    ],
)
def test_a_zip_that_is_no_head(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    status: int,
    message: str,
):
    monkeypatch.setattr(uploads, "LARGEST", 1000)
    answer = client.put("/v1/heads/mine", content=content, headers=ZIP)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]
    assert "/tmp" not in answer.text
    assert [head["name"] for head in client.get("/v1/heads").json()["heads"]] == ["old"]


def test_a_zip_that_lies_about_its_size(client: TestClient, tmp_path: Path):
    content = bytearray(zipped(tmp_path / "heads/new"))
    place = content.rfind(b"model.safetensors") - 22  # the size in the list at the end
    content[place : place + 4] = (100).to_bytes(4, "little")
    answer = client.put("/v1/heads/mine", content=bytes(content), headers=ZIP)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("folder", "status", "message"),
    [
        ("../..", 403, "lies outside"),
        ("/etc", 403, "lies outside"),
        (".", 403, "lies outside"),
        ("none", 422, "there is no folder 'none'"),
        (7, 422, "the body must be"),
    ],
)
def test_a_folder_that_is_not_taken(client: TestClient, folder: object, status: int, message: str):
    answer = client.put("/v1/heads/mine", json={"folder": folder})
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_a_head_of_another_encoder_is_told(client: TestClient, tmp_path: Path):
    other = tiny_encoder()
    other.fingerprint = "0" * 32
    head_folder(tmp_path / "heads/other", other)
    answer = client.put("/v1/heads/mine", json={"folder": "other"})
    assert answer.status_code == 422
    assert "encoder" in answer.json()["error"]


def test_without_token_or_folder_nothing_is_taken(tmp_path: Path):
    encoder = tiny_encoder()
    service = Service.of(Segmenter(encoder, {"a": tiny_head("semantic", encoder)}, device="cpu"))
    with TestClient(build_app(service)) as client:
        assert client.put("/v1/heads/b", content=b"x", headers=ZIP).status_code == 403
        assert client.put("/v1/heads/b", json={"folder": "new"}).status_code == 403
