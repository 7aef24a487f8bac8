"""What `bench` measures and says, and what it refuses."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from plainmask.encoder.vit import Encoder
from plainmask.errors import InputError
from plainmask.inference.bench import bench
from plainmask.inference.flops import decoder_flops, encoder_flops
from plainmask.inference.segmenter import Segmenter
from plainmask.pictures.geometry import InputProtocol
from tiny import tiny_encoder, tiny_head


def segmenter(**heads: InputProtocol | None) -> Segmenter:
    encoder = tiny_encoder()
    found = Segmenter(encoder, device="cpu", dtype="float32")
    for name, protocol in heads.items():
        head = tiny_head("semantic", encoder)
        update = {} if protocol is None else {"input": protocol}
        found.add(name, replace(head, config=head.config.model_copy(update=update)))
    return found


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (90, 60), (90, 120, 40)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_heads_that_see_alike_share_an_encoder_step(photo: Path):
    found = bench(segmenter(a=None, b=None), photo, runs=3)
    assert [(step.name, step.heads) for step in found.steps] == [
        ("decode", ()),
        ("preprocess", ()),
        ("encoder", ()),
        ("decoder", ("a",)),
        ("post-processing", ("a",)),
        ("saving", ("a",)),
        ("decoder", ("b",)),
        ("post-processing", ("b",)),
        ("saving", ("b",)),
    ]
    assert all(len(step.seconds) == 3 and min(step.seconds) > 0 for step in found.steps)
    assert sum(step.median for step in found.steps) < 1.5 * found.whole.median
    assert found.tokens == 3 + 3 * 5  # 48 x 80 pixels in patches of 16, and the prefix
    assert (found.picture, found.heads, found.device) == ((60, 90), ("a", "b"), "cpu")
    assert found.peak_gflops > 0
    assert (found.memory_megabytes is None) == (sys.platform == "win32")


def test_heads_that_see_differently_have_encoder_steps_of_their_own(photo: Path):
    fit = InputProtocol(kind="fit", size=32)
    found = bench(segmenter(a=None, b=fit), photo, runs=1)
    steps = [step for step in found.steps if step.name == "encoder"]
    assert [step.heads for step in steps] == [("a",), ("b",)]
    assert found.tokens == 3 + 15 + 3 + 4


@pytest.mark.parametrize(
    ("protocol", "tokens"),
    [
        (InputProtocol(kind="fit", size=32), 3 + 36),
        (InputProtocol(kind="stride", size=32), 3 + 6 * 9),
        (InputProtocol(kind="windows", size=32, shorter=48), 6 * (3 + 36)),
    ],
)
def test_another_size_keeps_the_way_of_seeing(photo: Path, protocol: InputProtocol, tokens: int):
    assert bench(segmenter(a=protocol), photo, size=96, runs=1).tokens == tokens


def test_weights_are_counted_as_they_are_held(photo: Path):
    one = segmenter(a=None)
    half = Segmenter(one.encoder, one.heads, device="cpu", dtype="bfloat16")
    sizes = [bench(which, photo, runs=1).weight_megabytes for which in (one, half)]
    parameters = sum(value.numel() for value in one.encoder.parameters())
    assert sizes[0]["encoder"] == pytest.approx(4 * parameters / 1e6)
    assert sizes[1]["encoder"] < 0.55 * sizes[0]["encoder"]
    assert sizes[0].keys() == {"encoder", "a"}


def test_everything_is_json(photo: Path):
    found = json.loads(json.dumps(bench(segmenter(a=None), photo, runs=1).to_json()))
    assert found["warm_up"] == 2
    assert found["steps"][2]["name"] == "encoder"
    assert found["steps"][2]["median"] == found["steps"][2]["seconds"][0]
    assert found["comparison"] is None


def test_beside_eomt_of_the_same_size(photo: Path):
    pytest.importorskip("transformers")
    found = bench(segmenter(a=None, b=None), photo, runs=1, compare=True).comparison
    assert found is not None
    assert found.peer == "EoMT-DINOv3"
    assert found.side == 64  # 3 x 5 patches are nearly 4 x 4
    assert found.ratio == pytest.approx(found.theirs.median / found.ours.median)


def test_the_peer_of_an_encoder_that_eomt_has_not(photo: Path):
    pytest.importorskip("transformers")
    ours = segmenter(a=None)
    ours.encoder.name = "lingbot-base"
    found = bench(ours, photo, runs=1, compare=True).comparison
    assert found is not None
    assert found.peer == "EoMT-DINOv3 of the size of lingbot-base"


@pytest.mark.parametrize("missing", [None, object()], ids=["absent", "too old"])
def test_comparing_without_transformers_says_what_to_install(
    photo: Path, missing: object, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "transformers", missing)
    with pytest.raises(InputError, match=r"pip install -U transformers"):
        bench(segmenter(a=None), photo, runs=1, compare=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": 0}, "at least 1 run must be measured, not 0"),
        ({"size": 0}, "a size of 0: "),
        ({"size": 8}, "smaller than one 16x16 patch|at least"),
    ],
)
def test_refuses_numbers_that_make_no_sense(photo: Path, change: dict[str, int], message: str):
    with pytest.raises(InputError, match=message):
        bench(segmenter(a=InputProtocol(kind="fit", size=32)), photo, **change)


def test_refuses_what_it_cannot_measure(photo: Path):
    with pytest.raises(InputError, match="has no head"):
        bench(segmenter(), photo)
    with pytest.raises(InputError, match=r"absent\.png"):
        bench(segmenter(a=None), photo.with_name("absent.png"))
    with pytest.raises(InputError, match=r"a: this picture of 90 x 60 is seen in tiles"):
        bench(segmenter(a=InputProtocol(kind="tiles", size=32)), photo)


def counted(encoder: Encoder, grid: tuple[int, int]) -> tuple[int, int]:
    """Of the encoder and the tiny head, as torch counts them."""
    pixels = torch.zeros(1, 3, 16 * grid[0], 16 * grid[1], dtype=torch.uint8)
    found: list[int] = []
    features = None
    for part in ("encoder", "decoder"):
        # Of attention, torch counts only what is made of products.
        plain = sdpa_kernel(SDPBackend.MATH)
        with FlopCounterMode(display=False) as counter, torch.no_grad(), plain:
            if part == "encoder":
                features = encoder(pixels)
            else:
                tiny_head("semantic", encoder).decoder(features)
        found.append(counter.get_total_flops())
    return found[0], found[1]


@pytest.mark.parametrize("grid", [(3, 5), (8, 8)])
def test_arithmetic_counts_what_torch_counts(grid: tuple[int, int]):
    encoder = tiny_encoder()
    ours = encoder_flops(encoder.config, grid, encoder.config.depth)
    config = tiny_head("semantic", encoder).config.decoder
    decoder = decoder_flops(config, grid, encoder.config.prefix)
    assert (ours, decoder) == counted(encoder, grid)
