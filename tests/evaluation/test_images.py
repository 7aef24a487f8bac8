"""Records in, figures out: by hand, streamed, and refused where there is nothing to measure."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from images import labelled_images
from plainmask.data.guess import image_format
from plainmask.data.reader import DataFormat, dataset_vocabulary, read_dataset
from plainmask.data.record import Annotation, Record
from plainmask.errors import InputError
from plainmask.evaluation.images import evaluate, evaluate_in_processes, label_vocabulary
from plainmask.evaluation.measures import Rules, target_map
from plainmask.evaluation.page import write_page
from plainmask.evaluation.result_files import evaluate_results
from plainmask.evaluation.sharing import Share
from plainmask.inference.loading import load
from plainmask.inference.segmenter import HeadSegmenter, Segmenter
from plainmask.result_files.images import ResultWriter
from plainmask.results import IGNORE, InstanceResult, PanopticResult
from plainmask.results.task import Task
from plainmask.vocabulary import Vocabulary
from tiny import save_tiny_encoder, tiny_encoder, tiny_head, tiny_video_head

VOID = -1


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)


def record(seed: int, classes: np.ndarray) -> Record:
    """A record whose annotation is a map of class ids, VOID where there is none."""
    ids = np.unique(classes[classes != VOID])
    index_map = np.where(classes == VOID, VOID, np.searchsorted(ids, classes)).astype(np.int32)
    segments = Annotation.of_map(index_map, ids)
    return Record(str(seed), lambda: picture(seed), lambda: segments)


@pytest.fixture
def segmenter() -> HeadSegmenter:
    encoder = tiny_encoder()
    return Segmenter(encoder, {"tiny": tiny_head("semantic", encoder)}, device="cpu")["tiny"]


def test_own_results_are_perfect_and_void_does_not_count(segmenter: HeadSegmenter):
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


def test_figures_by_hand(segmenter: HeadSegmenter):
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


def test_records_are_read_one_at_a_time(segmenter: HeadSegmenter):
    order: list[str] = []
    records = []
    for seed in range(3):
        plain = record(seed, np.zeros((40, 60), np.int32))
        records.append(
            Record(
                plain.id,
                lambda plain=plain: order.append(f"image {plain.id}") or plain.image(),
                lambda plain=plain: order.append(f"label {plain.id}") or plain.annotation(),
            )
        )
    evaluate(segmenter, records, on_record=lambda done, total: order.append(f"done {done}"))
    assert order[:6] == ["image 0", "label 0", "done 1", "image 1", "label 1", "done 2"]


def test_target_map():
    segments = Annotation.of_map(np.array([[0, 1, VOID]], np.int32), [2, 0])
    assert target_map(segments).tolist() == [[2, 0, IGNORE]]


def test_what_cannot_be_evaluated(segmenter: HeadSegmenter):
    one = record(0, np.zeros((40, 60), np.int32))
    with pytest.raises(InputError, match="no pictures"):
        evaluate(segmenter, [])
    with pytest.raises(InputError, match="no pixel is labelled"):
        evaluate(segmenter, [record(0, np.full((40, 60), VOID))])
    with pytest.raises(InputError, match="the image 0 is there more than once"):
        evaluate(segmenter, [one, one])


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_shares_of_several_processes_give_the_figures_of_one(task: Task):
    segmenter = sure_segmenter(task)
    records = [record(seed, np.eye(40, 60, dtype=np.int32)) for seed in range(5)]
    whole = evaluate(segmenter, records)
    parts: list[Any] = []
    seen: list[tuple[int, ...]] = []

    def gather(part: Any) -> list[Any]:
        parts.append(part)
        return parts

    def done(*numbers: int) -> None:
        seen.append(numbers)

    for process in range(3):
        share = Share(process, 3, gather)
        found = evaluate(segmenter, records, on_record=done, share=share)
    assert found == whole
    assert seen == [(1, 1), (1, 2), (2, 2), (1, 2), (2, 2)]


def test_images_without_annotation_are_left_out_and_said(segmenter: HeadSegmenter):
    records = [record(seed, np.zeros((40, 60), np.int32)) for seed in range(3)]
    records[1] = Record("1", records[1].load_image, None)
    seen: list[tuple[int, int]] = []
    found = evaluate(segmenter, records, on_record=lambda *done: seen.append(done))
    assert found.figures == evaluate(segmenter, records[::2]).figures
    assert (found.count, seen) == (2, [(1, 2), (2, 2)])
    assert found.protocol.endswith("; 1 images without annotation left out")
    with pytest.raises(InputError, match="none of the 1 pictures has an annotation"):
        evaluate(segmenter, records[1:2])


def test_an_image_that_fails_is_named_and_the_others_are_evaluated(segmenter: HeadSegmenter):
    def broken() -> Any:
        raise InputError("strip.png is cut off")

    records = [record(seed, np.zeros((40, 60), np.int32)) for seed in range(3)]
    whole = evaluate(segmenter, records[::2])
    seen: list[tuple[int, int]] = []
    for bad in (
        Record("1", broken, records[1].load_annotation),
        Record("1", records[1].load_image, broken),
    ):
        some = [records[0], bad, records[2]]
        found = evaluate(segmenter, some, on_record=lambda *done: seen.append(done))
        assert (found.figures, found.count) == (whole.figures, 2)
        assert found.failed == {"1": "strip.png is cut off"}
        assert found.to_json()["failed"] == found.failed
        assert "1 images that failed left out" in found.protocol
    assert seen[:3] == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(InputError, match=r"none of the 1 images could be looked at; 1: strip\.png"):
        evaluate(segmenter, [bad])


def sure_segmenter(task: Task) -> HeadSegmenter:
    """One whose head is sure enough to find something."""
    encoder = tiny_encoder()
    head = tiny_video_head(task, encoder, "none")
    return Segmenter(encoder, {"sure": head}, device="cpu")["sure"]


def record_of(result: InstanceResult | PanopticResult, seed: int) -> Record:
    """A record whose annotation is a result."""
    if isinstance(result, InstanceResult):
        every = result.candidates
        segments = Annotation.of_masks(list(every.masks), every.image_size, every.class_ids)
    else:
        ids = np.array([segment.id for segment in result.segments])
        classes = [segment.class_id for segment in result.segments]
        place = np.searchsorted(ids, result.segment_map).astype(np.int32)
        segments = Annotation.of_map(np.where(result.segment_map == 0, VOID, place), classes)
    return Record(f"{seed}.x", lambda: picture(seed), lambda: segments, image_id=seed)


@pytest.mark.parametrize(("task", "main"), [("instance", "AP"), ("panoptic", "PQ")])
def test_own_segments_are_perfect(task: Task, main: str):
    segmenter = sure_segmenter(task)
    results = [segmenter(picture(seed)) for seed in range(2)]
    assert all(len(getattr(result, "candidates", result.segments)) > 1 for result in results)
    records = [record_of(result, seed) for seed, result in enumerate(results)]
    found = evaluate(segmenter, records)
    assert found.figures[main] == pytest.approx(100)
    assert found.per_image == pytest.approx({"0.x": 100.0, "1.x": 100.0})
    # The annotation of one is no good for the other.
    swapped = [replace(records[0], load_annotation=records[1].load_annotation), records[1]]
    found = evaluate(segmenter, swapped)
    assert found.figures[main] < 100
    assert found.worst_and_best(3)[0][0][0] == "0.x"


def test_detections_beyond_the_limit_do_not_count():
    segmenter = sure_segmenter("instance")
    result = segmenter(picture(0))
    one = record_of(result.keep(score=float(np.sort(result.scores)[-1])), 0)
    assert evaluate(segmenter, [one], rules=Rules(max_detections=(1,))).figures["AP"] > 99.99
    found = evaluate(segmenter, [one], rules=Rules(max_detections=(1, 500)))
    assert "at most 500 detections" in found.protocol
    assert set(found.figures) > {"AR1", "AR500"}


def test_published_rules_count_absent_classes(segmenter: HeadSegmenter):
    classes = segmenter(picture(0)).label_map.copy()
    classes[1:] = classes[0, 0]
    classes[0] = -1
    found = evaluate(segmenter, [record(0, classes)], rules=Rules("pmt"))
    assert found.figures["mIoU"] == pytest.approx(
        sum(value or 0 for value in found.per_class.values()) / 3
    )


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_processes_and_result_files_give_the_same_figures(tmp_path: Path, task: Task):
    data = labelled_images(tmp_path / "data", task)
    head, encoder = tmp_path / "head", save_tiny_encoder(tmp_path)
    sure_segmenter(task).head.save(head)
    segmenter = load(head, encoder=encoder, device="cpu")
    config = segmenter.head.config
    form = image_format(config.task, data)
    records = read_dataset(form, data, "val", label_vocabulary(config.vocabulary, data))
    alone = evaluate(segmenter, records, writer=ResultWriter(tmp_path / "out"))
    shared = evaluate_in_processes(
        partial(open_it, head, encoder),
        records,
        config,
        processes=2,
        writer=ResultWriter(tmp_path / "again"),
    )
    assert shared == alone
    names = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.*"))
    assert names
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    place = {"semantic": "labels", "instance": "instances.json", "panoptic": "panoptic.json"}[task]
    read = evaluate_results([tmp_path / "out" / place], data, "val")
    assert read.figures == pytest.approx(alone.figures, abs=1e-4, nan_ok=True)
    page = write_page(tmp_path / "out", alone, records, segmenter, title="<tiny>")
    text = page.read_text()
    assert "&lt;tiny&gt;" in text
    shown = re.findall('src="([^"]+)"', text)
    assert len(shown) == 3 * 4  # two worst, two best
    assert all((page.parent / name).is_file() for name in shown)


def open_it(head: Path, encoder: Path, number: int) -> HeadSegmenter:
    torch.set_num_threads(1)  # as in the tests' own process, so that the last bits are the same
    return load(head, encoder=encoder, device="cpu")


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


def test_what_is_no_object_need_not_be_known_to_a_head_of_objects(tmp_path: Path):
    rows = [{"id": 0, "name": "ground", "thing": False}]
    rows += [{"id": k, "name": name, "thing": True} for k, name in enumerate(OWN.names, 1)]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": rows}))
    assert label_vocabulary(OWN, tmp_path, "voc_objects").by_file_id == {1: 0, 2: 1}
    with pytest.raises(InputError, match="has the class 'ground', which the head does not"):
        label_vocabulary(OWN, tmp_path, "voc")


@pytest.mark.parametrize("format", ["voc", "voc_objects", "ade20k", "cityscapes", "vspw"])
def test_labels_that_mean_other_classes_are_refused(tmp_path: Path, format: DataFormat):
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject"):  # as VOC has them
        (tmp_path / folder).mkdir()
    with pytest.raises(InputError, match=r"share no class: there it is .*, the head knows a, b;"):
        label_vocabulary(OWN, tmp_path, format, None)
    table = dataset_vocabulary(format, tmp_path, None)
    assert label_vocabulary(table, tmp_path, format, None) == table
    last = table.classes[-1]
    other = {"name": "other", "classes": [{"id": 0, "name": last.name, "file_id": 99999}]}
    with pytest.raises(InputError, match=f"labels the class {last.name!r} as {last.file_id}, the"):
        label_vocabulary(Vocabulary.load(other), tmp_path, format, None)
