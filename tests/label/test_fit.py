"""A head from a few labels, as a call."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import plainmask
from labelling import SIZE, fields
from plainmask.label import fit_decoder
from plainmask.pictures.images import read_image
from tiny import save_tiny_encoder, tiny_encoder

CLASSES = ["dark", "bright", "never"]
HALF = SIZE[1] // 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fields(tmp_path / "photos", "a.png", "b.png")


def brush(x: float, class_id: int) -> dict[str, Any]:
    return {"kind": "brush", "points": [[x, 30]], "radius": 7, "class": class_id}


def label_map(left: int = 0, right: int = 1) -> np.ndarray[Any, Any]:
    labels = np.full(SIZE, 255, np.uint8)
    labels[20:40, 10:20], labels[20:40, 60:70] = left, right
    return labels


def segmented(head: plainmask.Head, picture: Path) -> np.ndarray[Any, Any]:
    segmenter = plainmask.Segmenter(tiny_encoder(), {"it": head}, device="cpu", dtype="float32")
    return segmenter(picture)["it"].label_map


@pytest.mark.parametrize("form", ["strokes", "array", "int64", "file"])
def test_labels_of_every_form_make_the_same_head(folder: Path, tmp_path: Path, form: str):
    labels: Any = label_map()
    if form == "strokes":
        labels = [brush(15, 0), brush(65, 1)]
    elif form == "int64":
        labels = labels.astype(np.int64)
    elif form == "file":
        Image.fromarray(labels).save(tmp_path / "a.png")
        labels = tmp_path / "a.png"
    head = plainmask.fit([folder / "a.png"], [labels], CLASSES, encoder=tiny_encoder())
    found = segmented(head, folder / "b.png")
    assert (found[:, : HALF - 10] == 0).mean() > 0.95
    assert (found[:, HALF + 10 :] == 1).mean() > 0.95
    assert head.config.vocabulary.names == tuple(CLASSES)


def test_it_is_a_head_like_others(folder: Path, tmp_path: Path):
    image = read_image(folder / "a.png")
    vocabulary = plainmask.Vocabulary.load(CLASSES)
    head = plainmask.fit([image], [label_map()], vocabulary, encoder=tiny_encoder(), name="mine")
    again = plainmask.Head.load(head.save(tmp_path / "mine"))
    assert again.config == head.config
    assert again.config.name == "mine"
    one, other = segmented(head, folder / "b.png"), segmented(again, folder / "b.png")
    assert (one == other).mean() > 0.999
    assert all(parameter.requires_grad for parameter in head.decoder.parameters())


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "1 images and 0 labels: give one for each"),
        ([label_map(0, 0)], "fewer than two classes have labels; label a little of another"),
        ([label_map(0, 3)], "labels of image 0: 3 is no class: there are 0 to 2, and 255"),
        ([label_map()[:9]], r"labels of image 0: expected whole numbers of shape \(60, 80\), as"),
        ([label_map().astype(float)], "found float64 of shape"),
        ([[brush(15, 7)]], "labels of image 0: 7 is no class"),
        ([[{"kind": "spray"}]], "labels of image 0: the stroke"),
        (["gone.png"], "labels of image 0: gone.png"),
    ],
)
def test_labels_that_cannot_be_used(folder: Path, labels: Any, reason: str):
    with pytest.raises(plainmask.InputError, match=reason):
        plainmask.fit([folder / "a.png"], labels, CLASSES, encoder=tiny_encoder())


def test_more_classes_than_labels_can_tell(folder: Path):
    names = [str(k) for k in range(256)]
    with pytest.raises(plainmask.InputError, match="256 classes are too many"):
        plainmask.fit([folder / "a.png"], [label_map()], names, encoder=tiny_encoder())


@pytest.mark.slow
def test_a_decoder_learns_from_what_the_closed_form_says(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fit_decoder, "FRESH", 3)
    head = plainmask.fit(
        [folder / "a.png"],
        [label_map()],
        CLASSES,
        encoder=save_tiny_encoder(tmp_path),
        name="mine",
        decoder=True,
        others=[folder / "b.png", np.zeros((*SIZE, 3), np.uint8)],
    )
    assert head.config.name == "mine"
    assert head.config.decoder.num_blocks == 2
    assert list(head.config.vocabulary.names) == CLASSES
    assert segmented(head, folder / "b.png").shape == SIZE


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"others": ["b.png"]}, "decoder=True"),
        ({"decoder": True, "encoder": tiny_encoder()}, "give its preset"),
    ],
)
def test_a_decoder_that_cannot_learn(folder: Path, more: dict[str, Any], reason: str):
    with pytest.raises(plainmask.InputError, match=reason):
        plainmask.fit([folder / "a.png"], [label_map()], CLASSES, **more)
