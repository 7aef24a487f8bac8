"""Recipes for someone's own data: what is chosen, and why."""

import json
from functools import partial, reduce
from pathlib import Path

import numpy as np
import pytest

from images import labelled_images
from plainmask.data import coco_json
from plainmask.data.reader import read_dataset
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.results.task import Task
from plainmask.training import own
from plainmask.training.own import own_recipe, own_recipe_by_name
from plainmask.training.records import hold_out, read_data, read_records, read_vocabulary
from plainmask.training.schedule import epochs


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_only_the_path_is_given(tmp_path: Path, task: Task, gpu: bool):
    root = labelled_images(tmp_path / "mine", task, "train")
    found = own_recipe(task, root, gpu=gpu)
    recipe = found.recipe
    assert (recipe.name, recipe.task) == ("mine", task)
    assert recipe.encoder == ("dinov2-base" if gpu else "dinov2-small")
    assert recipe.data.hold_out == 0.1
    assert recipe.vocabulary is None
    assert read_vocabulary(recipe).names == ("class_0", "class_1", "class_2")
    assert any("no val split" in reason for reason in found.reasons)
    assert "4 training images of about 60 x 40 pixels, 3 classes" in found.reasons[0]


def test_a_val_split_is_used(tmp_path: Path):
    root = labelled_images(tmp_path, "semantic", "train")
    for kind in ("images", "labels"):
        (root / kind / "val").mkdir()
        for path in (root / kind / "train").iterdir():
            (root / kind / "val" / path.name).write_bytes(path.read_bytes())
    recipe = own_recipe("semantic", root, gpu=False).recipe
    assert (recipe.data.train, recipe.data.val, recipe.data.hold_out) == ("train", "val", None)
    train, val = read_records(recipe, read_vocabulary(recipe))
    assert len(train) == len(val) == 4


def test_small_objects_in_large_pictures_are_seen_in_tiles(tmp_path: Path):
    root = labelled_images(tmp_path, "instance", "train", enlarged=20)
    found = own_recipe("instance", root, gpu=False)  # objects of 400 pixels: no
    assert found.recipe.input.kind == "stride"
    small = labelled_images(tmp_path / "small", "instance", "train", enlarged=20, shrunk=20)
    found = own_recipe("instance", small, gpu=False)
    assert found.recipe.input.kind == "tiles"
    assert found.recipe.augment.scale_of == "image"
    assert any("three patches" in reason for reason in found.reasons)


def test_a_folder_without_training_images(tmp_path: Path):
    root = labelled_images(tmp_path, "instance", "test")
    with pytest.raises(InputError, match="no split called train; its splits are test"):
        own_recipe("instance", root, gpu=False)


def test_a_share_is_held_out_evenly(tmp_path: Path):
    root = labelled_images(tmp_path, "semantic", "train")
    records = read_dataset("label_folder", root, "train")
    kept, held = hold_out(records, 0.5)
    assert [record.id for record in held] == ["image_1", "image_3"]
    assert [record.id for record in kept] == ["image_0", "image_2"]
    assert len(hold_out(records, 0.1)[1]) == 1
    with pytest.raises(InputError, match="must match some, not all, of the 1 image"):
        hold_out(records[:1], 0.1)
    with pytest.raises(InputError, match="must match some, not all, of the 0 images"):
        hold_out([], 0.1)


@pytest.mark.parametrize(
    ("share", "places"),
    [
        (0.1, [5, 15]),
        (0.2, [2, 7, 12, 17]),
        (0.25, [2, 6, 10, 14, 18]),
        (0.4, [1, 3, 6, 8, 11, 13, 16, 18]),
        (0.5, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]),
        (0.7, [0, 2, 3, 5, 6, 7, 9, 10, 12, 13, 15, 16, 17, 19]),
        (0.99, [*range(19)]),  # one is trained on
        (0.001, [10]),
    ],
)
def test_a_share_means_what_it_says(share: float, places: list[int]):
    records = [Record(str(place), partial(np.zeros, 3), None) for place in range(20)]
    kept, held = hold_out(records, share)
    assert [int(record.id) for record in held] == places
    assert len(kept) + len(held) == 20


def test_of_videos_whole_ones_are_held_out(tmp_path: Path):
    records = [
        Record(f"{video}/{frame}", Path, None, sequence=video, frame=frame)
        for video in ("boat", "cat", "dog", "elk")
        for frame in range(3)
    ]
    kept, held = hold_out(records, 0.25)
    assert {record.sequence for record in held} == {"dog"}
    assert (len(kept), len(held)) == (9, 3)


def test_what_is_said_beforehand_counts(tmp_path: Path):
    root = labelled_images(tmp_path, "instance", "mine")
    with pytest.raises(InputError, match=r"Name one: data\.train=NAME"):
        own_recipe_by_name("own-instance", [f"data.root={root}"], gpu=False)
    words = [f"data.root={root}", "data.train=mine", "data.format=coco_instances"]
    found = own_recipe_by_name("own-instance", [*words, "encoder=dinov3-base"], gpu=True).recipe
    assert (found.data.train, found.encoder) == ("mine", "dinov3-base")
    assert found.licence.endswith("the encoder's: DINOv3 License (Meta; gated)")
    for encoder, licence in [
        ("dinov2-small", "Apache-2.0"),
        ("eupe-small", "FAIR Noncommercial Research License (Meta)"),
        (str(tmp_path / "mine.pth"), "state its licence here"),
    ]:
        said = own_recipe_by_name("own-instance", [*words, f"encoder={encoder}"], gpu=True).recipe
        assert said.licence.endswith(licence)
    assert found.augment.crop_size[0] % 16 == found.augment.crop_size[0] % 14 == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["steps=24"], {"steps": 24, "optimizer.warmup": 1}),
        (["steps=1"], {"steps": 1, "optimizer.warmup": 0}),
        (["steps=2000"], {"steps": 2000, "optimizer.warmup": 100}),
        (["steps=24", "optimizer.warmup=5"], {"optimizer.warmup": 5}),
        (["steps=24", "optimizer={lr: 1}"], {"optimizer.lr": 1, "optimizer.warmup": 6000}),
        (["batch_size=1"], {"steps": 300, "batch_size": 1}),
        (["batch_size=1", "start_from=null"], {"steps": 400, "batch_size": 1}),
        (["input.size=448"], {"input.size": 448, "augment.crop_size": (448, 448)}),
        (["input={kind: stride, size: 500}"], {"augment.crop_size": (448, 448)}),
        (["augment.crop_size=224"], {"input.size": 224, "augment.crop_size": (224, 224)}),
        (["data.hold_out=0.5"], {"data.hold_out": 0.5}),
        (["data.val=train"], {"data.val": "train", "data.hold_out": None}),
        (["masked_attention=true"], {"supervise": "every_layer"}),
        (["steps=40", "patience=2"], {"evaluate_every": 2}),
    ],
)
def test_what_follows_from_a_choice_follows_what_a_person_changes(
    tmp_path: Path, words: list[str], expected: dict[str, object]
):
    root = labelled_images(tmp_path / "mine", "semantic", "train")
    if "optimizer.lr" in expected:  # a whole part that is said is whole
        with pytest.raises(InputError, match=r"optimizer\.warmup 6000 must be less than steps 24$"):
            own_recipe("semantic", root, gpu=False, overrides=words)
        return
    recipe = own_recipe("semantic", root, gpu=False, overrides=words).recipe
    for key, value in expected.items():
        assert reduce(getattr, key.split("."), recipe) == value, key


@pytest.mark.parametrize(
    ("gpu", "words", "expected"),
    [
        (False, [], ("encoder", 3, 2e-4)),
        (False, ["encoder=dinov3-base"], ("encoder", 3, 2e-4)),
        (True, [], (None, 2, 2e-4)),  # long runs: not known
        (True, ["start_from=encoder"], ("encoder", 3, 2e-4)),
        (False, ["start_from=null"], (None, 2, 5e-4)),
        (False, ["start_from=scenes"], ("scenes", 2, 2e-4)),
        (False, ["start_from=street-semantic"], ("street-semantic", 3, 2e-4)),
        (False, ["decoder.num_blocks=6"], (None, 6, 5e-4)),
        (False, ["decoder={num_queries: 8, ffn_hidden: 64}"], (None, 6, 5e-4)),
        (False, ["start_from=encoder", "decoder.num_blocks=1"], ("encoder", 1, 2e-4)),
        (False, ["encoder=dinov3-huge-plus"], (None, 2, 5e-4)),  # SwiGLU: decoders have none
        (False, ["encoder=mine.safetensors"], (None, 2, 5e-4)),
    ],
)
def test_blocks_begin_as_the_encoders(
    tmp_path: Path, gpu: bool, words: list[str], expected: tuple[str | None, int, float]
):
    root = labelled_images(tmp_path / "mine", "semantic", "train")
    found = own_recipe("semantic", root, gpu=gpu, overrides=words)
    recipe = found.recipe
    got = (recipe.start_from, recipe.decoder.num_blocks, recipe.optimizer.lr)
    assert got == expected
    told = any("copies of the encoder's" in reason for reason in found.reasons)
    assert told == (recipe.start_from == "encoder" and "start_from=encoder" not in words)


def test_a_file_of_annotations_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = labelled_images(tmp_path / "mine", "instance", "train")
    parsed: list[tuple[Path, str]] = []
    original = coco_json.parse_json

    def counting(path: Path, form: type) -> object:
        parsed.append((path, form.__name__))
        return original(path, form)

    monkeypatch.setattr(coco_json, "parse_json", counting)
    found = own_recipe("instance", root, gpu=False)
    assert len(found.data.train) == 3
    assert len(parsed) == len(set(parsed)) <= 2  # to tell its format, and for what is in it
    read_data(found.recipe)
    assert len(parsed) == len(set(parsed)) + 1  # nothing is remembered afterwards


def test_reasons_are_true(tmp_path: Path):
    root = labelled_images(tmp_path / "mine", "semantic", "train")
    reasons = own_recipe("semantic", root, gpu=False).reasons
    assert "300 steps of 4 images: fewer would teach little" in reasons
    reasons = own_recipe("semantic", root, gpu=False, overrides=["steps=24"]).reasons
    assert "24 steps of 4 images: as you say" in reasons
    assert (epochs(600, 4, 31), epochs(24, 4, 31), epochs(1, 4, 5)) == ("77", "3.1", "0.8")


def test_objects_are_things_only(tmp_path: Path):
    root = labelled_images(tmp_path, "panoptic", "train")
    with pytest.raises(InputError, match="is coco_panoptic, whose segments are not objects only"):
        own_recipe("instance", root, gpu=False)
    path = labelled_images(tmp_path / "coco", "instance", "train")
    labels = labelled_images(tmp_path / "labels", "semantic", "train")
    with pytest.raises(InputError, match="is label_folder, whose segments are not objects only"):
        own_recipe("instance", labels, gpu=False)
    json_path = path / "annotations/instances_train.json"
    content = json.loads(json_path.read_text())
    content["annotations"].append(content["annotations"][0] | {"id": 99})
    json_path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="overlap, and a semantic head gives each pixel to one"):
        own_recipe("semantic", path, gpu=False)


def test_a_cpu_keeps_features_of_a_small_set_and_uses_its_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = labelled_images(tmp_path / "mine", "instance", "train")
    for units, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(own, "has_bfloat16_units", lambda units=units: units)
        assert own_recipe("instance", root, gpu=False).recipe.precision == precision
    recipe = own_recipe("instance", root, gpu=False).recipe
    assert recipe.cache is not None
    assert recipe.cache.folder is None
    short = own_recipe("instance", root, gpu=False, overrides=["steps=8"]).recipe
    assert short.cache is None  # hardly any view would be seen again
    assert own_recipe("instance", root, gpu=True).recipe.cache is None
