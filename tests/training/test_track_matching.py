"""Training on clips against the recorded run of the published code (golden video_train_b1)."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from goldens import below, golden, relative_error
from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder, Predictions
from plainmask.decoder.official import IGNORED, RENAMED, read_checkpoint
from plainmask.encoder.layouts import read_state, stack_qkv, translate
from plainmask.encoder.vit import Encoder, Features
from plainmask.encoder.weights import build_encoder, load_strictly
from plainmask.training.loss import LossConfig, set_loss, total_loss
from plainmask.training.points import Draw, uniform_points
from plainmask.training.samples.targets import ClipTargets
from plainmask.training.track_matching import TAKEN, TrackMatcher, frames_of

MODEL = 2e-5
LOSS = 1e-5
GRADIENT = 1e-4
CONFIG = LossConfig(num_points=48)
PUBLISHED = LossConfig(num_points=48, skip_before_last=True)
OUTPUTS = ("aux0", "aux1", "aux2", "final")


def model() -> tuple[Encoder, PlainMaskDecoder]:
    published = below(golden("video_pmt_dinov3"), "weights/")
    encoder_state = below(published, "backbone.encoder.backbone.")
    weights, encoder_config = read_state(encoder_state, num_heads=4, taps=(0, 2, 3, 4))
    rest = {k: v for k, v in published.items() if ".encoder.backbone." not in k}
    ours, config = read_checkpoint(rest, heads=4, residual_laterals=True)
    decoder = PlainMaskDecoder(config)
    load_strictly(decoder, ours, "decoder")
    return build_encoder(weights, encoder_config), decoder.train()


def clip_of(case: dict[str, Tensor]) -> ClipTargets:
    masks = case["targets/masks_padded"].bool()
    valid = torch.zeros(5, 64, 96, dtype=torch.bool)
    valid[:, :60, :90] = True
    return ClipTargets(case["targets/labels"], masks, case["targets/ids"] != -1, valid)


def replay(case: dict[str, Tensor], outputs: Iterable[str]) -> Draw:
    """The recorded random numbers, in the order in which the losses ask for them."""

    def numbers() -> Iterator[Tensor]:
        for output in outputs:
            yield case[f"match/{output}/frame0/points"][None]
            yield case[f"match/{output}/frame2/points"][None]
            yield case[f"loss/{output}/rand_oversampled"]
            yield case[f"loss/{output}/rand_extra"]

    recorded = numbers()

    def draw(shape: tuple[int, ...]) -> Tensor:
        found = next(recorded)
        assert found.shape == shape
        return found

    return draw


def features_of(encoder: Encoder, case: dict[str, Tensor]) -> tuple[Features, float]:
    frames = golden("video_pmt_dinov3")["input/frames_rgb_0_255"]
    padded = torch.zeros(5, 3, 64, 96, dtype=torch.uint8)
    padded[:, :, :60, :90] = frames
    factor = float(case["rope_rescale_factor"])
    return encoder(padded, content=[(60, 90)] * 5, rope_scale=factor), factor


def losses_of(
    layers: list[Predictions], clip: ClipTargets, config: LossConfig, draw: Draw
) -> dict[str, Tensor]:
    matcher = TrackMatcher(config, draw)
    return set_loss(
        layers, frames_of([clip]), config, draw, lambda i, layer: matcher(i, layer, [clip])
    )


def test_predictions_of_a_training_clip_equal_published():
    case = golden("video_train_b1")
    encoder, decoder = model()
    features, factor = features_of(encoder, case)
    layers, queries = decoder.clips(features, 5, rope_scale=factor)
    for output, layer in zip(OUTPUTS, layers, strict=True):
        assert relative_error(layer.class_logits, case[f"out/{output}/pred_logits"]) < MODEL
        assert relative_error(layer.mask_logits, case[f"out/{output}/pred_masks"]) < MODEL
    assert relative_error(queries[0], case["out/carried_queries_after_frame"][-1]) < MODEL
    for index, lateral in enumerate(decoder.laterals):
        mean, variance = lateral.norm.running_mean, lateral.norm.running_var
        assert relative_error(mean, case[f"bn_after/{index}/running_mean"]) < MODEL
        assert relative_error(variance, case[f"bn_after/{index}/running_var"]) < MODEL


@pytest.mark.parametrize("output", OUTPUTS)
def test_matching_equals_published(output: str):
    case = golden("video_train_b1")
    layer = Predictions(case[f"out/{output}/pred_masks"], case[f"out/{output}/pred_logits"])
    matcher = TrackMatcher(CONFIG, replay(case, [output]))
    pairs = matcher(0, layer, [clip_of(case)])
    assert len(pairs) == 5
    for queries, objects in pairs:
        assert torch.equal(queries, case[f"match/{output}/query_idx"])
        assert torch.equal(objects, case[f"match/{output}/target_idx"])


def test_losses_and_gradients_equal_published():
    case = golden("video_train_b1")
    encoder, decoder = model()
    features, factor = features_of(encoder, case)
    layers, _ = decoder.clips(features, 5, rope_scale=factor)
    outputs = ("aux0", "aux1", "final")
    losses = losses_of(layers, clip_of(case), PUBLISHED, replay(case, outputs))
    for output, suffix in zip(outputs, ("_block_-3", "_block_-2", ""), strict=True):
        for name, ours in (("ce", "cross_entropy"), ("mask", "mask"), ("dice", "dice")):
            expected = case[f"loss/{output}/loss_{name}_unweighted"]
            assert relative_error(losses[f"loss_{ours}{suffix}"], expected) < LOSS
    total = total_loss(losses, PUBLISHED)
    assert relative_error(total, case["loss/total"]) < LOSS
    total.backward()
    expected, unknown = translate(below(case, "grad/backbone."), RENAMED, IGNORED)
    assert not unknown
    stack_qkv(expected, key_bias=False)
    check_gradients(decoder, expected, 96)


def test_the_dummy_class_equals_published():
    case = golden("video_train_b1")
    encoder, decoder = model()
    features, factor = features_of(encoder, case)
    layers, _ = decoder.clips(features, 5, rope_scale=factor)
    config = LossConfig(num_points=48, skip_before_last=True, dummy_class=True)
    outputs = ("aux0", "aux1", "final")
    clip, draw = clip_of(case), replay(case, outputs)
    matcher = TrackMatcher(config, draw)
    pairs = {}

    def find(index: int, layer: Predictions):
        pairs[index] = matcher(index, layer, [clip])
        return pairs[index]

    losses = set_loss(layers, frames_of([clip], last_class=6), config, draw, find)
    for index, output, suffix in zip(
        (0, 1, 3), outputs, ("_block_-3", "_block_-2", ""), strict=True
    ):
        assert torch.equal(pairs[index][0][0], case[f"dummy_class/{output}/query_idx"])
        assert torch.equal(pairs[index][0][1], case[f"dummy_class/{output}/target_idx"])
        for name, ours in (("ce", "cross_entropy"), ("mask", "mask"), ("dice", "dice")):
            expected = case[f"dummy_class/{output}/loss_{name}_unweighted"]
            assert relative_error(losses[f"loss_{ours}{suffix}"], expected) < LOSS
    assert relative_error(total_loss(losses, config), case["dummy_class/total"]) < LOSS


def test_the_corrected_loss_asks_every_layer():
    case = golden("video_train_b1")
    encoder, decoder = model()
    features, factor = features_of(encoder, case)
    layers, _ = decoder.clips(features, 5, rope_scale=factor)
    losses = losses_of(layers, clip_of(case), CONFIG, replay(case, OUTPUTS))
    total = total_loss(losses, CONFIG)
    assert relative_error(total, case["corrected/total_with_last_aux"]) < LOSS
    total.backward()
    expected, _ = translate(below(case, "corrected/grad/"), RENAMED, IGNORED)
    check_gradients(decoder, expected, 4)


def check_gradients(decoder: PlainMaskDecoder, expected: dict[str, Tensor], count: int) -> None:
    found = {name: p.grad for name, p in decoder.named_parameters()}
    assert len(expected) == count
    for name, gradient in expected.items():
        assert relative_error(found[name], gradient, at_least=1e-3) < GRADIENT, name


def test_two_clips_in_a_batch_stay_apart():
    case = golden("video_train_b1")
    encoder, decoder = model()
    features, factor = features_of(encoder, case)
    both = tuple(torch.cat([tap, tap.flip(0)]) for tap in features.taps)
    layers, _ = decoder.clips(features._replace(taps=both), 5, rope_scale=factor)
    final = layers[-1].class_logits.unflatten(0, (2, 5))
    assert relative_error(final, case["b2/final_pred_logits_corrected"]) < MODEL
    assert relative_error(final, case["b2/final_pred_logits_published"]) > 1e-2
    auxiliary = layers[1].class_logits.unflatten(0, (2, 5))
    assert relative_error(auxiliary, case["b2/aux1_pred_logits"]) < MODEL


def some_clip(num_objects: int = 3, num_frames: int = 4) -> tuple[Predictions, ClipTargets]:
    generator = torch.Generator().manual_seed(1)
    layer = Predictions(
        torch.randn(num_frames, 5, 8, 8, generator=generator),
        torch.randn(num_frames, 5, 3, generator=generator),
    )
    masks = torch.rand(num_objects, num_frames, 8, 8, generator=generator) > 0.5
    visible = torch.ones(num_objects, num_frames, dtype=torch.bool)
    valid = torch.ones(num_frames, 8, 8, dtype=torch.bool)
    return layer, ClipTargets(torch.arange(num_objects) % 2, masks, visible, valid)


def part(clip: ClipTargets, frames: slice) -> ClipTargets:
    return replace(
        clip, masks=clip.masks[:, frames], visible=clip.visible[:, frames],
        valid=clip.valid[frames],
    )  # fmt: skip


def seeded() -> Draw:
    return uniform_points(torch.device("cpu"), torch.Generator().manual_seed(0))


def test_objects_keep_their_queries_in_later_chunks():
    layer, clip = some_clip()
    visible = clip.visible.clone()
    visible[2, :2] = False
    visible[0, 2:] = False  # hidden in the second chunk: still answered for
    clip = replace(clip, visible=visible)
    matcher = TrackMatcher(CONFIG, seeded())
    first = matcher(0, Predictions(*(x[:2] for x in layer)), [part(clip, slice(0, 2))])
    second = matcher(0, Predictions(*(x[2:] for x in layer)), [part(clip, slice(2, 4))])
    early, late = first[0], second[0]
    assert early[1].tolist() == [0, 1] or early[1].tolist() == [1, 0]
    assert torch.equal(late[0][:2], early[0])
    assert torch.equal(late[1][:2], early[1])
    assert late[1].tolist()[2:] == [2]
    assert late[0][2] not in early[0]
    matcher.forget()
    anew = matcher(0, Predictions(*(x[2:] for x in layer)), [part(clip, slice(2, 4))])
    assert sorted(anew[0][1].tolist()) == [1, 2]


def test_more_objects_than_queries_keeps_the_largest():
    layer, clip = some_clip(num_objects=7)
    clip.masks[3] = False
    clip.masks[3, :, 0, 0] = True
    clip.masks[5] = False
    clip.masks[5, :, 0, 0] = True
    with pytest.warns(UserWarning, match="more objects than the decoder has queries"):
        pairs = TrackMatcher(CONFIG, seeded())(0, layer, [clip])
    assert sorted(pairs[0][1].tolist()) == [0, 1, 2, 4, 6]
    assert sorted(pairs[0][0].tolist()) == [0, 1, 2, 3, 4]


def test_a_clip_of_one_frame_is_an_image():
    layer, clip = some_clip(num_frames=1)
    as_clip = losses_of([layer], clip, CONFIG, seeded())
    as_image = set_loss([layer], frames_of([clip]), CONFIG, seeded())
    for name, value in as_image.items():
        assert torch.allclose(as_clip[name], value), name


def test_a_clip_without_objects_gives_a_loss_with_gradients():
    layer, clip = some_clip(num_objects=0)
    layer = Predictions(*(x.requires_grad_() for x in layer))
    losses = losses_of([layer], clip, CONFIG, seeded())
    total = total_loss(losses, CONFIG)
    total.backward()
    assert layer.class_logits.grad is not None
    assert float(losses["loss_mask"].detach()) == 0


def test_cost_of_a_taken_query_is_prohibitive():
    assert TAKEN > 1e5
    assert (
        DecoderConfig(width=16, heads=1, num_classes=1, ffn_hidden=16, upscale_stages=1).propagation
        == "none"
    )
