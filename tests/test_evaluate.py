"""Records in, figures out: by hand, streamed, and refused where there is nothing to measure."""

import json
from pathlib import Path

import numpy as np
import pytest

from plainmask.data.record import Record, Segments
from plainmask.errors import InputError
from plainmask.evaluate import IGNORE, evaluate, label_vocabulary, target_map
from plainmask.segmenter import Segmenter
from plainmask.vocabulary import Vocabulary
from tiny import tiny_encoder, tiny_head

VOID = -1


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)


def record(seed: int, classes: np.ndarray) -> Record:
    """A record whose annotation is a map of class ids, VOID where there is none."""
    ids = np.unique(classes[classes != VOID])
    index_map = np.where(classes == VOID, VOID, np.searchsorted(ids, classes)).astype(np.int32)
    segments = Segments.of_map(index_map, ids)
    return Record(str(seed), lambda: picture(seed), lambda: segments)


@pytest.fixture
def segmenter() -> Segmenter:
    encoder = tiny_encoder()
    return Segmenter(encoder, {"tiny": tiny_head("semantic", encoder)}, device="cpu")


def test_own_results_are_perfect_and_void_does_not_count(segmenter: Segmenter):
    records = []
    for seed in range(2):
        classes = segmenter(picture(seed)).label_map.copy()
        classes[:7] = VOID
        records.append(record(seed, classes))
    calls: list[tuple[int, int]] = []
    found = evaluate(segmenter, records, on_record=lambda *call: calls.append(call))
    assert found.figures == {"mIoU": 100.0}
    assert found.count == 2
    assert calls == [(1, 2), (2, 2)]
    assert found.protocol.startswith("input stride 48")
    assert "official" in found.protocol
    assert json.loads(json.dumps(found.to_json()))["images"] == 2


def test_figures_by_hand(segmenter: Segmenter):
    predicted = segmenter(picture(0)).label_map
    truth = np.full_like(predicted, 1)
    truth[:20] = 2
    expected = {}
    for index, name in enumerate(["class_0", "class_1", "class_2"]):
        union = ((predicted == index) | (truth == index)).sum()
        hits = ((predicted == index) & (truth == index)).sum()
        expected[name] = 100 * hits / union if union else None
    found = evaluate(segmenter, [record(0, truth)])
    assert found.per_class == pytest.approx(expected)
    present = [value for value in expected.values() if value is not None]
    assert found.figures["mIoU"] == pytest.approx(np.mean(present))


def test_records_are_read_one_at_a_time(segmenter: Segmenter):
    order: list[str] = []
    records = []
    for seed in range(3):
        plain = record(seed, np.zeros((40, 60), np.int32))
        records.append(
            Record(
                plain.id,
                lambda plain=plain: order.append(f"image {plain.id}") or plain.image(),
                lambda plain=plain: order.append(f"label {plain.id}") or plain.segments(),
            )
        )
    evaluate(segmenter, records, on_record=lambda done, total: order.append(f"done {done}"))
    assert order[:6] == ["image 0", "label 0", "done 1", "image 1", "label 1", "done 2"]


def test_target_map():
    segments = Segments.of_map(np.array([[0, 1, VOID]], np.int32), [2, 0])
    assert target_map(segments).tolist() == [[2, 0, IGNORE]]


def test_what_cannot_be_evaluated(segmenter: Segmenter):
    encoder = segmenter.encoder
    one = record(0, np.zeros((40, 60), np.int32))
    with pytest.raises(InputError, match="no images"):
        evaluate(segmenter, [])
    with pytest.raises(InputError, match="no pixel is labelled"):
        evaluate(segmenter, [record(0, np.full((40, 60), VOID))])
    panoptic = Segmenter(encoder, {"p": tiny_head("panoptic", encoder)}, device="cpu")
    with pytest.raises(InputError, match=r"panoptic segmentation.*later version"):
        evaluate(panoptic, [one])
    segmenter.add("second", tiny_head("semantic", encoder))
    with pytest.raises(InputError, match="one head is evaluated at a time, not 2"):
        evaluate(segmenter, [one])


OWN = Vocabulary.load(
    {
        "name": "own",
        "ignore_value": 255,
        "classes": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
    }
)


def test_without_a_class_table_the_head_decides(tmp_path: Path):
    assert label_vocabulary(OWN, tmp_path) == OWN


def test_a_class_table_brings_its_numbers_in_any_order(tmp_path: Path):
    (tmp_path / "classes.json").write_text(
        '{"ignore_values": [0, 9], "classes": [{"id": 0, "name": "b", "file_id": 3},'
        ' {"id": 1, "name": "a", "file_id": 5}]}'
    )
    found = label_vocabulary(OWN, tmp_path)
    assert found.names == OWN.names
    assert found.by_file_id == {5: 0, 3: 1}
    assert found.ignore_values == (0, 9)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["a"], "has no class 'b'"), (["a", "b", "c"], "has the class 'c', which the head does not")],
)
def test_a_class_table_of_other_names_is_refused(tmp_path: Path, names: list[str], message: str):
    classes = [{"id": index, "name": name} for index, name in enumerate(names)]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes}))
    with pytest.raises(InputError, match=message):
        label_vocabulary(OWN, tmp_path)
