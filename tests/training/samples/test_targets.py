from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from plainmask.data.record import Annotation
from plainmask.training.samples.augment import VideoAugmentConfig, augment_clip, sample_generator
from plainmask.training.samples.targets import clip_targets, number_objects

GOLDEN = Path(__file__).parents[2] / "golden"


def make_segments(index_map, class_ids, track_ids, crowd=None) -> Annotation:
    return Annotation.of_map(np.array(index_map, np.int32), class_ids, crowd, track_ids)


def test_tracks_are_joined_over_the_frames():
    frames = [
        make_segments([[0, 1, -1]], [5, 6], [30, 20]),
        make_segments([[0, 1, 1]], [7, 5], [10, 30]),
    ]
    layers, labels = number_objects(frames)
    assert labels.tolist() == [5, 6, 7]
    assert [frame.tolist() for frame in layers] == [[[[0, 1, -1]]], [[[2, 0, 0]]]]
    targets = clip_targets(layers, labels, always_present=False)
    assert targets.masks.int().tolist() == [
        [[[1, 0, 0]], [[0, 1, 1]]],
        [[[0, 1, 0]], [[0, 0, 0]]],
        [[[0, 0, 0]], [[1, 0, 0]]],
    ]
    assert targets.visible.tolist() == [[True, True], [True, False], [False, True]]
    assert targets.valid.tolist() == [[[True, True, False]], [[True, True, True]]]
    assert clip_targets(layers, labels, always_present=True).visible.all()


def test_the_first_class_of_a_track_counts_and_crowds_do_not():
    frames = [
        make_segments([[0, 1]], [5, 6], [1, 2], crowd=[False, True]),
        make_segments([[0, 1]], [9, 6], [1, 2], crowd=[False, True]),
    ]
    layers, labels = number_objects(frames)
    targets = clip_targets(layers, labels, always_present=False)
    assert targets.labels.tolist() == [5]
    assert not targets.valid[..., 1].any()


def test_objects_that_are_never_seen_are_left_out():
    layers = [torch.tensor([[[0, 2]]], dtype=torch.int32)] * 2
    for always_present in (False, True):
        targets = clip_targets(layers, torch.tensor([7, 8, 9]), always_present)
        assert targets.labels.tolist() == [7, 9]
        assert targets.masks.shape == (2, 2, 1, 2)


def test_a_clip_without_objects():
    layers, labels = number_objects([make_segments([[-1, -1]], [], [])] * 3)
    targets = clip_targets(layers, labels, always_present=False)
    assert targets.masks.shape == (0, 3, 1, 2)
    assert targets.visible.shape == (0, 3)
    assert targets.frame(1).masks.shape == (0, 1, 2)


def test_frame_gives_what_it_shows():
    overlapping = Annotation.of_masks(
        [np.ones((1, 2), bool), np.eye(1, 2, dtype=bool)], (1, 2), [3, 4]
    )
    layers, labels = number_objects([overlapping, make_segments([[-1, 0]], [4], [1])])
    targets = clip_targets(layers, labels, always_present=True)
    assert targets.frame(0).masks.tolist() == [[[True, True]], [[True, False]]]
    last = targets.frame(1)
    assert last.labels.tolist() == [4]
    assert last.masks.tolist() == [[[False, True]]]
    assert last.valid.tolist() == [[False, True]]


def test_golden_clip():
    """The published preparation of a clip: labels, presence, padding (docs/model.md 7.7)."""
    golden = load_file(GOLDEN / "video_train_b1.safetensors")
    masks, ids = golden["input/gt_masks"].bool().numpy(), golden["input/gt_ids"].numpy()
    segments = [
        Annotation.of_masks(
            list(masks[present, time]),
            masks.shape[2:],
            golden["input/gt_classes"].numpy()[present],
            track_ids=present,
        )
        for time in range(masks.shape[1])
        if len(present := np.flatnonzero(ids[:, time] != -1))
    ]
    images = [torch.zeros(3, *masks.shape[2:], dtype=torch.uint8)] * len(segments)
    config = VideoAugmentConfig(shorter=(60,), longest=90, flip=0)
    sample = augment_clip(images, segments, config, sample_generator(0, 0, 0))
    assert torch.equal(sample.targets.labels, golden["targets/labels"])
    assert torch.equal(sample.targets.masks, golden["targets/masks_padded"].bool())
    assert torch.equal(sample.targets.visible, golden["targets/ids"] != -1)
    assert sample.content == (60, 90)
