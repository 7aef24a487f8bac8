"""Head folders: every format ever written still loads; saving is whole or nothing."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from goldens import relative_error
from plainmask.encoder.vit import Features
from plainmask.errors import HeadError, InputError
from plainmask.heads import head as head_room
from plainmask.heads.card import model_card
from plainmask.heads.head import FORMAT_VERSION, Head, Provenance, find_head
from tiny import tiny_encoder, tiny_head

FOLDERS = Path(__file__).parent


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_every_format_still_loads(version: int):
    head = Head.load(FOLDERS / f"format_{version}")
    recorded = load_file(FOLDERS / f"format_{version}.safetensors")
    assert head.config.vocabulary.names == ("class_0", "class_1", "class_2")
    with torch.no_grad():
        found = head.decoder(Features(tuple(recorded["tokens"]), (2, 3), 5))
    assert relative_error(found.mask_logits, recorded["mask_logits"]) < 2e-5
    assert relative_error(found.class_logits, recorded["class_logits"]) < 2e-5


def test_float16_on_disk_float32_in_use(tmp_path: Path):
    folder = tiny_head("semantic", tiny_encoder()).save(tmp_path / "head")
    stored = load_file(folder / "model.safetensors")
    assert stored["queries"].dtype == torch.float16
    assert stored["laterals.0.norm.running_var"].dtype == torch.float32
    assert Head.load(folder).decoder.queries.dtype == torch.float32


def test_saving_again_replaces(tmp_path: Path):
    encoder = tiny_encoder()
    folder = tiny_head("semantic", encoder).save(tmp_path / "head")
    tiny_head("panoptic", encoder).save(folder)
    assert Head.load(folder).config.task == "panoptic"


def test_other_folders_are_never_overwritten(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="is no head folder; choose another"):
        tiny_head("semantic", tiny_encoder()).save(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(head_room, "save", full)
    with pytest.raises(InputError, match="No space left on device"):
        tiny_head("semantic", tiny_encoder()).save(tmp_path / "head")
    assert list(tmp_path.iterdir()) == []


def test_the_card_names_data_figures_and_command():
    provenance = Provenance(
        data="CamVid, CC BY-NC 4.0",
        figures={"mIoU": 65.432},
        per_class={"sea": 70.0, "brick": None},
        command="plainmask eval …",
    )
    head = tiny_head("semantic", tiny_encoder())
    config = head.config.model_copy(update={"provenance": provenance})
    card = model_card(config.model_dump(mode="json"))
    for text in ("CC BY-NC 4.0", "| mIoU | 65.4 |", "| IoU sea | 70.0 |", "plainmask eval …"):
        assert text in card
    assert "brick" not in card
    assert head.config.encoder.fingerprint in card


def test_an_older_head_of_a_satellite_encoder_is_still_understood():
    encoder = tiny_encoder()
    head = tiny_head("semantic", encoder)
    encoder.fingerprint = "with its statistics"  # as of an encoder that is not ImageNet's
    head.check(encoder)
    encoder.name = "dinov3-large-sat"  # an older head that names another encoder of these weights
    with pytest.raises(HeadError, match="its features mean something else"):
        head.check(encoder)


@pytest.mark.parametrize("given", [None, 7, b"street-semantic"])
def test_what_cannot_name_a_head(given: object):
    with pytest.raises(InputError, match=f"not a {type(given).__name__}"):
        find_head(given)  # pyright: ignore[reportArgumentType]
