"""The model for FiftyOne with its own labels, samples and readers of videos."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plainmask
from plainmask.bridges import fiftyone as bridge
from tiny import save_with_encoder, tiny_encoder, tiny_head, tiny_video_head
from videos import pictures, write_video

fiftyone = pytest.importorskip("fiftyone", reason="pip install 'plainmask[fiftyone]'")
core = pytest.importorskip("fiftyone.core.models")
eta_video = pytest.importorskip("eta.core.video")

IMAGES = pictures(3)
HEIGHT, WIDTH = IMAGES[0].shape[:2]


@pytest.fixture
def heads(tmp_path: Path) -> list[Path]:
    encoder = tiny_encoder()
    return [
        save_with_encoder(tiny_head("semantic", encoder), encoder, tmp_path / "scene-s"),
        save_with_encoder(tiny_video_head("instance", encoder), encoder, tmp_path / "things"),
    ]


def whole(detection: Any) -> np.ndarray:
    """The mask of a detection in its picture."""
    x, y, width, height = detection.bounding_box
    left, top = round(x * WIDTH), round(y * HEIGHT)
    assert detection.mask.shape == (round(height * HEIGHT), round(width * WIDTH))
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + detection.mask.shape[0], left : left + detection.mask.shape[1]] = (
        detection.mask
    )
    return mask


def check_detections(label: Any, result: plainmask.InstanceResult) -> None:
    assert isinstance(label, fiftyone.Detections)
    assert len(label.detections) == len(result.segments)
    for detection, segment in zip(label.detections, result.segments, strict=True):
        assert (detection.label, detection.confidence) == (segment.label, segment.score)
        np.testing.assert_array_equal(whole(detection), result.mask_of(segment))


def test_one_label_field_a_head(heads: list[Path]):
    model = bridge.model(heads, device="cpu")
    assert isinstance(model, core.Model)
    assert (model.media_type, model.ragged_batches, model.transforms) == ("image", False, None)
    sample = fiftyone.Sample(filepath="a.png")
    sample.add_labels(model.predict(IMAGES[0]), label_field="ours")
    semantic = plainmask.load(heads[0], device="cpu")(IMAGES[0])
    assert isinstance(sample["ours_scene_s"], fiftyone.Segmentation)
    assert sample["ours_scene_s"].mask.dtype == np.uint8
    np.testing.assert_array_equal(sample["ours_scene_s"].mask, semantic.label_map + 1)
    things = plainmask.load(heads[1], device="cpu")(IMAGES[0])
    assert len(things) > 0
    check_detections(sample["ours_things"], things)
    assert model.mask_targets == {"scene_s": {1: "class_0", 2: "class_1", 3: "class_2"}}


def test_one_head_gives_the_label_itself(heads: list[Path]):
    model = bridge.model(heads[0], device="cpu")
    both = model.predict_all([IMAGES[0], IMAGES[1][:40]])
    assert [label.mask.shape for label in both] == [(HEIGHT, WIDTH), (40, WIDTH)]
    np.testing.assert_array_equal(both[0].mask, model.predict(IMAGES[0]).mask)
    assert model.mask_targets == {1: "class_0", 2: "class_1", 3: "class_2"}
    assert bridge.model(heads[1], device="cpu").mask_targets == {}


def test_the_threshold_is_the_least_score(heads: list[Path]):
    model = bridge.model(heads[1], device="cpu")
    with fiftyone.core.utils.SetAttributes(model.config, confidence_thresh=0.0):
        every = model.predict(IMAGES[0]).detections
    assert len(every) > len(model.predict(IMAGES[0]).detections)


def test_videos_have_tracks(heads: list[Path], tmp_path: Path):
    path = tmp_path / "a.mp4"
    write_video(path, pictures(5))
    model = bridge.model(heads[1], video=True, device="cpu")
    with eta_video.OpenCVVideoReader(str(path)) as reader:
        frames = model.predict(reader)
    with eta_video.OpenCVVideoReader(str(path)) as reader:
        expected = list(plainmask.load(heads[1], device="cpu").track(list(reader)))
    assert list(frames) == [1, 2, 3, 4, 5]
    for label, result in zip(frames.values(), expected, strict=True):
        check_detections(label, result)
        assert [detection.index for detection in label.detections] == list(result.track_ids)
    with eta_video.OpenCVVideoReader(str(path), frames="3-5") as reader:
        assert list(model.predict_all([reader])[0]) == [3, 4, 5]


def test_embeddings_are_means_of_patches(heads: list[Path]):
    model = bridge.model(heads, device="cpu")
    assert model.has_embeddings
    features = model.segmenter.features(IMAGES[0], size=32 * 16)
    expected = features.taps[-1][0, features.prefix :].mean(0).numpy()
    np.testing.assert_array_equal(model.embed(IMAGES[0]), expected)
    np.testing.assert_array_equal(model.embed_all(IMAGES[:2])[0], expected)
    model.predict_all(IMAGES[:2])
    np.testing.assert_array_equal(model.get_embeddings()[0], expected)
    assert not bridge.model(heads, video=True, device="cpu").has_embeddings
