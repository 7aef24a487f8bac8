"""The commands as calls: segment, train and evaluate in one line each, by the commands' names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainmask.data.reader import check_format
from plainmask.errors import InputError
from plainmask.evaluation.head import evaluate_head
from plainmask.evaluation.measures import check_rules
from plainmask.inference.images import Answer, segment_each
from plainmask.inference.loading import load
from plainmask.inference.overlap import WAITING, behind
from plainmask.pictures.finding import find_images
from plainmask.results import Result
from plainmask.results.places import check_writable, output_places

if TYPE_CHECKING:
    from plainmask.evaluation.report import Evaluation
    from plainmask.results.saving import Form


def segment(
    images: str | Path | Sequence[str | Path],
    head: str | Path = "scenes",
    *,
    out: str | Path | None = None,
    save: Sequence[Form] = ("overlay", "labels", "segments"),
    score: float | None = None,
    classes: Sequence[int | str] | None = None,
    tiles: float | None = None,
    device: str = "auto",
    encoder: str | Path | None = None,
) -> dict[Path, Result]:
    """Segment pictures, as `plainmask segment` does.

    Args:
        images: a file, a folder, a glob, or several of these.
        head: a shipped head, a head folder or hub repository.
        out: also write the results into this folder; None: do not.
        save: as what; see `Result.save`.
        score, classes: what to keep; see `Result.keep`.
        tiles: factor at which pictures are seen in tiles; None: as the head says.
        device, encoder: see `plainmask.load`.

    Returns:
        The result of each picture by its path, in order.

    Raises:
        InputError: an input means no picture, a picture cannot be used, or nothing can be written.
    """
    given = [images] if isinstance(images, str | Path) else list(images)
    paths, problems = find_images([str(one) for one in given])
    if problems or not paths:
        raise InputError("; ".join(f"{name}: {reason}" for name, reason in problems.items()))
    if out is not None:
        check_writable(Path(out))
    segmenter = load(head, device=device, encoder=encoder)
    if tiles is not None:
        segmenter = segmenter.seeing("tiles", tiles)
    places = output_places(paths, Path(out or "."))
    answers = segment_each(segmenter.shared, {segmenter.name: segmenter.head}, paths)

    def finish(item: tuple[Answer, Path, tuple[Path, str]]) -> tuple[Path, Result]:
        answer, path, (folder, stem) = item
        if answer.error is not None:
            raise answer.error
        kept = answer.results[segmenter.name].keep(score, classes)
        if out is not None:  # at once: what is done stays if a later picture cannot be used
            kept.save(folder, stem=stem, image=answer.pixels, forms=save)
        return path, kept

    return dict(behind(finish, zip(answers, paths, places, strict=True), WAITING))


def train(
    recipe: str | Path,
    *settings: str,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    wandb: str | None = None,
) -> Path:
    """Train a head on the frozen encoder, as `plainmask train` does.

    Args:
        recipe: a YAML file, the name of a shipped recipe, or own-semantic, own-instance or
            own-panoptic with data.root=FOLDER, which choose one for someone's own data.
        settings: to change, such as "steps=500", "optimizer.lr=1e-4".
        out: folder of the run; None: runs/NAME of the recipe.
        resume: go on with the run that was stopped in this folder.
        device: "auto", "cpu", "cuda" or "cuda:0".
        wandb: also log to this project of Weights & Biases.

    Returns:
        The head folder; `plainmask.load` takes it.

    Raises:
        InputError: data, folder or recipe cannot be used.
    """
    from plainmask.training.loop import train as train_recipe
    from plainmask.training.open_recipe import open_recipe

    found, data = open_recipe(Path(recipe), settings, device)
    folder = Path(out) if out is not None else Path("runs") / found.name
    return (
        train_recipe(found, folder, resume=resume, device=device, wandb=wandb, data=data) / "head"
    )


def evaluate(
    head: str | Path,
    data: str | Path,
    *,
    split: str | None = None,
    format: str | None = None,
    protocol: str | None = None,
    metrics: str = "official",
    max_detections: int = 100,
    out: str | Path | None = None,
    processes: int = 1,
    device: str = "auto",
    encoder: str | Path | None = None,
) -> Evaluation:
    """Evaluate a head on labelled pictures or videos, as `plainmask eval` does.

    Args:
        head: a shipped head, a head folder or hub repository.
        data: the folder of the data set.
        split: such as "val"; None: pictures lie in images and labels.
        format: of the data, such as "coco_panoptic"; None: guessed.
        protocol: of videos "offline" (as published) or "online", of images "stride".
        metrics: rules of the figures of images: "official", or "pmt".
        max_detections: instances in an image that count for AP.
        out: folder for result files and a page; None: none.
        processes: to share images out among.
        device, encoder: see `plainmask.load`.

    Raises:
        InputError: data or head cannot be used.
    """
    data_format: Any = None if format is None else check_format(format)
    found = evaluate_head(
        str(head),
        Path(data),
        split,
        data_format,
        protocol,
        check_rules(metrics, max_detections),
        out=None if out is None else Path(out),
        processes=processes,
        device=device,
        encoder=None if encoder is None else str(encoder),
    )
    if out is not None:
        found.save(Path(out))
    return found
