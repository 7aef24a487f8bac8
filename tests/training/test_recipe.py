"""Recipes: the shipped ones are valid; mistakes are named with their path."""

import tomllib
from pathlib import Path

import pytest

from plainmask.encoder.presets import find_preset
from plainmask.errors import InputError
from plainmask.training.recipe import (
    find_recipe_file,
    load_recipe,
    save_recipe,
    shipped_recipes,
)

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
MINIMAL = """
name: mine
task: semantic
encoder: dinov2-small
data: {root: data}
input: {kind: stride, size: 504}
augment: {crop_size: 448, scale: [0.5, 2.0]}
steps: 10000
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL)
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_say_what_they_cost(path: Path):
    loaded = load_recipe(path)
    assert loaded.name == path.stem
    header = path.read_text().split("\nname:")[0]
    for word in ("command", "hardware", "time", "figure"):
        assert word in header.lower(), f"the header of {path.name} does not say the {word}"


def test_published_defaults(recipe: Path):
    loaded = load_recipe(recipe)
    assert (loaded.optimizer.lr, loaded.optimizer.weight_decay, loaded.optimizer.clip) == (
        2e-4,
        0.05,
        0.01,
    )
    assert (loaded.batch_size, loaded.masked_attention, loaded.supervise) == (
        16,
        True,
        "every_layer",
    )
    small = loaded.decoder.build_config(find_preset("dinov3-small").config, 133)
    assert (small.width, small.heads, small.ffn_hidden, small.upscale_stages) == (384, 6, 384, 2)


def test_overrides_reach_inner_settings(recipe: Path):
    loaded = load_recipe(recipe, ["optimizer.lr=1e-3", "augment.crop_size=[70, 98]", "steps=7000"])
    assert loaded.optimizer.lr == 1e-3
    assert loaded.augment.crop_size == (70, 98)
    assert loaded.steps == 7000


def test_round_trip(recipe: Path, tmp_path: Path):
    loaded = load_recipe(recipe, ["cache.folder=features"])
    save_recipe(loaded, tmp_path / "again.yaml")
    assert load_recipe(tmp_path / "again.yaml") == loaded


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lrr=1", r"optimizer\.lrr: unknown key; did you mean lr\?"),
        ("stepss=1", r"stepss: unknown key; did you mean steps\?"),
        ("steps=0", r"steps: .*greater than 0.*found 0"),
        ("task=semantics", r"task: .*'semantic'.*found 'semantics'"),
        ("patience=3", "patience counts evaluations on the way: give evaluate_every"),
        ("supervise=last", "masked_attention needs supervise"),
        ("augment.scale=[2, 1]", r"augment: .*scale \(2\.0, 1\.0\) must be \(low, high\)"),
        ("augment.crop_sise=1", r"augment\.crop_sise: unknown key; did you mean crop_size\?"),
        (
            "augment={shorter: [252], longest: 448, flop: 0.5}",
            r"augment\.flop: unknown key; did you mean flip\?",
        ),
        ("augment={shorter: [252]}", r"augment\.longest: Field required"),
        ("augment=3", "augment: Input should be a valid dictionary"),
        ("clip={frames: 5, reach: 2, pasting: {scal: 1}}", r"clip\.pasting\.scal: unknown key"),
        ("paste=0.5", r"paste adds objects, but in semantic data a class is one segment"),
        ("replay=3", r"replay is for clips, whose queries are carried: give clip"),
        ("steps", "must be key=value"),
        ("freeze_norms=true", "keeps statistics that a head has: give start_from"),
        ("decoder.propagation=gru", "propagation gru is learnt from clips: give clip"),
        ("carry=true", "carry is for clips of semantic data"),
        ("optimizer.warmup=10000", r"warmup 10000 must be less than steps 10000"),
        ("clip={frames: 5, reach: 2}", "without masked attention: masked_attention: false"),
    ],
)
def test_mistakes_are_named(recipe: Path, override: str, message: str):
    with pytest.raises(InputError, match=message):
        load_recipe(recipe, [override])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["task=instance", "paste=0.5", "clip={frames: 5, reach: 2}", "masked_attention=false"],
            r"paste is for images; over clips, clip\.paste pastes",
        ),
        (
            ["task=panoptic", "carry=true", "clip={frames: 5, reach: 2}", "masked_attention=false"],
            "carry is for clips of semantic data: objects end with their video",
        ),
        (["task=panoptic", "loss.semantic=5"], "is for semantic heads, not for task panoptic"),
    ],
)
def test_settings_that_do_not_go_together(recipe: Path, overrides: list[str], message: str):
    with pytest.raises(InputError, match=message):
        load_recipe(recipe, overrides)


def test_an_error_shows_the_key_not_the_recipe(recipe: Path):
    for override in ("optimizer.warmup=10000", "augment={shorter: [252]}", "steps={a: 1}"):
        with pytest.raises(InputError) as caught:
            load_recipe(recipe, [override])
        assert "dinov2-small" not in str(caught.value)
        assert len(str(caught.value).splitlines()[1]) < 100
        assert "recipe:" not in str(caught.value)


def test_a_run_that_is_cut_short_warms_up_for_less(recipe: Path):
    assert load_recipe(recipe, ["steps=7000"]).optimizer.warmup == 6000
    assert load_recipe(recipe, ["steps=24"]).optimizer.warmup == 1
    assert load_recipe(recipe, ["steps=1", "optimizer.lr=1"]).optimizer.warmup == 0
    with pytest.raises(InputError, match=r"optimizer\.warmup 30 must be less than steps 24$"):
        load_recipe(recipe, ["steps=24", "optimizer.warmup=30"])
    recipe.write_text(MINIMAL.replace("10000", "24"))  # nobody cut it short
    with pytest.raises(InputError, match=r"optimizer\.warmup 6000 must be less than steps 24$"):
        load_recipe(recipe)


def test_shipped_recipes_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert shipped_recipes() == {path.stem: path for path in RECIPES}
    project = tomllib.loads((RECIPES[0].parents[1] / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"recipes": "plainmask/recipes"}
    assert find_recipe_file("street-semantic") == shipped_recipes()["street-semantic"]
    monkeypatch.chdir(tmp_path)
    Path("street-semantic").write_text("a file of this name comes first")
    assert find_recipe_file(Path("street-semantic")) == Path("street-semantic")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("own-semantics", r"did you mean own-semantic\?"),
        ("street_semantic.yaml", r"did you mean street-semantic\?"),
        ("elsewhere/nothing.yaml", "by name there are own-semantic, ade20k-semantic-large-512, "),
    ],
)
def test_a_near_name_is_suggested(name: str, hint: str):
    with pytest.raises(InputError, match=f"the recipe {name} cannot be read: .*{hint}"):
        find_recipe_file(name, others=["own-semantic"])


def test_unreadable_recipes(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,")
    with pytest.raises(InputError, match="not valid YAML"):
        load_recipe(broken)
    broken.write_text("- a")
    with pytest.raises(InputError, match="must be a mapping"):
        load_recipe(broken)
