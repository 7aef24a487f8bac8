"""Images through encoder and heads: alone, together where they have one size, or in tiles.

Letters: K images of one size, N windows of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plainmask.decoder.decoder import Predictions
from plainmask.encoder.vit import Features, check_pixels
from plainmask.errors import PlainmaskError
from plainmask.heads.head import Head
from plainmask.inference.mosaic import build_mosaic
from plainmask.inference.shared_pass import SharedPass, by_protocol
from plainmask.inference.tiles import plan_tiles
from plainmask.pictures.geometry import Geometry, InputProtocol
from plainmask.pictures.images import ImageSource, read_image
from plainmask.tasks import TaskResult

Pixels = NDArray[np.uint8]
OnTile = Callable[[int, int], None]

TILES_AT_A_TIME = 4
READ_AHEAD = 8
"""Images of a list or iterator that are looked at together."""
PIXELS_AT_A_TIME = 1_500_000
"""Of the model, in one pass: three images of 640 x 640. On a CPU more brings nothing."""


def segment_all(
    shared: SharedPass,
    heads: Mapping[str, Head],
    images: Iterable[ImageSource],
    on_tile: OnTile | None = None,
) -> Iterator[dict[str, TaskResult]]:
    """The results of each image by head name, in order; see `Segmenter.__call__`.

    Raises:
        InputError: an image cannot be used; after the results of those before it.
    """
    waiting = iter(images)
    while chunk := list(islice(waiting, READ_AHEAD)):
        read: list[Pixels] = []
        problem: PlainmaskError | None = None
        try:
            read.extend(read_image(image) for image in chunk)
        except PlainmaskError as error:
            problem = error
        # Results know their picture as it was given, a path or the picture itself: no copy.
        for image, found in zip(chunk, _segment_chunk(shared, heads, read, on_tile), strict=False):
            yield {name: replace(result, source=image) for name, result in found.items()}
        if problem is not None:
            raise problem


def logits(shared: SharedPass, heads: Mapping[str, Head], pixels: Tensor) -> dict[str, Predictions]:
    """The raw network on (B, 3, H, W) uint8 pixels as they are; see `Segmenter.logits`."""
    check_pixels(pixels, shared.encoder.config.patch_size)
    with shared.computing():
        return {
            name: heads[name].decoder(features).float()
            for name, features in shared.features(pixels, heads).items()
        }


def features(shared: SharedPass, image: ImageSource, size: int | None) -> Features:
    """The encoder's own features of an image; see `Segmenter.features`."""
    pixels, patch = read_image(image), shared.encoder.config.patch_size
    height, width = pixels.shape[:2]
    if size is not None:
        protocol = InputProtocol(kind="stride", size=size)
        geometry = Geometry.plan((height, width), protocol, patch)
        windows = torch.from_numpy(geometry.fit(pixels))
    else:
        whole = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        check_pixels(whole, patch)
        windows = whole[:, :, : height // patch * patch, : width // patch * patch]
    with shared.computing():
        found = shared.computing_encoder(windows.to(shared.device))
    return found._replace(taps=tuple(tap.float() for tap in found.taps))


def _segment_chunk(
    shared: SharedPass,
    heads: Mapping[str, Head],
    images: Sequence[Pixels],
    on_tile: OnTile | None,
) -> Iterator[dict[str, TaskResult]]:
    """A few images: those of one size go together."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(image.shape, []).append(place)
    found: list[dict[str, TaskResult]] = [{} for _ in images]
    for protocol, group in by_protocol(heads).items():
        for alike in places.values():
            same_size = [images[place] for place in alike]
            height, width, _ = same_size[0].shape
            way = protocol.for_image((height, width), shared.encoder.config.patch_size)
            if way.kind == "tiles":
                results = [_tiled(shared, image, way, group, on_tile) for image in same_size]
            else:
                results = _together(shared, group, way, same_size)
            for place, result in zip(alike, results, strict=True):
                found[place] |= result
    for results in found:
        yield {name: results[name] for name in heads}


def _together(
    shared: SharedPass, heads: Mapping[str, Head], protocol: InputProtocol, images: Sequence[Pixels]
) -> list[dict[str, TaskResult]]:
    """Images of one size, as many in a pass as fit."""
    size = (images[0].shape[0], images[0].shape[1])
    geometry = Geometry.plan(size, protocol, shared.encoder.config.patch_size)
    windows = len(geometry.windows)
    at_once = max(
        1, PIXELS_AT_A_TIME // (windows * geometry.model_size[0] * geometry.model_size[1])
    )
    found: list[dict[str, TaskResult]] = []
    for first in range(0, len(images), at_once):
        part = images[first : first + at_once]
        with shared.computing():
            predictions = {
                name: heads[name].decoder(features).float()
                for name, features in shared.features_of(part, geometry, heads).items()
            }
        found += [
            {
                name: heads[name].result(_rows(both, place * windows, windows), geometry)
                for name, both in predictions.items()
            }
            for place in range(len(part))
        ]
    return found


def _tiled(
    shared: SharedPass,
    image: Pixels,
    protocol: InputProtocol,
    heads: Mapping[str, Head],
    on_tile: OnTile | None,
) -> dict[str, TaskResult]:
    """Segment an image tile by tile, several at a time; only their results are kept."""
    size = (image.shape[0], image.shape[1])
    tiles = plan_tiles(size, protocol.tile, protocol.least_overlap)
    geometry = Geometry.plan(tiles[0].size, protocol, shared.encoder.config.patch_size)
    mosaics = {
        name: build_mosaic(head.config.task, size, head.config.vocabulary)
        for name, head in heads.items()
    }
    for first in range(0, len(tiles), TILES_AT_A_TIME):
        batch = tiles[first : first + TILES_AT_A_TIME]
        pixels = torch.from_numpy(np.concatenate([geometry.fit(t.cut(image)) for t in batch]))
        for name, predictions in logits(shared, heads, pixels).items():
            for place, tile in enumerate(batch):
                alone = _rows(predictions, place, 1)
                mosaics[name].add(tile, heads[name].result(alone, geometry))
        if on_tile:
            on_tile(first + len(batch), len(tiles))
    return {name: mosaic.result() for name, mosaic in mosaics.items()}


def _rows(predictions: Predictions, first: int, count: int) -> Predictions:
    """Those of some of the batch."""
    return Predictions(*(part[first : first + count] for part in predictions))
