"""Mean IoU against the public tools' numbers and the published measurement."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldens import GOLDEN, golden
from plainmask.errors import InputError
from plainmask.metrics.miou import MeanIoU

REFERENCE = Path(__file__).parent.parent / "metrics_reference"


def names(count: int) -> list[str]:
    return [f"class_{i}" for i in range(count)]


def percent(values: list[float | None]) -> list[Any]:
    return [None if v is None else pytest.approx(100 * v, abs=1e-4) for v in values]


OFFICIAL, PMT = ("official", "cityscapes"), ("pmt", "torchmetrics_none_then_mean")
VSPW = ("vspw", "detectron2")


# The published measurements cannot take void predictions.
@pytest.mark.parametrize(
    ("case", "rule", "tool"),
    [
        ("all_present", *OFFICIAL),
        ("absent", *OFFICIAL),
        ("void_prediction", *OFFICIAL),
        ("all_present", *PMT),
        ("absent", *PMT),
        ("all_present", *VSPW),
        ("absent", *VSPW),
    ],
)
def test_reference(case: str, rule: Any, tool: str):
    with np.load(REFERENCE / f"miou_{case}.npz") as file:
        arrays = dict(file)
    expected = json.loads((REFERENCE / f"miou_{case}.json").read_text())["expected"]
    metric = MeanIoU(names(int(arrays["num_classes"])), rule=rule)
    for result, target in zip(arrays["pred"], arrays["gt"], strict=True):
        metric.update(result, target)
    figures = metric.figures()
    assert figures["mIoU"] == pytest.approx(100 * expected[tool]["mean"], abs=1e-4)
    per_class = expected["cityscapes"]["per_class"]
    assert list(figures["per_class"].values()) == percent(per_class)


@pytest.mark.parametrize("case", ["miou_dense", "miou_absent_class"])
def test_published(case: str):
    expected = json.loads((GOLDEN / "metrics_image.json").read_text())[case]
    arrays = golden("metrics_image")
    metric = MeanIoU(names(expected["num_classes"]), ignore=expected["ignore"], rule="pmt")
    for index in range(2):
        if f"{case}.{index}.logits" in arrays:
            label_map = arrays[f"{case}.{index}.logits"].argmax(0).numpy()
            metric.update(label_map, arrays[f"{case}.{index}.target"].numpy())
    assert metric.figures()["mIoU"] == pytest.approx(100 * expected["miou"], abs=1e-4)


def test_void_predictions_are_misses():
    metric = MeanIoU(["a", "b"], ignore=-1)
    metric.update(np.array([[0, -1, 255, 1]], np.int16), np.array([[0, 0, 0, -1]], np.int16))
    assert metric.figures() == {
        "mIoU": pytest.approx(100 / 3),
        "per_class": {"a": pytest.approx(100 / 3), "b": None},
    }


def test_nothing_counted():
    assert MeanIoU(["a"]).figures() == {"mIoU": None, "per_class": {"a": None}}
    assert MeanIoU(["a"], rule="pmt").figures()["mIoU"] == 0


def test_refuses():
    metric = MeanIoU(["a", "b"])
    with pytest.raises(InputError, match=r"\(2, 2\).*\(2, 3\)"):
        metric.update(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(InputError, match=r"holds 7.*0\.\.1.*255"):
        metric.update(np.zeros((1, 2), int), np.array([[0, 7]]))
