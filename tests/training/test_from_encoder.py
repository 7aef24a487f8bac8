"""`start_from: encoder`: what the decoder computes before its first step, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bricks import a_recipe, data_folder, weights
from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.encoder.rope import rope_tables
from plainmask.encoder.vit import Encoder
from plainmask.errors import InputError
from plainmask.heads.head import Head
from plainmask.training.from_encoder import start_from_encoder
from plainmask.training.loop import train
from plainmask.training.recipe import DecoderRecipe
from tiny import save_tiny_encoder, tiny_encoder

PIXELS = torch.randint(
    0, 256, (4, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
)


def begun(encoder: Encoder, num_blocks: int = 1, **settings: Any) -> PlainMaskDecoder:
    recipe = DecoderRecipe.model_validate(
        {
            "num_queries": 2,
            "num_blocks": num_blocks,
            "ffn_hidden": encoder.config.ffn_hidden,
            "upscale_stages": 1,
        }
        | settings
    )
    torch.manual_seed(0)
    decoder = PlainMaskDecoder(recipe.build_config(encoder.config, 3))
    start_from_encoder(decoder, encoder, PIXELS)
    return decoder.eval()


def patches_of(decoder: PlainMaskDecoder, encoder: Encoder) -> Tensor:
    """What the decoder makes of patches without queries, through the encoder's norm: (N, D)."""
    features = encoder(PIXELS)
    x = decoder.fuse(features)
    rope = rope_tables(features.grid, encoder.config.head_dim, device=x.device)
    for block in decoder.blocks:
        x = block(x, rope)
    return encoder.norm(x)[:, features.prefix :].flatten(0, 1)


@torch.no_grad()
def likeness(found: Tensor, wanted: Tensor) -> float:
    return float(torch.cosine_similarity(found - found.mean(0), wanted - wanted.mean(0)).mean())


def encoders() -> dict[str, Encoder]:
    """With a final norm, whose factors may be negative, and without one."""
    plain, turned, bare = tiny_encoder(), tiny_encoder(), tiny_encoder()
    assert isinstance(turned.norm, torch.nn.LayerNorm)
    turned.norm.weight[::3] *= -1
    bare.norm = torch.nn.Identity()
    return {"norm": plain, "negative factors": turned, "no norm": bare}


@pytest.mark.parametrize("kind", encoders())
@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_the_decoder_goes_on_as_the_encoder_does(num_blocks: int, kind: str):
    encoder = encoders()[kind]
    taps = encoder.config.taps
    place = max(i for i, tap in enumerate(taps) if tap + num_blocks < encoder.config.depth)
    wanted = encoder(PIXELS, taps=[taps[place] + num_blocks]).taps[0][:, encoder.config.prefix :]
    decoder = begun(encoder, num_blocks)
    assert likeness(patches_of(decoder, encoder), wanted.flatten(0, 1)) > 0.999
    decoder.train()  # the pictures' own statistics are those that were measured
    assert likeness(patches_of(decoder, encoder), wanted.flatten(0, 1)) > 0.999


@torch.no_grad()
def test_queries_are_of_the_size_of_tokens():
    encoder = tiny_encoder()
    decoder = begun(encoder)
    tokens = decoder.fuse(encoder(PIXELS)).std(-1).mean()
    assert 0.6 < float(decoder.queries.std(-1).mean() / tokens) < 1.6


@torch.no_grad()
def test_batch_norms_know_what_they_will_see():
    """So `freeze_norms` has something to keep."""
    encoder = tiny_encoder()
    decoder, features = begun(encoder), encoder(PIXELS)
    as_measured = decoder.fuse(features)
    apart = decoder.train().fuse(features) - as_measured
    assert float(apart.std() / as_measured.std()) < 0.01


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ffn_hidden": None}, "set decoder.ffn_hidden to 128, as the encoder has it, not 64"),
        ({"num_blocks": 4}, "behind one of its taps, 1 to 3: decoder.num_blocks cannot be 4"),
        ({"num_blocks": 0}, "decoder.num_blocks cannot be 0"),
    ],
)
def test_blocks_that_do_not_fit(settings: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        begun(tiny_encoder(), **settings)


def test_blocks_of_another_kind():
    encoder = tiny_encoder()
    encoder.config = encoder.config.model_copy(update={"ffn": "swiglu"})
    with pytest.raises(
        InputError, match="have a swiglu layer, which decoders have not; leave start_from out"
    ):
        begun(encoder)


def test_a_run_starts_from_the_encoder_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data_folder(tmp_path / "data", train=3, val=1)
    save_tiny_encoder(tmp_path)
    decoder = {"num_queries": 4, "num_blocks": 2, "upscale_stages": 1}
    recipe = a_recipe(tmp_path, start_from="encoder", decoder=decoder)
    whole = train(recipe, tmp_path / "whole", device="cpu")
    assert "starting from the encoder's blocks 2 to 3\n" in capsys.readouterr().err
    assert Head.load(whole / "head").config.decoder.ffn_hidden == 128
    short = recipe.model_copy(update={"steps": 4})
    train(short, tmp_path / "parts", device="cpu")
    assert set(weights(whole)) == set(weights(tmp_path / "parts"))
    capsys.readouterr()
    train(recipe, tmp_path / "parts", device="cpu", resume=True)
    assert "starting from" not in capsys.readouterr().err
