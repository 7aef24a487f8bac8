"""The backend for Label Studio: recorded requests, and the real package's server where it is.

The requests are those of Label Studio 1.x to `/predict` and `/webhook`; `CONFIG` is what
label_studio_sdk 2.0.19 parses the labelling interface `INTERFACE` to.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import plainmask
from plainmask.bridges.brush import brush_mask
from plainmask.bridges.label_studio import (
    Control,
    LabelStudioHead,
    Served,
    backend,
    regions_of,
    values_of,
)
from plainmask.data.coco_masks import decode_mask
from plainmask.errors import InputError
from tiny import save_with_encoder, tiny_encoder, tiny_video_head
from videos import pictures

INTERFACE = """<View>
  <Image name="image" value="$picture" zoom="true"/>
  <KeyPointLabels name="click" toName="image" smart="true"><Label value="thing"/></KeyPointLabels>
  <BrushLabels name="brush" toName="image">
    <Label value="Class_0"/><Label value="thing" predicted_values="class_1, class_2"/>
  </BrushLabels>
</View>"""
INPUTS = {
    "to_name": ["image"],
    "inputs": [{"type": "Image", "valueType": None, "value": "picture"}],
}
CONFIG: dict[str, Any] = {
    "click": {
        "type": "KeyPointLabels",
        **INPUTS,
        "labels": ["thing"],
        "labels_attrs": {"thing": {"value": "thing"}},
    },
    "brush": {
        "type": "BrushLabels",
        **INPUTS,
        "labels": ["Class_0", "thing"],
        "labels_attrs": {
            "Class_0": {"value": "Class_0"},
            "thing": {"value": "thing", "predicted_values": "class_1, class_2"},
        },
    },
}


@pytest.fixture
def head(tmp_path: Path) -> Path:
    encoder = tiny_encoder()
    return save_with_encoder(tiny_video_head("instance", encoder), encoder, tmp_path / "things")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(pictures(1)[0]).save(path)
    return path


def answering(head: Path, **given: Any) -> Any:
    """The bridge without the package: what its base would give it is recorded."""
    loaded = plainmask.load(head, device="cpu")
    served = Served(loaded, given.get("learn"), given.get("score"))
    recorded = {"parsed_label_config": CONFIG, "served": served}
    return type("Recorded", (LabelStudioHead,), recorded)()


def request(picture: Path, context: Any = None) -> dict[str, Any]:
    return {
        "tasks": [{"id": 5, "data": {"picture": str(picture)}, "annotations": []}],
        "model_version": "things-1",
        "project": "3.1700000000",
        "label_config": INTERFACE,
        "params": {"login": None, "password": None, "context": context},
    }


def check_regions(prediction: dict[str, Any], result: plainmask.InstanceResult) -> None:
    """Everything in a result as brush regions."""
    assert prediction["model_version"] == "things-1"
    assert prediction["score"] == pytest.approx(result.scores.mean())
    assert len(prediction["result"]) == len(result.segments) > 0
    for region, segment in zip(prediction["result"], result.segments, strict=True):
        assert (region["from_name"], region["to_name"]) == ("brush", "image")
        assert region["type"] == "brushlabels"
        assert region["image_rotation"] == 0
        assert region["score"] == segment.score
        name = {"class_0": "Class_0", "class_1": "thing", "class_2": "thing"}[segment.label]
        assert region["value"]["brushlabels"] == [name]
        assert region["value"]["format"] == "rle"
        size = region["original_height"], region["original_width"]
        mask = brush_mask(region["value"]["rle"], size)
        np.testing.assert_array_equal(mask, result.mask_of(segment))


def test_a_recorded_request(head: Path, picture: Path):
    asked = request(picture)
    (prediction,) = answering(head).predict(asked["tasks"], **asked["params"])
    json.dumps(prediction)
    check_regions(prediction, plainmask.load(head, device="cpu")(picture))


def test_the_least_score_and_pictures_of_nothing(head: Path, picture: Path):
    (prediction,) = answering(head, score=1.0).predict(request(picture)["tasks"])
    assert prediction == {"model_version": "things-1", "score": 0.0, "result": []}


def clicked(found: plainmask.InstanceResult, place: int) -> dict[str, Any]:
    """What Label Studio tells of a click on an object."""
    rows, columns = np.nonzero(found.masks[place])
    height, width = found.image_size
    value = {
        "x": 100 * (columns[0] + 0.5) / width,
        "y": 100 * (rows[0] + 0.5) / height,
        "width": 0.3,
        "keypointlabels": ["thing"],
    }
    ends = {"original_width": width, "original_height": height, "image_rotation": 0}
    return {"type": "keypointlabels", "is_positive": 1, "value": value, "id": "x", **ends}


def test_clicks_are_answered_with_one_region(head: Path, picture: Path):
    every = plainmask.load(head, device="cpu")(picture).keep(0.0)
    click = clicked(every, 0)
    tasks = request(picture)["tasks"]
    (prediction,) = answering(head).predict(tasks, context={"result": [click]})
    (region,) = prediction["result"]
    assert region["value"]["brushlabels"] == ["thing"]
    mask = brush_mask(region["value"]["rle"], every.image_size)
    row, column = np.argwhere(every.masks[0])[0]
    assert mask[row, column]
    away = click | {"is_positive": 0}
    (prediction,) = answering(head).predict(tasks, context={"result": [click, away]})
    assert prediction["result"] == [], "what is meant cannot have the same point in and out"
    whole = {"x": 0, "y": 0, "width": 100, "height": 100, "rectanglelabels": ["thing"]}
    drawn = {"type": "rectanglelabels", "value": whole}
    (prediction,) = answering(head).predict(tasks, context={"result": [drawn]})
    assert len(prediction["result"]) == 1


def test_learning_replaces_the_head(head: Path, picture: Path):
    other = plainmask.load(head, device="cpu")
    events: list[Any] = []

    def learn(event: str, data: Any) -> Any:
        events.append((event, data))
        return other if event == "START_TRAINING" else None

    model = answering(head, learn=learn)
    data = {"project": {"id": 3}, "annotation": {"result": []}}
    assert model.fit("ANNOTATION_CREATED", data) == {"model_version": "things-1"}
    more = {"event": "START_TRAINING", "data": data}
    assert model.fit((), **more, job_id="7") == {"model_version": "things-2"}, "as 1.0.9 calls it"
    assert events == [("ANNOTATION_CREATED", data), ("START_TRAINING", data)]
    assert model.served.head is other
    assert answering(head).fit("ANNOTATION_CREATED", data) == {"model_version": "things-1"}


def test_addresses_are_fetched_by_the_package(head: Path, picture: Path):
    model = answering(head)
    asked: list[Any] = []

    def newer(url: str, project_dir: Any = None, task_id: Any = None) -> str:
        asked.append((url, task_id))
        return str(picture)

    def older(url: str, project_dir: Any = None) -> str:
        asked.append(url)
        return str(picture)

    for fetch in (newer, older):
        model.get_local_path = fetch
        model.predict([{"id": 5, "data": {"picture": "s3://bucket/a.png"}}])
    assert asked == [("s3://bucket/a.png", 5), "s3://bucket/a.png"]


def test_polygons_and_rectangles(head: Path, picture: Path):
    result = plainmask.load(head, device="cpu")(picture)
    height, width = result.image_size
    for segment in result.segments:
        mask = result.mask_of(segment)
        polygons = [np.array(value["points"]) for value in values_of(mask, "polygonlabels")]
        parts = [(part * [width / 100, height / 100]).ravel().tolist() for part in polygons]
        np.testing.assert_array_equal(decode_mask(parts, (height, width)), mask)
        (box,) = values_of(mask, "rectanglelabels")
        x0, y0, x1, y1 = segment.box
        found = [box["x"] * width, box["y"] * height, box["width"] * width, box["height"] * height]
        assert np.array(found) / 100 == pytest.approx([x0, y0, x1 - x0, y1 - y0])


def test_classes_without_a_label_are_left_out(head: Path, picture: Path):
    config = json.loads(json.dumps(CONFIG))
    config["brush"]["labels_attrs"]["thing"]["predicted_values"] = "class_1"
    control = Control.of(config)
    result = plainmask.load(head, device="cpu")(picture).keep(0.0)
    kept = [segment for segment in result.segments if segment.class_id == 1]
    assert 0 < len(kept) < len(result.segments)
    assert len(regions_of(result, control)) == len(kept)


def test_an_interface_without_labels_for_regions():
    with pytest.raises(InputError, match="none of BrushLabels, PolygonLabels, RectangleLabels"):
        Control.of({"click": CONFIG["click"]})


def test_the_interface_is_parsed_as_recorded():
    parser = pytest.importorskip(
        "label_studio_sdk._extensions.label_studio_tools.core.label_config"
    )
    parsed = parser.parse_config(INTERFACE)
    assert Control.of(json.loads(json.dumps(parsed))) == Control.of(CONFIG)


def test_label_studio_takes_the_prediction(head: Path, picture: Path):
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface(INTERFACE)
    (prediction,) = answering(head).predict(request(picture)["tasks"])
    assert interface.validate_prediction(prediction, return_errors=True) == []


def test_the_real_server(head: Path, picture: Path, monkeypatch: pytest.MonkeyPatch):
    api = pytest.importorskip("label_studio_ml.api", reason="it is not on the index as it is now")
    model = backend(head, device="cpu")
    client = api.init_app(model).test_client()
    setup = {"project": "3.1700000000", "schema": INTERFACE, "hostname": "", "access_token": ""}
    assert client.post("/setup", json=setup).status_code == 200
    answer = client.post("/predict", json=request(picture))
    assert answer.status_code == 200
    check_regions(answer.json["results"][0], plainmask.load(head, device="cpu")(picture))
    every = plainmask.load(head, device="cpu")(picture).keep(0.0)
    asked = request(picture, {"result": [clicked(every, 0)]})
    assert len(client.post("/predict", json=asked).json["results"][0]["result"]) == 1
    one = model(label_config=INTERFACE)
    assert one.process_event("ANNOTATION_CREATED", {}, "7", {}) == {"model_version": "things-1"}
