"""A decoder from a linear head: it learns from pictures that this one has labelled.

Letters: H W size of a picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask.extra import need
from plainmask.heads.head import Head
from plainmask.inference.images import segment_all
from plainmask.inference.shared_pass import SharedPass
from plainmask.label.config import LabelClass, ProjectConfig
from plainmask.label.dataset import write_class_table, write_pair
from plainmask.label.planes import Planes
from plainmask.label.teaching import FRESH
from plainmask.pictures.images import ImageSource, read_image
from plainmask.results import SemanticResult

Known: TypeAlias = "tuple[ImageSource, NDArray[np.uint8] | None]"
"""An image, and the labels (H, W) that it has, 255 for none."""


def fit_decoder(linear: Head, shared: SharedPass, encoder: str, images: Iterable[Known]) -> Head:
    """Train a decoder with blocks on what a linear head says where there is no label.

    Args:
        linear: the head.
        shared: its encoder.
        encoder: what that was loaded from.
        images: all to learn from.

    Raises:
        InputError: an image cannot be read, or what training needs is not installed.
        PlainmaskError: see `train`.
    """
    pupil = need("plainmask.label.pupil", "a decoder", 'pip install "plainmask[train]"')
    vocabulary, name = linear.config.vocabulary, linear.config.name
    classes = tuple(
        LabelClass(id=place, name=entry.name, color=entry.color)
        for place, entry in enumerate(vocabulary.classes)
    )
    config = ProjectConfig(encoder=encoder, fingerprint=shared.encoder.fingerprint, classes=classes)
    with TemporaryDirectory() as scratch:
        place = Path(scratch)
        write_class_table(place / "data", config)
        for number, (image, known) in enumerate(images):
            pixels = read_image(image)
            picture = place / f"{number:06d}.png"
            Image.fromarray(pixels).save(picture)
            (results,) = segment_all(shared, {name: linear}, [pixels])
            result = results[name]
            assert isinstance(result, SemanticResult)
            labels = Planes(result.label_map.astype(np.uint8), None)
            if known is not None:
                labels = Planes(known, None).over(labels)
            write_pair(place / "data", picture, labels)
        settings = [f"encoder={encoder}", f"name={name}", f"steps={FRESH}"]
        run, device = place / "run", str(shared.device)
        return Head.load(pupil.learn("semantic", place / "data", run, device, settings))
