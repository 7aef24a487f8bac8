"""The routes, as pages use them: who may write, what is told, and every error by its code."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from images import png
from labelling import SIZE, fields, session, things
from plainmask.label.app import build_app
from plainmask.label.events import Events
from plainmask.label.exchange import MOST_BYTES
from servers import running

HOME = "http://127.0.0.1:8060"
STROKE = {"kind": "brush", "class": 0, "points": [[15, 30], [20, 30]], "radius": 7}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fields(tmp_path / "in", "a.png", "b.png", "späte Bilder.png")


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    """A page that writes."""
    events = Events()
    with session(folder, events.tell) as made:
        client = TestClient(build_app(made, events), base_url=HOME)
        client.headers["x-writer"] = client.post("/api/writer", json={}).json()["writer"]
        yield client


def draw(client: TestClient, picture: str = "a.png", **change: Any) -> dict[str, Any]:
    answer = client.post(f"/api/pictures/{picture}/strokes", json=STROKE | change)
    assert answer.status_code == 200, answer.text
    return answer.json()


def both(client: TestClient) -> int:
    draw(client)
    return draw(client, **{"class": 1}, points=[[65, 30]])["version"]


def image(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def test_a_page_finds_what_there_is(client: TestClient):
    found = client.get("/api/project").json()
    assert found["task"] == "semantic"
    assert found["classes"][1] == {"id": 1, "name": "bright", "color": [86, 180, 233]}
    assert found["pictures"][0] == {
        "name": "a.png",
        "width": SIZE[1],
        "height": SIZE[0],
        "labelled_share": 0,
        "done": False,
    }
    assert found["status"]["shown_by"] is None
    assert found["can_undo"] is False
    assert client.get("/api/next").json() == {"picture": "a.png"}


def test_strokes_labels_and_proposals(client: TestClient):
    version = both(client)
    labels = image(client.get("/api/pictures/a.png/labels.png"))
    assert labels.mode == "P"
    values = np.asarray(labels)
    assert values[30, 18] == 0
    assert values[30, 65] == 1
    assert values[0, 0] == 255
    assert labels.convert("RGBA").getpixel((18, 30)) == (230, 159, 0, 255)
    assert labels.convert("RGBA").getpixel((0, 0))[3] == 0  # pyright: ignore
    answer = client.get(f"/api/pictures/a.png/proposal.png?version={version}")
    proposal = image(answer)
    assert int(answer.headers["x-version"]) >= version
    assert proposal.mode == "L"
    assert proposal.size == (SIZE[1], SIZE[0])
    assert set(np.unique(np.asarray(proposal))) == {0, 1}
    doubt = image(client.get(f"/api/pictures/a.png/uncertainty.png?version={version}"))
    assert doubt.mode == "L"
    accepted = client.post("/api/pictures/a.png/accept", json={"what": "all"}).json()
    assert accepted["labelled_share"] == 1
    one = {"what": "region", "point": [5, 5]}
    assert client.post("/api/pictures/b.png/accept", json=one).json()["labelled_share"] > 0
    two = {"what": "class", "class": 1}
    assert client.post("/api/pictures/b.png/accept", json=two).json()["labelled_share"] > 0.3


def test_undo_and_redo_say_which_picture_has_changed(client: TestClient):
    draw(client)
    draw(client, "b.png")
    assert client.post("/api/undo").json()["picture"] == "b.png"
    assert client.post("/api/undo").json()["picture"] == "a.png"
    assert client.post("/api/undo").json() == {"picture": None}
    assert client.post("/api/redo").json()["picture"] == "a.png"
    assert client.get("/api/project").json()["can_redo"] is True


def test_the_figures_over_time(client: TestClient):
    assert client.get("/api/course").json() == {"points": []}
    version = both(client)
    client.get(f"/api/pictures/a.png/proposal.png?version={version}")
    version = draw(client, points=[[15, 50]])["version"]
    client.get(f"/api/pictures/a.png/proposal.png?version={version}")
    (point,) = client.get("/api/course").json()["points"]
    assert point == {"stroke": 3, "class_id": 0, "right": 1, "of_class": 1, "together": 1}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("pictures/a.png/strokes", STROKE | {"points": [[40, 50]]}),
        ("pictures/b.png/accept", {"what": "all"}),
        ("undo", {}),
        ("redo", {}),
        ("classes/delete", {"id": 0, "into": 1}),
    ],
)
def test_what_is_sent_again_is_answered_again_and_done_once(
    folder: Path, path: str, body: dict[str, Any]
):
    answers: list[Any] = []
    for _ in range(2):  # the second time after the server was started anew
        with session(folder) as made:
            client = TestClient(build_app(made, Events()), base_url=HOME)
            client.headers["x-writer"] = client.post("/api/writer", json={}).json()["writer"]
            if not answers:
                both(client)
                draw(client, points=[[15, 50]])
                client.post("/api/undo")
            headers = {"idempotency-key": "one"}
            for _ in range(2):
                answers.append(client.post(f"/api/{path}", json=body, headers=headers).json())
            entries = list(made.project.history.by_key.values())
            assert [entry.id for entry in entries] == [answers[0]["version"]]
    assert answers == 4 * [answers[0]]


def test_another_request_by_a_key_that_was_used_is_another(client: TestClient):
    headers = {"idempotency-key": "always the same"}
    for x in (15, 25, 25):
        stroke = STROKE | {"points": [[x, 30]]}
        client.post("/api/pictures/a.png/strokes", json=stroke, headers=headers)
    assert client.get("/api/project").json()["status"]["strokes"] == 2


def test_classes_are_added_and_changed(client: TestClient):
    added = client.post("/api/classes", json={"name": "edge"}).json()["classes"]
    assert added[2] == {"id": 2, "name": "edge", "color": [0, 158, 115]}
    changed = {"id": 2, "name": "rim", "color": "#010203"}
    answer = client.post("/api/classes", json=changed).json()["classes"]
    assert answer[2] == {"id": 2, "name": "rim", "color": [1, 2, 3]}


def test_a_class_is_deleted_and_comes_back(client: TestClient):
    draw(client)
    refused = client.post("/api/classes/delete", json={"id": 0})
    assert refused.status_code == 422
    assert "1 picture has labels of 'dark' (a.png)" in refused.json()["error"]
    answer = client.post("/api/classes/delete", json={"id": 0, "into": 1}).json()
    assert [entry["name"] for entry in answer["classes"]] == ["bright"]
    assert set(np.unique(image(client.get("/api/pictures/a.png/labels.png")))) == {1, 255}
    assert len(client.post("/api/undo").json()["classes"]) == 2
    assert len(client.post("/api/redo").json()["classes"]) == 1
    assert client.get("/api/project").json()["classes"] == answer["classes"]


def test_pictures_as_files_and_small(client: TestClient, folder: Path):
    answer = client.get("/api/pictures/späte Bilder.png")
    assert answer.content == (folder / "späte Bilder.png").read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert image(client.get("/api/pictures/a.png/thumb")).format == "JPEG"


@pytest.mark.parametrize("form", ["TIFF", "turned PNG", "16 bits"])
def test_what_browsers_do_not_show_is_sent_as_png(folder: Path, form: str):
    pixels = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80) * 13
    if form == "16 bits":
        Image.fromarray(pixels).save(folder / "x.png")
    elif form == "TIFF":
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "x.tif")
    else:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "x.png", exif=exif)
    (path,) = folder.glob("x.*")
    from plainmask.pictures.images import read_image

    with session(folder) as made:
        client = TestClient(build_app(made, Events()), base_url=HOME)
        found = image(client.get(f"/api/pictures/{path.name}"))
    assert found.format == "PNG"
    assert np.array_equal(np.asarray(found.convert("RGB")), read_image(path))


def test_a_large_picture_has_a_small_one(folder: Path):
    (folder / "large.png").write_bytes(png(np.zeros((900, 1200, 3), np.uint8)))
    with session(folder) as made:
        client = TestClient(build_app(made, Events()), base_url=HOME)
        assert image(client.get("/api/pictures/large.png/thumb")).size == (256, 192)


def test_one_page_writes_and_others_look_on(client: TestClient):
    first = client.headers["x-writer"]
    assert client.post("/api/writer", json={}).json() == {"writer": None}
    assert client.post("/api/writer", json={"writer": first}).json() == {"writer": first}
    other = client.post("/api/writer", json={"take": True}).json()["writer"]
    assert other not in (None, first)
    denied = client.post("/api/pictures/a.png/strokes", json=STROKE)
    assert denied.status_code == 423
    assert "another page writes" in denied.json()["error"]
    client.headers["x-writer"] = other
    draw(client)
    client.post("/api/writer", json={"writer": other, "leave": True})
    assert client.post("/api/writer", json={}).json()["writer"]


@pytest.mark.parametrize(
    "path",
    [
        "undo",
        "redo",
        "classes",
        "classes/delete",
        "label-rest",
        "pictures/a.png/strokes",
        "pictures/a.png/accept",
    ],
)
def test_nothing_is_written_without_the_token(client: TestClient, path: str):
    for token in ("", "wrong", "\u00e9"):
        answer = client.post(f"/api/{path}", json={}, headers={"x-writer": token.encode()})
        assert answer.status_code == 423


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:8060"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
    ],
)
def test_pages_from_elsewhere_are_kept_out(client: TestClient, headers: dict[str, str]):
    for answer in (
        client.get("/api/project", headers=headers),
        client.post("/api/writer", json={"take": True}, headers=headers),
        client.post("/api/undo", headers=headers),
    ):
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8060", "localhost:8060", "localhost", "[::1]:8060", "[::1]"]
)
def test_this_machine_goes_by_several_names(client: TestClient, host: str):
    headers = {"host": host, "origin": f"http://{host}"}
    assert client.get("/api/project", headers=headers).status_code == 200


WRONG: list[tuple[str, Any, int, str]] = [
    ("pictures/z.png/strokes", STROKE, 422, "no picture is called 'z.png'"),
    ("pictures/a.png/strokes", STROKE | {"class": 9}, 422, "there is no class 9"),
    ("pictures/a.png/strokes", STROKE | {"radius": -1}, 422, "radius"),
    ("pictures/a.png/strokes", STROKE | {"kind": "accept"}, 422, "accepted by POST …"),
    ("pictures/a.png/strokes", {}, 422, "the stroke cannot be used: kind"),
    ("pictures/a.png/strokes", [], 400, "must be a JSON object"),
    ("pictures/a.png/accept", {"what": "half"}, 422, "what to accept is unknown"),
    ("pictures/a.png/accept", {"what": "class"}, 422, 'needs its id: "class"'),
    ("pictures/a.png/accept", {"what": "region"}, 422, "points.0"),
    ("pictures/a.png/accept", {"what": "all"}, 422, "before two classes have labels"),
    ("classes", {"name": "dark"}, 422, "there is a class 'dark' already"),
    ("classes", {"name": 7}, 422, "a class has a name"),
    ("classes", {}, 422, "the name of a class cannot be used"),
    ("classes", {"id": 9, "name": "x"}, 422, "there is no class 9"),
    ("classes", {"name": "x", "color": "reddish"}, 422, "a colour is"),
    ("classes/delete", {}, 422, "to delete a class takes its id"),
    ("classes/delete", {"id": 1, "into": "dark"}, 422, "into, that of another"),
    ("classes/delete", {"id": 9}, 422, "there is no class 9"),
    ("label-rest", {}, 422, "before two classes have labels"),
]


@pytest.mark.parametrize(("path", "body", "status", "message"), WRONG)
def test_what_is_wrong_is_said(client: TestClient, path: str, body: Any, status: int, message: str):
    answer = client.post(f"/api/{path}", json=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert client.get("/api/project").json()["status"]["strokes"] == 0


def test_bodies_that_are_no_json_or_too_large(client: TestClient):
    path = "/api/pictures/a.png/strokes"
    assert client.post(path, content=b"{").status_code == 400
    assert client.post(path, content=b"[" * 100_000).status_code == 400
    assert client.post(path, content=b" " * (MOST_BYTES + 1)).status_code == 413


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("pictures/z.png", 422),
        ("pictures/z.png/labels.png", 422),
        ("pictures/z.png/proposal.png", 422),
        ("pictures/..%2f..%2fetc%2fpasswd", 404),
        ("pictures/a.png/proposal.png?version=x", 422),
        ("pictures/a.png/proposal.png", 404),
        ("nothing", 404),
        ("undo", 405),
    ],
)
def test_what_is_not_there(client: TestClient, path: str, status: int):
    answer = client.get(f"/api/{path}")
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_picture_that_is_gone(client: TestClient, folder: Path):
    (folder / "a.png").unlink()
    for path in ("", "/thumb"):
        answer = client.get(f"/api/pictures/a.png{path}")
        assert answer.status_code == 422
        assert "a.png" in answer.json()["error"]


def test_events_come_as_they_happen_and_end_with_the_server(folder: Path):
    events = Events()
    with session(folder, events.tell) as made:
        ends = list[bool]()
        app = build_app(made, events, is_over=lambda: bool(ends))
        with running(app) as address, httpx.Client(base_url=f"http://{address}") as client:
            token = client.post("/api/writer").json()["writer"]
            with client.stream("GET", f"/api/events?writer={token}") as stream:
                lines = (line[6:] for line in stream.iter_lines() if line.startswith("data: "))
                first = json.loads(next(lines))
                assert first["type"] == "status"
                assert first["strokes"] == 0
                headers = {"x-writer": token}
                for class_id, x in ((0, 15), (1, 65)):
                    stroke = STROKE | {"class": class_id, "points": [[x, 30]]}
                    client.post("/api/pictures/a.png/strokes", json=stroke, headers=headers)
                client.get("/api/pictures/a.png/proposal.png?version=2")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "proposal":
                        break
                assert event == {"type": "proposal", "picture": "a.png", "version": 2}
                ends.append(True)
                assert list(lines) is not None  # they end


@pytest.fixture
def of_objects(tmp_path: Path) -> Iterator[TestClient]:
    """A page that writes in a project of objects."""
    folder = things(tmp_path / "things", "a.png")
    with session(folder, task="instance", classes=["cat"]) as made:
        client = TestClient(build_app(made, Events()), base_url=HOME)
        client.headers["x-writer"] = client.post("/api/writer", json={}).json()["writer"]
        yield client


def test_objects_go_and_come_with_classes(of_objects: TestClient):
    assert of_objects.get("/api/project").json()["task"] == "instance"
    draw(of_objects, points=[[5, 5]], object=0)
    version = draw(of_objects, points=[[25, 30]], object=300, **{"class": 1})["version"]
    labels = np.asarray(image(of_objects.get("/api/pictures/a.png/labels.png")))
    assert labels[30, 25].tolist() == [1, 1, 44]
    assert labels[5, 5].tolist() == [0, 0, 0]
    assert labels[59, 40].tolist() == [255, 0, 0]
    proposed = image(of_objects.get(f"/api/pictures/a.png/proposal.png?version={version}"))
    assert np.asarray(proposed)[30, 25].tolist() == [1, 1, 44]
    draw(of_objects, points=[[55, 30]], object=2, **{"class": 1})
    line = {"points": [[25, 30], [55, 30]], "radius": 1}
    path = "/api/pictures/a.png/repair"
    assert of_objects.post(path, json=line | {"do": "merge"}).status_code == 200
    labels = np.asarray(image(of_objects.get("/api/pictures/a.png/labels.png")))
    assert labels[30, 55].tolist() == [1, 1, 44]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("repair", {"do": "melt"}, "what to do with objects is unknown"),
        ("repair", {"do": "merge"}, "points"),
        ("repair", {"do": "split", "points": [[1, 1]]}, "erase takes a radius"),
        ("repair", {"do": "split", "points": [[1, 1]], "radius": 1}, "crosses no object"),
        ("strokes", STROKE, "a stroke of the class background says the object 0"),
        ("strokes", STROKE | {"kind": "split"}, "repaired by"),
    ],
)
def test_what_is_wrong_with_objects_is_said(
    of_objects: TestClient, path: str, body: Any, message: str
):
    answer = of_objects.post(f"/api/pictures/a.png/{path}", json=body)
    assert answer.status_code == 422
    assert message in answer.json()["error"]
