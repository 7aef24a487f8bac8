"""A head from a few labelled pictures in seconds, as a call: what the page of `label` does.

Letters: H W size of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import load_encoder
from plainmask.errors import InputError
from plainmask.heads.head import Head
from plainmask.inference.shared_pass import SharedPass, pick_device, pick_dtype, placed
from plainmask.label.canvas import Canvas
from plainmask.label.closed_form import head_of
from plainmask.label.features import compute_taps, seen
from plainmask.label.fit_decoder import Known, fit_decoder
from plainmask.label.learner import Learner
from plainmask.label.planes import PixelBox
from plainmask.label.stroke import NO_LABEL, Stroke
from plainmask.pictures.images import ImageSource, read_image, read_label
from plainmask.vocabulary import Vocabulary

Marks: TypeAlias = NDArray[Any] | str | Path | Sequence[Mapping[str, Any]]
"""What is known of a picture: class ids (H, W), 255 where nothing is; a PNG of them; or strokes."""


def fit(
    images: Sequence[ImageSource],
    labels: Sequence[Marks],
    classes: Sequence[str] | Vocabulary,
    *,
    encoder: str | Path | Encoder = "dinov2-small",
    name: str = "fitted",
    device: str = "auto",
    decoder: bool = False,
    others: Sequence[ImageSource] = (),
) -> Head:
    """A semantic head from pictures of which a little is labelled.

    In closed form it takes one pass of the encoder for each picture, and a fraction of a second:

        head = plainmask.fit(["a.jpg", "b.jpg"], ["a.png", "b.png"], ["field", "forest"])
        head.save("mine")
        plainmask.load("mine")("c.jpg").show()

    With `decoder` that head labels all pictures, and a decoder with blocks learns from them, in
    some minutes. It knows objects whole and finds more; some dozens of `others` help it most.

    Args:
        images: files, or arrays (H, W, 3) uint8 RGB.
        labels: for each image a map (H, W) of class ids, 255 where nothing is labelled; a PNG of
            such a map; or strokes, drawn one after the other:
            {"kind": "brush", "class": 0, "points": [[x, y], …], "radius": 5} in pixels, with the
            kinds brush, erase, fill and polygon.
        classes: names in the order of their ids, or a vocabulary.
        encoder: a preset, a file or folder, or an encoder.
        name: of the head.
        device: "auto", "cpu", "cuda" or "cuda:0".
        decoder: train a decoder on what the closed form says.
        others: for that, images without labels.

    Returns:
        the head; save it, or use it at once: Segmenter(load_encoder("dinov2-small"), {"it": head}).

    Raises:
        InputError: images and labels do not go together, cannot be used, or fewer than two classes
            have labels.
        WeightsError: the encoder cannot be loaded.
        PlainmaskError: a decoder was to be trained, and the training failed.
    """
    if others and not decoder:
        raise InputError("others are for decoder=True: the closed form learns from labels alone")
    if decoder and isinstance(encoder, Encoder):
        raise InputError("decoder=True loads the encoder itself: give its preset, file or folder")
    if len(images) != len(labels):
        raise InputError(f"{len(images)} images and {len(labels)} labels: give one for each")
    vocabulary = classes if isinstance(classes, Vocabulary) else Vocabulary.load([*classes])
    if len(vocabulary) > NO_LABEL:
        raise InputError(f"{len(vocabulary)} classes are too many: {NO_LABEL} is no label")
    where = pick_device(device)
    loaded = encoder if isinstance(encoder, Encoder) else load_encoder(encoder)
    shared = SharedPass.of(placed(loaded, where), where, pick_dtype("auto", where))
    patch, taps = loaded.config.patch_size, loaded.config.taps
    learner = Learner(loaded.config.width * len(taps))
    known: list[Known] = []
    for place, (image, marks) in enumerate(zip(images, labels, strict=True)):
        pixels = read_image(image)
        try:
            canvas = _canvas(pixels, marks, patch, len(vocabulary))
        except InputError as error:
            raise InputError(f"labels of image {place}: {error}") from error
        whole = PixelBox(0, 0, *canvas.size)
        patches = canvas.patch_labels(whole, len(vocabulary))
        learner.learn(str(place), compute_taps(pixels, shared), patches, {})
        known.append((image, canvas.labels))
    learner.solve()
    if learner.head is None:
        raise InputError("fewer than two classes have labels; label a little of another")
    head = head_of(learner.head, loaded, vocabulary, name)
    if not decoder:
        return head
    return fit_decoder(head, shared, str(encoder), [*known, *((other, None) for other in others)])


def _canvas(pixels: NDArray[np.uint8], marks: Marks, patch: int, count: int) -> Canvas:
    """A picture (H, W, 3) with what is known of it.

    Raises:
        InputError: it is not of this picture, or of other classes.
    """
    height, width = pixels.shape[:2]
    geometry = seen((height, width), patch)
    if isinstance(marks, Sequence) and not isinstance(marks, str):
        strokes = [Stroke.read({"picture": "it"} | dict(one)) for one in marks]
        canvas = Canvas.of(geometry, patch, enumerate(strokes, 1))
        found = canvas.labels
    else:
        canvas = Canvas(geometry, patch)
        found = marks if isinstance(marks, np.ndarray) else read_label(marks)
        if found.shape != (height, width) or not np.issubdtype(found.dtype, np.integer):
            raise InputError(
                f"expected whole numbers of shape {(height, width)}, as the image, found "
                f"{found.dtype} of shape {found.shape}"
            )
    wrong = np.setdiff1d(found, [*range(count), NO_LABEL])
    if len(wrong):
        raise InputError(
            f"{wrong[0]} is no class: there are 0 to {count - 1}, and {NO_LABEL} for no label"
        )
    canvas.labels[:] = found
    return canvas
