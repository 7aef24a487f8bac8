"""The proof of an export: what it compares, and that it notices what is wrong."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exports import Exported
from images import labelled_images
from plainmask.errors import InputError, PlainmaskError
from plainmask.export.check import (
    BOUNDS,
    Bounds,
    Figure,
    Logits,
    Parity,
    compare,
    read_checks,
)
from plainmask.heads.head import Head
from plainmask.inference.loading import load_heads
from plainmask.inference.segmenter import Segmenter

NAME = "tiny-instance"


@pytest.fixture
def one(exported: Exported) -> Segmenter:
    return Segmenter(exported.segmenter.encoder, {NAME: exported.segmenter.heads[NAME]})


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(labelled_images(tmp_path / "data", "instance"))


def parity(ours: Segmenter, theirs: Segmenter, data: str) -> Parity:
    records, names = read_checks(ours, [data], "val")
    return compare(ours, theirs, "float32", records, names)


def test_a_good_export_is_within_bounds(exported: Exported, one: Segmenter, data: str):
    found = parity(one, load_heads([exported.file(NAME)]), data)
    assert found.problems == []
    found.demand()
    (figure,) = found.figures
    assert figure.name == "AP"
    assert figure.ours == pytest.approx(figure.exported, abs=0.05)
    assert {(each.head, each.output) for each in found.worst} == {
        (NAME, "mask_logits"),
        (NAME, "class_logits"),
    }
    pictures = {each.pictures for each in found.logits}
    assert "noise" in pictures
    assert len(pictures) == 4
    assert {each.shape[0] for each in found.logits} == {1, 2, 3}
    assert 0 < max(each.difference for each in found.logits) < 1e-5


def test_a_wrong_export_is_noticed(exported: Exported, one: Segmenter, data: str):
    theirs = load_heads([exported.file(NAME)])
    honest = theirs.heads[NAME].decoder.graph.compute

    def wrong(inputs: Any) -> Any:
        found = honest(inputs)
        return found | {"class_logits": found["class_logits"] * 1.01}

    head = theirs.heads[NAME]
    graph = replace(head.decoder.graph, compute=wrong)
    decoder = type(head.decoder)(graph, head.config.decoder, head.config.encoder.taps, 3)
    theirs.add(NAME, Head(head.config, decoder))
    found = parity(one, theirs, data)
    assert found.problems
    with pytest.raises(PlainmaskError, match=r"nothing was written: class_logits of tiny-instance"):
        found.demand()


@pytest.mark.parametrize(
    ("difference", "exported", "problem"),
    [
        (1e-5, 80.0, ""),
        (1e-5, 80.4, ""),
        (1e-3, 80.0, "mask_logits of a differ by 1.0e-03 of the largest entry on noise"),
        (math.nan, 80.0, "mask_logits of a differ by nan"),
        (1e-5, 79.9, "PQ of a on data is 79.90 instead of 80.00, at most 0.05 less"),
        (1e-5, math.nan, "PQ of a on data is nan"),
    ],
)
def test_bounds(difference: float, exported: float, problem: str):
    found = Parity(
        "float32",
        (Logits("a", "mask_logits", "noise", (1, 3, 4, 4), difference),),
        (Figure("a", "PQ", 80.0, exported, "data"),),
    )
    assert [one.startswith(problem) for one in found.problems] == [True] * bool(problem)


def test_the_report_is_json_for_all_programs(tmp_path: Path):
    Parity("int8", (Logits("a", "b", "c", (1,), math.nan),), ()).save(tmp_path)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads((tmp_path / "parity.json").read_text(), parse_constant=refuse)
    assert found["bounds"]["logits"] is None
    assert found["logits"][0]["difference"] is None


def test_every_precision_has_bounds_and_int8_may_lose_half_a_point():
    assert BOUNDS["int8"] == Bounds(math.inf, 0.5)
    assert BOUNDS["float32"].logits == 1e-4


def test_another_number_of_data_sets(exported: Exported, data: str):
    with pytest.raises(InputError, match="--check was given 2 times for 3 heads"):
        read_checks(exported.segmenter, [data, data], "val")


def test_data_that_is_not_there(one: Segmenter, tmp_path: Path):
    with pytest.raises(InputError, match="there is no such folder"):
        read_checks(one, [str(tmp_path / "no")], None)
