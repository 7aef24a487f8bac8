"""The made-up videos of moving.py are what they say, and a decoder can learn from them."""

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moving import (
    MovingConfig,
    Occlusion,
    Scene,
    make_scene,
    records_of,
    save_video_folder,
    save_youtube_vis,
)
from plainmask.data.record import Record, group_videos
from plainmask.data.video_folder import read_video_folder
from plainmask.data.youtube_vis import read_youtube_vis
from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.evaluation.video_measures import target_tracks
from plainmask.metrics.identity import Sightings
from plainmask.training.loss import total_loss
from plainmask.training.objective import Objective
from plainmask.training.points import uniform_points
from plainmask.training.recipe import Recipe
from plainmask.training.samples.batches import ClipSampler, training_batches
from tiny import tiny_encoder

CONFIG = MovingConfig()
ALONE = MovingConfig(objects=1)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(replace(CONFIG, twins=seed % 2 == 0), seed) for seed in range(8)]


class TestScenes:
    def test_a_seed_is_a_scene(self, scenes: list[Scene]):
        again = make_scene(replace(CONFIG, twins=True), 0)
        assert np.array_equal(scenes[0].images, again.images)
        assert np.array_equal(scenes[0].visible, again.visible)
        assert not np.array_equal(scenes[0].images, scenes[2].images)
        assert scenes[0].images.shape == (60, 112, 112, 3)

    def test_what_is_seen_has_a_mask_and_nothing_else_has(self, scenes: list[Scene]):
        for scene in scenes:
            for time, frame in enumerate(scene.segments):
                assert frame.track_ids.tolist() == [
                    k + 1 for k in range(4) if scene.visible[k, time]
                ]
                assert not frame.class_ids.any()
                assert frame.masks().any((1, 2)).all()
            assert not (scene.visible & ~scene.inside).any()

    def test_an_id_is_one_object(self, scenes: list[Scene]):
        """Under each mask lie the colours of that object's look, about its centre."""
        for scene in scenes:
            for time, frame in enumerate(scene.segments):
                for track, mask in zip(frame.track_ids.tolist(), frame.masks(), strict=True):
                    look = scene.looks[track - 1]
                    allowed = np.array([look.color, np.array(look.color) * 0.6]).astype(int)
                    found = scene.images[time][mask].astype(int)
                    assert (abs(found[:, None] - allowed).max(2).min(1) == 0).all()
                    center = scene.centers[track - 1, time]
                    far = abs(np.argwhere(mask)[:, ::-1] + 0.5 - center).max()
                    assert far < look.diameter / 2

    def test_objects_are_hidden_as_long_as_asked(self, scenes: list[Scene]):
        lengths = [o.frames for scene in scenes for o in scene.occlusions()]
        assert len(lengths) >= 3 * len(scenes)
        assert min(lengths) >= 1
        assert max(lengths) <= 20
        assert any(length <= 5 for length in lengths)
        assert any(length > 15 for length in lengths)
        short = replace(CONFIG, hidden=(1, 6))
        assert max(o.frames for seed in range(6) for o in make_scene(short, seed).occlusions()) <= 6

    def test_the_bar_hides_what_is_behind_it(self):
        for seed in range(6):
            scene = make_scene(ALONE, seed)
            for occlusion in scene.occlusions():
                span = slice(occlusion.first, occlusion.first + occlusion.frames)
                assert not scene.visible[0, span].any()
                assert scene.inside[0, span].all()
                before, after = occlusion.first - 1, occlusion.first + occlusion.frames
                assert scene.visible[0, [before, after]].all()
                assert abs(scene.centers[0, span, 0] - 56).max() < 20

    def test_without_a_bar_nothing_is_hidden_for_long(self):
        scene = make_scene(replace(ALONE, bar=(0, 0)), 0)
        assert scene.visible.all()
        assert scene.occlusions() == []

    def test_the_last_object_enters_and_leaves(self, scenes: list[Scene]):
        for scene in scenes:
            seen = scene.inside[3]
            assert not seen[0]
            assert not seen[-1]
            assert seen[25:35].all()

    def test_twins_pass_each_other_out_of_sight(self, scenes: list[Scene]):
        for scene in scenes[::2]:
            assert scene.looks[0] == scene.looks[1]
            left_first = scene.centers[0, :, 0] < scene.centers[1, :, 0]
            both_hidden = ~scene.visible[:2].any(0)
            crossings = np.flatnonzero(left_first[1:] != left_first[:-1])
            assert len(crossings)
            assert both_hidden[crossings[0]]
        for scene in scenes[1::2]:
            kinds = {(look.shape, look.color) for look in scene.looks}
            assert len(kinds) == len(scene.looks)

    def test_backwards(self, scenes: list[Scene]):
        scene = scenes[1]
        played = scene.backwards()
        assert np.array_equal(played.images[0], scene.images[-1])
        lengths = sorted((o.track_id, o.frames) for o in scene.occlusions())
        assert sorted((o.track_id, o.frames) for o in played.occlusions()) == lengths

    def test_written_and_read(self, tmp_path: Path, scenes: list[Scene]):
        save_youtube_vis(scenes[:2], tmp_path / "vis", "train")
        save_video_folder(scenes[:2], tmp_path / "folders")
        sets = (
            read_youtube_vis(tmp_path / "vis", "train"),
            read_video_folder(tmp_path / "folders"),
            [r for k in range(2) for r in records_of(scenes[k], f"video_{k}")],
        )
        for records in sets:
            assert [record.sequence for record in records[::60]] == ["video_0", "video_1"]
            for place in (0, 20, 100):
                scene, time = scenes[place // 60], place % 60
                check_same(records[place], scene, time)


def check_same(record: Record, scene: Scene, time: int) -> None:
    wanted, found = scene.segments[time], record.annotation()
    assert len(found) == len(wanted)
    assert np.array_equal(found.masks(), wanted.masks())
    assert abs(record.image().astype(int) - scene.images[time]).mean() < 8  # JPEG


class TestOutcomes:
    """What the benchmark counts at occlusions."""

    @pytest.fixture
    def benchmark(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        yield __import__("occlusion")
        sys.modules.pop("occlusion")

    def test_the_truth_keeps_every_name(self, benchmark: Any, scenes: list[Scene]):
        scene = scenes[0]
        tracks = sorted(target_tracks(scene.segments), key=lambda track: track.id)
        frames = [Sightings.of_tracks(tracks, tracks, time) for time in range(60)]
        names = benchmark.names_of(frames, 4)
        assert np.array_equal(names >= 0, scene.visible)
        outcomes = benchmark.outcomes_of(scene, names)
        assert outcomes.kept.sum() == len(scene.occlusions())
        assert not outcomes.switched.any()
        assert not outcomes.lost.any()

    def test_other_names_and_none(self, benchmark: Any, monkeypatch: pytest.MonkeyPatch):
        scene = make_scene(ALONE, 1)
        occlusions = [Occlusion(1, 5, 3), Occlusion(1, 20, 8), Occlusion(1, 40, 20)]
        monkeypatch.setattr(Scene, "occlusions", lambda scene: occlusions)
        names = np.full((1, 70), 7)
        names[0, 8:20] = 3  # another name after the first one
        names[0, 48:] = -1  # none after the last one
        names[0, [5, 6, 7, 21]] = -1
        names[0, 28:40] = 3
        outcomes = benchmark.outcomes_of(scene, names)
        assert outcomes.switched.tolist() == [1, 0, 0]
        assert outcomes.kept.tolist() == [0, 1, 0]
        assert outcomes.lost.tolist() == [0, 0, 1]


@pytest.mark.parametrize("chunk", [None, 4])
def test_a_decoder_learns_from_them(chunk: int | None):
    recipe = Recipe.model_validate(
        {
            "name": "moving",
            "task": "instance",
            "encoder": "tiny",
            "data": {"root": "."},
            "input": {"kind": "stride", "size": 64},
            "decoder": {
                "num_queries": 6,
                "num_blocks": 1,
                "upscale_stages": 1,
                "propagation": "gru",
            },
            "augment": {"crop_size": 64, "scale": [1, 1], "flip": 0},
            "clip": {"frames": 8, "reach": 9},
            "chunk": chunk,
            "loss": {"num_points": 256},
            "optimizer": {"warmup": 0},
            "steps": 24,
            "batch_size": 1,
            "supervise": "last",
            "masked_attention": False,
        }
    )
    config = MovingConfig(size=64, frames=12, objects=2, diameter=(18, 22), bar=(24, 28))
    videos = group_videos(records_of(make_scene(config, 3), "one"))
    assert recipe.clip is not None
    sampler = ClipSampler(
        videos, [], recipe.clip, recipe.augment, always_present=False, pasted_classes=()
    )
    torch.manual_seed(0)
    encoder = tiny_encoder()
    decoder = PlainMaskDecoder(recipe.decoder.build_config(encoder.config, 1)).train()
    objective = Objective(decoder, encoder, nullcontext, recipe, torch.device("cpu"))
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-3)
    losses: list[float] = []
    for number, batch in enumerate(
        training_batches(sampler, batch_size=1, seed=0, first=0, last=recipe.steps)
    ):
        generator = torch.Generator().manual_seed(number)
        losses.append(0.0)
        for part in objective.losses(batch, uniform_points(torch.device("cpu"), generator)):
            loss = total_loss(part, recipe.loss)
            loss.backward()
            losses[-1] += float(loss.detach())
        optimizer.step()
        optimizer.zero_grad()
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
