"""What a run starts from: its folder, the weights of another head, features, the head it makes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.decoder.propagation import GruLink
from plainmask.encoder.vit import Encoder
from plainmask.errors import InputError
from plainmask.heads.head import EncoderRef, Head, HeadConfig, Provenance
from plainmask.training.feature_cache import FeatureCache
from plainmask.training.objective import FeatureSource
from plainmask.training.processes import say
from plainmask.training.recipe import Recipe, load_recipe, save_recipe
from plainmask.vocabulary import Vocabulary

FEATURES = "features"
"""The folder, in that of the run, of features that are not to be kept."""


def find_checkpoints(run_dirs: Sequence[Path], *, resume: bool) -> list[bool]:
    """Make the folders of heads that train together; which of them go on where they were left.

    One that was stopped before it was saved starts anew, whether others were saved or not.

    Raises:
        InputError: `resume`, and no run was begun there; or not, and there is one to resume.
    """
    saved = [(folder / "checkpoint.pt").exists() for folder in run_dirs]
    begun = [(folder / "recipe.yaml").exists() for folder in run_dirs]
    for folder, was_saved in zip(run_dirs, saved, strict=True):
        if was_saved and not resume:
            raise InputError(
                f"{folder} already holds a run; go on with --resume, or train into another folder"
            )
        if resume and not any(saved + begun):
            raise InputError(f"there is no checkpoint to resume in {folder}; leave --resume out")
        if resume and not was_saved:
            say(f"nothing was saved in {folder} before the run was stopped: it starts anew")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the run folder {folder} cannot be made: {error.strerror}") from error
    return saved


def write_recipe(run_dir: Path, recipe: Recipe) -> None:
    """Write the resolved recipe into the run's folder; say what differs from a resumed run's."""
    path = run_dir / "recipe.yaml"
    if path.exists():
        old, new = load_recipe(path).model_dump(), recipe.model_dump()
        changed = [f"{key} {old[key]} -> {new[key]}" for key in new if old[key] != new[key]]
        if changed:
            say(f"going on with another recipe: {'; '.join(changed)}")
    save_recipe(recipe, path)


def start_from(decoder: PlainMaskDecoder, head: Head, encoder: Encoder) -> None:
    """Take over what another head has in the same shape; the rest keeps its fresh values.

    Raises:
        InputError: nothing that is learnt has the same shape.
    """
    own, other = decoder.state_dict(), head.decoder.state_dict()
    same = {k: v for k, v in other.items() if k in own and own[k].shape == v.shape}
    learnt = {name for name, _ in decoder.named_parameters()}
    name, reference = head.config.name, head.config.encoder
    if not same.keys() & learnt:
        raise InputError(
            f"start_from: nothing of the head {name!r} fits this decoder; give one of the same "
            f"width ({decoder.config.width})"
        )
    decoder.load_state_dict(same, strict=False)
    if isinstance(decoder.link, GruLink) and not any(key.startswith("link.") for key in same):
        decoder.link.hold()
    fresh = sorted({".".join(key.split(".")[:2]) for key in learnt - same.keys()})
    unused = sorted({".".join(key.split(".")[:2]) for key in other.keys() - own.keys()})
    left = f"; left out: {', '.join(unused)}" if unused else ""
    say(f"starting from {name}; fresh: {', '.join(fresh) or 'nothing'}{left}")
    if not reference.means(encoder):
        say(f"{name} was trained on another encoder, {reference.name}; what it learnt may not help")


def feature_source(recipe: Recipe, encoder: Encoder, run_dir: Path) -> FeatureSource:
    """The encoder, behind a cache on disk where the recipe has one."""
    if recipe.cache is None:
        return encoder
    folder = recipe.cache.folder or run_dir / FEATURES
    return FeatureCache(folder, encoder, int(recipe.cache.max_gb * 1e9))


def drop_features(recipe: Recipe, run_dir: Path) -> None:
    """Delete the features that are of no use to other runs."""
    if recipe.cache is not None and recipe.cache.folder is None:
        shutil.rmtree(run_dir / FEATURES, ignore_errors=True)


def head_config(
    recipe: Recipe, encoder: Encoder, decoder: DecoderConfig, vocabulary: Vocabulary
) -> HeadConfig:
    """The head that the run trains."""
    return HeadConfig(
        name=recipe.name,
        task=recipe.task,
        vocabulary=vocabulary,
        decoder=decoder,
        encoder=EncoderRef.of(encoder),
        input=recipe.input,
        provenance=Provenance(
            data=recipe.data_terms,
            licence=recipe.licence,
            recipe=recipe.model_dump(mode="json"),
        ),
    )
