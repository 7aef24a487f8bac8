"""Figures of images against the official tools, from files on disk to numbers."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from images import COUNT, VOCABULARY, labelled_images
from plainmask.data.reader import read_dataset
from plainmask.data.record import Annotation
from plainmask.errors import InputError
from plainmask.evaluation.measures import Rules, check_rules, leaves_out
from plainmask.evaluation.result_files import evaluate_results
from plainmask.result_files.images import label_picture
from plainmask.results import SemanticResult
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def some_detections(data: Path, seed: int = 0) -> list[dict]:
    """Annotated objects, shifted by chance and scored by chance, and some nonsense."""
    rng = np.random.default_rng(seed)
    rows = []
    for record in read_dataset("coco_instances", data, "val"):
        segments = record.annotation()
        masks = [np.roll(mask, rng.integers(-3, 4, 2), (0, 1)) for mask in segments.masks()]
        masks += [np.roll(mask, 20, 1) for mask in masks]
        for mask in masks:
            rows.append(
                {
                    "image_id": record.image_id,
                    "category_id": int(rng.choice(list(VOCABULARY.by_file_id))),
                    "segmentation": Rle.encode(mask).to_coco(),
                    "score": round(float(rng.random()), 1),
                }
            )
        for class_id, mask in zip(segments.class_ids.tolist(), masks, strict=False):
            number = VOCABULARY.classes[class_id].file_id
            form = Rle.encode(mask).to_coco()
            rows.append(rows[-1] | {"category_id": number, "segmentation": form, "score": 0.55})
    return rows


def official(data: Path, rows: list[dict]) -> dict[str, float | None]:
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(data / "annotations/instances_val.json"))
        evaluation = COCOeval(truth, truth.loadRes(rows), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        name: None if value == -1 else 100 * float(value)
        for name, value in zip(NAMES, evaluation.stats, strict=True)
    }


def test_instances_as_pycocotools(tmp_path: Path):
    data = labelled_images(tmp_path, "instance")
    rows = some_detections(data)
    (tmp_path / "results.json").write_text(json.dumps(rows))
    found = evaluate_results([tmp_path / "results.json"], data, "val")
    assert found.count == COUNT
    expected = official(data, rows)
    assert expected["APm"] is not None  # by the stated areas; the masks alone are small
    for name, value in expected.items():
        assert found.figures[name] == pytest.approx(value, abs=1e-9), name


def test_published_rules_take_the_areas_of_masks(tmp_path: Path):
    data = labelled_images(tmp_path, "instance")
    (tmp_path / "results.json").write_text(json.dumps(some_detections(data)))
    found = evaluate_results([tmp_path / "results.json"], data, "val", rules=Rules("pmt"))
    assert found.figures["APm"] is None
    assert "areas of the masks" in found.protocol


def test_published_rules_do_not_see_images_without_annotation(tmp_path: Path):
    data = labelled_images(tmp_path, "instance")
    path = data / "annotations/instances_val.json"
    content = json.loads(path.read_text())
    empty = content["images"][0]["id"]
    kept = [entry for entry in content["annotations"] if entry["image_id"] != empty]
    path.write_text(json.dumps(content | {"annotations": kept}))
    rows = some_detections(data)
    (tmp_path / "fair.json").write_text(json.dumps(rows))
    wrong = [rows[0] | {"image_id": empty, "score": 1.0}]  # where nothing is
    (tmp_path / "wrong.json").write_text(json.dumps(rows + wrong))

    def figures(name: str, rules: Rules) -> dict[str, float | None]:
        return evaluate_results([tmp_path / name], data, "val", rules=rules).figures

    assert figures("wrong.json", Rules())["AP"] < figures("fair.json", Rules())["AP"]
    assert figures("wrong.json", Rules("pmt")) == figures("fair.json", Rules("pmt"))


@pytest.mark.parametrize(
    ("task", "values", "out"),
    [
        ("semantic", [[0, 0], [0, 0]], True),  # one value
        ("semantic", [[0, 0], [0, -1]], False),
        ("semantic", [[-1, -1], [-1, -1]], True),
        ("panoptic", [[0, 0], [0, 0]], False),
        ("panoptic", [[-1, -1], [-1, -1]], True),
        ("instance", [[-1, -1], [-1, -1]], True),
    ],
)
def test_images_that_published_rules_leave_out(task: str, values: list[list[int]], out: bool):
    places = np.array(values, np.int32)
    segments = Annotation.of_map(places, np.array([1] * (places.max() + 1), np.int64))
    assert leaves_out(Rules("pmt"), task, segments) is out
    assert not leaves_out(Rules(), task, segments)


def test_rules_by_name():
    assert check_rules("pmt", 500) == Rules("pmt", (1, 10, 100, 500))
    assert check_rules("official", 100) == Rules()
    assert check_rules("official", 5).max_detections == (1, 5)
    with pytest.raises(InputError, match="there are official and pmt"):
        check_rules("mine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 99}, "entry 0 is of image 99, which is unknown"),
        ({"category_id": 77}, "entry 0 is of category 77; there are 0, 1, 2"),
        ({"score": float("nan")}, "entry 0 has the score nan"),
        ({"segmentation": {"size": [1, 1], "counts": "0"}}, "image 3: its run lengths are for"),
    ],
)
def test_results_that_do_not_fit(tmp_path: Path, change: dict, message: str):
    data = labelled_images(tmp_path, "instance")
    rows = some_detections(data)
    rows[0] |= change
    (tmp_path / "results.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=message):
        evaluate_results([tmp_path / "results.json"], data, "val")


def test_panoptic_results_that_do_not_fit(tmp_path: Path):
    data = labelled_images(tmp_path, "panoptic")
    content = json.loads((data / "annotations/panoptic_val.json").read_text())
    results = tmp_path / "mine.json"
    results.write_text(json.dumps({"annotations": content["annotations"]}))
    with pytest.raises(InputError, match=r"mine/image_0.png is not there"):
        evaluate_results([results], data, "val")
    (tmp_path / "mine").symlink_to(data / "annotations/panoptic_val")
    found = evaluate_results([results], data, "val")
    assert found.figures["PQ"] == pytest.approx(100)
    content["annotations"][1]["segments_info"].append({"id": 9, "category_id": 0})
    results.write_text(json.dumps({"annotations": content["annotations"]}))
    with pytest.raises(InputError, match=r"image_1.png: the JSON file lists the id 9 for it"):
        evaluate_results([results], data, "val")
    results.write_text(json.dumps({"annotations": content["annotations"][:3]}))
    with pytest.raises(InputError, match="image 3 has no entry"):
        evaluate_results([results], data, "val")


def test_label_pictures_that_are_missing(tmp_path: Path):
    data = labelled_images(tmp_path / "data", "semantic")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"lacks 4 of 4 results, such as image_0.png"):
        evaluate_results([tmp_path / "out"], data, "val")


def test_a_result_that_found_nothing(tmp_path: Path):
    data = labelled_images(tmp_path / "data", "instance")
    (tmp_path / "results.json").write_text("[]")
    found = evaluate_results([tmp_path / "results.json"], data, "val")
    assert found.figures["AP"] == 0


def test_what_is_no_panoptic_or_semantic_result(tmp_path: Path):
    data = labelled_images(tmp_path / "data", "panoptic")
    text = (data / "annotations/panoptic_val.json").read_text()
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(text)
    with pytest.raises(InputError, match="is one JSON file, and its folder of PNGs"):
        evaluate_results([tmp_path / "a.json", tmp_path / "b.json"], data, "val")
    pngs = data / "annotations/panoptic_val"  # called otherwise than the file: given
    found = evaluate_results([tmp_path / "a.json", pngs], data, "val")
    assert found.figures["PQ"] == pytest.approx(100)
    labels = labelled_images(tmp_path / "labels", "semantic")
    with pytest.raises(InputError, match="a semantic result is one folder"):
        evaluate_results([tmp_path, tmp_path / "data"], labels, "val", format="label_pictures")


@pytest.mark.parametrize(("numbers", "kind"), [(range(3), "L"), (range(253, 256), "I;16")])
def test_no_class_never_looks_like_one(numbers: range, kind: str):
    classes = [{"id": i, "name": f"c{i}", "file_id": n} for i, n in enumerate(numbers)]
    vocabulary = Vocabulary.load({"name": "v", "classes": classes})
    result = SemanticResult(np.array([[0, 2, -1]], np.int16), vocabulary)
    picture = label_picture(result)
    assert picture.mode == kind
    values = np.asarray(picture)[0].tolist()
    assert values[:2] == [numbers[0], numbers[2]]
    assert values[2] not in numbers
