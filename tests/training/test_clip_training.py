"""Training on clips: the loop end to end, what reaches the network, chunks, stills, start_from."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import plainmask
from bricks import dtypes_of_a_run
from moving import MovingConfig, make_scene, save_video_folder, save_youtube_vis
from plainmask.decoder.decoder import PlainMaskDecoder, Predictions
from plainmask.encoder.vit import Features
from plainmask.errors import InputError
from plainmask.heads.head import Head, read_config
from plainmask.training import loop
from plainmask.training.loop import train
from plainmask.training.loss import set_loss, total_loss
from plainmask.training.objective import Objective
from plainmask.training.points import uniform_points
from plainmask.training.recipe import DecoderRecipe, Recipe
from plainmask.training.records import build_sampler, read_records, read_stills, read_vocabulary
from plainmask.training.samples.batches import Batch, ClipSampler, training_batches
from plainmask.training.samples.targets import ClipTargets
from plainmask.training.setup import start_from
from plainmask.training.track_matching import TrackMatcher, frames_of
from tiny import PATCH, save_tiny_encoder, tiny_encoder, tiny_head

SCENE = MovingConfig(size=48, frames=8, objects=3, diameter=(14, 18), bar=(0, 0))
PADDED = {"shorter": [40, 44], "longest": 96, "multiple": 32}


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """Three videos in two forms, some pictures, and an encoder file."""
    scenes = [make_scene(SCENE, seed) for seed in range(3)]
    save_youtube_vis(scenes, tmp_path / "vis", "train")
    save_video_folder(scenes, tmp_path / "folders")
    save_stills(tmp_path / "stills")
    save_tiny_encoder(tmp_path)
    return tmp_path


def save_stills(root: Path) -> None:
    """Two panoptic pictures of things and stuff in COCO's form, with classes videos do not have."""
    infos = [
        {"id": 1, "category_id": 5},  # sea
        {"id": 2, "category_id": 7},  # object
        {"id": 3, "category_id": 9},  # kite
    ]
    categories = [
        {"id": 5, "name": "sea", "isthing": 0},
        {"id": 7, "name": "object", "isthing": 1},
        {"id": 9, "name": "kite", "isthing": 1},
    ]
    ids = np.ones((40, 56), np.uint8)
    ids[5:25, 8:30] = 2
    ids[15:35, 36:50] = 3
    maps = root / "annotations/panoptic_train"
    maps.mkdir(parents=True)
    (root / "train").mkdir()
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": categories}
    for name in ("a", "b"):
        Image.fromarray(np.stack([ids, 0 * ids, 0 * ids], -1)).save(maps / f"{name}.png")
        Image.fromarray(80 * ids).convert("RGB").save(root / "train" / f"{name}.jpg")
        content["images"].append({"id": name, "file_name": f"{name}.jpg"})
        row = {"image_id": name, "file_name": f"{name}.png", "segments_info": infos}
        content["annotations"].append(row)
    (root / "annotations/panoptic_train.json").write_text(json.dumps(content))


def a_recipe(workshop: Path, **changes: Any) -> Recipe:
    settings: dict[str, Any] = {
        "name": "tiny-clips",
        "task": "instance",
        "encoder": str(workshop / "encoder.safetensors"),
        "data": {"root": workshop / "vis", "format": "youtube_vis"},
        "input": {"kind": "video", "size": 48},
        "decoder": {
            "num_queries": 6,
            "num_blocks": 2,
            "upscale_stages": 1,
            "propagation": "gru",
        },
        "augment": {"crop_size": [48, 48], "scale": [0.9, 1.2]},
        "clip": {"frames": 5, "reach": 2},
        "loss": {"num_points": 128},
        "optimizer": {"lr": 1e-3, "warmup": 1, "schedule": "polynomial", "clip": None},
        "steps": 4,
        "batch_size": 2,
        "masked_attention": False,
        "log_every": 2,
        "save_every": 2,
    }
    return Recipe.model_validate(settings | changes)


def weights(run: Path) -> dict[str, Tensor]:
    return torch.load(run / "checkpoint.pt", weights_only=True)["decoder"]


VARIED: dict[str, dict[str, Any]] = {
    "whole clips": {},
    "chunks": {"chunk": 2},
    "chunks, matched anew": {"chunk": 2, "rematch": True, "rope_rescale": True},
    "last layer, linear": {
        "supervise": "last",
        "decoder": {"num_queries": 6, "num_blocks": 2, "propagation": "linear"},
    },
    "padded": {"augment": PADDED | {"crop": {"shorter": [48], "side": [32, 40]}}, "chunk": 3},
    "far frames, pasted": {"clip": {"frames": 4, "reach": 3, "paste": 1.0, "reverse": 0.5}},
}


@pytest.mark.parametrize("changes", VARIED.values(), ids=VARIED)
def test_a_run_ends_in_a_head_that_follows_videos(workshop: Path, changes: dict[str, Any]):
    recipe = a_recipe(workshop, **changes)
    run = train(recipe, workshop / "run", device="cpu")
    assert all(value.isfinite().all() for value in weights(run).values())
    segmenter = plainmask.load(run / "head", device="cpu", encoder=recipe.encoder)
    head = segmenter.head
    assert head.config.decoder.propagation == recipe.decoder.propagation
    assert head.config.vocabulary.names == ("object",)
    frames = workshop / "vis/train/JPEGImages/video_0"
    results = list(segmenter.track(frames))
    assert len(results) == 8
    first, last = (set(result.candidates.track_ids) for result in (results[0], results[-1]))
    assert first == last  # a query is a track


@pytest.mark.parametrize("clips", [True, False], ids=["clips", "images"])
def test_every_third_frame_is_labelled(
    workshop: Path, capsys: pytest.CaptureFixture[str], clips: bool
):
    for path in workshop.glob("folders/Annotations/*/*.png"):
        if int(path.stem) % 3:
            path.unlink()
    data = {"root": workshop / "folders", "format": "video_folder", "train": None}
    changes: dict[str, Any] = (
        {} if clips else {"clip": None, "decoder": {"num_queries": 6, "upscale_stages": 1}}
    )
    held = a_recipe(workshop, data=data | {"hold_out": "video_1"}, **changes)
    run = train(held, workshop / "run", device="cpu")
    figures = read_config(run / "head").provenance.figures
    assert figures.keys() >= {"val_AP", "val_J"}
    assert "pictures have no annotation and are not trained on" in capsys.readouterr().err


def test_a_folder_per_video_gives_the_same_clips_as_youtube_vis(workshop: Path):
    """Masks equal; pictures, too, since both are written from the same frames."""
    data = {"root": workshop / "folders", "format": "video_folder", "train": None}
    first, second = (next(batches(r)) for r in (a_recipe(workshop), a_recipe(workshop, data=data)))
    assert torch.equal(first.pixels, second.pixels)
    for mine, theirs in zip(first.targets, second.targets, strict=True):
        assert torch.equal(mine.masks.sum((0, 1)), theirs.masks.sum((0, 1)))
    train(a_recipe(workshop, data=data, steps=2), workshop / "run", device="cpu")


def sampler_of(recipe: Recipe) -> ClipSampler:
    vocabulary = read_vocabulary(recipe)
    records, _ = read_records(recipe, vocabulary)
    sampler = build_sampler(recipe, records, vocabulary, PATCH)
    assert isinstance(sampler, ClipSampler)
    return sampler


def batches(recipe: Recipe) -> Iterator[Batch]:
    return training_batches(
        sampler_of(recipe),
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        first=0,
        last=recipe.steps,
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_ends_with_the_same_weights(workshop: Path, workers: int):
    changes: dict[str, Any] = {
        "chunk": 2,
        "workers": workers,
        "augment": PADDED,
        "clip": {"frames": 5, "reach": 2, "paste": 0.5},
        "data": {
            "root": workshop / "vis",
            "format": "youtube_vis",
            "stills": {"root": workshop / "stills", "classes": "same"},
        },
    }
    recipe = a_recipe(workshop, **changes)
    whole = train(recipe, workshop / "whole", device="cpu")
    stopped = stop_after_step(2)
    with pytest.raises(KeyboardInterrupt), stopped:
        train(recipe, workshop / "parts", device="cpu")
    again = train(recipe, workshop / "parts", resume=True, device="cpu")
    first, second = weights(whole), weights(again)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


class stop_after_step:  # noqa: N801
    """Presses Ctrl-C after some optimiser steps."""

    def __init__(self, step: int):
        self.step = step
        self.patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        original = loop.save_checkpoint

        def saving(*args: Any) -> None:
            original(*args)
            if args[-1].step == self.step:
                raise KeyboardInterrupt

        self.patch.setattr(loop, "save_checkpoint", saving)

    def __exit__(self, *error: object) -> None:
        self.patch.undo()


class TestWhatTheNetworkSees:
    def test_two_clips_of_different_size_share_a_batch(self, workshop: Path):
        """Smaller ones are padded, and the encoder is told how much of each frame is padding."""
        wide = make_scene(SCENE, 7)
        wide = replace(
            wide,
            images=np.concatenate([wide.images, wide.images], axis=2),
            segments=[
                replace(s, layers=np.concatenate([s.layers, s.layers], 2)) for s in wide.segments
            ],
        )
        save_youtube_vis([wide, make_scene(SCENE, 8)], workshop / "mixed", "train")
        recipe = a_recipe(
            workshop,
            data={"root": workshop / "mixed", "format": "youtube_vis"},
            augment={"shorter": [40], "longest": 100, "multiple": 32},
            chunk=3,
        )
        batch = next(batches(recipe))
        assert batch.pixels.shape == (2, 5, 3, 64, 96)
        assert sorted(batch.content) == [(40, 40), (40, 80)]
        for pixels, (height, width), targets in zip(*batch[:3], strict=True):
            assert pixels[..., :height, :width].any()
            outside = torch.ones(64, 96, dtype=torch.bool)
            outside[:height, :width] = False
            assert not pixels[..., outside].any()
            assert not targets.masks[..., outside].any()
            assert not targets.valid[..., outside].any()

        told: list[Sequence[tuple[int, int]] | None] = []
        encoder = tiny_encoder()

        def recording(pixels: Tensor, *, content: Any = None, rope_scale: float = 1.0) -> Features:
            told.append(content)
            return encoder(pixels, content=content, rope_scale=rope_scale)

        decoder = PlainMaskDecoder(recipe.decoder.build_config(encoder.config, 1))
        objective = Objective(decoder, recording, nullcontext, recipe, torch.device("cpu"))
        for part in objective.losses(batch, seeded()):
            total_loss(part, recipe.loss).backward()
        one, other = batch.content
        assert told == [[one] * 3 + [other] * 3, [one] * 2 + [other] * 2]
        assert decoder.queries.grad is not None
        assert decoder.queries.grad.isfinite().all()

    def test_without_padding_nothing_is_told(self, workshop: Path):
        recipe = a_recipe(workshop)
        told: list[Any] = []
        encoder = tiny_encoder()

        def recording(pixels: Tensor, *, content: Any = None, rope_scale: float = 1.0) -> Features:
            told.append(content)
            return encoder(pixels, rope_scale=rope_scale)

        decoder = PlainMaskDecoder(recipe.decoder.build_config(encoder.config, 1))
        objective = Objective(decoder, recording, nullcontext, recipe, torch.device("cpu"))
        batch = next(batches(a_recipe(workshop, augment={"crop_size": 48, "scale": [1, 1]})))
        list(objective.losses(batch, seeded()))
        assert told == [None]

    @pytest.mark.parametrize(
        ("augment", "message"),
        [
            ({"crop_size": [48, 50], "scale": [1, 1]}, "crop_size 48 x 50 .* 48 x 48 would do"),
            ({"shorter": [48], "longest": 96, "multiple": 28}, "multiple 28 .* 32 would do"),
        ],
    )
    def test_samples_are_whole_patches(self, workshop: Path, augment: dict[str, Any], message: str):
        with pytest.raises(InputError, match=message):
            train(a_recipe(workshop, augment=augment), workshop / "run", device="cpu")

    def test_videos_shorter_than_a_clip(self, workshop: Path):
        scenes = [make_scene(replace(SCENE, frames=frames), frames) for frames in (1, 3)]
        save_youtube_vis(scenes, workshop / "short", "train")
        data = {"root": workshop / "short", "format": "youtube_vis"}
        for clip in ({"frames": 5, "reach": 2}, {"frames": 4, "reach": 3}):
            recipe = a_recipe(workshop, data=data, clip=clip, steps=2)
            assert next(batches(recipe)).pixels.shape[1] == clip["frames"]

    def test_a_split_without_annotations(self, workshop: Path):
        path = workshop / "vis/train.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"annotations": []}))
        with pytest.raises(InputError, match=r"no picture of .*vis, split train, has an"):
            train(a_recipe(workshop), workshop / "run", device="cpu")


class TestStills:
    @pytest.mark.parametrize("classes", ["same", "any_thing"])
    def test_classes_that_videos_do_not_have_are_left_out(self, workshop: Path, classes: str):
        stills = {"root": workshop / "stills", "classes": classes}
        data = {"root": workshop / "vis", "format": "youtube_vis", "stills": stills}
        recipe = a_recipe(workshop, data=data, clip={"frames": 3, "reach": 1, "stills": 1.0})
        assert recipe.data.stills is not None
        records = read_stills(recipe.data.stills, read_vocabulary(recipe), None)
        expected = [0] if classes == "same" else [0, 0]
        assert [r.annotation().class_ids.tolist() for r in records] == [expected] * 2
        assert records[0].annotation().index_map[10, 10] == 0
        assert records[0].annotation().index_map[0, 0] == -1
        batch = next(batches(recipe))
        for clip in batch.targets:
            assert 1 <= len(clip.labels) <= len(expected)
        train(recipe, workshop / "run", device="cpu")

    def test_cocos_classes_by_the_table_of_the_videos(self, workshop: Path):
        path = workshop / "stills/annotations/panoptic_train.json"
        content = json.loads(path.read_text())
        content["categories"] = [
            {"id": 5, "name": "sky-other-merged", "isthing": 0},
            {"id": 7, "name": "person", "isthing": 1},
            {"id": 9, "name": "kite", "isthing": 1},
        ]
        path.write_text(json.dumps(content))
        vocabulary = plainmask.Vocabulary.load("ytvis2019")
        stills = {"root": workshop / "stills", "classes": "from_coco"}
        recipe = a_recipe(workshop, data={"root": workshop, "stills": stills})
        assert recipe.data.stills is not None
        records = read_stills(recipe.data.stills, vocabulary, "ytvis2019")
        (person,) = records[0].annotation().class_ids.tolist()
        assert vocabulary.names[person] == "person"
        with pytest.raises(InputError, match="has no table of COCO's categories"):
            read_stills(recipe.data.stills, vocabulary, None)

    def test_stills_without_a_class_of_the_videos(self, workshop: Path):
        other = plainmask.Vocabulary.load({"classes": [{"id": 0, "name": "car", "thing": True}]})
        stills = {"root": workshop / "stills"}
        recipe = a_recipe(workshop, data={"root": workshop, "stills": stills})
        assert recipe.data.stills is not None
        message = r"no picture of .*stills shows a class of the data \(car\).*sea, object, kite"
        with pytest.raises(InputError, match=message):
            read_stills(recipe.data.stills, other, None)

    def test_pictures_alone_become_clips(self, workshop: Path):
        recipe = a_recipe(
            workshop,
            task="panoptic",
            data={"root": workshop / "stills", "format": "coco_panoptic"},
            clip={"frames": 4, "reach": 2, "still_motion": {"shift": 0.3}},
            chunk=2,
        )
        assert read_vocabulary(recipe).names == ("sea", "object", "kite")
        masks = next(batches(recipe)).targets[0].masks
        assert masks.shape[:2] == (3, 4)
        assert not torch.equal(masks[:, 0], masks[:, 3])  # they move
        run = train(recipe, workshop / "run", device="cpu")
        assert Head.load(run / "head").config.vocabulary.names[0] == "sea"

    def test_stuff_is_never_pasted(self, workshop: Path):
        """It would be a second segment of its class in the frame."""
        recipe = a_recipe(
            workshop,
            task="panoptic",
            data={"root": workshop / "stills", "format": "coco_panoptic"},
            clip={"frames": 3, "reach": 1, "paste": 1.0, "pasting": {"partial": 0}},
            steps=8,
        )
        counts = [
            torch.bincount(clip.labels, minlength=3)
            for batch in batches(recipe)
            for clip in batch.targets
        ]
        assert max(int(count[0]) for count in counts) == 1  # the sea
        assert max(int(count[1:].sum()) for count in counts) > 2  # things of both pictures

    def test_nothing_is_pasted_in_semantic_data(self, workshop: Path):
        with pytest.raises(ValueError, match="in semantic data a class is one segment"):
            a_recipe(workshop, task="semantic", clip={"frames": 3, "reach": 1, "paste": 0.5})


class TestCarry:
    """Clips that start from the queries that the clip before left behind."""

    def recipe(self, workshop: Path, **changes: Any) -> Recipe:
        data = {"root": workshop / "folders", "format": "video_folder", "train": None}
        return a_recipe(workshop, task="semantic", data=data, chunk=2, **changes)

    def test_the_next_clip_starts_where_the_last_one_ended(self, workshop: Path):
        recipe = self.recipe(workshop, carry=1.0)
        decoder = PlainMaskDecoder(recipe.decoder.build_config(TINY, 1))
        entered: list[Tensor | None] = []
        left: list[Tensor] = []
        original = decoder.clips

        def clips(features: Features, frames: int, queries: Tensor | None, **options: Any) -> Any:
            layers, after = original(features, frames, queries, **options)
            entered.append(queries)
            left.append(after.detach())
            return layers, after

        decoder.clips = clips
        objective = Objective(decoder, tiny_encoder(), nullcontext, recipe, torch.device("cpu"))
        draw = seeded()
        for batch in batches(recipe):
            list(objective.losses(batch, draw))
        assert len(entered) == 4 * 3  # steps, chunks
        assert entered[0] is None  # there was no clip before
        for before, now in zip(left, entered[1:], strict=False):
            assert now is not None
            assert torch.equal(before, now)
            assert not now.requires_grad

    def test_a_resumed_run_ends_with_the_same_weights(self, workshop: Path):
        recipe = self.recipe(workshop, carry=0.8)
        whole = train(recipe, workshop / "whole", device="cpu")
        with pytest.raises(KeyboardInterrupt), stop_after_step(2):
            train(recipe, workshop / "parts", device="cpu")
        again = train(recipe, workshop / "parts", resume=True, device="cpu")
        first, second = weights(whole), weights(again)
        assert all(torch.equal(first[key], second[key]) for key in first)

    def test_objects_end_with_their_video(self, workshop: Path):
        with pytest.raises(ValueError, match="carry is for clips of semantic data"):
            a_recipe(workshop, carry=0.5)


class TestReplay:
    """Clips that are watched several times before anything is learnt from them."""

    def test_the_first_chunk_starts_from_old_queries(self, workshop: Path):
        recipe = a_recipe(workshop, chunk=2, replay=3)
        decoder = PlainMaskDecoder(recipe.decoder.build_config(TINY, 1))
        asked: list[int] = []
        original = decoder.clips

        def clips(*args: Any, replays: int, **options: Any) -> Any:
            asked.append(replays)
            return original(*args, replays=replays, **options)

        decoder.clips = clips
        objective = Objective(decoder, tiny_encoder(), nullcontext, recipe, torch.device("cpu"))
        draw = seeded()
        for batch in batches(recipe):
            list(objective.losses(batch, draw))
        assert all(later == 0 for place, later in enumerate(asked) if place % 3)
        assert set(asked[::3]) <= {0, 1, 2, 3}
        assert len(set(asked[::3])) > 1

    @pytest.mark.parametrize("propagation", ["linear", "gru"])
    def test_it_is_the_clip_forward_and_backward_without_a_gradient(self, propagation: Any):
        torch.manual_seed(2)
        config = DecoderRecipe(num_queries=5, num_blocks=2, propagation=propagation)
        decoder = PlainMaskDecoder(config.build_config(TINY, 2)).eval()
        features = tiny_encoder()(torch.randint(0, 256, (3, 3, 48, 48), dtype=torch.uint8))
        queries, fused = None, decoder.fuse(features)
        state = None
        for place in [0, 1, 2, 2, 1, 0] * 2:
            _, state = decoder.step(fused[place : place + 1], features.grid, state)
        assert state is not None
        expected, _ = decoder.clips(features, 3, state.queries)
        found, queries = decoder.clips(features, 3, replays=2)
        for layer, wanted in zip(found, expected, strict=True):
            assert torch.allclose(layer.mask_logits, wanted.mask_logits, atol=1e-4)
        queries.sum().backward()
        # The learnt queries lie before the cut; only the linear link adds them in every frame.
        assert (decoder.queries.grad is None) == (propagation == "gru")


def test_lower_precision_is_the_decoders_and_losses_are_whole(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = a_recipe(workshop, precision="bf16", chunk=2, steps=2)
    decoder, losses = dtypes_of_a_run(recipe, workshop / "run", monkeypatch)
    assert decoder == {torch.bfloat16}
    assert losses == {torch.float32}


class TestStartFrom:
    def test_what_fits_is_taken_over(self, workshop: Path, capsys: pytest.CaptureFixture[str]):
        image = tiny_head("instance", tiny_encoder(), num_classes=1)
        folder = image.save(workshop / "image_head")
        recipe = a_recipe(
            workshop,
            start_from=str(folder),
            decoder={
                "num_queries": 6,
                "num_blocks": 2,
                "upscale_stages": 1,
                "propagation": "linear",
            },
            optimizer={"lr": 0.0, "warmup": 1, "weight_decay": 0.0},
        )
        run = train(recipe, workshop / "run", device="cpu")
        said = capsys.readouterr().err
        assert "starting from tiny-instance" in said
        assert "fresh: blocks.1, link.update\n" in said
        after, before = weights(run), image.decoder.state_dict()
        learnt = dict(image.decoder.named_parameters())
        assert all(torch.allclose(after[key], before[key], atol=1e-3) for key in learnt)
        again = a_recipe(workshop, start_from=str(run / "head"), decoder=recipe.decoder)
        train(again, workshop / "again", device="cpu")
        assert "starting from tiny-clips; fresh: nothing" in capsys.readouterr().err

    def test_a_wide_head_goes_on_as_wide_also_when_resumed(
        self, workshop: Path, capsys: pytest.CaptureFixture[str]
    ):
        head = tiny_head("instance", tiny_encoder(), num_classes=1)
        wide = head.config.decoder.model_copy(update={"ffn_hidden": 96, "num_blocks": 3})
        config = head.config.model_copy(update={"decoder": wide})
        folder = Head(config, PlainMaskDecoder(wide)).save(workshop / "wide")
        recipe = a_recipe(workshop, start_from=str(folder), steps=2, save_every=1)
        run = train(recipe, workshop / "run", device="cpu")
        assert "fresh: link.cell; left out: blocks.2\n" in capsys.readouterr().err
        assert Head.load(run / "head").decoder.config.ffn_hidden == 96
        shutil.rmtree(folder)
        longer = recipe.model_copy(update={"steps": 3})
        train(longer, workshop / "run", device="cpu", resume=True)
        assert Head.load(run / "head").decoder.config.ffn_hidden == 96

    def test_other_classes_start_fresh(self, workshop: Path, capsys: pytest.CaptureFixture[str]):
        folder = tiny_head("semantic", tiny_encoder(), num_classes=5).save(workshop / "five")
        train(a_recipe(workshop, start_from=str(folder)), workshop / "run", device="cpu")
        assert "fresh: blocks.1, link.cell, predict.classify\n" in capsys.readouterr().err

    def test_another_encoder_is_said(self, workshop: Path, capsys: pytest.CaptureFixture[str]):
        head = tiny_head("instance", tiny_encoder())
        other = tiny_encoder()
        other.fingerprint = other.older_fingerprint = "other"
        start_from(head.decoder, head, other)
        assert "trained on another encoder, custom" in capsys.readouterr().err

    def test_nothing_fits(self):
        """Counters of batch norm, which have no shape, do not count as something."""
        encoder = tiny_encoder()
        narrow = PlainMaskDecoder(
            tiny_head("instance", encoder).decoder.config.model_copy(
                update={"width": 32, "num_queries": 5, "num_classes": 4, "ffn_hidden": 32}
            )
        )
        with pytest.raises(InputError, match=r"give one of the same width \(32\)"):
            start_from(narrow, tiny_head("instance", encoder), encoder)


TINY = tiny_encoder().config


def seeded() -> Any:
    return uniform_points(torch.device("cpu"), torch.Generator().manual_seed(0))


def the_same_for_every_mask(shape: tuple[int, ...]) -> Tensor:
    """Points that depend neither on the place in a batch nor on the call."""
    generator = torch.Generator().manual_seed(5)
    return torch.rand(shape[1:], generator=generator).expand(shape)


def gradients(decoder: PlainMaskDecoder) -> dict[str, Tensor]:
    found = {n: p.grad.clone() for n, p in decoder.named_parameters() if p.grad is not None}
    decoder.zero_grad()
    return found


class TestChunks:
    """Gradients added up over chunks are those of the whole clip with detached queries (14.6)."""

    def clip(self, propagation: str) -> tuple[PlainMaskDecoder, Recipe, Batch]:
        recipe = Recipe.model_validate(
            a_recipe(Path(), chunk=3, clip={"frames": 6, "reach": 9}).model_dump()
            | {"decoder": {"num_queries": 6, "num_blocks": 2, "propagation": propagation}}
        )
        torch.manual_seed(1)
        decoder = PlainMaskDecoder(recipe.decoder.build_config(TINY, 2))
        decoder.eval()  # batch norm would see another batch in each chunk
        masks = torch.rand(2, 2, 6, 48, 48) > 0.5  # clip, object, frame
        clips = [
            ClipTargets(torch.tensor([0, 1]), m, torch.ones(2, 6, dtype=torch.bool), m.any(0))
            for m in masks
        ]
        pixels = torch.randint(0, 256, (2, 6, 3, 48, 48), dtype=torch.uint8)
        return decoder, recipe, Batch(pixels, [(48, 48)] * 2, clips)

    def whole(
        self, decoder: PlainMaskDecoder, recipe: Recipe, batch: Batch, *, detach: bool
    ) -> Tensor:
        """The loss of the clip in one piece; the queries that enter frame 3 may be detached."""
        encoder, queries, parts = tiny_encoder(), None, []
        for first in (0, 3):
            features = encoder(batch.pixels[:, first : first + 3].flatten(0, 1))
            layers, queries = decoder.clips(features, 3, queries)
            queries = queries.detach() if detach else queries
            parts.append(layers)
        layers = [
            Predictions(*(self.joined(a, b) for a, b in zip(early, late, strict=True)))
            for early, late in zip(*parts, strict=True)
        ]
        matcher = TrackMatcher(recipe.loss, the_same_for_every_mask)
        losses = set_loss(
            layers,
            frames_of(batch.targets),
            recipe.loss,
            the_same_for_every_mask,
            lambda index, layer: matcher(index, layer, batch.targets),
        )
        return total_loss(losses, recipe.loss)

    @staticmethod
    def joined(early: Tensor, late: Tensor) -> Tensor:
        """Frames of two chunks of two clips, clip by clip."""
        halves = (early.unflatten(0, (2, 3)), late.unflatten(0, (2, 3)))
        return torch.cat(halves, dim=1).flatten(0, 1)

    @pytest.mark.parametrize("propagation", ["linear", "gru"])
    def test_gradients_equal_those_of_the_whole_clip(self, propagation: str):
        decoder, recipe, batch = self.clip(propagation)
        objective = Objective(decoder, tiny_encoder(), nullcontext, recipe, torch.device("cpu"))
        total = torch.zeros(())
        per_chunk: list[dict[str, Tensor]] = []
        for part in objective.losses(batch, the_same_for_every_mask):
            loss = total_loss(part, recipe.loss)
            loss.backward()
            total = total + loss.detach()
            per_chunk.append(gradients(decoder))
        assert len(per_chunk) == 2
        expected_loss = self.whole(decoder, recipe, batch, detach=True)
        expected_loss.backward()
        expected = gradients(decoder)
        assert torch.allclose(total, expected_loss.detach(), rtol=1e-5)
        for name, gradient in expected.items():
            found = sum(chunk.get(name, torch.zeros(())) for chunk in per_chunk)
            scale = gradient.abs().max().clamp(min=1e-3)
            assert ((found - gradient).abs().max() / scale) < 1e-4, name
        # A gated link meets the learnt queries at the start only, a linear one in every frame.
        assert ("queries" in per_chunk[1]) == (propagation == "linear")

    def test_without_the_cut_gradients_differ(self):
        decoder, recipe, batch = self.clip("gru")
        self.whole(decoder, recipe, batch, detach=True).backward()
        cut = gradients(decoder)["link.cell.weight_hh"]
        self.whole(decoder, recipe, batch, detach=False).backward()
        uncut = gradients(decoder)["link.cell.weight_hh"]
        assert (cut - uncut).abs().max() > 1e-3 * uncut.abs().max()

    def test_one_chunk_is_the_whole_clip(self):
        decoder, recipe, batch = self.clip("gru")
        losses = []
        for chunk in (None, 6, 9):
            one = recipe.model_copy(update={"chunk": chunk})
            objective = Objective(decoder, tiny_encoder(), nullcontext, one, torch.device("cpu"))
            (part,) = objective.losses(batch, the_same_for_every_mask)
            losses.append(float(total_loss(part, recipe.loss).detach()))
        assert losses[0] == losses[1] == losses[2]

    @pytest.mark.parametrize("supervise", ["every_layer", "last"])
    def test_memory_does_not_grow_with_the_number_of_chunks(self, supervise: str):
        """What is kept for the backward pass is that of one chunk; resident: clip_memory.py."""
        one, two, four = (kept_for_backward(chunks, 2, supervise) for chunks in (1, 2, 4))
        assert one == two == four
        assert kept_for_backward(4, None, supervise) > 3 * one


def kept_for_backward(chunks: int, chunk: int | None, supervise: str) -> int:
    """The most bytes that a step on a clip of 2 * chunks frames keeps at one time."""
    frames = 2 * chunks
    recipe = a_recipe(
        Path(), chunk=chunk, clip={"frames": frames, "reach": 99}, supervise=supervise
    )
    torch.manual_seed(0)
    decoder = PlainMaskDecoder(recipe.decoder.build_config(TINY, 1)).train()
    masks = torch.zeros(1, frames, 48, 48, dtype=torch.bool)
    masks[:, :, 8:24, 8:24] = True
    visible = torch.ones(1, frames, dtype=torch.bool)
    clip = ClipTargets(torch.zeros(1, dtype=torch.long), masks, visible, masks[0])
    pixels = torch.zeros(1, frames, 3, 48, 48, dtype=torch.uint8)
    objective = Objective(decoder, tiny_encoder(), nullcontext, recipe, torch.device("cpu"))
    count = Kept()
    with torch.autograd.graph.saved_tensors_hooks(count.pack, lambda kept: kept.tensor):
        for part in objective.losses(Batch(pixels, [(48, 48)], [clip]), seeded()):
            total_loss(part, recipe.loss).backward()
    return count.peak


class Kept:
    """Counts the bytes of tensors that are kept for the backward pass."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def pack(self, tensor: Tensor) -> "OneKept":
        self.now += tensor.nbytes
        self.peak = max(self.peak, self.now)
        return OneKept(self, tensor.detach())  # of an output: itself would keep itself alive


class OneKept:
    """Alive as long as autograd keeps it."""

    def __init__(self, count: Kept, tensor: Tensor):
        self.count, self.tensor = count, tensor

    def __del__(self) -> None:
        self.count.now -= self.tensor.nbytes
