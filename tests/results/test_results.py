"""Results: fields and checks, pictures, files, and the forms of other libraries."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from pycocotools import mask as coco

from plainmask.errors import InputError
from plainmask.results import InstanceResult, PanopticResult, Result, SemanticResult
from plainmask.results.base import Moment
from plainmask.results.rle import Rle
from plainmask.results.segments import segments_of
from plainmask.vocabulary import Vocabulary

SIZE = (40, 60)
VOCABULARY = Vocabulary.load(
    {
        "name": "street",
        "classes": [
            {"id": 0, "name": "road", "file_id": 7, "thing": False},
            {"id": 1, "name": "car", "file_id": 26, "thing": True},
            {"id": 2, "name": "sky", "file_id": 23, "thing": False},
        ],
    }
)
PHOTO = Image.new("RGB", SIZE[::-1], (90, 120, 90))


def rectangle(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def semantic_result() -> SemanticResult:
    label_map = np.full(SIZE, -1, np.int16)
    label_map[:10] = 2
    label_map[20:] = 0
    return SemanticResult(label_map, VOCABULARY, np.where(label_map == 2, 0.75, 0.5))


def instance_result() -> InstanceResult:
    masks = [rectangle(0, 0, 20, 20), rectangle(10, 10, 30, 30), rectangle(0, 0, 5, 5)]
    empty = rectangle(0, 0, 0, 0)
    return InstanceResult(
        SIZE,
        tuple(Rle.encode(mask) for mask in [*masks, empty]),
        np.array([1, 1, 0, 0]),
        np.array([0.75, 0.875, 0.25, 0], np.float32),
        VOCABULARY,
    )


def panoptic_result() -> PanopticResult:
    segment_map = np.zeros(SIZE, np.int32)
    segment_map[20:] = 1
    segment_map[25:35, 10:20] = 2
    segment_map[25:35, 30:50] = 4
    facts = {1: (0, 0.9), 2: (1, 0.95), 4: (1, 0.85)}
    return PanopticResult(
        segment_map, segments_of(segment_map, facts.__getitem__, VOCABULARY), VOCABULARY
    )


def no_instances() -> InstanceResult:
    return InstanceResult(SIZE, (), np.zeros(0, np.int64), np.zeros(0, np.float32), VOCABULARY)


FULL = [semantic_result, instance_result, panoptic_result]
EMPTY: list[Callable[[], Result]] = [
    lambda: SemanticResult(np.full(SIZE, -1, np.int32), VOCABULARY),
    no_instances,
    lambda: PanopticResult(np.zeros(SIZE, np.int32), (), VOCABULARY),
]


def test_tables():
    assert [(s.id, s.label, s.score, s.area, s.box) for s in semantic_result().segments] == [
        (1, "road", 0.5, 1200, (0, 20, 60, 40)),
        (3, "sky", 0.75, 600, (0, 0, 60, 10)),
    ]
    assert [(s.id, s.label, s.thing, s.score, s.area) for s in instance_result().segments] == [
        (1, "car", True, 0.75, 400),
        (2, "car", True, 0.875, 400),
        (3, "road", False, 0.25, 25),
        (4, "road", False, 0, 0),
    ]
    assert [(s.id, s.area, s.box) for s in panoptic_result().segments] == [
        (1, 900, (0, 20, 60, 40)),
        (2, 100, (10, 25, 20, 35)),
        (4, 200, (30, 25, 50, 35)),
    ]


def test_repr_is_for_people():
    assert repr(semantic_result()) == "<SemanticResult 60 x 40: road 50%, sky 25%>"
    label_map = np.zeros((20, 20), np.int16)
    label_map[0, 0] = 1
    assert repr(SemanticResult(label_map, VOCABULARY)).endswith(": road 100%, car <1%>")
    assert repr(instance_result()) == "<InstanceResult 60 x 40: 2 car of 4 candidates>"
    assert repr(panoptic_result()) == "<PanopticResult 60 x 40: road, 2 car>"
    assert [repr(make()).split(": ")[1] for make in EMPTY] == [
        "nothing>",
        "nothing of 0 candidates>",
        "nothing>",
    ]


def test_instances():
    result = instance_result()
    assert result.masks.shape == (4, *SIZE)
    assert result.boxes.tolist()[1:] == [[10, 10, 30, 30], [0, 0, 5, 5], [0, 0, 0, 0]]
    assert result.keep(score=0.8).scores.tolist() == [0.875]
    flat = result.flat_map()
    assert flat[15, 15] == 2, "of two of one size the surer instance is on top"
    assert flat[2, 2] == 1, "doubtful instances hide nothing"
    assert set(np.unique(flat)) == {0, 1, 2}


@pytest.mark.parametrize("make", FULL + EMPTY)
def test_every_form(make: Callable[[], Result]):
    result = make()
    assert result.image_size == SIZE
    assert result.flat_map().shape == SIZE
    assert result.draw(PHOTO).size == PHOTO.size
    entries = json.loads(json.dumps(result.to_coco("a")))
    assert len(entries) == len(result.segments)
    for entry, segment in zip(entries, result.segments, strict=True):
        assert entry["image_id"] == "a"
        assert entry["category_id"] == VOCABULARY.classes[segment.class_id].file_id
        np.testing.assert_array_equal(coco.decode(entry["segmentation"]), result.mask_of(segment))
    picture, infos = result.to_panoptic()
    ids = picture.astype(np.int64) @ [1, 256, 65536]
    np.testing.assert_array_equal(ids, result.flat_map())
    assert [info["id"] for info in infos] == np.unique(ids[ids > 0]).tolist()
    assert [info["area"] for info in infos] == [int((ids == info["id"]).sum()) for info in infos]


def test_boxes_of_coco_forms():
    assert panoptic_result().to_coco()[1]["bbox"] == [10, 25, 10, 10]
    assert panoptic_result().to_panoptic()[1][1] == {
        "id": 2,
        "category_id": 26,
        "isthing": 1,
        "iscrowd": 0,
        "area": 100,
        "bbox": [10, 25, 10, 10],
        "score": 0.95,
    }


def test_hugging_face():
    np.testing.assert_array_equal(semantic_result().to_hf(), semantic_result().label_map)
    found = panoptic_result().to_hf()
    assert found["segmentation"][0, 0] == 0
    assert found["segments_info"][0] == {"id": 1, "label_id": 0, "score": 0.9, "was_fused": True}
    found = instance_result().to_hf()
    assert set(np.unique(found["segmentation"])) == {-1, 0, 1}
    assert [info["id"] for info in found["segments_info"]] == [0, 1]


@pytest.mark.parametrize("make", FULL + EMPTY)
def test_supervision(make: Callable[[], Result]):
    supervision = pytest.importorskip("supervision")
    result = make()
    detections = result.to_supervision()
    assert isinstance(detections.mask, supervision.CompactMask)
    assert detections.mask.shape == (len(result.segments), *SIZE)
    masks = [result.mask_of(segment) for segment in result.segments]
    np.testing.assert_array_equal(detections.mask.to_dense(), np.reshape(masks, (-1, *SIZE)))
    assert detections.xyxy.tolist() == [list(s.box) for s in result.segments]
    assert detections.class_id.tolist() == [s.class_id for s in result.segments]
    assert list(detections.data["class_name"]) == [s.label for s in result.segments]
    assert detections.tracker_id is None
    first = detections[:1]  # as annotators and trackers take it
    drawn = supervision.MaskAnnotator().annotate(np.zeros((*SIZE, 3), np.uint8), first)
    np.testing.assert_array_equal(drawn.any(-1), np.any([np.zeros(SIZE, bool), *masks[:1]], 0))


def test_supervision_without_compact_masks(monkeypatch: pytest.MonkeyPatch):
    supervision = pytest.importorskip("supervision")
    monkeypatch.delattr(supervision, "CompactMask")
    detections = instance_result().to_supervision()
    np.testing.assert_array_equal(detections.mask, instance_result().masks)


def test_supervision_keeps_tracks():
    pytest.importorskip("supervision")
    frame = replace(instance_result(), moment=Moment(3, (7, 2, 9, 4), (1, 1, 1, 1)))
    assert frame.to_supervision().tracker_id.tolist() == [7, 2, 9, 4]
    assert frame.keep(0.8).to_supervision().tracker_id.tolist() == [2]
    assert frame.keep(1.0).to_supervision().tracker_id.tolist() == []
    untracked = replace(instance_result(), moment=Moment(3))
    assert untracked.to_supervision().tracker_id is None


def test_supervision_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    with pytest.raises(InputError, match="pip install supervision"):
        no_instances().to_supervision()


@pytest.mark.parametrize("make", FULL + EMPTY)
def test_files(tmp_path: Path, make: Callable[[], Result]):
    result = make()
    folder = tmp_path / "new" / "folder"
    paths = result.save(folder, stem="a.b", image=PHOTO)
    assert [path.name for path in paths] == [
        "a.b.labels.png",
        "a.b.segments.json",
        "a.b.overlay.png",
    ]
    assert sorted(folder.iterdir()) == sorted(paths)
    labels = np.asarray(Image.open(paths[0]))
    if isinstance(result, SemanticResult):
        np.testing.assert_array_equal(labels, np.where(result.label_map < 0, 255, result.label_map))
    else:
        np.testing.assert_array_equal(labels, result.to_panoptic()[0])
    table = json.loads(paths[1].read_text())
    assert (table["kind"], table["image_size"]) == (result.kind, list(SIZE))
    assert [row["area"] for row in table["segments"]] == [s.area for s in result.keep().segments]
    drawn = np.asarray(result.keep().draw(PHOTO, legend=True))
    np.testing.assert_array_equal(np.asarray(Image.open(paths[2])), drawn)


def test_saved_instances_hold_their_masks(tmp_path: Path):
    result = instance_result()
    paths = result.keep(score=0).save(tmp_path)
    assert [path.name for path in paths] == ["result.labels.png", "result.segments.json"]
    rows = json.loads(paths[1].read_text())["segments"]
    masks = [coco.decode(row["segmentation"]) for row in rows]
    np.testing.assert_array_equal(masks, result.masks[:3])  # the last has no pixel


def test_label_picture_of_many_classes(tmp_path: Path):
    label_map = np.array([[-1, 299]], np.int16)
    path, _ = SemanticResult(label_map, Vocabulary.numbered(300)).save(tmp_path)
    assert np.asarray(Image.open(path)).tolist() == [[65535, 299]]


def test_unwritable_folder(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"result\.labels\.png cannot be written: .*give a folder"):
        semantic_result().save(tmp_path / "file")


def test_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    labels, _ = semantic_result().save(tmp_path)
    old = labels.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match="No space left on device"):
        semantic_result().keep(classes=["sky"]).save(tmp_path)
    names = ["result.labels.png", "result.segments.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert labels.read_bytes() == old


def test_wrong_image_writes_nothing(tmp_path: Path):
    with pytest.raises(InputError, match=r"shape \(40, 60, 3\).*\(60, 40, 3\)"):
        semantic_result().save(tmp_path, image=Image.new("RGB", SIZE))
    assert not list(tmp_path.iterdir())


def one_instance(**changes: Any) -> InstanceResult:
    fields: dict[str, Any] = {
        "image_size": SIZE,
        "rles": (Rle.encode(rectangle(0, 0, 2, 2)),),
        "class_ids": np.array([1]),
        "scores": np.array([0.5], np.float32),
        "vocabulary": VOCABULARY,
    }
    return InstanceResult(**(fields | changes))


BAD: dict[str, tuple[Callable[[], Result], str]] = {
    "dtype": (
        lambda: SemanticResult(np.zeros(SIZE), VOCABULARY),  # pyright: ignore
        "label_map must be .*int16 or int32, not float64",
    ),
    "class": (
        lambda: SemanticResult(np.full(SIZE, 3, np.int16), VOCABULARY),
        r"label_map must be in -1\.\.2, found 3\.\.3",
    ),
    "scores": (
        lambda: SemanticResult(np.zeros(SIZE, np.int16), VOCABULARY, np.zeros((2, 2), np.float32)),
        r"scores of shape \(2, 2\)",
    ),
    "lengths": (lambda: one_instance(scores=np.zeros(2, np.float32)), "1 masks need as many"),
    "mask size": (lambda: one_instance(image_size=(4, 4)), r"\(40, 60\) in an image of .*\(4, 4\)"),
    "class of instance": (lambda: one_instance(class_ids=np.array([9])), "class_ids must be in"),
    "missing segment": (
        lambda: PanopticResult(np.ones(SIZE, np.int32), (), VOCABULARY),
        r"segments have the ids \[\], the segment_map \[1\]",
    ),
    "map": (
        lambda: PanopticResult(np.ones(4, np.int32), (), VOCABULARY),
        r"segment_map must be \(H, W\)",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_refuses(make: Callable[[], Result], message: str):
    with pytest.raises(InputError, match=message):
        make()


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=30)))
def test_rle_there_and_back(mask: np.ndarray):
    rle = Rle.encode(mask)
    np.testing.assert_array_equal(rle.decode(), mask)
    assert rle.area == mask.sum()
    rows, columns = np.nonzero(mask)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if rows.size else (0,) * 4
    assert rle.box == box


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=30)), st.data())
def test_a_part_of_a_mask(mask: np.ndarray, data: st.DataObject):
    ends = [st.lists(st.integers(0, side), min_size=2, max_size=2) for side in mask.shape]
    rows, columns = (slice(*sorted(data.draw(pair))) for pair in ends)
    np.testing.assert_array_equal(
        Rle.encode(mask).decode_within(rows, columns), mask[rows, columns]
    )


def test_a_part_of_a_mask_of_long_runs():
    mask = np.zeros((2160, 3840), bool)
    mask[100:2000, 70:3000] = mask[5:7, 3500:] = True
    rows, columns = slice(50, 2100), slice(60, 3600)
    np.testing.assert_array_equal(
        Rle.encode(mask).decode_within(rows, columns), mask[rows, columns]
    )


@given(st.integers(0, 2**24 - 1))
def test_ids_as_colours(number: int):
    from plainmask.results.formats import id_colors

    red, green, blue = id_colors(np.array([[number]], np.int32))[0, 0].tolist()
    assert red + 256 * green + 65536 * blue == number
