"""Published checkpoints through `load_official`: exact outputs, key lists, errors that list."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import plainmask
from goldens import GOLDEN, below, golden, relative_error
from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.decoder.official import read_checkpoint
from plainmask.decoder.published import PUBLISHED
from plainmask.encoder.presets import find_preset
from plainmask.encoder.weights import load_strictly
from plainmask.errors import HeadError, InputError, WeightsError
from plainmask.inference.loading import load_official
from plainmask.results import InstanceResult, PanopticResult, SemanticResult
from tiny import tiny_encoder, tiny_encoder_state

MODEL = 2e-5


def published(file: str = "dinov3") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Decoder and encoder of a recorded case, under published names."""
    state = golden(file)
    decoder = {k: v for k, v in state.items() if k.startswith("network.")}
    return decoder, below(state, "encoder.")


def official(**options: Any) -> plainmask.Segmenter:
    decoder, encoder = published()
    settings: dict[str, Any] = {"input_size": 96, "taps": (1, 2, 4, 5), "num_heads": 3}
    return load_official(decoder, encoder, **(settings | options))


@pytest.mark.parametrize("name", ["sq", "ns"])
def test_logits_equal_published(name: str):
    case = below(golden("dinov3"), f"{name}.")
    found = official().logits(case["image_uint8"])
    assert relative_error(found.mask_logits, case["unmasked.mask_logits"]) < MODEL
    assert relative_error(found.class_logits, case["unmasked.class_logits"]) < MODEL


@pytest.mark.parametrize(
    ("name", "patch", "stages"), [("p16sq", None, 2), ("p16ns", 16, 2), ("p14sq", None, 1)]
)
def test_timm_dinov2_logits_equal_published(name: str, patch: int | None, stages: int):
    decoder, encoder = published("dinov2_reg4")
    kept = {k: v for k, v in decoder.items() if stages == 2 or "upscale.1." not in k}
    case = below(golden("dinov2_reg4"), f"{name}.")
    segmenter = load_official(
        kept, encoder, input_size=96, patch_size=patch, taps=(1, 2, 4, 5), num_heads=3
    )
    assert segmenter.encoder.config.patch_size == (16 if stages == 2 else 14)
    found = segmenter.logits(case["image_uint8"])
    assert relative_error(found.mask_logits, case["unmasked.mask_logits"]) < MODEL
    assert relative_error(found.class_logits, case["unmasked.class_logits"]) < MODEL


def test_files_wrapped_and_compiled_names_are_accepted(tmp_path: Path):
    decoder, encoder = published()
    compiled = {k.replace("network.", "network._orig_mod."): v for k, v in decoder.items()}
    extra = {"criterion.empty_weight": torch.ones(8), "network.encoder.pixel_mean": torch.ones(3)}
    torch.save({"state_dict": compiled | extra}, tmp_path / "pytorch_model.bin")
    torch.save(encoder, tmp_path / "encoder.pth")
    segmenter = load_official(
        tmp_path / "pytorch_model.bin",
        tmp_path / "encoder.pth",
        input_size=96,
        taps=(1, 2, 4, 5),
        num_heads=3,
    )
    case = below(golden("dinov3"), "ns.")
    found = segmenter.logits(case["image_uint8"])
    assert relative_error(found.mask_logits, case["unmasked.mask_logits"]) < MODEL


def test_a_fused_decoder_reads_the_same():
    decoder, encoder = published()
    fused = dict(decoder)
    for block in range(4):
        attention = f"network.decoder.blocks.{block}.attention."
        weights = [fused.pop(f"{attention}{n}_proj.weight") for n in "qkv"]
        biases = [fused.pop(f"{attention}{n}_proj.bias") for n in "qv"]
        fused[f"{attention}qkv_proj.weight"] = torch.cat(weights)
        fused[f"{attention}qkv_proj.bias"] = torch.cat(
            [biases[0], torch.zeros_like(biases[0]), biases[1]]
        )
    case = below(golden("dinov3"), "sq.")
    segmenter = load_official(fused, encoder, input_size=96, taps=(1, 2, 4, 5), num_heads=3)
    found = segmenter.logits(case["image_uint8"])
    assert relative_error(found.mask_logits, case["unmasked.mask_logits"]) < MODEL


@pytest.mark.parametrize(
    ("task", "kind"),
    [("semantic", SemanticResult), ("instance", InstanceResult), ("panoptic", PanopticResult)],
)
@pytest.mark.parametrize("size", [(31, 77), (120, 90), (1, 1)])
def test_any_image_size_with_the_task_s_protocol(task: Any, kind: type, size: tuple[int, int]):
    segmenter = official(task=task)
    head = segmenter.head
    assert head.config.input.kind == ("windows" if task == "semantic" else "fit")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    result = segmenter(image)
    assert isinstance(result, kind)
    assert result.image_size == size


def full_size_lists() -> dict[str, dict[str, Any]]:
    models = json.loads((GOLDEN / "checkpoint_keys_image.json").read_text())["models"]
    for model in models.values():
        if isinstance(model["keys"], str):
            model["keys"] = models[model["keys"].removeprefix("same as ")]["keys"]
    return models


@pytest.mark.parametrize("name", full_size_lists())
def test_full_size_key_lists_load_strictly(name: str):
    model = full_size_lists()[name]
    state = {
        key: torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
        for key, (dtype, shape) in model["keys"].items()
    }
    encoder = next(
        find_preset(preset.encoder)
        for repository, preset in PUBLISHED.items()
        if repository == model["published_repo"]
    )
    assert encoder.hub_id == model["encoder"]
    assert list(encoder.config.taps) == model["taps"]
    ours, config = read_checkpoint(state, heads=encoder.config.heads, residual_laterals=True)
    with torch.device("meta"):
        decoder = PlainMaskDecoder(config)
    load_strictly(decoder, ours, "decoder")
    assert sum(p.numel() for p in decoder.parameters()) == model["trainable_params"]
    assert (config.num_classes, config.num_queries) == (model["num_classes"], model["num_q"])
    assert (config.num_blocks, config.ffn_hidden) == (model["num_blocks"], model["hidden_dim"])


def test_wrong_keys_are_listed():
    decoder, encoder = published()
    options: dict[str, Any] = {"input_size": 96, "taps": (1, 2, 4, 5), "num_heads": 3}
    with pytest.raises(WeightsError, match=r"network\.decoder\.surprise|decoder\.surprise"):
        load_official(decoder | {"network.decoder.surprise": torch.ones(1)}, encoder, **options)
    short = {k: v for k, v in decoder.items() if not k.endswith("scalers.2")}
    with pytest.raises(WeightsError, match=r"missing laterals\.2\.scale"):
        load_official(short, encoder, **options)
    bent = decoder | {"network.decoder.mask_head.0.bias": torch.ones(7)}
    with pytest.raises(WeightsError, match=r"predict\.embed\.0\.bias has the shape \(7,\)"):
        load_official(bent, encoder, **options)
    with pytest.raises(WeightsError, match="nothing found for"):
        load_official({"network.decoder.q.weight": torch.ones(3, 48)}, encoder, **options)
    with pytest.raises(WeightsError, match="no known encoder layout: surprise"):
        load_official(decoder, encoder | {"surprise": torch.ones(1)}, **options)
    with pytest.raises(InputError, match="give encoder="):
        load_official(decoder, input_size=96)


def test_a_pickle_that_runs_code_is_not_opened(tmp_path: Path):
    torch.save({"model": Path("anything")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="a pickle can run code"):
        load_official(tmp_path / "evil.pth", published()[1], input_size=96)


def test_vocabulary_and_thresholds_are_checked():
    with pytest.raises(InputError, match="133 classes, the checkpoint has 7"):
        official(vocabulary="coco_panoptic")
    with pytest.raises(InputError, match="score, overlap, top_k"):
        official(thresholds={"scor": 0.5})
    named = {"name": "mine", "classes": [{"id": i, "name": f"c{i}"} for i in range(7)]}
    segmenter = official(vocabulary=named, thresholds={"score": 0.3})
    head = segmenter.head
    assert head.config.vocabulary.names[2] == "c2"
    assert (head.config.thresholds.score, head.config.thresholds.overlap) == (0.3, 0.8)


def test_the_callers_tensors_stay_the_callers():
    decoder, encoder = published()
    half = {k: v.half() if v.is_floating_point() else v for k, v in decoder.items()}
    segmenter = load_official(half, encoder, input_size=96, taps=(1, 2, 4, 5), num_heads=3)
    head = segmenter.head
    assert head.decoder.queries.dtype == torch.float32
    before = decoder["network.decoder.q.weight"].clone()
    segmenter = official()
    with torch.no_grad():
        segmenter.head.decoder.queries.zero_()
    assert torch.equal(decoder["network.decoder.q.weight"], before)


def test_decoder_and_encoder_must_fit():
    decoder, _ = published()
    other = tiny_encoder_state()
    with pytest.raises(HeadError, match="reads features 48 wide, the encoder custom gives 64"):
        load_official(decoder, other, input_size=96)
    with pytest.raises(HeadError, match="4 laterals for the taps"):
        official(taps=(1, 2, 4))
    with pytest.raises(InputError, match="belong to load_encoder"):
        load_official(decoder, tiny_encoder(), input_size=96, taps=(0, 1, 2, 3))
