"""Propagation through time against the published models (golden video_pmt_*, video_lvmt_gru)."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from goldens import below, golden, relative_error
from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.decoder.official import read_checkpoint
from plainmask.decoder.propagation import GruLink, State
from plainmask.encoder.layouts import read_state
from plainmask.encoder.vit import Encoder, Features
from plainmask.encoder.weights import build_encoder, load_strictly
from plainmask.errors import InputError

MODEL = 2e-5  # of the largest entry of each tensor, at least 1
GRADIENT = 1e-4
GRID = (4, 6)

PMT = {
    "video_pmt_dinov3": {"num_heads": 4, "taps": (0, 2, 3, 4)},
    "video_pmt_dinov2": {"num_heads": 3, "taps": (0, 1, 2, 3)},
}


def video_decoder(state: dict[str, Tensor], heads: int) -> PlainMaskDecoder:
    ours, config = read_checkpoint(state, heads=heads, residual_laterals=True)
    decoder = PlainMaskDecoder(config)
    load_strictly(decoder, ours, "decoder")
    return decoder.eval()


def video_model(case: str) -> tuple[Encoder, PlainMaskDecoder, dict[str, Tensor]]:
    state = golden(case)
    published = below(state, "weights/")
    weights, config = read_state(below(published, "backbone.encoder.backbone."), **PMT[case])
    encoder = build_encoder(weights, config)
    rest = {k: v for k, v in published.items() if ".encoder.backbone." not in k}
    return encoder, video_decoder(rest, PMT[case]["num_heads"]), state


def encoded(encoder: Encoder, frames: Tensor) -> Features:
    padded = torch.full((len(frames), 3, 64, 96), 77, dtype=torch.uint8)
    padded[:, :, :60, :90] = frames
    return encoder(padded, content=[(60, 90)] * len(frames))


@pytest.mark.parametrize("case", PMT)
@torch.no_grad()
def test_frames_one_by_one_equal_published(case: str):
    encoder, decoder, state = video_model(case)
    features = encoded(encoder, state["input/frames_rgb_0_255"])
    fused = decoder.fuse(features)
    assert relative_error(fused, state["dec/lateral_sum"]) < MODEL
    memory = None
    total = torch.zeros(10, 8)
    for index, frame in enumerate(fused):
        predictions, memory = decoder.step(frame[None], GRID, memory)
        logits = predictions.class_logits[0]
        assert relative_error(logits, state["one_call/pred_logits"][index]) < MODEL
        assert relative_error(logits, state["window1/pred_logits"][index]) < MODEL
        masks = predictions.mask_logits[0]
        assert relative_error(masks, state["one_call/pred_masks"][index]) < MODEL
        carried = state["window1/carried_queries_after_frame"][index]
        assert relative_error(memory.queries[0], carried) < MODEL
        total += logits
        assert relative_error(memory.class_logits[0], total / (index + 1)) < MODEL
        assert memory.frames.tolist() == [index + 1]


@pytest.mark.parametrize("case", PMT)
@torch.no_grad()
def test_windows_of_frames_equal_published(case: str):
    encoder, decoder, state = video_model(case)
    frames = state["input/frames_rgb_0_255"]
    queries = None
    for first in range(0, 5, 2):
        chunk = encoded(encoder, frames[first : first + 2])
        count = len(chunk.taps[0])
        layers, queries = decoder.clips(chunk, count, queries, every_layer=False)
        expected = state["window2/pred_masks"][first : first + 2]
        assert relative_error(layers[0].mask_logits, expected) < MODEL
        expected = state["window2/pred_logits"][first : first + 2]
        assert relative_error(layers[0].class_logits, expected) < MODEL
    assert relative_error(queries[0], state["window2/carried_queries_end"]) < MODEL


@pytest.mark.parametrize("case", PMT)
@torch.no_grad()
def test_a_fresh_start_forgets_as_published(case: str):
    encoder, decoder, state = video_model(case)
    features = encoded(encoder, state["input/frames_rgb_0_255"][2:4])
    layers, _ = decoder.clips(features, 2, every_layer=False)
    assert relative_error(layers[0].class_logits, state["restart_at_2/pred_logits"]) < MODEL
    assert relative_error(layers[0].mask_logits, state["restart_at_2/pred_masks"]) < MODEL
    assert relative_error(layers[0].mask_logits, state["one_call/pred_masks"][2:4]) > 1e-2


def lvmt() -> tuple[PlainMaskDecoder, Features, dict[str, Tensor]]:
    state = golden("video_lvmt_gru")
    decoder = video_decoder(below(state, "weights/"), heads=3)
    levels = (state["clip/level0"], state["clip/level1"])
    return decoder, Features(levels, GRID, 5), state


def test_gru_link_equals_published():
    state = golden("video_lvmt_gru")
    link = GruLink(48)
    link.cell.load_state_dict(below(state, "weights/decoder.query_gru."))
    found = link(state["gate/input"][None], state["gate/hidden"][None], torch.zeros(7, 48))
    assert relative_error(found[0], state["gate/output"]) < MODEL


@torch.no_grad()
def test_gru_clip_equals_published():
    decoder, features, state = lvmt()
    assert decoder.config.propagation == "gru"
    memory = None
    for index, frame in enumerate(decoder.fuse(features)):
        predictions, memory = decoder.step(frame[None], GRID, memory)
        assert relative_error(predictions.class_logits[0], state["clip/pred_logits"][index]) < MODEL
        assert relative_error(predictions.mask_logits[0], state["clip/pred_masks"][index]) < MODEL
        carried = state["clip/carried_queries_after_frame"][index]
        assert relative_error(memory.queries[0], carried) < MODEL


def chunk_loss(decoder: PlainMaskDecoder, chunk: slice, queries: Tensor | None):
    _, features, state = lvmt()
    taps = tuple(tap[chunk] for tap in features.taps)
    count = len(taps[0])
    (last,), queries = decoder.clips(
        features._replace(taps=taps), count, queries, every_layer=False
    )
    weighted = (last.class_logits * state["tqp/loss_weight_logits"][chunk]).sum()
    weighted = weighted + (last.mask_logits * state["tqp/loss_weight_masks"][chunk]).sum()
    return weighted / count, queries


def check_gradients(decoder: PlainMaskDecoder, expected: dict[str, Tensor]) -> None:
    names = {
        "blocks.1.mlp.down_proj.weight": "blocks.1.ffn.down.weight",
        "q.weight": "queries",
        **{f"query_gru.{k}": f"link.cell.{k}" for k in ("bias_hh", "bias_ih")},
        **{f"query_gru.{k}": f"link.cell.{k}" for k in ("weight_hh", "weight_ih")},
    }
    found = dict(decoder.named_parameters())
    assert expected.keys() == names.keys()
    for name, gradient in expected.items():
        error = relative_error(found[names[name]].grad, gradient, at_least=1e-3)
        assert error < GRADIENT, name


def test_truncated_propagation_equals_published():
    decoder, _, state = lvmt()
    queries = None
    for index, chunk in enumerate((slice(0, 3), slice(3, 6))):
        if queries is not None:
            queries = queries.detach()
            assert relative_error(queries[0], state["tqp/chunk2_start_state"]) < MODEL
        loss, queries = chunk_loss(decoder, chunk, queries)
        assert relative_error(loss, state["tqp/chunk_losses"][index]) < MODEL
        (loss / 2).backward()
    check_gradients(decoder, below(state, "tqp/grad/"))


def test_gradients_through_the_whole_clip_equal_published():
    decoder, _, state = lvmt()
    loss, _ = chunk_loss(decoder, slice(0, 6), None)
    loss.backward()
    check_gradients(decoder, below(state, "full/grad/"))


SMALL = DecoderConfig(
    width=16, heads=1, num_taps=1, num_queries=3, num_classes=2, num_blocks=1, ffn_hidden=16,
    upscale_stages=1, propagation="gru",
)  # fmt: skip


def some_state(batch: int = 2) -> State:
    decoder = PlainMaskDecoder(SMALL).eval()
    with torch.no_grad():
        return decoder.step(torch.randn(batch, 7, 16), (2, 3))[1]


def test_states_are_saved_and_restored(tmp_path: Path):
    state = some_state()
    found = State.load(state.save(tmp_path / "state.safetensors")).to("cpu")
    for name in ("queries", "class_logits", "frames", "numbers", "ages"):
        assert torch.equal(getattr(found, name), getattr(state, name)), name
        assert getattr(found, name).dtype == getattr(state, name).dtype


def test_states_split_and_join():
    state = some_state(3)
    parts = state.split(1)
    assert [len(part.queries) for part in parts] == [1, 1, 1]
    assert torch.equal(State.join(parts).queries, state.queries)


def test_a_file_that_is_no_state_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"nothing\.safetensors cannot be read"):
        State.load(tmp_path / "nothing.safetensors")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="holds a, which is no state"):
        State.load(tmp_path / "other.safetensors")


@torch.no_grad()
def test_without_propagation_every_frame_is_an_image():
    decoder = PlainMaskDecoder(SMALL.model_copy(update={"propagation": "none"})).eval()
    tokens = torch.randn(2, 7, 16)
    image = decoder(Features((tokens,), (2, 3), 1))
    fused = decoder.fuse(Features((tokens,), (2, 3), 1))
    _, state = decoder.step(fused.flip(0), (2, 3))
    video, _ = decoder.step(fused, (2, 3), state)
    assert torch.equal(video.mask_logits, image.mask_logits)


def test_a_fresh_gate_can_hold_what_it_carries():
    torch.manual_seed(0)
    link, tokens, learnt = GruLink(32), torch.randn(1, 5, 32), torch.randn(5, 32)
    entered = learnt[None]
    changed = (link(tokens, entered, learnt) - entered).norm() / entered.norm()
    link.hold()
    held = (link(tokens, entered, learnt) - entered).norm() / entered.norm()
    assert changed > 0.3
    assert held < 0.05
