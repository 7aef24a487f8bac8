"""Pixel classifiers of labelling tools, on the features and labels that ours has.

- `convpaint`: napari-convpaint 1.2.0 with DINOv2: every labelled pixel has the features of its
  patch, the last layer's, and CatBoost learns from them with convpaint's settings. Its package asks
  for torchvision and torch.hub, so its classifier is run here, not its window.
- `forest`: a random forest, as convpaint's other classifier and ilastik's, on all four taps.

They need `pip install catboost scikit-learn`.

Letters: N patches, D numbers of a patch, P pixels.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Patches: TypeAlias = NDArray[np.floating[Any]]
Fitted: TypeAlias = Callable[[Patches], NDArray[np.int64]]
"""(N, D) -> (N,): class ids."""


class Labelled(NamedTuple):
    """A picture of which a little is labelled."""

    features: NDArray[np.float16]
    """(h * w, D), the taps side by side."""
    grid: tuple[int, int]
    """h, w"""
    labels: NDArray[np.uint8]
    """(H, W), 255 for none."""


def pixels_of(pictures: Sequence[Labelled], *, none: int) -> tuple[Patches, NDArray[np.int64]]:
    """The features (P, D) and classes (P,) of all pixels that are labelled."""
    features: list[Patches] = []
    classes: list[NDArray[np.int64]] = []
    for picture in pictures:
        height, width = picture.labels.shape
        y, x = np.nonzero(picture.labels != none)
        rows, columns = y * picture.grid[0] // height, x * picture.grid[1] // width
        features.append(picture.features[rows * picture.grid[1] + columns].astype(np.float32))
        classes.append(picture.labels[y, x].astype(np.int64))
    return np.concatenate(features), np.concatenate(classes)


def convpaint(features: Patches, classes: NDArray[np.int64], *, width: int) -> Fitted:
    """Learn as convpaint does; `width` is that of a layer."""
    catboost: Any = importlib.import_module("catboost")
    # convpaint_model.py: clf_iterations, clf_learning_rate, clf_depth, and its seed.
    learner = catboost.CatBoostClassifier(
        iterations=100,
        learning_rate=0.1,
        depth=5,
        random_seed=0,
        allow_writing_files=False,
        verbose=False,
    )
    learner.fit(features[:, -width:], classes)
    return lambda patches: learner.predict(patches[:, -width:]).astype(np.int64).ravel()


def forest(features: Patches, classes: NDArray[np.int64]) -> Fitted:
    """Learn as a random forest of a hundred trees."""
    ensemble: Any = importlib.import_module("sklearn.ensemble")
    learner = ensemble.RandomForestClassifier(n_estimators=100, n_jobs=-1, random_state=0)
    learner.fit(features, classes)
    return lambda patches: learner.predict(patches).astype(np.int64)
