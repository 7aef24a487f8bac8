"""One encoder, several heads: one pass, equal to separate runs; adding, removing, refusing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from goldens import below, golden
from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import load_encoder
from plainmask.errors import HeadError, InputError
from plainmask.heads.head import EncoderRef, Head, HeadConfig
from plainmask.inference.loading import load
from plainmask.inference.mosaic import build_mosaic
from plainmask.inference.segmenter import Segmenter
from plainmask.inference.tiles import plan_tiles
from plainmask.pictures.geometry import InputProtocol
from plainmask.results.task import Task
from plainmask.vocabulary import Vocabulary
from tiny import tiny_encoder, tiny_head, tiny_video_head


@pytest.fixture
def encoder() -> Encoder:
    return load_encoder(below(golden("dinov3"), "encoder."), num_heads=3, taps=(1, 2, 4, 5))


def make_head(encoder: Encoder, task: Any, protocol: InputProtocol, **reference: Any) -> Head:
    torch.manual_seed(len(task))
    config = DecoderConfig(
        width=48,
        heads=3,
        num_queries=6,
        num_classes=4,
        num_blocks=1,
        ffn_hidden=48,
        upscale_stages=1,
    )
    head = HeadConfig(
        name=task,
        task=task,
        vocabulary=Vocabulary.numbered(4),
        decoder=config,
        encoder=EncoderRef.of(encoder).model_copy(update=reference),
        input=protocol,
    )
    return Head(head, PlainMaskDecoder(config).eval())


def counting(encoder: Encoder) -> list[Tensor]:
    """The pixels of each pass of the encoder from now on."""
    passes: list[Tensor] = []
    encoder.register_forward_pre_hook(lambda module, args: passes.append(args[0]))
    return passes


def picture(height: int = 70, width: int = 100) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_heads_of_one_protocol_share_a_pass(encoder: Encoder):
    fit = InputProtocol(kind="fit", size=96)
    segmenter = Segmenter(
        encoder,
        {
            "a": make_head(encoder, "semantic", fit),
            "b": make_head(encoder, "panoptic", fit, taps=(0, 1, 2, 3)),
            "c": make_head(encoder, "instance", InputProtocol(kind="stride", size=64)),
        },
    )
    passes = counting(encoder)
    results = segmenter(picture())
    assert len(passes) == 2  # one for each protocol
    assert set(results) == {"a", "b", "c"}

    pixels = torch.randint(0, 256, (2, 3, 64, 80), dtype=torch.uint8)
    together = segmenter.logits(pixels)
    for name, head in segmenter.heads.items():
        alone = Segmenter(encoder, {name: head})[name]
        assert torch.equal(alone.logits(pixels).mask_logits, together[name].mask_logits)
        assert torch.equal(alone.logits(pixels).class_logits, together[name].class_logits)
    semantic = segmenter["a"](picture())
    assert np.array_equal(semantic.label_map, results["a"].label_map)


def test_heads_come_and_go(encoder: Encoder):
    fit = InputProtocol(kind="fit", size=96)
    segmenter = Segmenter(encoder)
    with pytest.raises(InputError, match="has no head"):
        segmenter(picture())
    segmenter.add("a", make_head(encoder, "semantic", fit))
    segmenter.add("b", make_head(encoder, "panoptic", fit))
    assert list(segmenter.heads) == ["a", "b"]
    segmenter.remove("a")
    assert list(segmenter.heads) == ["b"]
    assert segmenter(picture())["b"].image_size == (70, 100)
    with pytest.raises(InputError, match="no head 'a'; there are b"):
        segmenter.remove("a")


def test_a_list_gives_a_list(encoder: Encoder):
    segmenter = Segmenter(
        encoder, {"a": make_head(encoder, "semantic", InputProtocol(kind="fit", size=96))}
    )["a"]
    results = segmenter([picture(50, 60), picture(90, 30)])
    assert [result.image_size for result in results] == [(50, 60), (90, 30)]


def test_a_head_of_another_encoder_is_refused_with_both_named(encoder: Encoder):
    state = below(golden("dinov3"), "encoder.")
    state["norm.bias"] = state["norm.bias"] + 1
    other = load_encoder(state, num_heads=3, taps=(1, 2, 4, 5))
    head = make_head(other, "semantic", InputProtocol(kind="fit", size=96))
    with pytest.raises(HeadError) as caught:
        Segmenter(encoder, {"a": head})
    assert other.fingerprint in str(caught.value)
    assert encoder.fingerprint in str(caught.value)


def test_head_folder_round_trip(encoder: Encoder, tmp_path: Path):
    head = make_head(encoder, "semantic", InputProtocol(kind="fit", size=96))
    folder = head.save(tmp_path / "head", dtype=torch.float32)
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    segmenter = load(folder, encoder=encoder)
    assert segmenter.head.config == head.config
    pixels = torch.randint(0, 256, (1, 3, 64, 80), dtype=torch.uint8)
    expected = Segmenter(encoder, {"a": head})["a"].logits(pixels)
    assert torch.equal(segmenter.logits(pixels).mask_logits, expected.mask_logits)


def test_an_explicit_encoder_of_other_weights_warns(encoder: Encoder, tmp_path: Path):
    head = make_head(encoder, "semantic", InputProtocol(kind="fit", size=96))
    folder = head.save(tmp_path / "head")
    state = below(golden("dinov3"), "encoder.")
    state["norm.bias"] = state["norm.bias"] + 1
    with pytest.warns(UserWarning, match="results may differ"):
        load(folder, encoder=load_encoder(state, num_heads=3, taps=(1, 2, 4, 5)))


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="there is no head 'no-such'"):
        load("no-such")
    with pytest.raises(InputError, match="cannot be used here"):
        Segmenter.__init__(Segmenter.__new__(Segmenter), {}, device="cuda:99")


def test_newer_and_damaged_heads(encoder: Encoder, tmp_path: Path):
    folder = make_head(encoder, "semantic", InputProtocol(kind="fit", size=96)).save(tmp_path / "h")
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(
        config.replace('"format_version": 1', '"format_version": 9')
    )
    with pytest.raises(HeadError, match="upgrade"):
        Head.load(folder)
    (folder / "config.json").write_text(config.replace('"task"', '"tusk"'))
    with pytest.raises(HeadError, match="task"):
        Head.load(folder)
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").write_bytes(b"short")
    from plainmask.errors import WeightsError

    with pytest.raises(WeightsError, match="fetch the head again"):
        Head.load(folder)
    with pytest.raises(InputError, match="no head folder"):
        Head.load(tmp_path)


def test_several_grids_and_wrong_pixels(encoder: Encoder):
    segmenter = Segmenter(
        encoder, {"a": make_head(encoder, "semantic", InputProtocol(kind="fit", size=96))}
    )["a"]
    for size in [(32, 64), (96, 48)]:
        pixels = torch.zeros(1, 3, *size, dtype=torch.uint8)
        assert segmenter.logits(pixels).mask_logits.shape[-2:] == (size[0] // 8, size[1] // 8)
    with pytest.raises(InputError, match="uint8"):
        segmenter.logits(torch.full((1, 3, 32, 32), float("nan")))


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic"])
def test_tiles_are_images_of_their_own(task: Task):
    encoder = tiny_encoder()
    head = tiny_video_head(task, encoder, "none").seeing("tiles", scale=2.0)  # tiles of 24 pixels
    segmenter = Segmenter(encoder, {"tiled": head}, device="cpu")["tiled"]
    image = np.random.default_rng(0).integers(0, 256, (40, 70, 3), np.uint8)
    calls: list[tuple[int, int]] = []
    result = segmenter(image, on_tile=lambda *call: calls.append(call))
    assert result.image_size == (40, 70)
    assert calls[-1] == (8, 8)
    one = Segmenter(encoder, {"one": head.seeing("stride")}, device="cpu")["one"]
    mosaic = build_mosaic(task, (40, 70), head.config.vocabulary)
    for tile in plan_tiles((40, 70), (24, 24), 0.25):
        mosaic.add(tile, one(np.ascontiguousarray(tile.cut(image))))
    alone = mosaic.result()
    assert np.array_equal(result.flat_map(), alone.flat_map())
    assert [s.class_id for s in result.segments] == [s.class_id for s in alone.segments]


def test_tiles_beside_another_head():
    encoder = tiny_encoder()
    heads = {"small": tiny_head("semantic", encoder), "tiled": tiny_head("panoptic", encoder)}
    heads["tiled"] = heads["tiled"].seeing("tiles")
    segmenter = Segmenter(encoder, heads, device="cpu")
    image = np.zeros((60, 100, 3), np.uint8)
    assert list(segmenter(image)) == ["small", "tiled"]
    with pytest.raises(InputError, match="tiles are for images, not for the frames of videos"):
        segmenter["tiled"].stream().step(image)
