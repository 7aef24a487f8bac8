"""Every head in the package: small, documented, and of the encoder that it names."""

import zlib
from pathlib import Path
from typing import get_args

import pytest

from plainmask.encoder.presets import find_preset
from plainmask.heads.card import model_card
from plainmask.heads.head import read_config, shipped_heads
from plainmask.inference.loading import ShippedInstance, ShippedSemantic

HEADS = shipped_heads()


def test_the_default_head_is_shipped():
    assert "street-semantic" in HEADS


def test_editors_know_what_each_head_gives():
    known = dict.fromkeys(get_args(ShippedSemantic), "semantic")
    known |= dict.fromkeys(get_args(ShippedInstance), "instance")
    assert known == {name: read_config(folder).task for name, folder in HEADS.items()}


@pytest.mark.parametrize("name", HEADS)
def test_the_page_of_pictures_has_each_head(name: str):
    docs = Path(__file__).parents[2] / "docs"
    _, _, section = (docs / "heads.md").read_text(encoding="utf-8").partition(f"\n## {name}\n")
    section = " ".join(section.partition("\n## ")[0].split())
    config = read_config(HEADS[name])
    assert config.task in section.lower()
    figures = [f"{figure:.1f} %" for figure in config.provenance.figures.values()]
    assert any(figure in section for figure in figures)
    picture = docs / f"gallery/{name}.jpg"
    assert (f"](gallery/{name}.jpg)" in section) == picture.is_file()
    assert not picture.is_file() or picture.stat().st_size < 120_000


@pytest.mark.parametrize("name", HEADS)
def test_small_and_documented(name: str):
    folder = HEADS[name]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20_000_000
    config = read_config(folder)
    assert config.name == name
    assert config.encoder.fingerprint == find_preset(config.encoder.name).fingerprint
    provenance = config.provenance
    assert provenance.data
    assert provenance.licence
    assert provenance.figures
    assert provenance.command.startswith("plainmask eval")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert provenance.licence.split(";")[0] in card
    assert card == model_card(config.model_dump(mode="json"))
    text = (folder / "config.json").read_text(encoding="utf-8")
    assert '": "/' not in text, "a path of the machine that it was trained on"


def test_street_semantic_passes_its_floor():
    config = read_config(HEADS["street-semantic"])
    (figure,) = (v for k, v in config.provenance.figures.items() if "camvid test" in k)
    assert figure > 60
    assert len(config.provenance.per_class) == 11


def test_scenes_passes_its_goal():
    provenance = read_config(HEADS["scenes"]).provenance
    (figure,) = (v for k, v in provenance.figures.items() if k.startswith("mean without horse"))
    assert figure > 78
    assert len(provenance.per_class) == 23


def test_person_parts_finds_persons():
    provenance = read_config(HEADS["person-parts"]).provenance
    (figure,) = (v for k, v in provenance.figures.items() if k.startswith("mIoU on ccp_people val"))
    assert figure > 50
    assert (provenance.per_class["background"] or 0) > 97


def test_all_heads_together_are_a_small_download():
    """A wheel, which deflates its files, has less than 60 MB; all the rest takes one of them."""
    files = [file for folder in HEADS.values() for file in folder.iterdir()]
    assert sum(len(zlib.compress(file.read_bytes())) for file in files) < 59_000_000


def test_nuclei_instance_passes_its_goal():
    figures = read_config(HEADS["nuclei-instance"]).provenance.figures
    at = {
        place.rsplit("max detections ", 1)[1].rstrip(")"): value
        for place, value in figures.items()
        if place.startswith("AP50 ")
    }
    assert at["500"] >= 70
    assert at["500"] > at["100"] > 60


@pytest.mark.parametrize(
    ("name", "metrics"),
    [("moving-objects", ("AP", "J")), ("street-video", ("mIoU", "mVC8", "mVC16"))],
)
def test_video_heads_are_shipped_with_their_figures(name: str, metrics: tuple[str, ...]):
    config = read_config(HEADS[name])
    assert config.decoder.propagation == "gru"
    for metric in metrics:
        assert any(place.split(" ")[0] == metric for place in config.provenance.figures)
