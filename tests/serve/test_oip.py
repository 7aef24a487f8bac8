"""The Open Inference Protocol: pictures in all their forms, and what is refused, by its code."""

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import plainmask
from images import png
from plainmask.results.rle import Rle
from plainmask.serve.app import build_app
from plainmask.serve.limits import Limits
from plainmask.serve.service import Service
from servers import served, street_and_cells

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
INFER = "/v2/models/cells/infer"
LENGTH = "inference-header-content-length"


PHOTO = png(PIXELS)
TEXT = base64.b64encode(PHOTO).decode()
BEHIND_ITS_LENGTH = struct.pack("<I", len(PHOTO)) + PHOTO


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    limits = Limits(body_megabytes=0.2, megapixels=0.05)
    with TestClient(build_app(Service.of(street_and_cells(), limits))) as made:
        yield made


def image(datatype: Any = "BYTES", shape: Any = (1,), **more: Any) -> dict[str, Any]:
    """A request with one tensor."""
    return {"inputs": [{"name": "image", "datatype": datatype, "shape": shape, **more}]}


def joined(request: dict[str, Any], raw: bytes) -> dict[str, Any]:
    """JSON with raw bytes behind it, for the client."""
    content = json.dumps(request).encode()
    return {"content": content + raw, "headers": {LENGTH: str(len(content))}}


def raw(datatype: Any, shape: Any, content: bytes, size: Any = None) -> dict[str, Any]:
    size = len(content) if size is None else size
    return joined(image(datatype, shape, parameters={"binary_data_size": size}), content)


@pytest.mark.parametrize(
    "ways",
    [
        {"content": PHOTO},
        {"content": PHOTO, "headers": {LENGTH: "0"}},
        {"json": image(data=[TEXT])},
        {"content": "  " + json.dumps(image(data=[TEXT]))},
        {"json": image("UINT8", [60, 80, 3], data=PIXELS.tolist())},
        {"json": image("UINT8", [1, 60, 80, 3], data=[PIXELS.tolist()])},
        {"json": image("UINT8", [1, 60, 80, 3], data=PIXELS.ravel().tolist())},
        raw("BYTES", [1], BEHIND_ITS_LENGTH),
        raw("UINT8", [60, 80, 3], PIXELS.tobytes()),
        raw("UINT8", [1, 60, 80, 3], PIXELS.tobytes()),
    ],
    ids=[
        "the file",
        "the file, said so",
        "base64",
        "JSON without its type",
        "nested",
        "nested batch of one",
        "flat",
        "raw file",
        "raw pixels",
        "raw batch of one",
    ],
)
def test_a_picture_comes_in_all_forms(client: TestClient, ways: dict[str, Any]):
    answer = client.post(INFER, **ways)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["model_name"], found["model_version"]) == ("cells", "1")
    segments, ids = found["outputs"]
    expected = street_and_cells()["cells"](PIXELS)
    assert (segments["name"], segments["datatype"], segments["shape"]) == ("segments", "BYTES", [1])
    (text,) = segments["data"]
    rows = json.loads(text)["segments"]
    assert [row["label"] for row in rows] == [s.label for s in expected.segments]
    for row, segment in zip(rows, expected.segments, strict=True):
        rle = Rle(tuple(row["rle"]["size"]), row["rle"]["counts"])
        assert np.array_equal(rle.decode(), expected.mask_of(segment))
    assert (ids["name"], ids["datatype"], ids["shape"]) == ("map", "INT32", [60, 80])
    assert np.array_equal(np.reshape(ids["data"], (60, 80)), expected.flat_map())
    assert "encoder;dur=" in answer.headers["server-timing"]


@pytest.mark.parametrize(
    ("more", "raw_ones"),
    [
        ({"parameters": {"binary_data_output": True}}, ["segments", "map"]),
        ({"outputs": [{"name": "map", "parameters": {"binary_data": True}}]}, ["map"]),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [
                    {"name": "map"},
                    {"name": "segments", "parameters": {"binary_data": False}},
                ],
            },
            ["map"],
        ),
    ],
    ids=["all", "one of one", "one of two"],
)
def test_outputs_come_as_raw_bytes(client: TestClient, more: dict[str, Any], raw_ones: list[str]):
    answer = client.post(INFER, json=image(data=[TEXT]) | more)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers[LENGTH])
    found, rest = json.loads(answer.content[:length]), answer.content[length:]
    expected = street_and_cells()["cells"](PIXELS)
    got: list[str] = []
    for output in found["outputs"]:
        if "data" in output:
            continue
        size = output["parameters"]["binary_data_size"]
        own, rest = rest[:size], rest[size:]
        got.append(output["name"])
        if output["name"] == "map":
            ids = np.frombuffer(own, "<i4").reshape(output["shape"])
            assert np.array_equal(ids, expected.flat_map())
        else:
            assert struct.unpack("<I", own[:4]) == (len(own) - 4,)
            assert len(json.loads(own[4:])["segments"]) == len(expected.segments)
    assert not rest
    assert got == raw_ones
    if names := [output["name"] for output in more.get("outputs", [])]:
        assert [output["name"] for output in found["outputs"]] == names


def test_an_id_comes_back_or_is_made(client: TestClient):
    given = client.post(INFER, json={"id": "mine", **image(data=[TEXT])}).json()
    assert given["id"] == "mine"
    made = client.post(INFER, json=image(data=[TEXT]))
    assert made.json()["id"] == made.headers["x-request-id"]


def test_score_and_classes_choose_segments(client: TestClient):
    def labels(**parameters: Any) -> list[str]:
        answer = client.post(INFER, json=image(data=[TEXT]) | {"parameters": parameters})
        return [s["label"] for s in json.loads(answer.json()["outputs"][0]["data"][0])["segments"]]

    found = labels()
    other = next(
        name
        for name in street_and_cells()["cells"].head.config.vocabulary.names
        if name not in found
    )
    assert found
    assert labels(classes=",".join([other, *found])) == labels(classes=found) == found
    assert labels(classes=other) == []
    assert labels(score=1) == []


def test_what_is_served_is_told(client: TestClient):
    assert client.get("/v2").json() == {
        "name": "plainmask",
        "version": plainmask.__version__,
        "extensions": [
            "binary_tensor_data",
            "model_repository",
            "sequence",
            "sequence(string_id)",
        ],
    }
    for state in ("live", "ready"):
        assert client.get(f"/v2/health/{state}").json() == {"live": True, "ready": True}
    assert client.get("/v2/models").json() == {"models": ["street", "cells"]}
    about = client.get("/v2/models/cells").json()
    assert about == client.get("/v2/models/cells/versions/1").json()
    assert about["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [1]}]
    assert [output["name"] for output in about["outputs"]] == ["segments", "map"]
    assert client.get("/v2/models/cells/versions/1/ready").json()["ready"] is True


def test_a_version_is_the_same_model(client: TestClient):
    one, other = (
        client.post(path, content=PHOTO).json()["outputs"]
        for path in (INFER, "/v2/models/cells/versions/1/infer")
    )
    assert one == other


@pytest.mark.parametrize(
    ("status", "message", "path", "method"),
    [
        (404, "no head 'cell'; did you mean cells?", "/v2/models/cell", "GET"),
        (404, "no head 'cell'", "/v2/models/cell/ready", "GET"),
        (404, "no head 'cell'", "/v2/models/cell/infer", "POST"),
        (404, "has the version 1 only, not '2'", "/v2/models/cells/versions/2", "GET"),
        (404, "has the version 1 only, not '2'", "/v2/models/cells/versions/2/ready", "GET"),
        (404, "has the version 1 only, not '01'", "/v2/models/cells/versions/01/infer", "POST"),
        (404, "Not Found", "/v2/models/cells/config", "GET"),
        (405, "Method Not Allowed", INFER, "GET"),
    ],
)
def test_what_is_not_there(client: TestClient, status: int, message: str, path: str, method: str):
    answer = client.request(method, path)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]


def with_outputs(*outputs: Any) -> dict[str, Any]:
    return {"json": image(data=[TEXT]) | {"outputs": list(outputs)}}


def with_parameters(**parameters: Any) -> dict[str, Any]:
    return {"json": image(data=[TEXT]) | {"parameters": parameters}}


@pytest.mark.parametrize(
    ("status", "message", "ways"),
    [
        # The body
        (400, "there is no picture", {"content": b""}),
        (400, "there is no picture", {"content": b"", "headers": {LENGTH: "0"}}),
        (422, "not a picture that can be read", {"content": b"hello"}),
        (413, "has more than 0.2 MB", {"content": b"x" * 300_000}),
        (413, "300 x 200 pixels", {"content": png(np.zeros((200, 300, 3), np.uint8))}),
        (415, "compressed", {"content": b"x", "headers": {"content-encoding": "gzip"}}),
        (400, "not valid JSON", {"content": b"{"}),
        (400, "not valid JSON", {"content": b'{"\xff'}),
        (400, "not valid JSON", {"content": b'{"inputs":' + b"[" * 100_000}),
        (400, "not valid JSON", {"content": json.dumps(image()).encode() + BEHIND_ITS_LENGTH}),
        (400, "the request must be", {"json": [1]}),
        (400, "a number of bytes, at most the 3", {"content": b"{} ", "headers": {LENGTH: "4"}}),
        (400, "a number of bytes", {"content": b"{}", "headers": {LENGTH: "-1"}}),
        (400, "a number of bytes", {"content": b"{}", "headers": {LENGTH: "two"}}),
        (400, "a number of bytes", {"content": b"{}", "headers": {LENGTH: "9" * 5000}}),
        (400, "not valid JSON", {"content": b"{}" + PHOTO, "headers": {LENGTH: "1"}}),
        # The tensors' names
        (400, "one tensor called image, not []", {"json": {}}),
        (400, "inputs must be a list of objects", {"json": {"inputs": {"name": "image"}}}),
        (400, "inputs must be a list of objects", {"json": {"inputs": ["image"]}}),
        (400, "image, not ['picture']", {"json": {"inputs": [{"name": "picture"}]}}),
        (400, "['image', 'image']", {"json": {"inputs": 2 * image(data=[TEXT])["inputs"]}}),
        (400, "outputs must be a list of objects", with_outputs("map")),
        (400, "outputs are segments, map", with_outputs({"name": "masks"})),
        (400, "outputs are segments, map", with_outputs({"name": ["map"]})),
        (400, "each at most once", with_outputs({"name": "map"}, {"name": "map"})),
        # Dtypes and shapes
        (400, "BYTES or UINT8, not 'BF16'", {"json": image("BF16", [1], data=[TEXT])}),
        (400, "BYTES or UINT8, not None", {"json": image(None, [1], data=[TEXT])}),
        (400, "has the shape [1], not [2]", {"json": image("BYTES", [2], data=[TEXT, TEXT])}),
        (400, "has the shape [1], not None", {"json": image("BYTES", None, data=[TEXT])}),
        (400, "the shape [H, W, 3]", {"json": image("UINT8", [2, 2], data=[0] * 4)}),
        (400, "the shape [H, W, 3]", {"json": image("UINT8", [3, 2, 2], data=[0] * 12)}),
        (400, "the shape [H, W, 3]", {"json": image("UINT8", [2, 2, 2, 3], data=[0] * 24)}),
        (400, "the shape [H, W, 3]", {"json": image("UINT8", [-2, -2, 3], data=[0] * 12)}),
        (400, "the shape [H, W, 3]", {"json": image("UINT8", [0, 2, 3], data=[])}),
        (400, "the shape [H, W, 3]", {"json": image("UINT8", [2.0, 2, 3], data=[0] * 12)}),
        (400, "the shape [H, W, 3]", {"json": image("UINT8", "223", data=[0] * 12)}),
        (400, "does not fit [2, 2, 3]", {"json": image("UINT8", [2, 2, 3], data=[0] * 9)}),
        (
            400,
            "does not fit [2, 2, 3]",
            {"json": image("UINT8", [2, 2, 3], data=[[[0, 0]] * 2] * 3)},
        ),
        (400, "does not fit", {"json": image("UINT8", [10**18, 10**18, 3], data=[0] * 12)}),
        (400, "does not fit", raw("UINT8", [10**18, 10**18, 3], PIXELS.tobytes())),
        (400, "does not fit [60, 80, 3]", raw("UINT8", [60, 80, 3], PIXELS.tobytes()[:-1])),
        (413, "300 x 200 pixels", raw("UINT8", [200, 300, 3], bytes(180_000))),
        # Data in JSON
        (400, "neither data nor", {"json": image()}),
        (400, 'is ["<base64>"]', {"json": image(data=TEXT)}),
        (400, 'is ["<base64>"]', {"json": image(data=[])}),
        (400, 'is ["<base64>"]', {"json": image(data=[TEXT, TEXT])}),
        (400, 'is ["<base64>"]', {"json": image(data=[7])}),
        (400, "image has no bytes", {"json": image(data=[""])}),
        (422, "image is not base64", {"json": image(data=["*"])}),
        (422, "image is not base64", {"json": image(data=["ä"])}),
        (422, "not a picture that can be read", {"json": image(data=["aGVsbG8="])}),
        (400, "whole numbers from 0 to 255", {"json": image("UINT8", [1, 1, 3], data=[0, 0, 256])}),
        (400, "whole numbers from 0 to 255", {"json": image("UINT8", [1, 1, 3], data=[0, 0, -1])}),
        (400, "whole numbers", {"json": image("UINT8", [1, 1, 3], data=[0, 0, 10**30])}),
        (400, "whole numbers", {"json": image("UINT8", [1, 1, 3], data=[0, 0.5, 1])}),
        (400, "whole numbers", {"json": image("UINT8", [1, 1, 3], data=[0, "0", 1])}),
        (400, "whole numbers", {"json": image("UINT8", [1, 1, 3], data=[0, None, 1])}),
        (400, "whole numbers", {"json": image("UINT8", [1, 1, 3], data=[[0], [0, 1]])}),
        (400, "whole numbers", {"json": image("UINT8", [1, 1, 3], data=[{}, {}, {}])}),
        (400, "whole numbers", {"json": image("UINT8", [1, 1, 3], data=[])}),
        (400, "whole numbers", {"json": image("UINT8", [1, 1, 3], data="000")}),
        (
            400,
            "whole numbers",
            {"json": image("UINT8", [1, 1, 3], data=json.loads("[" * 300 + "0" + "]" * 300))},
        ),
        # Data behind the JSON
        (400, "9 bytes follow the JSON", raw("UINT8", [1, 1, 3], bytes(9), 3)),
        (400, "3 bytes follow the JSON", raw("UINT8", [1, 1, 3], bytes(3), 9)),
        (400, "binary_data_size of image is -3", raw("UINT8", [1, 1, 3], bytes(3), -3)),
        (400, "binary_data_size of image is 1000", raw("UINT8", [1, 1, 3], bytes(3), 10**30)),
        (400, "binary_data_size of image is '3'", raw("UINT8", [1, 1, 3], bytes(3), "3")),
        (400, "binary_data_size of image is True", raw("UINT8", [1, 1, 3], bytes(1), True)),
        (400, "binary_data_size of image is None", joined(image(data=[TEXT]), b"rest")),
        (
            400,
            "both data and",
            joined(image(data=[TEXT], parameters={"binary_data_size": 4}), b"rest"),
        ),
        (400, "4 bytes that tell the length", raw("BYTES", [1], PHOTO)),
        (400, "4 bytes that tell the length", raw("BYTES", [1], BEHIND_ITS_LENGTH[:-1])),
        (400, "4 bytes that tell the length", raw("BYTES", [1], BEHIND_ITS_LENGTH + b"x")),
        (400, "4 bytes that tell the length", raw("BYTES", [1], b"abc")),
        (400, "4 bytes that tell the length", raw("BYTES", [1], b"")),
        (400, "image has no bytes", raw("BYTES", [1], bytes(4))),
        # Parameters
        (400, "parameters of the request must", {"json": {"parameters": 1, **image(data=[TEXT])}}),
        (400, "parameters of the input image", {"json": image(data=[TEXT], parameters="x")}),
        (400, "binary_data_output must be true", with_parameters(binary_data_output="yes")),
        (400, "was not started", with_parameters(sequence_id=7)),
        (400, "was not started", with_parameters(sequence_id="mine", sequence_end=True)),
        (400, "sequence_id must be a number", with_parameters(sequence_id=-1)),
        (400, "sequence_id must be a number", with_parameters(sequence_id=10**30)),
        (400, "sequence_id must be a number", with_parameters(sequence_id=True)),
        (400, "sequence_id must be a number", with_parameters(sequence_id="x" * 201)),
        (400, "sequence_start must be true", with_parameters(sequence_id=7, sequence_start=1)),
        (400, "a sequence needs a sequence_id", with_parameters(sequence_start=True)),
        (400, "a sequence needs a sequence_id", with_parameters(sequence_id=0, sequence_end=True)),
        (422, "score must be a number", with_parameters(score=2)),
        (422, "score must be a number", with_parameters(score=10**400)),
        (422, "no class is called 'unicorn'", with_parameters(classes="unicorn")),
        (400, "parameters of an output", with_outputs({"name": "map", "parameters": 1})),
        (
            400,
            "binary_data must be true or false",
            with_outputs({"name": "map", "parameters": {"binary_data": 1}}),
        ),
        (
            400,
            "not 'classification'",
            with_outputs({"name": "map", "parameters": {"classification": 3}}),
        ),
        (400, "id must be a text", {"json": {"id": 7, **image(data=[TEXT])}}),
        (400, "id must be a text", {"json": {"id": "x" * 201, **image(data=[TEXT])}}),
        (
            400,
            "id must be a text",
            {
                "content": b'{"id": "\\ud800", "inputs": [{"name": "image", '
                b'"datatype": "UINT8", "shape": [1, 1, 3], "data": [0, 0, 0]}]}'
            },
        ),
    ],
)
def test_what_cannot_be_answered_is_one_error_with_its_code(
    client: TestClient, status: int, message: str, ways: dict[str, Any]
):
    answer = client.post(INFER, **ways)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]
    assert len(answer.json()["error"]) < 400


def test_it_goes_on_after_errors(client: TestClient):
    assert client.post(INFER, content=b"{").status_code == 400
    assert client.post(INFER, content=PHOTO).status_code == 200


@pytest.mark.slow
def test_the_client_of_triton_works_unchanged():
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

    with served(street_and_cells()) as address, triton.InferenceServerClient(address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("cells")
        assert client.is_model_ready("cells", "1")
        assert not client.is_model_ready("cell")
        assert client.get_server_metadata()["name"] == "plainmask"
        assert client.get_model_metadata("cells")["versions"] == ["1"]
        expected = street_and_cells()["cells"](PIXELS)

        file = triton.InferInput("image", [1], "BYTES")
        text = triton.InferInput("image", [1], "BYTES")
        pixels = triton.InferInput("image", list(PIXELS.shape), "UINT8")
        numbers = triton.InferInput("image", list(PIXELS.shape), "UINT8")
        file.set_data_from_numpy(np.array([PHOTO], object))
        text.set_data_from_numpy(np.array([TEXT.encode()], object), binary_data=False)
        pixels.set_data_from_numpy(PIXELS)
        numbers.set_data_from_numpy(PIXELS, binary_data=False)
        in_json = [triton.InferRequestedOutput(n, binary_data=False) for n in ("map", "segments")]
        only_map = [triton.InferRequestedOutput("map")]
        for own in (file, text, pixels, numbers):
            for outputs in (None, in_json, only_map):
                found = client.infer("cells", [own], outputs=outputs, request_id="mine")
                assert found.get_response()["id"] == "mine"
                drawn, rows = found.as_numpy("map"), found.as_numpy("segments")
                assert drawn is not None
                assert np.array_equal(drawn, expected.flat_map())
                assert (rows is None) == (outputs is only_map)
                if rows is not None:
                    assert len(json.loads(rows[0])["segments"]) == len(expected.segments)

        with pytest.raises(InferenceServerException, match="no head 'cell'; did you mean cells"):
            client.infer("cell", [file])
        with pytest.raises(InferenceServerException, match="compressed requests"):
            client.infer("cells", [file], request_compression_algorithm="gzip")
