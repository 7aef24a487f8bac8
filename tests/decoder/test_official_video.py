"""Published video checkpoints through `load_official` and streams: exact from pixels to results."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import plainmask
from goldens import GOLDEN, below, golden, relative_error
from plainmask.decoder.decoder import PlainMaskDecoder, Predictions
from plainmask.decoder.official import read_checkpoint, split_checkpoint
from plainmask.decoder.published import PUBLISHED
from plainmask.encoder.layouts import read_state
from plainmask.encoder.positions import resize_table
from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import load_encoder, load_strictly
from plainmask.errors import InputError
from plainmask.inference.loading import encoder_difference, load_official
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.results import InstanceResult
from plainmask.tasks import Task, Thresholds, postprocess_video
from plainmask.vocabulary import Vocabulary
from tiny import tiny_encoder_state

MODEL = 2e-5
SHAPES: dict[str, dict[str, Any]] = {
    "video_pmt_dinov3": {"num_heads": 4, "taps": (0, 2, 3, 4)},
    "video_pmt_dinov2": {"num_heads": 3, "taps": (0, 1, 2, 3)},
}
VOCABULARY = {"classes": [{"id": k, "name": f"c{k}", "thing": k < 4} for k in range(7)]}


def official(case: str, **options: Any) -> plainmask.Segmenter:
    weights = below(golden(case), "weights/")
    settings: dict[str, Any] = {"input_size": 60, "vocabulary": VOCABULARY, "device": "cpu"}
    return load_official(weights, **(SHAPES[case] | settings | options))


@pytest.mark.parametrize("case", SHAPES)
def test_streams_equal_published_from_pixels_on(case: str):
    state = golden(case)
    stream = official(case).stream()
    for time, frame in enumerate(state["input/frames_rgb_0_255"]):
        found = stream.logits(frame[None])
        assert relative_error(found.mask_logits[0], state["one_call/pred_masks"][time]) < MODEL
        assert relative_error(found.class_logits[0], state["one_call/pred_logits"][time]) < MODEL
        carried = state["window1/carried_queries_after_frame"][time]
        assert relative_error(stream.state.queries[0], carried) < MODEL
    mean = state["one_call/pred_logits"].mean(0)
    assert relative_error(stream.state.class_logits[0], mean) < MODEL


def whole_video(case: str, task: Task, thresholds: Thresholds):
    """Results at the size of the original frames, which are not recorded: 75 x 112."""
    stream = official(case, task=task).stream()
    masks = [
        (stream.logits(frame[None]).mask_logits, stream.state)
        for frame in golden(case)["input/frames_rgb_0_255"]
    ]
    mean = stream.state.class_logits
    geometry = Geometry((75, 112), (64, 96), (60, 90), ((0, 0),), zero_padding=True)

    def frames() -> Iterator[tuple[Predictions, Geometry, plainmask.State]]:
        for logits, state in masks:
            yield Predictions(logits, mean), geometry, state

    return list(postprocess_video(task, frames, Vocabulary.load(VOCABULARY), thresholds))


@pytest.mark.parametrize("case", SHAPES)
def test_instances_equal_published_end_to_end(case: str):
    expected = below(golden(case), "e2e/vis/")
    found = whole_video(case, "instance", Thresholds(top_k=8))
    rows = list(zip(expected["query_ids"].tolist(), expected["labels"].tolist(), strict=True))
    for time, result in enumerate(found):
        assert isinstance(result, InstanceResult)
        result = result.candidates
        pairs = list(zip(result.track_ids, result.class_ids.tolist(), strict=True))
        assert set(pairs) == set(rows)
        for place, pair in enumerate(pairs):
            row = rows.index(pair)
            assert result.scores[place] == pytest.approx(float(expected["scores"][row]), abs=1e-5)
            wanted = expected["masks"][row, time].numpy().astype(bool)
            assert np.array_equal(result.masks[place], wanted)


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize(
    ("name", "score", "overlap"), [("published", 0.8, 0.8), ("loose", 0.4, 0.3)]
)
def test_panoptic_equals_published_end_to_end(case: str, name: str, score: float, overlap: float):
    expected = below(golden(case), f"e2e/vps_{name}/")
    found = whole_video(case, "panoptic", Thresholds(score=score, overlap=overlap))
    rows = {row[0]: row[1:] for row in expected["segments"].tolist()}
    for time, result in enumerate(found):
        assert np.array_equal(result.flat_map(), expected["segment_map"][time].numpy())
        for segment in result.segments:
            assert [segment.class_id, int(segment.thing)] == rows[segment.id]


@pytest.mark.parametrize("case", SHAPES)
def test_semantic_equals_published_end_to_end(case: str):
    expected = golden(case)["e2e/vss/label_map"].long()
    stream = official(case, task="semantic").stream()
    frames = golden(case)["input/frames_rgb_0_255"]
    masks = [stream.logits(frame[None]).mask_logits for frame in frames]
    probs = stream.state.class_logits[0].softmax(-1)[:, :-1]
    for time, result in enumerate(whole_video(case, "semantic", Thresholds())):
        found = torch.from_numpy(result.flat_map()).long() - 1
        padded = F.interpolate(masks[time], (64, 96), mode="bilinear")
        resized = F.interpolate(padded[..., :60, :90].sigmoid(), (75, 112), mode="bilinear")
        scores = torch.einsum("qhw,qc->chw", resized[0], probs)
        margin = scores.gather(0, found[None]) - scores.gather(0, expected[time][None])
        # The recorded tolerance: other labels only where the two classes differ by less.
        assert margin.abs().max() < 1e-5


def test_what_is_read_from_a_video_checkpoint():
    head = official("video_pmt_dinov3", task="instance").head
    config = head.config
    assert config.decoder.propagation == "linear"
    assert config.decoder.ffn_hidden == 96
    assert config.input == InputProtocol(kind="video", size=60)
    assert config.thresholds.top_k == 10
    with_more = official("video_pmt_dinov3", task="instance", thresholds={"top_k": 20})
    assert with_more.head.config.thresholds.top_k == 20


def test_files_with_an_optimiser_beside_the_weights(tmp_path: Path):
    state = golden("video_pmt_dinov3")
    content = {"model": below(state, "weights/"), "iteration": 5, "optimizer": {"lr": 1.0}}
    torch.save(content, tmp_path / "video.pth")
    segmenter = load_official(
        tmp_path / "video.pth", **SHAPES["video_pmt_dinov3"], input_size=60, device="cpu"
    )
    found = segmenter.stream().logits(state["input/frames_rgb_0_255"][:1])
    assert relative_error(found.mask_logits[0], state["one_call/pred_masks"][0]) < MODEL


def released(case: str) -> Encoder:
    weights = below(golden(case), "weights/backbone.encoder.backbone.")
    return load_encoder(weights, **SHAPES[case])


def test_an_unchanged_encoder_is_shared_and_not_kept(tmp_path: Path):
    encoder = released("video_pmt_dinov3")
    weights = below(golden("video_pmt_dinov3"), "weights/")
    segmenter = load_official(
        weights, encoder, input_size=60, num_heads=4, device="cpu", name="shared"
    )
    assert segmenter.encoder is encoder
    folder = segmenter.head.save(tmp_path / "head")
    assert not (folder / "encoder.safetensors").exists()
    again = plainmask.Segmenter(encoder, {"shared": folder}, device="cpu")["shared"]
    pixels = golden("video_pmt_dinov3")["input/frames_rgb_0_255"][:1]
    one, other = segmenter.stream().logits(pixels), again.stream().logits(pixels)
    assert relative_error(other.class_logits, one.class_logits) < 1e-2  # float16 on disk


def test_a_changed_encoder_is_said_so_and_kept_with_the_head(tmp_path: Path):
    encoder = released("video_pmt_dinov3")
    weights = below(golden("video_pmt_dinov3"), "weights/")
    key = "backbone.encoder.backbone.blocks.1.mlp.up_proj.weight"
    changed = weights | {key: weights[key] * 1.01}
    with pytest.warns(UserWarning, match="was changed in training"):
        segmenter = load_official(
            changed, encoder, input_size=60, num_heads=4, taps=None, device="cpu", name="own"
        )
    assert segmenter.encoder is not encoder
    folder = segmenter.head.save(tmp_path / "head", dtype=torch.float32)
    assert (folder / "encoder.safetensors").exists()
    again = plainmask.load(folder, device="cpu")
    pixels = golden("video_pmt_dinov3")["input/frames_rgb_0_255"][:1]
    one, other = segmenter.stream().logits(pixels), again.stream().logits(pixels)
    assert torch.equal(other.class_logits, one.class_logits)


def test_an_encoder_whose_table_was_resized_is_said_so_and_kept():
    """Unchanged but for the grid of its positions, as published video code saves it."""
    case = "video_pmt_dinov2"
    state = below(golden(case), "weights/")
    inner = below(golden(case), "weights/backbone.encoder.backbone.")
    table = torch.randn(36, 72, generator=torch.Generator().manual_seed(0))
    encoder = load_encoder(inner | {"pos_embed": table[None]}, **SHAPES[case])
    small = resize_table(table, (6, 6), (4, 4), antialias=True)
    state = state | {"backbone.encoder.backbone.pos_embed": small[None]}
    with pytest.warns(
        UserWarning, match=r"unchanged, but with a position table resized to \(4, 4\)"
    ):
        segmenter = load_official(state, encoder, input_size=60, num_heads=3, device="cpu")
    assert segmenter.encoder.config.table_grid == (4, 4)
    assert segmenter.head.encoder is not None


def test_an_encoder_of_another_shape_is_not_taken_for_the_checkpoints():
    given = load_encoder(tiny_encoder_state())  # fewer blocks
    weights = below(golden("video_pmt_dinov3"), "weights/")
    with pytest.warns(UserWarning, match="weights differ by up to inf"):
        segmenter = load_official(weights, given, input_size=60, num_heads=4, device="cpu")
    assert segmenter.encoder is not given


def test_a_head_keeps_the_encoder_that_it_is_used_with(tmp_path: Path):
    """A video head on another encoder than its own, saved and loaded, is still on that one."""
    weights = below(golden("video_pmt_dinov3"), "weights/")
    first = load_official(weights, input_size=60, num_heads=4, device="cpu", name="own")
    folder = first.head.save(tmp_path / "head", dtype=torch.float32)
    key = "backbone.encoder.backbone.blocks.1.mlp.up_proj.weight"
    other = load_official(
        weights | {key: weights[key] * 1.01}, input_size=60, num_heads=4, device="cpu"
    ).encoder
    with pytest.warns(UserWarning, match="results may differ"):
        moved = plainmask.load(folder, encoder=other, device="cpu")
    again = plainmask.load(moved.head.save(tmp_path / "moved", dtype=torch.float32), device="cpu")
    assert again.encoder.fingerprint == other.fingerprint != first.encoder.fingerprint
    pixels = golden("video_pmt_dinov3")["input/frames_rgb_0_255"][:1]
    one, two = moved.stream().logits(pixels), again.stream().logits(pixels)
    assert torch.equal(one.class_logits, two.class_logits)


def test_encoders_are_compared_after_resampling():
    own = released("video_pmt_dinov2")
    assert encoder_difference(own, own) == 0
    other = load_encoder(below(golden("dinov2_reg4"), "encoder."), num_heads=3, taps=(0, 1, 2, 3))
    assert encoder_difference(own, other) == float("inf")


def expand(entries: list[list[Any]], num_classes: int) -> dict[str, Tensor]:
    """Meta tensors of a key list."""
    state: dict[str, Tensor] = {}
    for name, shape, dtype, _, *blocks in entries:
        sizes = [num_classes + 1 if side == "C+1" else side for side in shape]
        tensor = torch.empty(sizes, dtype=getattr(torch, dtype), device="meta")
        for index in range(*blocks[0]) if blocks else (0,):
            state[name.replace("{i}", str(index))] = tensor
    return state


LISTS = json.loads((GOLDEN / "checkpoint_keys_video.json").read_text())


@pytest.mark.parametrize("family", LISTS["families"])
def test_full_size_key_lists_load_without_a_key_too_few_or_many(family: str):
    facts = LISTS["families"][family]
    state = expand(facts["keys"], 40)
    assert len(state) == facts["n_keys"]
    rest, own, is_video = split_checkpoint(state)
    assert is_video
    _, encoder = read_state(own)
    assert encoder.patch_size == 16
    ours, config = read_checkpoint(rest, heads=encoder.heads, residual_laterals=True)
    assert config.propagation == ("gru" if family.startswith("lvmt") else "linear")
    assert (config.num_queries, config.num_blocks, config.upscale_stages) == (200, 6, 2)
    with torch.device("meta"):
        decoder = PlainMaskDecoder(config)
    load_strictly(decoder, ours, "decoder")
    with torch.device("meta"):
        whole = Encoder(encoder)
    load_strictly(whole, read_state(own)[0], "encoder")


@pytest.mark.parametrize("name", LISTS["published_files"])
def test_every_published_file_has_an_entry(name: str):
    published = PUBLISHED[name]
    assert name == f"{published.repository}/{published.files[0]}"
    vocabulary = Vocabulary.load(published.vocabulary)
    assert len(vocabulary) == LISTS["published_files"][name]["num_classes"]


def test_image_checkpoints_still_need_an_encoder():
    with pytest.raises(InputError, match="holds no encoder"):
        load_official({"network.decoder.q.weight": torch.ones(3, 48)}, input_size=96)
