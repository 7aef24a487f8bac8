"""What a call gives: the thing itself for one head, dicts for a Segmenter; alone or in lists."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import plainmask
from plainmask.encoder.vit import Encoder
from plainmask.errors import InputError
from plainmask.pictures.geometry import InputProtocol
from plainmask.results.task import Task
from streams import segmenter, segmenters, video
from tiny import tiny_encoder, tiny_head, tiny_video_head


def pictures(count: int, size: tuple[int, int] = (50, 70)) -> list[np.ndarray]:
    return [
        np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8) for seed in range(count)
    ]


def counting(encoder: Encoder) -> list[int]:
    batches: list[int] = []
    encoder.register_forward_pre_hook(lambda _, args: batches.append(len(args[0])))
    return batches


def test_a_segmenter_always_answers_with_dicts():
    model, frames = segmenters("semantic"), video(0, 2)
    assert list(model(frames[0])) == ["semantic"]
    assert [list(found) for found in model(frames)] == [["semantic"]] * 2
    assert list(model.stream().step(frames[0])) == ["semantic"]
    assert [list(found) for found in model.track(frames)] == [["semantic"]] * 2
    pixels = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    assert list(model.logits(pixels)) == list(model.stream().logits(pixels)) == ["semantic"]
    stream = model.stream()
    stream.step(frames[0])
    assert list(stream.state) == ["semantic"]


def test_one_head_answers_with_the_thing_itself():
    many = segmenters("semantic", "instance")
    alone, frame = many["instance"], video(0, 1)[0]
    assert alone.encoder is many.encoder
    assert isinstance(alone(frame), plainmask.InstanceResult)
    assert isinstance(alone.stream().step(frame), plainmask.InstanceResult)
    assert isinstance(next(alone.track([frame])), plainmask.InstanceResult)
    assert alone(frame).rows() == many(frame)["instance"].rows()
    with pytest.raises(InputError, match="there is no head 'stuff'; there are semantic, instance"):
        many["stuff"]


def test_lists_tuples_and_iterators_are_answered_in_kind():
    model, images = segmenter("semantic"), pictures(3)
    one_by_one = [model(image).label_map for image in images]
    for several in (images, tuple(images)):
        found = model(several)
        assert isinstance(found, list)
        assert all(np.array_equal(a.label_map, b) for a, b in zip(found, one_by_one, strict=True))
    found = model(image for image in images)
    assert isinstance(found, Iterator)
    assert [result.image_size for result in found] == [(50, 70)] * 3
    assert model([]) == []


def test_pictures_of_one_size_share_passes():
    model = segmenter("instance")
    batches = counting(model.encoder)
    found = model([*pictures(4), *pictures(1, (70, 50))])
    assert batches == [4, 1]
    assert [result.image_size for result in found] == [(50, 70)] * 4 + [(70, 50)]


def test_results_before_a_bad_picture_are_not_lost():
    results = segmenter("semantic")(iter([pictures(1)[0], "nowhere.jpg"]))
    assert next(results).image_size == (50, 70)
    with pytest.raises(InputError, match=r"nowhere\.jpg"):
        next(results)


def test_answers_come_in_the_order_of_the_heads():
    encoder = tiny_encoder()
    heads = {
        "x": tiny_head("semantic", encoder),
        "y": tiny_head("semantic", encoder).seeing("stride"),
        "z": tiny_head("semantic", encoder),
    }
    model = plainmask.Segmenter(encoder, heads, device="cpu")
    assert list(model(pictures(1)[0])) == ["x", "y", "z"]


@pytest.mark.parametrize("protocol", ["ofline", "Online"])
def test_an_unknown_protocol_is_refused_at_the_call(protocol: str):
    with pytest.raises(InputError, match=f"the protocol '{protocol}' is unknown"):
        segmenter().track(video(0, 1), protocol=protocol)


def test_a_missing_video_is_refused_at_the_call():
    with pytest.raises(InputError, match="there is no such file"):
        segmenter().track("nowhere.mp4")


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_callers_autocast_changes_nothing(task: Task, dtype: torch.dtype):
    model, frames = segmenter(task), video(3, 2)
    alone = [*model(frames), *model.track(frames), *model.track(frames, protocol="offline")]
    with torch.autocast("cpu", dtype):
        inside = [*model(frames), *model.track(frames), *model.track(frames, protocol="offline")]
    for mine, theirs in zip(inside, alone, strict=True):
        assert mine.rows() == theirs.rows()
        assert np.array_equal(mine.flat_map(), theirs.flat_map())


def test_the_callers_default_dtype_changes_nothing(tmp_path: Path):
    model, frame = segmenter("semantic"), video(3, 1)[0]
    folder = model.head.save(tmp_path / "head", dtype=torch.float32)
    alone = model(frame)
    torch.set_default_dtype(torch.float64)
    try:
        loaded = plainmask.Segmenter(model.encoder, {"a": folder}, device="cpu")
        inside = loaded["a"](frame)
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(inside.scores, alone.scores)


def test_what_is_handed_in_stays_as_it_is():
    encoder = tiny_encoder()
    head = tiny_head("semantic", encoder)
    head.decoder.train()
    model = plainmask.Segmenter(encoder, {"a": head}, device="cpu")
    assert head.decoder.training
    assert not model.heads["a"].decoder.training
    assert model.encoder is encoder  # nothing had to change: no copy


def test_features_are_those_of_the_encoder():
    encoder = tiny_encoder()
    model = plainmask.Segmenter(encoder, device="cpu")
    image = pictures(1, (50, 70))[0]
    found = model.features(image)
    patch = encoder.config.patch_size
    grid = (50 // patch, 70 // patch)
    assert found.grid == grid
    whole = torch.from_numpy(image).permute(2, 0, 1)[None, :, : grid[0] * patch, : grid[1] * patch]
    assert all(torch.equal(a, b) for a, b in zip(found.taps, encoder(whole).taps, strict=True))
    assert found.taps[0].shape[1] == found.prefix + grid[0] * grid[1]
    larger = model.features(image, size=6 * patch)
    assert min(larger.grid) == 6
    with pytest.raises(InputError, match="smaller than one"):
        model.features(image[:4])


def test_a_video_of_windows_keeps_counting_when_it_is_cut_otherwise():
    windows = InputProtocol(kind="windows", size=(48, 48))
    encoder = tiny_encoder()
    head = tiny_video_head("semantic", encoder, input=windows)
    model = plainmask.Segmenter(encoder, {"a": head}, device="cpu")["a"]
    stream = model.stream()
    stream.step(video(0, 1)[0])
    second = stream.step(video(1, 1, (50, 50))[0])
    assert second.frame_index == 1
    resumed = model.stream()
    resumed.state = second.state
    assert resumed.step(video(1, 1, (50, 50))[0]).frame_index == 2


@pytest.mark.parametrize("size", [(3, 900), (900, 3), (40, 4000), (1, 1)])
@pytest.mark.parametrize(
    "way",
    [
        InputProtocol(kind="windows", size=(48, 64)),
        InputProtocol(kind="windows", size=(48, 64), shorter=96),
        InputProtocol(kind="stride", size=128),
        InputProtocol(kind="fit", size=64),
        InputProtocol(kind="video", size=48),
    ],
    ids=str,
)
def test_a_picture_of_any_shape_gets_a_result(size: tuple[int, int], way: InputProtocol):
    """One that is too long and thin to be seen at once is seen in tiles."""
    model = segmenter("semantic", input=way)
    image = np.full((*size, 3), 90, np.uint8)
    assert model(image).image_size == size


@pytest.mark.parametrize(
    ("way", "size", "scale"),
    [
        (InputProtocol(kind="windows", size=(350, 462), shorter=460), (500, 8000), None),
        (InputProtocol(kind="windows", size=(350, 462), shorter=460), (500, 10_000), 0.92),
        (InputProtocol(kind="windows", size=(350, 462), shorter=460), (3, 900), 4.0),
        (InputProtocol(kind="stride", size=640), (640, 20_000), 1.0),
        (InputProtocol(kind="fit", size=640), (3, 9000), None),
    ],
)
def test_tiles_stand_in_for_what_would_fill_the_memory(
    way: InputProtocol, size: tuple[int, int], scale: float | None
):
    found = way.for_image(size, 14)
    assert found == way if scale is None else (found.kind, found.scale) == ("tiles", scale)


def test_a_result_knows_its_picture_as_it_was_given(tmp_path: Path):
    path = tmp_path / "photo.png"
    Image.fromarray(video(0, 1)[0]).save(path)
    encoder = tiny_encoder()
    model = plainmask.Segmenter(encoder, {"a": tiny_head("semantic", encoder)}, device="cpu")["a"]
    result = model(path)
    assert result.source == path
    assert [file.name for file in result.save(tmp_path / "out")] == [
        "photo.labels.png",
        "photo.segments.json",
        "photo.overlay.png",
    ]
    image = video(1, 1)[0]
    assert model([image])[0].source is image, "no copy"
    assert next(model.track([image])).source is None, "frames are not held"


def test_a_head_states_from_which_score_on_it_is_sure():
    model, frames = segmenter("instance"), video(5, 2)
    thresholds = model.head.config.thresholds.model_copy(update={"confident": 0.2})
    config = model.head.config.model_copy(update={"thresholds": thresholds})
    surer = plainmask.Segmenter(
        model.encoder, {"a": replace(model.head, config=config)}, device="cpu"
    )["a"]
    found = [surer(frames[0]), *surer.track(frames), *surer.track(frames, protocol="offline")]
    found.append(surer.seeing("tiles")(frames[0]))
    assert {result.confident for result in found} == {0.2}
    assert model(frames[0]).confident == 0.5
    everything, same = surer(frames[0]).candidates, model(frames[0]).candidates
    assert len(everything) == len(same)
    assert everything.frame_index is None
    assert not everything.track_ids, "of a video head, too, an image is no frame"
    assert surer(frames[0]).candidates.source is frames[0]
