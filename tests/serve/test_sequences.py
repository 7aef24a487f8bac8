"""Sequences of the Open Inference Protocol: as a stream in this process, moved, and refused."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from images import png
from plainmask.serve.app import build_app
from plainmask.serve.limits import Limits
from plainmask.serve.service import Service
from servers import frame, served, video_and_image

INFER = "/v2/models/video/infer"


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(build_app(Service.of(video_and_image(), Limits(streams=2)))) as made:
        yield made


def sent(seed: int, sequence: Any = 7, **more: Any) -> dict[str, Any]:
    parameters = {"sequence_id": sequence} | {f"sequence_{key}": True for key in more.pop("do", [])}
    tensor = {"name": "image", "datatype": "UINT8", "shape": [60, 80, 3]}
    inputs = [tensor | {"data": frame(seed).ravel().tolist()}, *more.pop("inputs", [])]
    return {"parameters": parameters, "inputs": inputs, **more}


def ask(client: TestClient, request: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(INFER, json=request)
    assert answer.status_code == 200, answer.text
    return {output["name"]: output["data"] for output in answer.json()["outputs"]}


def rows(outputs: dict[str, Any]) -> list[tuple[Any, ...]]:
    found = json.loads(outputs["segments"][0])
    return [
        (found["frame_index"], row["track_id"], row["age"], row["area"])
        for row in found["segments"]
    ]


def test_frames_are_followed_as_by_a_stream(client: TestClient):
    stream = video_and_image()["video"].stream()
    for seed in range(3):
        found = rows(ask(client, sent(seed, do=["start"] if seed == 0 else [])))
        expected = stream.step(frame(seed)).rows()
        assert found == [(seed, row["track_id"], row["age"], row["area"]) for row in expected]
    assert rows(ask(client, sent(3, do=["end"])))[0][0] == 3
    assert "was not started" in client.post(INFER, json=sent(4)).json()["error"]


def test_a_start_begins_anew_and_an_end_at_once_keeps_nothing(client: TestClient):
    for _ in range(2):
        assert rows(ask(client, sent(0, do=["start"])))[0][0] == 0
    for name in ("a", "b", "c"):  # no more than two are open, but each ends at once
        client.post(INFER, json=sent(0, 7, do=["end"]))
        assert rows(ask(client, sent(0, name, do=["start", "end"])))[0][0] == 0


def test_a_sequence_moves_to_another_server(client: TestClient):
    names = [{"name": "segments"}, {"name": "state"}]
    ask(client, sent(0, do=["start"]))
    (state,) = ask(client, sent(1, outputs=names))["state"]
    expected = ask(client, sent(2))
    given = {"name": "state", "datatype": "BYTES", "shape": [1], "data": [state]}
    with TestClient(build_app(Service.of(video_and_image()))) as other:
        assert ask(other, sent(2, "moved", do=["start"], inputs=[given])) == expected
        refused = other.post(INFER, json=sent(3, "moved", inputs=[given]))
        assert "with sequence_start only" in refused.json()["error"]
        given["data"] = ["aGVsbG8="]
        refused = other.post(INFER, json=sent(3, "bad", do=["start"], inputs=[given]))
        assert refused.status_code == 422
        assert "the state cannot be used" in refused.json()["error"]
        assert "was not started" in other.post(INFER, json=sent(3, "bad")).json()["error"]


def test_too_many_sequences(client: TestClient):
    for name in ("one", "two"):
        ask(client, sent(0, name, do=["start"]))
    refused = client.post(INFER, json=sent(0, "three", do=["start"]))
    assert refused.status_code == 429
    assert "2 streams are open" in refused.json()["error"]
    assert float(refused.headers["retry-after"]) > 0
    ask(client, sent(1, "one", do=["end"]))
    ask(client, sent(0, "three", do=["start"]))


def test_one_that_sends_nothing_is_forgotten():
    with TestClient(build_app(Service.of(video_and_image(), Limits(idle=0.0)))) as client:
        ask(client, sent(0, do=["start"]))
        assert "sent nothing for 0 s" in client.post(INFER, json=sent(1)).json()["error"]


@pytest.mark.slow
@pytest.mark.parametrize("sequence", [7, "mine"])
def test_the_client_of_triton_follows_a_video(sequence: int | str):
    import tritonclient.http as triton

    stream = video_and_image()["video"].stream()
    with served(video_and_image()) as address, triton.InferenceServerClient(address) as client:
        state = None
        for seed in range(3):
            image = triton.InferInput("image", [1], "BYTES")
            image.set_data_from_numpy(np.array([png(frame(seed))], object))
            wanted = [triton.InferRequestedOutput(name) for name in ("segments", "map", "state")]
            found = client.infer(
                "video",
                [image],
                outputs=wanted,
                sequence_id=sequence,
                sequence_start=seed == 0,
                sequence_end=seed == 2,
            )
            expected = stream.step(frame(seed))
            assert np.array_equal(found.as_numpy("map"), expected.flat_map())
            state = found.as_numpy("state")
        assert state is not None
        moved = triton.InferInput("state", [1], "BYTES")
        moved.set_data_from_numpy(np.array([state[0]], object))
        image.set_data_from_numpy(np.array([png(frame(3))], object))
        found = client.infer("video", [moved, image], sequence_id="moved", sequence_start=True)
        assert np.array_equal(found.as_numpy("map"), stream.step(frame(3)).flat_map())
