from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from plainmask.data.record import Annotation, LabelledVideo, Record
from plainmask.errors import InputError
from plainmask.training.samples.augment import sample_generator
from plainmask.training.samples.clips import (
    Clip,
    ClipConfig,
    PasteConfig,
    StillClipConfig,
    choose_frames,
    paste_tracks,
    sample_clip,
    still_clip,
)

COLORS = np.array([[0, 0, 0], [250, 0, 0], [0, 250, 0], [0, 0, 250]], np.uint8)
BLOCKS = np.full((40, 60), -1, np.int32)
BLOCKS[8:24, 10:30], BLOCKS[20:34, 34:50] = 0, 1


def picture(index_map: np.ndarray) -> torch.Tensor:
    """Each segment in a colour of its own."""
    return torch.from_numpy(COLORS[index_map + 1]).permute(2, 0, 1)


def gray(value: int, size=(40, 60)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def block(class_id: int, track_id: int, size=(40, 60), crowd=False) -> Annotation:
    index_map = np.full(size, -1, np.int32)
    index_map[size[0] // 4 : -size[0] // 4, size[1] // 4 : -size[1] // 4] = 0
    return Annotation.of_map(index_map, [class_id], [crowd], [track_id])


def make_video(name: str, length: int, value: int, class_id: int = 0) -> LabelledVideo:
    frames = [
        Record(
            f"{name}/{place}",
            partial(gray, value + place),
            partial(block, class_id, 5),
            name,
            place,
        )
        for place in range(length)
    ]
    return LabelledVideo(name, tuple(frames))


def consecutive(frames: int, **options) -> ClipConfig:
    assert frames % 2
    return ClipConfig(frames=frames, reach=frames // 2, **options)


class TestChooseFrames:
    @given(
        length=st.integers(1, 40),
        frames=st.integers(1, 9),
        reach=st.integers(0, 6),
        reverse=st.sampled_from([0.0, 1.0]),
        seed=st.integers(0, 2**31),
    )
    def test_always(self, length: int, frames: int, reach: int, reverse: float, seed: int):
        config = ClipConfig(frames=frames, reach=reach, reverse=reverse)
        chosen = choose_frames(length, config, sample_generator(seed, 0, 0))
        assert len(chosen) == frames
        assert set(chosen) <= set(range(length))
        assert chosen == sorted(chosen, reverse=reverse == 1.0)
        assert max(chosen) - min(chosen) <= 2 * reach
        if 2 * reach + 1 == frames:
            assert set(chosen) == set(range(min(chosen), max(chosen) + 1))
            assert len(set(chosen)) == min(frames, length)

    def chosen(self, length: int, config: ClipConfig) -> list[list[int]]:
        return [choose_frames(length, config, sample_generator(0, 0, i)) for i in range(400)]

    def test_every_start_of_consecutive_frames_is_drawn(self):
        starts = Counter(chosen[0] for chosen in self.chosen(8, consecutive(5)))
        assert set(starts) == {0, 1, 2, 3}
        assert min(starts.values()) > 60

    def test_the_published_sampling_leaves_the_last_start_out(self):
        config = consecutive(5, published=True)
        assert {chosen[0] for chosen in self.chosen(8, config)} == {0, 1, 2}
        assert {chosen[0] for chosen in self.chosen(5, config)} == {0}

    def test_short_videos_are_filled_up(self):
        assert all(chosen == sorted(chosen) for chosen in self.chosen(3, consecutive(5)))
        published = self.chosen(3, consecutive(5, published=True))
        assert all(chosen[:3] == [0, 1, 2] for chosen in published)
        assert {tuple(chosen[3:]) for chosen in published} == {
            (a, b) for a in range(3) for b in range(3)
        }

    def test_frames_around_a_reference(self):
        config = ClipConfig(frames=15, reach=5)
        drawn = self.chosen(30, config)
        assert {frame for chosen in drawn for frame in chosen} == set(range(30))
        assert all(len(set(chosen)) < 15 for chosen in drawn)  # at most 11 frames are in reach
        assert any(max(chosen) - min(chosen) > 8 for chosen in drawn)

    def test_one_frame_is_repeated(self):
        config = ClipConfig(frames=4, reach=3)
        assert choose_frames(1, config, sample_generator(0, 0, 0)) == [0] * 4

    def test_going_back_in_time(self):
        directions = Counter(
            chosen[0] < chosen[-1] for chosen in self.chosen(9, consecutive(3, reverse=0.5))
        )
        assert directions[True] == pytest.approx(200, abs=40)


class TestStillClips:
    def make(self, seed: int = 0, frames: int = 5, **config) -> Clip:
        segments = Annotation.of_map(BLOCKS, [7, 8])
        generator = sample_generator(seed, 0, 0)
        settings = StillClipConfig(**config)
        return still_clip(picture(BLOCKS), segments, frames, settings, generator)

    @pytest.mark.parametrize("seed", range(8))
    def test_pixels_and_segments_move_together(self, seed: int):
        clip = self.make(seed, shift=0.3, zoom=0.3)
        for image, segments in zip(*clip, strict=True):
            painted = picture(segments.index_map)
            wrong = ((image.int() - painted.int()).abs().amax(0) > 125).sum()
            assert wrong <= 30  # of 2400; only borders may differ

    def test_without_motion_nothing_changes(self):
        clip = self.make(rotation=0)
        assert all(torch.equal(image, picture(BLOCKS)) for image in clip.images)
        assert all((segments.index_map == BLOCKS).all() for segments in clip.segments)

    def directions(self, seed: int) -> list[float]:
        """Angle of the line between the two blocks in each frame."""
        angles = []
        for segments in self.make(seed).segments:
            (y0, x0), (y1, x1) = (np.argwhere(mask).mean(0) for mask in segments.masks())
            angles.append(float(np.degrees(np.arctan2(y1 - y0, x1 - x0))))
        return angles

    def test_angles_are_sorted_either_way_and_bounded(self):
        (y0, x0), (y1, x1) = (np.argwhere(index == BLOCKS).mean(0) for index in (0, 1))
        upright = float(np.degrees(np.arctan2(y1 - y0, x1 - x0)))
        rising = []
        for seed in range(20):
            steps = np.diff(self.directions(seed))
            assert (steps > -0.5).all() or (steps < 0.5).all()
            assert np.abs(np.array(self.directions(seed)) - upright).max() < 16
            rising.append(bool(steps.sum() > 0))
        assert 0 < sum(rising) < 20

    def test_drift_and_zoom_go_one_way(self):
        for seed in range(5):
            masks = [s.masks()[0] for s in self.make(seed, rotation=0, shift=0.4).segments]
            columns = np.diff([np.argwhere(mask)[:, 1].mean() for mask in masks])
            assert (columns >= 0).all() or (columns <= 0).all()
            areas = [s.masks()[0].sum() for s in self.make(seed, rotation=0, zoom=1.0).segments]
            assert areas in (sorted(areas), sorted(areas, reverse=True))

    def test_tracks_and_crowds_stay(self):
        segments = Annotation.of_map(BLOCKS, [7, 8], [False, True], [30, 20])
        clip = still_clip(
            picture(BLOCKS), segments, 3, StillClipConfig(), sample_generator(0, 0, 0)
        )
        for frame in clip.segments:
            assert frame.track_ids.tolist() == [30, 20]
            assert frame.crowd.tolist() == [False, True]

    def test_one_frame(self):
        assert len(self.make(frames=1, shift=1, zoom=1).images) == 1


class TestPaste:
    def clip(self, value: int, segments: Annotation, frames: int = 4) -> Clip:
        size = segments.size
        images = [torch.from_numpy(gray(value, size)).permute(2, 0, 1)] * frames
        return Clip(images, [segments] * frames)

    def paste(self, clip: Clip, donor: Clip, seed: int = 0, **options) -> Clip:
        classes = options.pop("classes", None)
        generator = sample_generator(seed, 0, 0)
        return paste_tracks(clip, donor, PasteConfig(**options), generator, classes=classes)

    @pytest.mark.parametrize("seed", range(8))
    def test_the_pasted_object_covers_what_lies_below(self, seed: int):
        clip = self.clip(10, block(3, track_id=5))
        pasted = self.paste(clip, self.clip(200, block(4, 5, size=(30, 30))), seed, partial=0)
        for image, segments in zip(*pasted, strict=True):
            assert segments.class_ids.tolist() == [3, 4]
            assert segments.track_ids.tolist() == [5, 6]
            below, above = segments.masks()
            before = clip.segments[0].masks()[0]
            np.testing.assert_array_equal(below, before & ~above)
            np.testing.assert_array_equal(image[0].numpy() > 100, above)
            assert above.any()

    def test_the_donor_is_placed_by_one_draw(self):
        pasted = self.paste(self.clip(1, block(3, 5)), self.clip(200, block(4, 5)), partial=0)
        masks = [segments.masks()[1] for segments in pasted.segments]
        assert all((mask == masks[0]).all() for mask in masks)

    def test_objects_come_late_and_leave_early(self):
        clip, donor = self.clip(1, block(3, 5)), self.clip(200, block(4, 5))
        patterns = set()
        for seed in range(60):
            frames = self.paste(clip, donor, seed, partial=1, shift=0).segments
            patterns.add(tuple(len(segments) == 2 for segments in frames))
        assert all(any(pattern) for pattern in patterns)
        assert len(patterns) == 10  # all intervals of 4 frames

    def test_crowds_and_other_classes_stay_away(self):
        clip = self.clip(1, block(3, 5))
        for donor, classes in ((block(4, 5, crowd=True), None), (block(4, 5), {7})):
            pasted = self.paste(clip, self.clip(200, donor), classes=classes)
            assert all(torch.equal(image, clip.images[0]) for image in pasted.images)
            assert all(len(segments) == 1 for segments in pasted.segments)

    def test_of_many_objects_some_are_drawn(self):
        index_map = np.arange(40 * 60, dtype=np.int32).reshape(40, 60) // 200
        donor = self.clip(200, Annotation.of_map(index_map, np.arange(12)))
        seen = set()
        for seed in range(20):
            pasted = self.paste(self.clip(1, block(3, 5)), donor, seed, max_objects=2, partial=0)
            classes = tuple(pasted.segments[0].class_ids[1:].tolist())
            assert len(classes) == 2
            seen.update(classes)
        assert len(seen) > 8

    def test_layers_of_both_stay_apart(self):
        whole = np.ones((40, 60), bool)
        half = np.zeros((40, 60), bool)
        half[:, :30] = True
        below = Annotation.of_masks([whole, half], (40, 60), [1, 2])
        above = Annotation.of_masks([half, half, half], (40, 60), [3, 4, 5])
        pasted = self.paste(
            self.clip(1, below), self.clip(9, above), shift=0, scale=(1, 1), flip=0, partial=0
        )
        np.testing.assert_array_equal(
            pasted.segments[0].masks(), [whole & ~half, half & ~half, half, half, half]
        )


class TestSampleClip:
    CONFIG = consecutive(3)
    VIDEOS = tuple(make_video(f"v{i}", 6, value=40 * i, class_id=i) for i in range(3))
    STILLS = (Record("still", partial(gray, 200), partial(block, 9, 0)),)

    def sample(self, seed: int, index: int = 0, videos=VIDEOS, stills=(), **options) -> Clip:
        config = self.CONFIG.model_copy(update=options)
        return sample_clip(videos, stills, config, sample_generator(seed, 0, 0), index)

    def test_frames_of_the_video(self):
        for index in range(3):
            images, segments = self.sample(0, index)
            values = [int(image[0, 0, 0]) for image in images]
            assert values == list(range(values[0], values[0] + 3))
            assert values[0] // 40 == index
            assert segments[0].class_ids.tolist() == [index]
            assert images[0].shape == (3, 40, 60)

    def test_stills_take_their_share(self):
        classes = [
            int(self.sample(seed, stills=self.STILLS).segments[0].class_ids[0])
            for seed in range(200)
        ]
        assert classes.count(9) == pytest.approx(100, abs=30)
        assert set(classes) == {0, 9}

    def test_stills_alone(self):
        images, segments = self.sample(0, videos=(), stills=self.STILLS)
        assert len(images) == 3
        assert segments[0].class_ids.tolist() == [9]

    def test_objects_of_other_videos_are_pasted(self):
        donors = Counter(
            tuple(self.sample(seed, index=1, paste=1.0).segments[0].class_ids.tolist())
            for seed in range(60)
        )
        assert set(donors) <= {(1, 0), (1, 2), (1,)}
        assert min(donors[1, 0], donors[1, 2]) > 5

    def test_a_single_video_gets_nothing_pasted(self):
        clip = self.sample(0, videos=self.VIDEOS[:1], paste=1.0)
        assert all(len(segments) == 1 for segments in clip.segments)

    def test_the_same_generator_gives_the_same_clip(self):
        first, again, other = (
            self.sample(seed, stills=self.STILLS, paste=1.0) for seed in (4, 4, 5)
        )
        assert all(torch.equal(a, b) for a, b in zip(first.images, again.images, strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(first.images, other.images, strict=True))

    def test_frames_without_annotation_are_passed_over(self):
        frames = [
            record if place % 2 else Record(record.id, record.load_image, None, "v0", place)
            for place, record in enumerate(self.VIDEOS[0].frames)
        ]
        images, _ = self.sample(0, videos=(LabelledVideo("v0", tuple(frames)),))
        assert [int(image[0, 0, 0]) for image in images] == [1, 3, 5]

    def test_what_cannot_be_drawn_from(self):
        with pytest.raises(InputError, match="nothing to draw clips from"):
            self.sample(0, videos=())
        unlabelled = LabelledVideo("dark", (Record("dark/0", partial(gray, 0), None, "dark", 0),))
        with pytest.raises(InputError, match="the video dark has no annotated frame"):
            self.sample(0, videos=(unlabelled,))


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 0},
        {"reach": -1},
        {"reverse": 1.5},
        {"pasting": {"scale": (2, 1)}},
        {"still_motion": {"rotation": -1}},
        {"stride": 2},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        ClipConfig.model_validate({"frames": 5, "reach": 2, **wrong})
