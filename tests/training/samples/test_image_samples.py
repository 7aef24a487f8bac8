"""Training samples of single pictures: further pictures beside the data, objects pasted over."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plainmask.results.rle import Rle
from plainmask.training.recipe import Recipe
from plainmask.training.records import build_sampler, read_records, read_vocabulary
from plainmask.training.samples.augment import sample_generator

SIZE = (48, 64)


def write_pictures(root: Path, split: str, colours: dict[str, int]) -> None:
    """Grey pictures of one object each, in COCO's form."""
    mask = np.zeros(SIZE, bool)
    mask[10:40, 20:50] = True
    (root / split).mkdir(parents=True)
    for name, grey in colours.items():
        Image.fromarray(np.full((*SIZE, 3), grey, np.uint8)).save(root / split / f"{name}.png")
    rows = [
        {"image_id": name, "category_id": 1, "segmentation": Rle.encode(mask).to_coco()}
        for name in colours
    ]
    images = [{"id": name, "file_name": f"{name}.png"} for name in colours]
    content = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cup"}]}
    (root / "annotations").mkdir(exist_ok=True)
    (root / f"annotations/instances_{split}.json").write_text(json.dumps(content))


def a_recipe(root: Path, **changes: Any) -> Recipe:
    settings: dict[str, Any] = {
        "name": "tiny",
        "task": "instance",
        "encoder": "dinov2-small",
        "data": {"root": root, "format": "coco_instances"},
        "input": {"kind": "fit", "size": 56},
        "augment": {"crop_size": 56, "scale": [1.0, 1.0], "flip": 0},
        "steps": 9000,
    }
    return Recipe.model_validate(settings | changes)


def sampler_of(recipe: Recipe):
    vocabulary = read_vocabulary(recipe)
    return build_sampler(recipe, read_records(recipe, vocabulary)[0], vocabulary, 14)


class TestFurtherPictures:
    def test_they_come_after_the_data_without_those_it_has(self, tmp_path: Path):
        write_pictures(tmp_path / "own", "train", {"a": 10, "b": 20})
        write_pictures(tmp_path / "own", "val", {"c": 30})
        write_pictures(tmp_path / "more", "train", {"b": 20, "c": 30, "d": 40})
        data = {
            "root": tmp_path / "own",
            "format": "coco_instances",
            "val": "val",
            "stills": {"root": tmp_path / "more", "format": "coco_instances"},
        }
        recipe = a_recipe(tmp_path, data=data)
        assert sampler_of(recipe).names == ["a", "b", "d"]

    def test_what_is_held_out_stays_out(self, tmp_path: Path):
        write_pictures(tmp_path / "own", "train", {"a": 10, "b": 20})
        write_pictures(tmp_path / "more", "train", {"b": 20, "d": 40})
        stills = {"root": tmp_path / "more", "format": "coco_instances"}
        data = {"root": tmp_path / "own", "format": "coco_instances", "hold_out": "b"}
        recipe = a_recipe(tmp_path, data=data | {"stills": stills})
        assert sampler_of(recipe).names == ["a", "d"]


class TestPasting:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        write_pictures(tmp_path, "train", {"a": 50, "b": 200})
        return tmp_path

    def test_objects_of_another_picture_lie_on_top(self, root: Path):
        sampler = sampler_of(a_recipe(root, paste=1.0))
        pixels, targets, _ = sampler(0, sample_generator(0, 0, 0))
        assert len(targets.labels) == 2
        own, pasted = targets.masks[:, 0]
        assert not (own & pasted).any()
        inside = pixels[0, 0][pasted]
        assert (inside == 200).float().mean() > 0.8  # its border is mixed with what lies below
        assert (pixels[0, 0][own] == 50).float().mean() > 0.8

    @pytest.mark.parametrize(("paste", "share"), [(0.0, 0.0), (0.5, 0.5)])
    def test_as_often_as_asked(self, root: Path, paste: float, share: float):
        sampler = sampler_of(a_recipe(root, paste=paste))
        counts = [len(sampler(0, sample_generator(0, 0, n)).targets.labels) for n in range(60)]
        assert abs(np.mean(np.array(counts) > 1) - share) < 0.2

    def test_a_picture_alone_has_nothing_to_paste(self, tmp_path: Path):
        write_pictures(tmp_path, "train", {"a": 50})
        sample = sampler_of(a_recipe(tmp_path, paste=1.0))(0, sample_generator(0, 0, 0))
        assert len(sample.targets.labels) == 1

    def test_without_pasting_samples_are_as_they_were(self, root: Path):
        plain = sampler_of(a_recipe(root))(1, sample_generator(0, 0, 0))
        rare = sampler_of(a_recipe(root, paste=0.0))(1, sample_generator(0, 0, 0))
        assert torch.equal(plain.pixels, rare.pixels)
