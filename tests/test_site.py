"""The site of the documentation, and the page of the model that the code cites."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import plainmask
from plainmask.encoder.releases import PRESETS
from plainmask.training.loss import LossConfig
from plainmask.training.recipe import OptimizerConfig
from plainmask.training.schedule import annealing_windows

ROOT = Path(__file__).parents[1]
MODEL = (ROOT / "docs/model.md").read_text("utf-8")


def texts() -> Iterator[tuple[Path, str]]:
    """Everything that people write here, but this file."""
    for folder in ("src", "tests", "tools", "benchmarks", "recipes", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".md", ".yaml") and path != Path(__file__):
                yield path.relative_to(ROOT), path.read_text("utf-8")


def rows(*, starting: str) -> list[list[str]]:
    """The rows of the model page's tables that start with a text, cell by cell."""
    found = re.findall(rf"^\| ({starting}.*) \|$", MODEL, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in found]


def numbers(text: str) -> list[int]:
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d|\d", text)]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_needs_no_network(tmp_path: Path):
    pytest.importorskip("mkdocs", reason="`make env` installs it")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (tmp_path / "api/plainmask.html").read_text("utf-8")
    assert [name for name in plainmask.__all__ if f'id="plainmask.{name}"' not in reference] == []
    for page in tmp_path.rglob("*.html"):
        assert re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="https?:', page.read_text()) == []


def test_sections_of_the_model_that_are_cited_exist():
    sections = set(re.findall(r"^##+ ([\d.]+) ", MODEL, re.MULTILINE))
    for path, text in texts():
        for cited in re.findall(r"model\.md\s+(?:#\s+)?((?:\d[\d.]*(?:, | and )?)+)", text):
            wanted = {number.rstrip(".") for number in re.findall(r"\d[\d.]*", cited)}
            assert wanted <= sections, f"{path} cites {wanted - sections}"


def test_nothing_cites_what_a_reader_does_not_have():
    internal = re.compile(r"\b(SPEC|DESIGN|FIELD)(_[A-Z0-9]+)?\b")
    for path, text in texts():
        assert [line for line in text.splitlines() if internal.search(line)] == [], path


def test_links_within_the_model_lead_somewhere():
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^##+ (.*)$", MODEL, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", MODEL)) <= anchors


def test_the_model_page_has_the_encoders():
    described: dict[str, list[str]] = {}
    families = "|".join({preset.family for preset in PRESETS})
    for names, *cells in rows(starting=f"`(?:{families})-"):
        described |= dict.fromkeys(re.findall(r"`([^`]*)`", names), cells)
    assert list(described) == sorted(described, key=[p.name for p in PRESETS].index)
    for preset in PRESETS:
        config = preset.config
        hidden = f"{config.ffn_hidden}{' swiglu' if config.ffn == 'swiglu' else ''}"
        assert described.pop(preset.name) == [
            *(str(value) for value in (config.width, config.depth, config.heads)),
            hidden,
            str(config.registers),
            str(config.patch_size),
            ", ".join(map(str, config.taps)),
            f"{preset.num_params:,}",
        ]
    assert described == {}


def test_the_model_page_has_the_published_annealing():
    for start in ("COCO", "ADE20K"):
        (row,) = (row for row in rows(starting=start) if len(row) == 4)
        total, starts, ends = numbers(row[1])[0], row[2], row[3]
        windows = annealing_windows(6, total)
        assert ", ".join(str(first) for first, _ in windows) == starts
        assert ", ".join(str(last) for _, last in windows) == ends


def test_the_model_page_has_the_defaults_of_losses_and_optimiser():
    loss, optimizer = LossConfig(), OptimizerConfig()
    text = " ".join(MODEL.split())
    assert f"P = {loss.num_points:,} points" in text
    assert f"{loss.mask:g} L_mask + {loss.dice:g} L_dice + {loss.classes:g} L_class" in text
    assert f'"no object" {loss.no_object:g}' in text
    assert f"{int(loss.oversample * loss.num_points):,} uniform candidates" in text
    assert f"{loss.num_uncertain:,} with the smallest" in text
    assert f"weight decay {optimizer.weight_decay:g}" in text
    assert f"| rate | {optimizer.lr:.0e}".replace("e-0", "e-") in text
    assert f"{optimizer.warmup} steps" in text
    assert f"at most {optimizer.clip:g}" in text
