"""The recipes of the published models say what was published (docs/model.md 7)."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.encoder.presets import find_preset
from plainmask.pictures.geometry import InputProtocol
from plainmask.training.loss import LossConfig
from plainmask.training.recipe import OptimizerConfig, Recipe, load_recipe
from plainmask.training.samples.augment import AugmentConfig, CropConfig, VideoAugmentConfig
from plainmask.training.schedule import annealing_windows
from plainmask.vocabulary import Vocabulary, from_coco

FOLDER = Path(__file__).parents[2] / "recipes"


class Published(NamedTuple):
    """One row of the table of published runs, of both links."""

    task: str
    classes: int
    size: int
    linear_steps: int
    gru_steps: int


PUBLISHED = {
    "ytvis2019": Published("instance", 40, 448, 60_000, 60_000),
    "ytvis2021": Published("instance", 40, 448, 60_000, 40_000),
    "ytvis2022": Published("instance", 40, 448, 60_000, 40_000),
    "ovis": Published("instance", 25, 544, 60_000, 80_000),
    "vipseg": Published("panoptic", 124, 720, 20_000, 40_000),
    "vspw": Published("semantic", 124, 720, 40_000, 40_000),
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_gives_a_decoder(path: Path):
    recipe = load_recipe(path)
    encoder = find_preset(recipe.encoder).config
    classes = len(Vocabulary.load(recipe.vocabulary)) if recipe.vocabulary else 1
    config = recipe.decoder.build_config(encoder, classes)
    assert config.num_classes == classes
    assert config.width == encoder.width
    stills = recipe.data.stills
    if stills is not None and stills.classes == "from_coco":
        known = Vocabulary.load(recipe.vocabulary or "").by_file_id
        assert set(from_coco(recipe.vocabulary).values()) <= set(known)


IMAGES = {
    "coco-panoptic-small-640": (384, 133, 200, 7_692_038),
    "coco-panoptic-base-640": (768, 133, 200, 30_424_454),
    "coco-panoptic-large-640": (1024, 133, 200, 53_935_238),
    "coco-panoptic-large-1280": (1024, 133, 200, 53_935_238),
    "coco-instance-large-640": (1024, 80, 200, 53_880_913),
    "coco-instance-large-1280": (1024, 80, 200, 53_880_913),
    "ade20k-semantic-large-512": (1024, 150, 100, 53_850_263),
}
"""Width, classes, queries and parameters of the decoder."""


@pytest.mark.parametrize("name", IMAGES)
def test_published_image_runs(name: str):
    width, classes, queries, parameters = IMAGES[name]
    recipe = load_recipe(FOLDER / f"{name}.yaml")
    size = int(name.rpartition("-")[2])
    encoder = find_preset(recipe.encoder).config
    with torch.device("meta"):
        decoder = PlainMaskDecoder(recipe.decoder.build_config(encoder, classes))
    assert sum(value.numel() for value in decoder.parameters()) == parameters
    assert encoder.width == width
    assert len(Vocabulary.load(recipe.vocabulary or "")) == classes
    assert decoder.config.num_queries == queries
    is_ade = recipe.task == "semantic"
    assert recipe.input == InputProtocol(kind="windows" if is_ade else "fit", size=size)
    scale, starts, ends = (
        ((0.5, 2.0), [0, 5384, 7403, 9422, 11442, 13461], [3000, 8749, 10769, 12788, 14807, 16826])
        if is_ade
        else (
            (0.1, 2.0),
            [0, 23651, 32520, 41389, 50258, 59128],
            [3000, 38433, 47302, 56171, 65040, 73910],
        )
    )
    assert annealing_windows(6, recipe.steps) == list(zip(starts, ends, strict=True))
    assert recipe.augment == AugmentConfig(
        crop_size=(size, size), scale=scale, flip=0.5, color_jitter=is_ade
    )
    assert recipe.optimizer == OptimizerConfig()
    assert (recipe.batch_size, recipe.seed, recipe.loss) == (16, 0, LossConfig())
    assert (recipe.supervise, recipe.masked_attention) == ("every_layer", True)


@pytest.mark.parametrize("link", ["linear", "gru"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_runs(name: str, link: str):
    row, recipe = PUBLISHED[name], load_recipe(FOLDER / f"{name}-{link}.yaml")
    assert recipe.task == row.task
    assert len(Vocabulary.load(recipe.vocabulary or "")) == row.classes
    assert recipe.steps == (row.linear_steps if link == "linear" else row.gru_steps)
    assert (recipe.input.kind, recipe.input.size) == ("video", row.size)
    assert (recipe.batch_size, recipe.seed) == (8, 42)
    check_model(recipe, link)
    check_clips(recipe, link)
    check_augmentation(recipe)


def check_model(recipe: Recipe, link: str) -> None:
    encoder = find_preset("dinov3-large").config
    config = recipe.decoder.build_config(encoder, 1)
    assert (config.num_queries, config.num_blocks, config.propagation) == (200, 6, link)
    assert (config.width, config.ffn_hidden, config.upscale_stages) == (1024, 1024, 2)
    settings = recipe.optimizer
    assert (settings.lr, settings.weight_decay, settings.warmup) == (1e-4, 0.05, 6000)
    assert (settings.schedule, settings.clip) == ("polynomial", None)
    assert recipe.loss.num_points == 12544
    assert recipe.rope_rescale
    assert (recipe.supervise, recipe.masked_attention) == ("every_layer", False)
    assert not recipe.loss.skip_before_last  # the corrected form
    assert not recipe.rematch


def check_clips(recipe: Recipe, link: str) -> None:
    assert recipe.clip is not None
    frames, reach, chunk = (5, 2, None) if link == "linear" else (15, 5, 5)
    assert (recipe.clip.frames, recipe.clip.reach, recipe.chunk) == (frames, reach, chunk)
    assert not recipe.clip.published
    assert not recipe.clip.reverse
    assert not recipe.clip.paste
    motion = recipe.clip.still_motion
    assert (motion.rotation, motion.shift, motion.zoom) == (15, 0, 0)
    if recipe.task == "instance":
        assert recipe.data.stills is not None
        assert recipe.data.stills.classes == "from_coco"
        assert recipe.clip.stills == 0.5
    else:
        assert recipe.data.stills is None


def check_augmentation(recipe: Recipe) -> None:
    augment = recipe.augment
    assert isinstance(augment, VideoAugmentConfig)
    assert (augment.flip, augment.color_jitter, augment.multiple) == (0.5, False, 32)
    if recipe.task == "instance":
        assert augment.shorter == (320, 352, 392, 416, 448, 480, 512, 544, 576, 608, 640)
        assert augment.longest == 768
        assert augment.crop == CropConfig()
    else:
        assert augment.shorter == tuple(range(480, 801, 32))
        assert augment.longest == 1333
        assert augment.crop is None
