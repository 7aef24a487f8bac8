"""The model repository: heads of a folder and shipped ones, loaded and unloaded by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from plainmask.heads.head import shipped_heads
from plainmask.inference.segmenter import Segmenter
from plainmask.serve.app import build_app
from plainmask.serve.service import Service
from servers import served
from tiny import tiny_encoder, tiny_head

INDEX = "/v2/repository/index"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    encoder = tiny_encoder()
    segmenter = Segmenter(encoder, {"old": tiny_head("semantic", encoder)}, device="cpu")
    tiny_head("instance", encoder).save(tmp_path / "heads/new")
    (tmp_path / "heads/empty").mkdir()
    with TestClient(build_app(Service.of(segmenter), heads_root=tmp_path / "heads")) as made:
        yield made


def states(client: TestClient, **body: bool) -> dict[str, str]:
    return {row["name"]: row["state"] for row in client.post(INDEX, json=body).json()}


def test_what_is_served_and_what_could_be(client: TestClient):
    could = {"new": "UNAVAILABLE"} | dict.fromkeys(shipped_heads(), "UNAVAILABLE")
    assert states(client) == {"old": "READY"} | could
    assert states(client, ready=True) == {"old": "READY"}
    assert client.post(INDEX).status_code == 200


def test_a_head_is_loaded_and_unloaded(client: TestClient):
    path = "/v2/repository/models/new"
    for _ in range(2):  # a second time: what is there under its name now
        answer = client.post(f"{path}/load")
        assert answer.json() == {"name": "new", "load": True}, answer.text
    assert states(client, ready=True) == {"old": "READY", "new": "READY"}
    body = {"parameters": {"unload_dependents": False}}
    assert client.post(f"{path}/unload", json=body).json() == {"name": "new", "unload": True}
    assert client.post(f"{path}/unload").status_code == 404
    assert client.get("/v2/models/new/ready").status_code == 404


@pytest.mark.parametrize(
    ("status", "message", "name", "body"),
    [
        (404, "no head 'nothing' is shipped, and none in ", "nothing", None),
        (404, "no head 'empty' is shipped", "empty", None),
        (404, "no head '..' is shipped", "%2e%2e", None),
        (
            422,
            "takes no parameters here, such as 'config'",
            "new",
            {"parameters": {"config": "{}"}},
        ),
        (400, "must be a JSON object", "new", [1]),
        (422, "encoder", "scenes", None),  # it belongs to a real one
    ],
)
def test_what_cannot_be_loaded(
    client: TestClient, status: int, message: str, name: str, body: object
):
    path = f"/v2/repository/models/{name}/load"
    answer = client.post(path, json=body) if body is not None else client.post(path)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]
    assert states(client, ready=True) == {"old": "READY"}


def test_without_a_folder_it_says_how_to_name_one():
    encoder = tiny_encoder()
    segmenter = Segmenter(encoder, {"old": tiny_head("semantic", encoder)}, device="cpu")
    with TestClient(build_app(Service.of(segmenter))) as client:
        answer = client.post("/v2/repository/models/new/load")
        assert "--heads-root names a folder of others" in answer.json()["error"]


@pytest.mark.slow
def test_the_client_of_triton_loads_and_unloads(tmp_path: Path):
    import tritonclient.http as triton

    encoder = tiny_encoder()
    tiny_head("instance", encoder).save(tmp_path / "new")
    segmenter = Segmenter(encoder, {"old": tiny_head("semantic", encoder)}, device="cpu")
    with (
        served(segmenter, heads_root=tmp_path) as address,
        triton.InferenceServerClient(address) as client,
    ):
        client.load_model("new")
        assert client.is_model_ready("new")
        rows = client.get_model_repository_index()
        assert {"name": "new", "version": "1", "state": "READY", "reason": ""} in rows
        client.unload_model("new")
        assert not client.is_model_ready("new")
